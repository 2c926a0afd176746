// The image under its heat map and the outline of its region, which can be redrawn.
"use strict";

// The report's colour map: lightness rises in equal steps from indigo over crimson to pale yellow.
const ANCHORS = ["#151749", "#301d6d", "#512588", "#7b2d90", "#ab3183", "#d63d64", "#ef5c53", "#fc834d", "#fdac63", "#fdcf82", "#fef0a8"]
  .map((colour) => [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16)));
const THRESHOLD = 128; // where the model's threshold lies in the stored map
const DETAIL = 4; // canvas pixels for each pixel of the mask

async function pixelsOf(source, size) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = size ? size.width : image.naturalWidth;
  canvas.height = size ? size.height : image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const values = new Uint8Array(canvas.width * canvas.height);
  for (let i = 0; i < values.length; i += 1) values[i] = data[4 * i];
  return { width: canvas.width, height: canvas.height, values };
}

class Stage {
  constructor(place) {
    this.place = place;
    this.heat = place.querySelector("#heat");
    this.canvas = place.querySelector("#mask");
    this.tool = null; // 1 paints, 0 erases
    this.brush = 8;
    this.changed = false; // from what the model found
    this.ready = this.failed = false;
    this.onchange = () => {};
    this.before = []; // masks, to take strokes back
    this.layers = place.querySelector(".layers");
    this.view = { scale: 1, x: 0, y: 0 };
    place.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.25 : 0.8, event.clientX, event.clientY);
    }, { passive: false });
    // the whole image stays on the screen beside what stands above and below it
    place.style.setProperty("--ratio", place.dataset.width / place.dataset.height);
  }

  async load() {
    this.map = await pixelsOf(this.heat.dataset.src);
    const { width, height, values } = await pixelsOf(this.canvas.dataset.found);
    Object.assign(this, { width, height });
    const drawn = await pixelsOf(this.canvas.dataset.src, this); // what people have drawn may be of any size
    const binary = (picture) => picture.map((value) => (value > 127 ? 1 : 0));
    this.found = binary(values);
    this.canvas.width = DETAIL * width;
    this.canvas.height = DETAIL * height;
    this.drawHeat();
    this.ready = true;
    this.take(binary(drawn.values));
    this.listen();
  }

  drawHeat() {
    const { width, height, values } = this.map;
    this.heat.width = width;
    this.heat.height = height;
    const context = this.heat.getContext("2d");
    const picture = context.createImageData(width, height);
    values.forEach((value, i) => {
      const place = (value / 255) * (ANCHORS.length - 1);
      const low = ANCHORS[Math.floor(place)], high = ANCHORS[Math.ceil(place)], share = place % 1;
      for (let c = 0; c < 3; c += 1) picture.data[4 * i + c] = low[c] + share * (high[c] - low[c]);
      picture.data[4 * i + 3] = 255 * Math.min(1, Math.max(0, (value - 50) / 80)); // what is normal stays visible
    });
    context.putImageData(picture, 0, 0);
  }

  drawMask() {
    const { width, height, mask } = this;
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const path = new Path2D();
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const inside = mask[y * width + x];
        const right = x + 1 < width ? mask[y * width + x + 1] : 0;
        const below = y + 1 < height ? mask[(y + 1) * width + x] : 0;
        if (inside !== right) { path.moveTo(DETAIL * (x + 1), DETAIL * y); path.lineTo(DETAIL * (x + 1), DETAIL * (y + 1)); }
        if (inside !== below) { path.moveTo(DETAIL * x, DETAIL * (y + 1)); path.lineTo(DETAIL * (x + 1), DETAIL * (y + 1)); }
      }
    }
    context.lineCap = "round";
    const shown = this.canvas.getBoundingClientRect().width || this.canvas.width;
    const unit = this.canvas.width / shown; // canvas pixels for one pixel of the screen
    for (const [colour, thick] of [["#101018", 4], ["#ffffff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick * unit;
      context.stroke(path);
    }
  }

  // Larger or smaller around a point of the screen, between the whole image and eight times that.
  zoom(factor, clientX, clientY) {
    const box = this.place.getBoundingClientRect(), { scale, x, y } = this.view;
    const next = Math.min(8, Math.max(1, scale * factor)), px = clientX - box.left, py = clientY - box.top;
    const at = (offset, point, side) => Math.min(0, Math.max(side * (1 - next), point - ((point - offset) * next) / scale));
    this.view = { scale: next, x: at(x, px, box.width), y: at(y, py, box.height) };
    this.layers.style.transform = `translate(${this.view.x}px, ${this.view.y}px) scale(${next})`;
    if (this.ready) this.drawMask();
  }

  remember() {
    this.before.push(this.mask);
    if (this.before.length > 100) this.before.shift();
  }

  takeBack() {
    if (this.before.length) this.take(this.before.pop());
  }

  take(mask) {
    if (!this.ready) return;
    this.mask = mask;
    this.changed = this.mask.some((value, i) => value !== this.found[i]);
    this.drawMask();
    this.onchange();
  }

  atThreshold(value) {
    if (!this.ready) return;
    this.take(this.map.values.map((found) => (found >= value ? 1 : 0)));
  }

  listen() {
    let last = null, finger = null;
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.tool === null || last !== null) return;
      finger = event.pointerId;
      this.remember();
      this.canvas.setPointerCapture(event.pointerId);
      last = at(event);
      this.stroke(last, last);
      event.preventDefault();
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (last === null || event.pointerId !== finger) return;
      const next = at(event);
      this.stroke(last, next);
      last = next;
    });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, (event) => { if (event.pointerId === finger) last = null; });
  }

  stroke([x0, y0], [x1, y1]) {
    const mask = this.mask.slice(), radius = (this.brush * this.width) / 400 / this.view.scale;
    const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0)));
    for (let step = 0; step <= steps; step += 1) {
      const cx = x0 + ((x1 - x0) * step) / steps, cy = y0 + ((y1 - y0) * step) / steps;
      for (let y = Math.max(0, Math.floor(cy - radius)); y <= Math.min(this.height - 1, cy + radius); y += 1) {
        for (let x = Math.max(0, Math.floor(cx - radius)); x <= Math.min(this.width - 1, cx + radius); x += 1) {
          if (Math.hypot(x + 0.5 - cx, y + 0.5 - cy) <= Math.max(radius, 0.71)) mask[y * this.width + x] = this.tool;
        }
      }
    }
    this.take(mask);
  }

  png() {
    const canvas = document.createElement("canvas");
    canvas.width = this.width;
    canvas.height = this.height;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(this.width, this.height);
    this.mask.forEach((value, i) => { picture.data.set([255 * value, 255 * value, 255 * value, 255], 4 * i); });
    context.putImageData(picture, 0, 0);
    return canvas.toDataURL("image/png").split(",")[1];
  }
}
