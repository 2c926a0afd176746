"use strict";
(() => {
  const form = document.querySelector(".filters");
  const output = form.querySelector("output");
  const filters = [...form.querySelectorAll("[data-filter]")];
  const cards = [...document.querySelectorAll(".card")];

  /** What each filter is set to; an empty string lets everything through. */
  const wanted = () => Object.fromEntries(filters.map((filter) => [filter.dataset.filter, filter.value]));

  const apply = () => {
    const { product = "", ...choices } = wanted();
    const chosen = Object.entries(choices).filter(([, value]) => value !== "");
    const choosy = chosen.length > 0;
    let shown = 0;
    for (const card of cards) {
      const fits = chosen.every(([name, value]) => card.dataset[name] === value);
      const here = !product || card.closest(".product").dataset.product === product;
      card.hidden = !fits;
      shown += fits && here;
    }
    for (const gallery of document.querySelectorAll(".gallery")) {
      gallery.hidden = !gallery.querySelector(".card:not([hidden])");
    }
    document.body.classList.toggle("filtered", choosy);
    for (const section of document.querySelectorAll(".product")) {
      const empty = choosy && !section.querySelector(".card:not([hidden])");
      section.hidden = (product && section.dataset.product !== product) || empty;
    }
    for (const row of document.querySelectorAll("tr[data-product]")) {
      row.hidden = product && row.dataset.product !== product;
    }
    output.value = `${shown} of ${cards.length} pictures`;
  };

  const switchLayers = () => {
    for (const box of form.querySelectorAll("[data-layer]")) {
      document.body.classList.toggle(`no-${box.dataset.layer}`, !box.checked);
    }
  };

  /** The address keeps the filters, so that a filtered report can be bookmarked. */
  const remember = () => {
    const set = Object.entries(wanted()).filter(([, value]) => value !== "");
    const hash = new URLSearchParams(set).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  };

  const recall = () => {
    const saved = new URLSearchParams(location.hash.slice(1));
    for (const filter of filters) {
      const value = saved.get(filter.dataset.filter);
      if (value !== null && [...filter.options].some((option) => option.value === value)) filter.value = value;
    }
  };

  form.addEventListener("change", () => {
    apply();
    switchLayers();
    remember();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => form.dispatchEvent(new Event("change"))));

  const dialog = document.getElementById("enlarged");
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".picture");
    if (button) {
      document.getElementById("enlarged-picture").replaceChildren(button.firstElementChild.cloneNode(true));
      dialog.showModal();
    } else if (event.target === dialog) {
      dialog.close();
    } else if (event.target.matches(".more")) {
      const folded = [...event.target.parentElement.querySelectorAll(".card.folded")];
      for (const card of folded) card.classList.remove("folded");
      folded[0].querySelector(".picture").focus();
      event.target.remove();
    }
  });

  form.hidden = false;
  for (const more of document.querySelectorAll(".more")) more.hidden = false;
  document.body.classList.add("folding");
  recall();
  apply();
  switchLayers();
})();
