// Drawing a picture in the light of a map: what is looked at keeps its colours, the rest fades to grey.
// The formula, and its numbers (`spotlight`), are those of workbench/viz/spotlight.py.

/** Numbers of the grid's cells whose centre lies in a box; the cell under its centre if none does. */
function cellsInside(grid, [x1, y1, x2, y2]) {
  const [left, top, right, bottom] = grid.region;
  const width = (right - left) / grid.cols;
  const height = (bottom - top) / grid.rows;
  const found = [];
  for (let row = 0; row < grid.rows; row++) {
    for (let col = 0; col < grid.cols; col++) {
      const x = left + (col + 0.5) * width;
      const y = top + (row + 0.5) * height;
      if (x1 <= x && x < x2 && y1 <= y && y < y2) found.push(row * grid.cols + col);
    }
  }
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  if (!found.length && left <= x && x < right && top <= y && y < bottom) {
    found.push(Math.floor((y - top) / height) * grid.cols + Math.floor((x - left) / width));
  }
  return found;
}

/** A canvas beside the page, and its context. */
function beside(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return [canvas, canvas.getContext("2d")];
}

const faded = new WeakMap(); // bitmap -> its grey version, at the size that it was last drawn

/** The picture where nothing is looked at: grey, and paler on a light picture, darker on a dark one. */
function fadedPicture({ bitmap, spotlight, dark }, width, height) {
  const kept = faded.get(bitmap);
  if (kept && kept.width === width && kept.height === height) return kept;
  const [canvas, context] = beside(width, height);
  context.imageSmoothingEnabled = bitmap.width >= width; // enlarged: the pixels as they are
  context.drawImage(bitmap, 0, 0, width, height);
  const image = context.getImageData(0, 0, width, height);
  const pixels = image.data;
  const least = dark ? 0 : 255 * (1 - spotlight.rest);
  for (let at = 0; at < pixels.length; at += 4) {
    const grey = 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2];
    pixels[at] = pixels[at + 1] = pixels[at + 2] = least + spotlight.rest * grey;
  }
  context.putImageData(image, 0, 0);
  faded.set(bitmap, canvas);
  return canvas;
}

/** A grid's cells as a small picture: `colour(share)` gives the RGBA of each, from 0 to 255. */
function cellPicture(grid, values, top, colour) {
  const [canvas, context] = beside(grid.cols, grid.rows);
  const cells = new ImageData(grid.cols, grid.rows);
  for (let cell = 0; cell < grid.rows * grid.cols; cell++) cells.data.set(colour(values[grid.start + cell] / top), 4 * cell);
  context.putImageData(cells, 0, 0);
  return canvas;
}

/** Draw small pictures of cells where their grids lie, with sharp edges. */
function placeCells(context, look, scale, colour) {
  const top = largest(look.values);
  context.imageSmoothingEnabled = false;
  for (const grid of look.grids) {
    const [x1, y1, x2, y2] = grid.region.map((n) => n * scale);
    context.drawImage(cellPicture(grid, look.values, top, colour), x1, y1, x2 - x1, y2 - y1);
  }
}

/** What stands for one in bytes: 255, or 127 where values below zero are possible. */
const largest = (values) => (values instanceof Int8Array ? 127 : 255);

/**
 * Draw a picture in the light of a map, and a box, in the pixels of the original picture.
 * look: {bitmap, width, height, grids, values (bytes of all grids, or null), spotlight, dark, strength, box (or null)}
 */
function paint(canvas, look) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const scale = width / look.width;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  if (look.bitmap) {
    const lit = look.values && look.strength > 0;
    if (lit) paintLight(context, look, width, height, scale);
    context.globalAlpha = lit ? 1 - look.strength : 1;
    context.imageSmoothingEnabled = look.bitmap.width >= width;
    context.drawImage(look.bitmap, 0, 0, width, height);
    context.globalAlpha = 1;
    if (lit) for (const grid of look.grids) paintOutlines(context, grid, look, scale);
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  if (look.box) paintBox(context, look.box);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

function paintLight(context, look, width, height, scale) {
  const { spotlight, dark, bitmap } = look;
  context.drawImage(fadedPicture(look, width, height), 0, 0);
  const [colours, own] = beside(width, height);
  placeCells(own, look, scale, (v) => [0, 0, 0, 255 * Math.min(1, spotlight.gain * Math.abs(v)) ** spotlight.power]);
  own.globalCompositeOperation = "source-in";
  own.imageSmoothingEnabled = bitmap.width >= width;
  own.drawImage(bitmap, 0, 0, width, height);
  context.drawImage(colours, 0, 0);
  const tints = dark ? spotlight.screen : spotlight.multiply;
  context.globalCompositeOperation = dark ? "screen" : "multiply";
  placeCells(context, look, scale, (v) => [...tints[v < 0 ? 1 : 0].map((c) => 255 * c), 255 * spotlight.tint * Math.abs(v)]);
  context.globalCompositeOperation = "source-over";
}

function paintOutlines(context, grid, look, scale) {
  const half = largest(look.values) / 2;
  const value = (row, col) =>
    row >= 0 && col >= 0 && row < grid.rows && col < grid.cols ? look.values[grid.start + row * grid.cols + col] : 0;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  outline(context, grid, (row, col) => value(row, col) >= half, look.spotlight.lines[0], []);
  outline(context, grid, (row, col) => value(row, col) <= -half, look.spotlight.lines[1], [6, 3]);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

/** A line round some cells, on white: it shows on any ground. */
function outline(context, grid, inside, colour, dashes) {
  const [x1, y1, x2, y2] = grid.region;
  const x = (col) => x1 + ((x2 - x1) * col) / grid.cols;
  const y = (row) => y1 + ((y2 - y1) * row) / grid.rows;
  context.beginPath();
  for (let row = 0; row <= grid.rows; row++) {
    for (let col = 0; col <= grid.cols; col++) {
      if (inside(row, col) !== inside(row - 1, col)) {
        context.moveTo(x(col), y(row));
        context.lineTo(x(col + 1), y(row));
      }
      if (inside(row, col) !== inside(row, col - 1)) {
        context.moveTo(x(col), y(row));
        context.lineTo(x(col), y(row + 1));
      }
    }
  }
  stroke(context, colour, dashes);
}

function paintBox(context, [x1, y1, x2, y2]) {
  context.beginPath();
  context.rect(x1, y1, x2 - x1, y2 - y1);
  stroke(context, "#00796b", [5, 3]);
}

/** Stroke the path twice in screen pixels: wide and white, then coloured, perhaps dashed. */
function stroke(context, colour, dashes) {
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  const unit = window.devicePixelRatio || 1;
  context.lineCap = "square";
  context.strokeStyle = "white";
  context.lineWidth = 4 * unit;
  context.stroke();
  context.lineCap = dashes.length ? "butt" : "square";
  context.setLineDash(dashes.map((length) => length * unit));
  context.strokeStyle = colour;
  context.lineWidth = 2 * unit;
  context.stroke();
  context.restore();
}

/** The scale from nothing, or from the strongest below it, to the strongest, as it looks on a plain ground. */
function paintBar(canvas, spotlight, dark, signed) {
  const ground = dark ? 0.12 : 1;
  const rest = dark ? spotlight.rest * ground : 1 - spotlight.rest * (1 - ground);
  const line = new ImageData(256, 1);
  for (let value = 0; value < 256; value++) {
    const at = signed ? (2 * value) / 255 - 1 : value / 255;
    const share = Math.abs(at);
    const seen = rest + (ground - rest) * Math.min(1, spotlight.gain * share) ** spotlight.power;
    for (let c = 0; c < 3; c++) {
      const tint = (dark ? spotlight.screen : spotlight.multiply)[at < 0 ? 1 : 0][c];
      const tinted = dark ? 1 - (1 - seen) * (1 - tint) : seen * tint;
      line.data[4 * value + c] = 255 * (seen + spotlight.tint * share * (tinted - seen));
    }
    line.data[4 * value + 3] = 255;
  }
  canvas.width = 256;
  canvas.height = 1;
  canvas.getContext("2d").putImageData(line, 0, 0);
}

/** How much the map changes the picture, and a button that shows it bare while it is held. */
function makeStrength(parent, change) {
  const label = make("label", "slider", parent);
  make("span", "", label, { textContent: "strength" });
  const input = make("input", "strength", label, { type: "range", min: 0, max: 1, step: 0.1 });
  input.addEventListener("input", () => change(Number(input.value)));
  const title = "Hold to see the picture without the map (or hold the key B)";
  make("button", "bare", parent, { type: "button", textContent: "bare picture", title });
  return (value) => {
    input.value = value;
    input.setAttribute("aria-valuetext", percent(value));
  };
}

/** While the button of `makeStrength` or the key B is held, pictures are bare: `change(held)` draws them. */
function listenToBare(root, change) {
  const button = root.querySelector(".wbx-bare");
  let now = false;
  const bare = (held) => {
    if (now === held) return;
    now = held;
    root.classList.toggle("wbx-held", held);
    change(held);
  };
  button.addEventListener("pointerdown", () => bare(true));
  for (const name of ["pointerup", "pointerleave", "pointercancel", "blur"]) button.addEventListener(name, () => bare(false));
  const key = (held) => (event) => {
    const wanted = event.key.toLowerCase() === "b" || (event.target === button && (event.key === " " || event.key === "Enter"));
    if (!wanted || event.target.type === "text" || event.ctrlKey || event.metaKey || event.altKey) return;
    bare(held);
    event.preventDefault();
    event.stopPropagation();
  };
  root.addEventListener("keydown", key(true));
  root.addEventListener("keyup", key(false));
  root.addEventListener("focusout", (event) => root.contains(event.relatedTarget) || bare(false));
}
