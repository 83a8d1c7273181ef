// The mixture explorer: the surface came with it as numbers, so that triangle, slider and runs need no kernel.

const SIDE = 660; // of the triangle, in pixels of its canvas
const HIGH = Math.round((SIDE * Math.sqrt(3)) / 2);
const BANDS = 8; // between lines of equal height, about
const STRIPES = 11; // pixels from one stripe of the hatching to the next
const OUTSIDE = -32768; // the band of a pixel beyond the triangle
const PALEST = 0.25; // how much of a colour is left where the surface is least sure
const [CURVE_WIDE, CURVE_HIGH, LEFT, BELOW] = [660, 190, 76, 26];
const CLOSE = 0.05; // share up to which a run counts as one of the mark's mixture, or of the slider's amount
const KERNEL_GONE = "The kernel of this explorer is gone. Run its cell again.";
const percentOf = (share) => `${Number((100 * share).toPrecision(3))}%`;
const numberOf = (value) => String(Number(value.toPrecision(4)));
/** An end of a scale, as exact as the scale is long: no "-4.656e-8" beside 0.2. */
const endOf = (value, span) => {
  const step = 10 ** (Math.floor(Math.log10(span || 1)) - 2);
  return numberOf(Math.round(value / step) * step || 0);
};
const kept = (low, value, high) => Math.min(high, Math.max(low, value));

/** An element of a drawing that scales. */
function makeSvg(tag, attributes, parent, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

/** Mixtures, places and predictions of what a kernel or a page told; as `_Cut` in Python. */
function surfaceOf(info, [values, runs]) {
  const { steps, corners, slider, amounts, held, floors, domains } = info;
  const points = corners.length === 1 ? 1 : ((steps + 1) * (steps + 2)) / 2;
  const heldSum = held.reduce((sum, share) => sum + share, 0);
  const room = 1 - floors.reduce((sum, floor) => sum + floor, 0);
  const index = (point) => (point.length === 1 ? 0 : point[0] * (steps + 1) - (point[0] * (point[0] - 1)) / 2 + point[1]);
  const composed = (point) => {
    const shares = [...held];
    corners.forEach((at, side) => (shares[at] = (1 - heldSum) * (floors[side] + (room * point[side]) / steps)));
    return shares;
  };
  const mixture = (point, step) => {
    const shares = composed(point).map((share) => share * (1 - amounts[step]));
    if (slider !== null) shares[slider] = amounts[step];
    return shares;
  };
  const told = (point, step) => {
    const shares = info.reasoning ? composed(point) : mixture(point, step);
    if (info.reasoning) shares[slider] = amounts[step];
    return shares;
  };
  const at = (place, step) => {
    const row = 4 * (step * points + place);
    const [value, half, run, out] = values.subarray(row, row + 4);
    return { value, half, run, out };
  };
  const slice = (step) => values.subarray(4 * step * points, 4 * (step + 1) * points);
  const mixtures = info.runs.map((one, number) => ({ ...one, shares: [...runs.subarray(number * domains.length, (number + 1) * domains.length)] }));
  const apart = (shares, others) => shares.reduce((sum, share, domain) => sum + Math.abs(share - others[domain]), 0) / 2;
  const nearest = (point, step) => {
    const shares = mixture(point, step);
    const found = mixtures.map((one) => ({ ...one, apart: apart(shares, one.shares) }));
    return found.sort((one, other) => one.apart - other.apart);
  };
  /** Where a mixture lies in the triangle, as parts of its corners; null where it holds nothing of them. */
  const placed = (shares) => {
    const parts = corners.map((corner) => shares[corner]);
    const total = parts.reduce((sum, part) => sum + part, 0);
    return total > 1e-6 ? parts.map((part, side) => (part / total - floors[side]) / room) : null;
  };
  /** The place and the step nearest to a mixture. */
  const closest = (shares) => {
    const parts = (placed(shares) || corners.map(() => 1 / corners.length)).map((part) => Math.max(0, part));
    const total = parts.reduce((sum, part) => sum + part, 0);
    const amount = slider === null ? 0 : shares[slider];
    const gaps = amounts.map((one) => Math.abs(one - amount));
    return { point: rounded(parts.map((part) => (steps * part) / total), steps), step: gaps.indexOf(Math.min(...gaps)) };
  };
  return { index, slice, mixtures, composed, apart, told, at, nearest, placed, closest };
}

/** Whole numbers that sum to a total, from numbers that do. */
function rounded(exact, total) {
  const point = exact.map((value) => Math.floor(value + 1e-9));
  const missing = total - point.reduce((sum, value) => sum + value, 0);
  const order = exact.map((value, side) => [value - point[side], side]).sort(([one], [other]) => other - one);
  for (const [, side] of order.slice(0, missing)) point[side] += 1;
  return point;
}

const placeOf = ([, right, top]) => [right + top / 2, 1 - top]; // across and down, of the triangle's own box

/** Put the explorer into an element; returns what takes the numbers of the surface, and what takes it out again. */
function mount(el, state, tell) {
  const root = make("div", "explorer wbx-mixture", el);
  root.dataset.lmSuppressShortcuts = "true";
  const info = state.get("info");
  const status = make("div", "note", root, { textContent: "The surface is on its way." });
  let close = () => {};
  listenToControls(root);
  const show = (buffers) => {
    close();
    status.textContent = `How far to believe the fit, on runs that it had not seen: ${info.checked}.`;
    close = fill(root, state, surfaceOf(info, buffers), tell);
    root.dataset.ready = "1";
  };
  return {
    show,
    gone: () => (status.textContent = KERNEL_GONE),
    close: () => {
      close();
      root.remove();
    },
  };
}

function fill(root, state, surface, tell) {
  const info = state.get("info");
  const body = make("div", "body", root);
  const views = make("div", "views", body);
  const side = make("div", "text", body);
  const move = (changes) => state.set(changes);
  const parts = [];
  if (info.corners.length === 3) parts.push(makeTriangle(info, surface, views, state, move));
  if (info.slider !== null) parts.push(makeSlider(info, views, move), makeCurve(info, surface, views));
  parts.push(makeReading(info, surface, side), makeNearest(info, surface, side));
  if (info.best) {
    const button = make("button", "button", make("div", "buttons", side), { type: "button", textContent: "Go to the best mixture" });
    button.addEventListener("click", () => move(surface.closest(info.best)));
  }
  parts.push(makeRecipe(info, surface, side, state, tell));
  const draw = () => {
    const [point, step] = [state.get("point"), state.get("step")];
    const shown = { point, step, ...surface.at(surface.index(point), step), nearest: surface.nearest(point, step) };
    for (const part of parts) part(shown);
  };
  const off = ["point", "step", "doing", "finished", "problem"].map((name) => state.on(name, draw));
  draw();
  return () => {
    off.forEach((stop) => stop());
    body.remove();
  };
}

/** The triangle: heights as colours, paler where less sure, hatched beyond the runs; runs and marks above them. */
function makeTriangle(info, surface, parent, state, move) {
  const figure = make("figure", "triangle", parent);
  const names = info.corners.map((at, side) => make("div", `corner wbx-corner-${side}`, figure));
  const box = make("div", "plane", figure, { tabIndex: 0 });
  box.setAttribute("role", "application");
  box.setAttribute("aria-label", `the triangle of ${info.corners.map((at) => info.domains[at]).join(", ")}: arrow keys move the mark`);
  const canvas = make("canvas", "", box, { width: SIDE, height: HIGH });
  const marks = makeSvg("svg", { viewBox: `0 0 ${SIDE} ${HIGH}`, "aria-hidden": "true" }, box);
  makeLegend(info, figure);
  const at = (inside) => placeOf(inside).map((part, axis) => part * [SIDE, HIGH][axis]);
  const spots = []; // [mark, share of the slider's domain]
  const put = (shares, tag, attributes) => {
    const inside = surface.placed(shares);
    if (!inside) return;
    const spot = makeSvg(tag, { ...attributes, transform: `translate(${at(inside).join(" ")})` }, marks);
    spots.push([spot, info.slider === null ? 0 : shares[info.slider]]);
  };
  for (const { shares } of surface.mixtures) put(shares, "circle", { r: 5, class: "wbx-run" });
  if (info.best) put(info.best, "path", { d: star(15), class: "wbx-best" });
  const numbers = Array.from({ length: info.nearest }, () => makeSvg("g", { class: "wbx-near" }, marks));
  numbers.forEach((group, number) => {
    makeSvg("circle", { r: 12 }, group);
    makeSvg("text", { "text-anchor": "middle", dy: 5.5 }, group, number + 1);
  });
  const mark = makeSvg("g", { class: "wbx-mark" }, marks);
  for (const look of ["wbx-under", "wbx-over"]) makeSvg("path", { d: "M-22 0H-9M9 0H22M0 -22V-9M0 9V22M9 0A9 9 0 1 1 -9 0A9 9 0 1 1 9 0", class: look }, mark);
  listenToTriangle(box, info, state, move);
  const [raster, shades] = [rasterOf(info.steps, surface.index), shadesOf(info.palette)];
  const painted = new Map(); // step -> what was painted for it
  return ({ point, step, nearest }) => {
    if (!painted.has(step)) painted.set(step, paintSurface(info, raster, shades, surface.slice(step)));
    canvas.getContext("2d").putImageData(painted.get(step), 0, 0);
    for (const [spot, amount] of spots) spot.classList.toggle("wbx-away", Math.abs(amount - info.amounts[step]) > CLOSE);
    const top = info.corners.map((corner, side) => info.corners.map((_, other) => (side === other ? info.steps : 0)));
    names.forEach((name, side) => {
      const most = surface.told(top[side], step)[info.corners[side]];
      name.textContent = `${info.domains[info.corners[side]]} ${percentOf(most)}`;
    });
    numbers.forEach((group, number) => {
      const inside = number < nearest.length ? surface.placed(nearest[number].shares) : null;
      group.style.display = inside ? "" : "none";
      if (inside) group.setAttribute("transform", `translate(${at(inside).join(" ")})`);
    });
    mark.setAttribute("transform", `translate(${at(point.map((value) => value / info.steps)).join(" ")})`);
  };
}

/** A star with five points, as a path. */
function star(radius) {
  const corner = (number) => {
    const [turn, far] = [(number * Math.PI) / 5, number % 2 ? 0.42 * radius : radius];
    return `${(far * Math.sin(turn)).toFixed(2)} ${(-far * Math.cos(turn)).toFixed(2)}`;
  };
  return `M${Array.from({ length: 10 }, (_, number) => corner(number)).join("L")}Z`;
}

/** The mark follows the mouse while it is pressed, and the arrow keys. */
function listenToTriangle(box, info, state, move) {
  const follow = (event) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    const up = kept(0, 1 - (event.clientY - top) / height, 1);
    const right = kept(0, (event.clientX - left) / width - up / 2, 1 - up);
    const point = rounded([1 - up - right, right, up].map((part) => part * info.steps), info.steps);
    if (String(point) !== String(state.get("point"))) move({ point });
  };
  box.addEventListener("pointerdown", (event) => {
    box.setPointerCapture(event.pointerId);
    follow(event);
  });
  box.addEventListener("pointermove", (event) => {
    if (event.buttons) follow(event);
  });
  box.addEventListener("keydown", (event) => {
    const [left, right] = state.get("point");
    const [giving, taking] = left >= right ? [0, 1] : [1, 0]; // up and down keep to the middle
    const [from, to] = {
      ArrowLeft: [1, 0], ArrowRight: [0, 1], ArrowUp: [giving, 2], ArrowDown: [2, taking],
      PageUp: [giving, 2], PageDown: [2, taking],
    }[event.key] || [];
    if (from === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const point = [...state.get("point")];
    const moved = Math.min(event.key.startsWith("Page") ? 5 : 1, point[from]);
    point[from] -= moved;
    point[to] += moved;
    if (moved) move({ point });
  });
}

/** The pixels of the triangle, with the three places of the grid around each and what each of them counts. */
function rasterOf(steps, index) {
  const [cells, places, weights] = [[], [], []];
  for (let y = 0; y < HIGH; y++) {
    const up = steps * (1 - (y + 0.5) / HIGH);
    for (let x = 0; x < SIDE; x++) {
      const right = (steps * (x + 0.5)) / SIDE - up / 2;
      const left = steps - right - up;
      if (right < 0 || left < 0) continue;
      const [i, k] = [Math.floor(left), Math.floor(right)];
      const [a, b] = [left - i, right - k];
      const lower = a + b <= 1 || i + k + 2 > steps; // of the two small triangles that share a side
      cells.push(y * SIDE + x);
      places.push(index(lower ? [i, k] : [i + 1, k + 1]), index([i + 1, k]), index([i, k + 1]));
      weights.push(...(lower ? [1 - a - b, a, b] : [a + b - 1, 1 - b, 1 - a]));
    }
  }
  return { cells: Uint32Array.from(cells), places: Uint16Array.from(places), weights: Float32Array.from(weights) };
}

/** 256 colours from a few, as bytes. */
function shadesOf(palette) {
  const colours = palette.map((text) => [1, 3, 5].map((from) => parseInt(text.slice(from, from + 2), 16)));
  return Uint8Array.from({ length: 3 * 256 }, (_, at) => {
    const place = (Math.floor(at / 3) / 255) * (colours.length - 1);
    const first = Math.min(Math.floor(place), colours.length - 2);
    return Math.round(colours[first][at % 3] + (place - first) * (colours[first + 1][at % 3] - colours[first][at % 3]));
  });
}

/** The surface's pixels at a step of the slider: colours, lines of equal height, and stripes beyond the runs. */
function paintSurface(info, { cells, places, weights }, shades, told) {
  const { data } = new ImageData(SIDE, HIGH);
  const [low, high] = info.range;
  const span = high - low || 1;
  const bands = new Int16Array(SIDE * HIGH).fill(OUTSIDE);
  for (let number = 0; number < cells.length; number++) {
    let [value, half, out] = [0, 0, 0];
    for (let corner = 3 * number; corner < 3 * number + 3; corner++) {
      const row = 4 * places[corner];
      value += weights[corner] * told[row];
      half += weights[corner] * told[row + 1];
      out += weights[corner] * told[row + 3];
    }
    const cell = cells[number];
    const height = (value - low) / span;
    bands[cell] = Math.floor(height * BANDS);
    const [before, above] = [bands[cell - 1], bands[cell - SIDE] ?? OUTSIDE];
    const line = (before !== OUTSIDE && before !== bands[cell]) || (above !== OUTSIDE && above !== bands[cell]);
    const stripe = out > info.far ? ((cell % SIDE) + Math.floor(cell / SIDE)) % STRIPES : STRIPES;
    const shade = 3 * Math.round(255 * kept(0, height, 1));
    const ink = line || stripe < 2 ? 20 : 235;
    const drawn = line || stripe < 4;
    for (let channel = 0; channel < 3; channel++) data[4 * cell + channel] = drawn ? ink : shades[shade + channel];
    const sure = 1 - (1 - PALEST) * kept(0, (2 * half) / span, 1);
    data[4 * cell + 3] = 255 * (stripe < 4 ? 0.6 : line ? 0.55 : sure);
  }
  return new ImageData(data, SIDE, HIGH);
}

function makeLegend(info, parent) {
  const legend = make("figcaption", "legend", parent);
  const span = info.range[1] - info.range[0];
  const better = { max: " (higher is better)", min: " (lower is better)" }[info.goal] || "";
  make("span", "", legend, { textContent: `${info.metric}${better} ${endOf(info.range[0], span)}` });
  make("span", "bar", legend).style.background = `linear-gradient(to right, ${info.palette.join(", ")})`;
  make("span", "", legend, { textContent: endOf(info.range[1], span) });
  make("span", "", legend, { textContent: "paler: less sure" });
  make("span", "hatched", legend);
  make("span", "", legend, { textContent: "beyond the runs" });
  make("span", "", legend, { textContent: `○ runs${info.best ? ", ★ best predicted" : ""}` });
}

/** The slider of one more share. */
function makeSlider(info, parent, move) {
  const label = make("label", "slider", parent);
  make("span", "", label, { textContent: info.reasoning ? "share with a thought (reasoning)" : info.domains[info.slider] });
  const input = make("input", "", label, { type: "range", min: 0, max: info.amounts.length - 1, step: 1 });
  const output = make("output", "", label);
  input.addEventListener("input", () => move({ step: Number(input.value) }));
  return ({ step }) => {
    input.value = step;
    output.textContent = percentOf(info.amounts[step]);
    input.setAttribute("aria-valuetext", percentOf(info.amounts[step]));
  };
}

/** What the surface says along the slider for the mark's mixture, with its interval and the runs close by. */
function makeCurve(info, surface, parent) {
  const drawing = makeSvg("svg", { viewBox: `0 0 ${CURVE_WIDE} ${CURVE_HIGH}`, class: "wbx-curve", role: "img" }, parent);
  drawing.setAttribute("aria-label", `${info.metric} along the slider, with its interval`);
  const steps = info.amounts.map((_, step) => step);
  const x = (amount) => LEFT + ((CURVE_WIDE - LEFT - 12) * amount) / Math.max(info.amounts.at(-1), 1e-9);
  return ({ point, step }) => {
    drawing.replaceChildren();
    const place = surface.index(point);
    const along = steps.map((one) => surface.at(place, one));
    const close = surface.mixtures.filter(({ shares }) => {
      const moved = surface.composed(point).map((share) => share * (1 - shares[info.slider]));
      moved[info.slider] = shares[info.slider];
      return surface.apart(moved, shares) <= CLOSE;
    });
    const heights = [...along.flatMap(({ value, half }) => [value - half, value + half]), ...close.flatMap(({ measured }) => measured)];
    const [low, high] = [Math.min(...heights), Math.max(...heights)];
    const y = (value) => 8 + ((CURVE_HIGH - BELOW - 16) * (high - value)) / (high - low || 1);
    const path = (values) => values.map((value, one) => `${x(info.amounts[one]).toFixed(1)} ${y(value).toFixed(1)}`);
    const upper = path(along.map(({ value, half }) => value + half));
    const lower = path(along.map(({ value, half }) => value - half)).reverse();
    makeSvg("path", { d: `M${[...upper, ...lower].join("L")}Z`, class: "wbx-band" }, drawing);
    makeSvg("path", { d: `M${path(along.map(({ value }) => value)).join("L")}`, class: "wbx-line" }, drawing);
    for (const { shares, measured: [mean, least, most] } of close) {
      const cx = x(shares[info.slider]);
      makeSvg("path", { d: `M${cx} ${y(least)}V${y(most)}`, class: "wbx-span" }, drawing);
      makeSvg("circle", { cx, cy: y(mean), r: 5, class: "wbx-run" }, drawing);
    }
    makeSvg("path", { d: `M${x(info.amounts[step])} 0V${CURVE_HIGH - BELOW}`, class: "wbx-now" }, drawing);
    for (const value of [low, high]) makeSvg("text", { x: LEFT - 8, y: y(value) + 5, "text-anchor": "end" }, drawing, endOf(value, high - low));
    for (const amount of [info.amounts[0], info.amounts.at(-1)]) {
      makeSvg("text", { x: x(amount), y: CURVE_HIGH - 6, "text-anchor": amount ? "end" : "start" }, drawing, percentOf(amount));
    }
  };
}

/** What is predicted under the mark, said again whenever it moves. */
function makeReading(info, surface, parent) {
  const reading = make("div", "reading", parent);
  reading.setAttribute("role", "status");
  reading.setAttribute("aria-live", "polite");
  const mixture = make("div", "note", reading);
  const value = make("div", "value", reading);
  const surely = make("div", "", reading);
  const guess = make("div", "guess", reading);
  return ({ point, step, value: height, half, run, out }) => {
    const told = surface.told(point, step);
    const range = (width) => `${numberOf(height - width)} to ${numberOf(height + width)}`;
    mixture.textContent = info.domains.map((name, domain) => `${name} ${percentOf(told[domain])}`).join(", ");
    value.textContent = `${info.metric} ${numberOf(height)}`;
    surely.textContent = `The surface lies between ${range(half).replace(" to ", " and ")}, a new run between `
      + `${range(run).replace(" to ", " and ")} (${percentOf(info.level)}).`;
    guess.textContent = out > info.far ? "No blend of the runs comes near it: a guess." : "";
  };
}

/** The mixtures that were run nearest to the mark, numbered as in the triangle. */
function makeNearest(info, surface, parent) {
  const table = make("table", "nearest", parent);
  make("caption", "label", table, { textContent: "Nearest mixtures that were run" });
  const head = make("tr", "", make("thead", "", table));
  for (const name of ["", "mixture", "records that differ", "runs", info.metric]) make("th", "", head, { textContent: name, scope: "col" });
  const rows = make("tbody", "", table);
  return ({ nearest }) => {
    rows.replaceChildren();
    nearest.slice(0, info.nearest).forEach(({ name, apart, runs, measured: [mean, low, high] }, number) => {
      const range = runs > 1 ? ` (${numberOf(low)} to ${numberOf(high)})` : "";
      const row = make("tr", "", rows);
      for (const text of [number + 1, name, percentOf(apart), runs, numberOf(mean) + range]) make("td", "", row, { textContent: text });
    });
  };
}

/** The run of this mixture: a button where a kernel can start it, and its recipe to copy. */
function makeRecipe(info, surface, parent, state, tell) {
  const part = make("div", "recipe", parent);
  const buttons = make("div", "buttons", part);
  const start = make("button", "button", buttons, { type: "button", textContent: "Run this point", hidden: !info.run });
  start.addEventListener("click", () => tell({ kind: "run" }));
  const told = make("div", "note", part);
  told.setAttribute("role", "status");
  const problem = make("div", "error", part);
  problem.setAttribute("role", "alert");
  const details = make("details", "", part);
  make("summary", "", details, { textContent: info.recipe ? "Recipe of this point" : "Shares of this point" });
  const text = make("pre", "yaml", details, { tabIndex: 0 });
  const copy = make("button", "button", details, { type: "button", textContent: "Copy" });
  copy.addEventListener("click", () => {
    getSelection().selectAllChildren(text);
    navigator.clipboard?.writeText(text.textContent).then(() => (copy.textContent = "Copied"), () => {});
  });
  if (info.recipe) make("div", "note", details, { textContent: "Saved as point.yaml: workbench ablate point.yaml" });
  return ({ point, step }) => {
    copy.textContent = "Copy";
    start.disabled = Boolean(state.get("doing"));
    told.textContent = [...(state.get("finished") || []), state.get("doing")].filter(Boolean).join("\n");
    problem.textContent = state.get("problem") || "";
    text.textContent = yamlOf(info, surface.told(point, step));
  };
}

/** A recipe's text; shares are rounded as `workbench.ablate.mixture_of` rounds them. */
function yamlOf({ domains, recipe, slider, reasoning }, shares) {
  const parts = domains.map((name, domain) => [name, Math.round(1e6 * shares[domain]) / 1e6, domain]).filter(([, , domain]) => !(reasoning && domain === slider));
  const largest = parts.reduce((most, part) => (part[1] > most[1] ? part : most));
  largest[1] = Number((1 - parts.reduce((sum, part) => (part === largest ? sum : sum + part[1]), 0)).toFixed(6));
  const mixture = parts.map(([name, share]) => `  ${recipe ? name : JSON.stringify(name)}: ${recipe ? `{share: ${share}}` : share}\n`).join("");
  const thinks = reasoning ? `reasoning: {share: ${Number(shares[slider].toFixed(6))}, domains: [${recipe ? recipe.domains.join(", ") : ""}]}\n` : "";
  if (!recipe) return `shares:\n${mixture}${reasoning ? `  reasoning: ${shares[slider]}\n` : ""}`;
  return `${recipe.mixes ? `mixture:\n${mixture}` : ""}${thinks}${recipe.rest}`;
}

const numbersOf = (buffers) => buffers.map(floatsOf);

function render({ model, el }) {
  const tell = (content) => {
    try {
      Promise.resolve(model.send(content)).catch(gone);
    } catch {
      gone();
    }
  };
  const { show, gone, close } = mount(el, kernelState(model), tell);
  const receive = ({ kind }, buffers) => {
    if (kind === "surface") show(numbersOf(buffers));
  };
  model.on("msg:custom", receive);
  tell({ kind: "surface" });
  return () => {
    model.off("msg:custom", receive);
    close();
  };
}

/** Start from the data that a saved page carries. */
function open(el, { state, buffers }) {
  mount(el, pageState(state), () => {}).show(numbersOf(buffers.map(fromBase64)));
}

export { open };
export default { render };
