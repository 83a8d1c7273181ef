// Drawing a picture with a map over it. Everything that is needed is passed in; nothing is kept.

/** RGBA of the 256 byte values: colour from the stops, opacity with the value. */
function makeRamp(stops, opacity) {
  const rgb = stops.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const ramp = new Uint8ClampedArray(1024);
  for (let value = 0; value < 256; value++) {
    const place = (value / 255) * (rgb.length - 1);
    const low = Math.min(Math.floor(place), rgb.length - 2);
    for (let c = 0; c < 3; c++) {
      ramp[4 * value + c] = rgb[low][c] + (place - low) * (rgb[low + 1][c] - rgb[low][c]);
    }
    ramp[4 * value + 3] = opacity * value;
  }
  return ramp;
}

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

/**
 * Draw a picture, a map over it, and a box, in the pixels of the original picture.
 * look: {bitmap, width, height, grids, values (bytes of all grids, or null), ramp, fade, box (or null)}
 */
function paint(canvas, look) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / look.width;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (look.bitmap) {
    context.imageSmoothingEnabled = look.bitmap.width >= canvas.width; // enlarged: the pixels as they are
    context.drawImage(look.bitmap, 0, 0, canvas.width, canvas.height);
  }
  if (look.values) {
    context.fillStyle = `rgba(255, 255, 255, ${look.fade})`;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    for (const grid of look.grids) paintGrid(context, grid, look);
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  if (look.box) paintBox(context, look.box, canvas);
}

function paintGrid(context, grid, look) {
  const values = look.values.subarray(grid.start, grid.start + grid.rows * grid.cols);
  const cells = new ImageData(grid.cols, grid.rows);
  values.forEach((value, i) => cells.data.set(look.ramp.subarray(4 * value, 4 * value + 4), 4 * i));
  const small = document.createElement("canvas");
  small.width = grid.cols;
  small.height = grid.rows;
  small.getContext("2d").putImageData(cells, 0, 0);
  const [x1, y1, x2, y2] = grid.region;
  context.imageSmoothingEnabled = false;
  context.drawImage(small, x1, y1, x2 - x1, y2 - y1);
  outline(context, grid, (row, col) =>
    row >= 0 && col >= 0 && row < grid.rows && col < grid.cols && values[row * grid.cols + col] >= 128);
}

/** A line round the cells above half, dark on white: it shows on any ground. */
function outline(context, grid, inside) {
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
  stroke(context, []);
}

function paintBox(context, [x1, y1, x2, y2]) {
  context.beginPath();
  context.rect(x1, y1, x2 - x1, y2 - y1);
  stroke(context, [5, 3]);
}

/** Stroke the path twice in screen pixels: wide and white, then dark, perhaps dashed. */
function stroke(context, dashes) {
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  const unit = window.devicePixelRatio || 1;
  context.lineCap = "square";
  context.strokeStyle = "white";
  context.lineWidth = 3.4 * unit;
  context.stroke();
  context.setLineDash(dashes.map((length) => length * unit));
  context.strokeStyle = "#222222";
  context.lineWidth = 1.6 * unit;
  context.stroke();
  context.restore();
}

/** The colours as they lie over a faded middle grey, from nothing to the strongest. */
function paintBar(canvas, ramp, fade) {
  const context = canvas.getContext("2d");
  const paper = 255 * (1 - (1 - fade) / 2);
  const line = new ImageData(256, 1);
  for (let value = 0; value < 256; value++) {
    const opacity = ramp[4 * value + 3] / 255;
    for (let c = 0; c < 3; c++) line.data[4 * value + c] = ramp[4 * value + c] * opacity + paper * (1 - opacity);
    line.data[4 * value + 3] = 255;
  }
  canvas.width = 256;
  canvas.height = 1;
  context.putImageData(line, 0, 0);
}
