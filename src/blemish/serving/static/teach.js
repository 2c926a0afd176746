// Picking what is learned, watching it, and what becomes of the model.
"use strict";

const failed = (error) => notice(error.message, true);
const lesson = document.getElementById("lesson"), running = document.getElementById("running");

if (lesson) {
  const boxes = [...lesson.querySelectorAll('[name="inspection"]')];
  const count = () => {
    const picked = boxes.filter((box) => box.checked).length;
    document.getElementById("picked").textContent = `${picked} of ${boxes.length} images teach`;
    document.getElementById("teach").disabled = picked === 0;
  };
  lesson.addEventListener("change", count);
  count();
  lesson.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = { inspections: boxes.filter((box) => box.checked).map((box) => box.value), preset: lesson.preset.value };
    for (const name of ["steps", "images"]) if (lesson[name].value) wanted[name] = Number(lesson[name].value);
    document.getElementById("teach").disabled = true;
    ask("POST", "/v1/teachings", wanted).then(() => location.reload(), (error) => { failed(error); count(); });
  });
}

if (running) {
  const bar = document.getElementById("progress"), stage = document.getElementById("stage-name"), place = document.getElementById("stage-place");
  const names = { features: "It looks at images", training: "It trains", calibration: "It sets its thresholds", comparison: "Both models are compared" };
  const left = (seconds) => (seconds === null ? "" : seconds < 90 ? `, ${Math.ceil(seconds)} s left` : `, ${Math.ceil(seconds / 60)} min left`);
  const watch = async () => {
    const teaching = await ask("GET", `/v1/teachings/${running.dataset.id}`);
    if (teaching.state !== "running") { location.reload(); return; }
    const where = teaching.progress;
    if (where) {
      bar.max = where.total || 1;
      bar.value = where.done;
      const name = names[where.stage] || where.stage; // spoken when it changes, and not every second
      if (stage.textContent !== name) stage.textContent = name;
      place.textContent = `: ${where.done} of ${where.total}${left(where.seconds_left)}`;
    }
  };
  const keep = () => watch().catch(failed).finally(() => setTimeout(keep, 1000));
  keep();
  document.getElementById("cancel").addEventListener("click", () => ask("POST", `/v1/teachings/${running.dataset.id}/cancel`)
    .then(() => location.reload(), failed));
}

const then = (attribute, path, said, sure) => {
  for (const button of document.querySelectorAll(`[data-${attribute}]`)) {
    button.addEventListener("click", () => {
      if (sure && !confirm(sure)) return;
      button.disabled = true;
      ask("POST", path(button.dataset[attribute])).then(() => { later(said); location.reload(); }, (error) => { failed(error); button.disabled = false; });
    });
  }
};
then("promote", (id) => `/v1/models/${id}/promote`, "It inspects from now on.");
then("discard", (id) => `/v1/teachings/${id}/discard`, "Discarded.", "Delete this model for good?");
