// One inspection after the other: decide, name, correct, go on, take back.
"use strict";

const review = document.querySelector(".review");
const suffix = review ? review.dataset.suffix : location.search;
const DONE = "blemish reviews"; // those of this tab, to take back
const done = JSON.parse(sessionStorage.getItem(DONE) || "[]");
const undo = document.getElementById("undo");
undo.disabled = done.length === 0;

const go = (id) => { location.href = id ? `/review/${id}${suffix}` : `/review${suffix}`; };

async function takeBack() {
  const last = done.at(-1);
  if (!last) return;
  try {
    await ask("DELETE", `/v1/reviews/${last.review}`);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  done.pop();
  sessionStorage.setItem(DONE, JSON.stringify(done));
  go(last.inspection);
}
undo.addEventListener("click", () => takeBack().catch((error) => notice(error.message, true)));

const keys = { u: () => undo.click() };

if (review) {
  const stage = new Stage(document.getElementById("stage"));
  const find = (id) => document.getElementById(id);
  const reviewer = find("reviewer");
  reviewer.value = localStorage.getItem("blemish reviewer") || "";
  reviewer.addEventListener("change", () => localStorage.setItem("blemish reviewer", reviewer.value.trim()));

  const photo = find("photo");
  let busy = false;
  const decide = async (decision, category) => {
    if (busy) return;
    if (!photo.complete || !(stage.ready || stage.failed)) { notice("The image is still being loaded."); return; }
    busy = true;
    const said = { inspection: review.dataset.id, decision };
    if (category) said.category = category;
    if (reviewer.value.trim()) said.reviewer = reviewer.value.trim();
    if (decision === "confirmed" && stage.changed) said.mask = stage.png();
    try {
      const kept = await ask("POST", "/v1/reviews", said);
      done.push({ review: kept.id, inspection: review.dataset.id });
      sessionStorage.setItem(DONE, JSON.stringify(done.slice(-200)));
      later(`Saved: ${kept.decision === "rejected" ? "no defect" : kept.category || "defect, no name"}${kept.corrected ? ", region corrected" : ""}`);
      go(review.dataset.next);
    } catch (error) {
      busy = false;
      notice(error.message, true);
    }
  };

  find("reject").addEventListener("click", () => decide("rejected"));
  find("confirm").addEventListener("click", () => decide("confirmed", find("confirm").dataset.category));
  if (find("nameless")) find("nameless").addEventListener("click", () => decide("confirmed"));
  const names = [...document.querySelectorAll(".names [data-category]")];
  for (const button of names) button.addEventListener("click", () => decide("confirmed", button.dataset.category));
  const form = find("new-name");
  if (form) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (form.category.value.trim()) decide("confirmed", form.category.value.trim());
    });
    keys.n = () => form.category.focus();
  }
  find("skip").addEventListener("click", () => go(review.dataset.next));
  find("back").addEventListener("click", () => go(review.dataset.previous));
  const again = find("take-back");
  if (again) {
    again.addEventListener("click", () => ask("DELETE", `/v1/reviews/${review.dataset.review}`)
      .then(() => location.reload(), (error) => notice(error.message, true)));
  }

  const tools = { paint: 1, erase: 0 };
  const choose = (name) => {
    stage.tool = stage.tool === tools[name] ? null : tools[name];
    for (const [tool, value] of Object.entries(tools)) find(tool).setAttribute("aria-pressed", String(stage.tool === value));
    stage.place.classList.toggle("drawing", stage.tool !== null);
  };
  for (const tool of Object.keys(tools)) find(tool).addEventListener("click", () => choose(tool));
  find("size").addEventListener("input", (event) => { stage.brush = Number(event.target.value); });
  const opacity = find("opacity");
  opacity.value = localStorage.getItem("blemish opacity") || opacity.value;
  const fade = () => { stage.heat.style.opacity = opacity.value / 100; };
  opacity.addEventListener("input", () => { fade(); localStorage.setItem("blemish opacity", opacity.value); });
  fade();

  const slider = find("threshold"), value = find("threshold-value");
  slider.addEventListener("pointerdown", () => { if (stage.ready) stage.remember(); });
  slider.addEventListener("input", () => {
    stage.atThreshold(Number(slider.value));
    value.textContent = `${(Number(slider.value) / (THRESHOLD - 0.5)).toFixed(2)} ×`;
  });
  find("clear").addEventListener("click", () => {
    if (!stage.ready) return;
    stage.remember();
    stage.take(new Uint8Array(stage.width * stage.height));
  });
  find("restore").addEventListener("click", () => {
    if (stage.ready) { stage.remember(); stage.take(stage.found.slice()); }
    slider.value = THRESHOLD;
    value.textContent = "as found";
  });
  stage.onchange = () => { find("restore").disabled = !stage.changed; };
  stage.load().catch(() => { stage.failed = true; notice("The anomaly map could not be shown.", true); });

  find("help").addEventListener("click", () => find("keys").showModal());
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.target.matches("input:not([type=range])")) {
      event.preventDefault();
      stage.takeBack();
    }
  });
  Object.assign(keys, {
    "?": () => find("help").click(),
    d: () => (find("nameless") || find("confirm")).click(),
    z: () => {
      const box = stage.place.getBoundingClientRect();
      stage.zoom(stage.view.scale > 1 ? 1 / 8 : 3, box.left + box.width / 2, box.top + box.height / 2);
    },
    j: () => find("skip").click(),
    k: () => find("back").click(),
    c: () => find("confirm").click(),
    x: () => find("reject").click(),
    b: () => choose("paint"),
    e: () => choose("erase"),
  });
  names.slice(0, 9).forEach((button, number) => { keys[number + 1] = () => button.click(); });
  const current = document.querySelector('.queue [aria-current="true"]');
  if (current) current.parentElement.parentElement.scrollTo({ top: current.offsetTop - 120, left: current.offsetLeft - 40 });
}

// a page that the browser has kept for "back" shows an old state
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target.blur) { event.target.blur(); return; }
  if (event.target.matches("input:not([type=range]), select, textarea")) return;
  const action = keys[event.key];
  if (action && !document.querySelector("dialog[open]")) { event.preventDefault(); action(); }
});

const upload = document.getElementById("upload"), uploading = document.getElementById("uploading");
const AT_ONCE = 8, MOST_TRIES = 60;
upload.addEventListener("change", async () => {
  const files = [...upload.files], refused = [], found = [];
  let tries = 0;
  uploading.hidden = false;
  uploading.max = files.length;
  for (let start = 0; start < files.length; start += AT_ONCE) {
    const part = files.slice(start, start + AT_ONCE), form = new FormData();
    part.forEach((file) => form.append("images", file, file.name));
    try {
      const { inspections } = await ask("POST", "/v1/inspections", form);
      inspections.forEach((one, i) => (one.error ? refused.push(`${part[i].name}: ${one.error}`) : found.push(one)));
    } catch (error) {
      if (error.status === 503 && tries < MOST_TRIES) {
        tries += 1;
        await new Promise((wait) => setTimeout(wait, 1000));
        start -= AT_ONCE;
        continue;
      }
      refused.push(...part.map((file) => `${file.name}: ${error.message}`));
    }
    uploading.value = Math.min(start + AT_ONCE, files.length);
  }
  uploading.hidden = true;
  upload.value = "";
  if (refused.length) {
    notice(`${refused.length} of ${files.length} images were not inspected. ${refused[0]}`, true);
    if (refused.length < files.length && !review) setTimeout(() => go(""), 4000);
  } else {
    later(`${found.length} inspected, ${found.filter((one) => one.defective).length} defective`);
    go("");
  }
});
