// Attribution methods side by side, and insertion and deletion as a film. All that is shown came with it, so that
// nothing needs a kernel. Text of the model only ever becomes textContent.

const CARD = 240; // longer side of a method's picture on the screen, in pixels
const SCREEN = 380; // and of the film's
const PLOT = { width: 380, height: 250, left: 52, right: 12, top: 12, bottom: 40 };
const TICK = 150; // milliseconds a picture of the film stands
const PICTURES = 40; // of the film, about, when it is played through
const DOING = { deletion: "deletion: take away", insertion: "insertion: show alone" };
const DONE = { deletion: "deleted", insertion: "inserted" };

/** Text that may run from right to left, so that it turns nothing else round. */
const isolated = (text) => `\u2068${text}\u2069`;

/** Put the widget into an element; returns what takes in the pictures, and what takes it out again. */
function mount(el, state) {
  const info = state.get("info");
  const root = make("div", "explorer", el, { tabIndex: -1 });
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the arrow keys for its cells
  make("div", "opening wbx-verdict", root, { textContent: `Evidence for ${isolated(info.target)}: ${info.headline}` });
  makeQuestion(info, root);
  const view = { info, state, bare: false, bitmaps: null };
  const controls = make("div", "controls", root);
  const strength = makeStrength(controls, (value) => state.set({ strength: value }));
  const pictures = info.pictures.map((_, number) => [number, `picture ${number}`]);
  const picture = makeChoice("picture", pictures, controls, (image) => state.set({ image }));
  const cards = make("div", "cards", root);
  const drawCards = Object.keys(info.methods).map((name) => makeCard(view, name, cards));
  make("div", "note", root, {
    textContent: `Orange, solid outline: evidence for ${isolated(info.target)}. Blue, dashed: against it. Outlined: at least half of the `
      + "strongest colour. Maps of one unit over the same regions share one scale. Choose a map to see its film.",
  });
  const film = makeFilm(view, root);
  const drawMaps = () => {
    strength(state.get("strength"));
    picture(state.get("image"));
    drawCards.forEach((card) => card());
  };
  const draw = () => {
    drawMaps();
    film.draw();
  };
  listenToBare(root, (held) => {
    view.bare = held;
    drawMaps();
  });
  listenToControls(root);
  const on = (names, then) => names.map((name) => state.on(name, then));
  const off = [...on(["method", "image"], draw), ...on(["strength"], drawMaps), ...on(["kind", "baseline", "count"], film.draw)];
  const sizes = new ResizeObserver(draw);
  sizes.observe(root);
  draw();
  root.dataset.ready = "1";
  const show = async (buffers) => {
    const each = 1 + Object.keys(info.baselines).length;
    const bitmaps = await Promise.all(buffers.map(pictureOf));
    view.bitmaps = info.pictures.map((_, number) => bitmaps.slice(number * each, (number + 1) * each));
    draw();
    root.dataset.pictures = "1";
  };
  const close = () => {
    off.forEach((stop) => stop());
    sizes.disconnect();
    film.stop();
    root.remove();
  };
  return { show, close, note: film.note };
}

function makeQuestion({ question, answer }, parent) {
  const block = make("div", "question", parent);
  for (const [name, text] of [["Question", question], ["Answer", answer]]) {
    if (!text.trim()) continue;
    const line = make("div", "", block, { textContent: `${name}: ` });
    make("bdi", "", line, { textContent: text.trim() });
  }
}

/** A few choices as buttons, of which one is pressed; hidden where there is nothing to choose. */
function makeChoice(name, options, parent, choose) {
  const group = make("div", "buttons", parent, { hidden: options.length < 2 });
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", name);
  const buttons = options.map(([value, textContent]) => {
    const button = make("button", "button", group, { type: "button", textContent });
    button.addEventListener("click", () => choose(value));
    return button;
  });
  return (chosen) => buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(options[at][0] === chosen)));
}

/** Give a canvas the form of a picture, and as many pixels as it has on the screen. */
function fit(canvas, { width, height }, side) {
  const unit = window.devicePixelRatio || 1;
  canvas.style.width = `${Math.round((width * side) / Math.max(width, height))}px`;
  canvas.style.aspectRatio = `${width} / ${height}`;
  canvas.width = Math.max(1, Math.round((canvas.clientWidth || side) * unit));
  canvas.height = Math.max(1, Math.round((canvas.width * height) / width));
}

/** A method: the picture in the light of its map, its verdict in words, and the button that chooses its film. */
function makeCard(view, name, parent) {
  const { info, state } = view;
  const method = info.methods[name];
  const values = new Int8Array(fromBase64(method.values).buffer);
  const card = make("section", "card", parent);
  const choose = () => state.set({ method: name });
  const button = make("button", "button", card, { type: "button", textContent: name, title: "Show the film of this map" });
  const canvas = make("canvas", "", card);
  canvas.setAttribute("role", "img");
  const strongest = make("div", "note", card);
  make("div", "verdict", card, { textContent: method.finding });
  make("div", "note", card, { textContent: method.verdict });
  button.addEventListener("click", choose);
  canvas.addEventListener("click", choose);
  return () => {
    const number = state.get("image");
    const picture = info.pictures[number];
    const strength = view.bare ? 0 : state.get("strength");
    const bitmap = view.bitmaps ? view.bitmaps[number][0] : null;
    fit(canvas, picture, CARD);
    paint(canvas, { ...picture, grids: [picture.grid], bitmap, values, spotlight: info.spotlight, strength, box: null });
    strongest.textContent = `${method.strongest[number]}; ${method.scale}`;
    canvas.setAttribute("aria-label", `Map of ${name}: ${strongest.textContent}`);
    button.setAttribute("aria-pressed", String(state.get("method") === name));
  };
}

/** The film: its controls, the picture as the model was given it, the curve with a mark, and both in words. */
function makeFilm(view, parent) {
  const { info, state } = view;
  const panel = make("section", "film", parent);
  panel.setAttribute("aria-label", "insertion and deletion as a film");
  const title = make("div", "verdict", panel);
  const choices = make("div", "controls", panel);
  const kind = makeChoice("what is done", info.kinds.map((name) => [name, DOING[name]]), choices, (value) => state.set({ kind: value }));
  const baseline = makeChoice("hidden regions", Object.entries(info.baselines), choices, (value) => state.set({ baseline: value }));
  const reel = makeReel(info, state, panel);
  const body = make("div", "body", panel);
  const canvas = make("canvas", "screen", body);
  canvas.setAttribute("role", "img");
  const plot = makePlot(info, state, body);
  const status = make("div", "status", panel);
  status.setAttribute("role", "status");
  const note = make("div", "note", panel);
  const draw = () => {
    title.textContent = `The film of ${state.get("method")}`;
    kind(state.get("kind"));
    baseline(state.get("baseline"));
    reel.draw();
    fit(canvas, info.pictures[state.get("image")], SCREEN);
    paintFilm(canvas, view);
    plot();
    status.textContent = tell(info, state);
    canvas.setAttribute("aria-label", `The picture as the model was given it: ${status.textContent}`);
  };
  return { draw, stop: reel.stop, note: (text) => (note.textContent = text) };
}

/** The slider over the regions, and the button that runs it. */
function makeReel(info, state, parent) {
  const bar = make("div", "controls", parent);
  const play = make("button", "button wbx-play", bar, { type: "button" });
  const label = make("label", "slider wbx-reel", bar);
  make("span", "", label, { textContent: "regions" });
  const input = make("input", "", label, { type: "range", min: 0, max: info.regions, step: 1 });
  const output = make("output", "", label);
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ play";
  };
  const next = () => {
    const count = Math.min(info.regions, state.get("count") + Math.max(1, Math.round(info.regions / PICTURES)));
    if (count === info.regions) stop();
    state.set({ count });
  };
  input.addEventListener("input", () => {
    stop();
    state.set({ count: Number(input.value) });
  });
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (state.get("count") >= info.regions) state.set({ count: 0 });
    play.textContent = "❚❚ pause";
    timer = setInterval(next, TICK);
    return undefined;
  });
  stop();
  const draw = () => {
    const count = state.get("count");
    input.value = count;
    output.textContent = `${count} of ${info.regions} (${Math.round((100 * count) / info.regions)}%)`;
    input.setAttribute("aria-valuetext", `${output.textContent} ${DONE[state.get("kind")]}`);
  };
  return { draw, stop };
}

/** The picture with its hidden regions as the model saw them, and a line round these. */
function paintFilm(canvas, { info, state, bitmaps }) {
  const number = state.get("image");
  const { grid, width } = info.pictures[number];
  const { places } = info.methods[state.get("method")];
  const count = state.get("count");
  const hides = state.get("kind") === "deletion" ? (place) => place < count : (place) => place >= count;
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!bitmaps) return;
  const [whole, ...hidden] = bitmaps[number];
  const scale = canvas.width / width;
  context.imageSmoothingEnabled = whole.width >= canvas.width; // enlarged: the pixels as they are
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
  const [over, own] = beside(canvas.width, canvas.height);
  const values = Uint8Array.from(places, (place) => (hides(place) ? 255 : 0));
  placeCells(own, { grids: [grid], values }, scale, (share) => [0, 0, 0, 255 * share]);
  own.globalCompositeOperation = "source-in";
  own.imageSmoothingEnabled = true;
  own.drawImage(hidden[Object.keys(info.baselines).indexOf(state.get("baseline"))], 0, 0, canvas.width, canvas.height);
  context.drawImage(over, 0, 0);
  const inside = (row, col) =>
    row >= 0 && col >= 0 && row < grid.rows && col < grid.cols && values[grid.start + row * grid.cols + col] > 0;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  outline(context, grid, inside, "#555555", [2, 3]);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

/** A score with two decimals; what rounds to zero has no sign. */
const inNats = (score) => (Math.round(100 * score) / 100 || 0).toFixed(2);

/** Where the film is, in words: what is hidden, and what the target's score then was, where it was measured. */
function tell(info, state) {
  const [name, kind, count] = ["method", "kind", "count"].map((trait) => state.get(trait));
  const { counts, curves, full } = info.methods[name];
  const curve = curves[state.get("baseline")][kind].map;
  const at = counts.findIndex((measured) => measured >= count);
  const score = counts[at] === count
    ? `${inNats(curve[at])} nats${probability(info, curve[at])}`
    : `between ${inNats(curve[at - 1])} nats (${counts[at - 1]} regions) and ${inNats(curve[at])} (${counts[at]}), `
      + "measured at the dots";
  const which = `${plural(count, "region")} that ${name} ranks first ${count === 1 ? "is" : "are"}`;
  const done = kind === "deletion" ? `The ${which} hidden` : `Only the ${which} shown`;
  return `${done}${onPicture(info, state)}. Log-probability of ${isolated(info.target)}: ${score}; with the whole picture `
    + `${inNats(full)}.`;
}

/** Of several pictures, how many of the regions lie on the one that is shown. */
function onPicture({ pictures, methods }, state) {
  if (pictures.length < 2) return "";
  const number = state.get("image");
  const { start, rows, cols } = pictures[number].grid;
  const own = new Set(methods[state.get("method")].places.slice(start, start + rows * cols));
  return `, ${[...own].filter((place) => place < state.get("count")).length} of them on picture ${number}`;
}

/** What a score in nats means: a probability, and of several tokens also the geometric mean of theirs. */
function probability({ tokens, contrast }, score) {
  if (contrast) return ` (${Math.exp(score).toPrecision(2)} times as probable as the other answer)`;
  const mean = tokens > 1 ? `, ${percent(Math.exp(score / tokens))} a token` : "";
  return ` (probability ${percent(Math.exp(score))}${mean})`;
}

/** A part of a drawing, with its text. */
function shape(tag, attributes, parent, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  parent.append(element);
  return element;
}

/** The curves of all methods, the chosen one with its dots, the range of random orders, and a mark where the film is. */
function makePlot(info, state, parent) {
  const { width, height, left, right, top, bottom } = PLOT;
  const figure = make("figure", "plot", parent);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, figure);
  const caption = make("figcaption", "note", figure);
  const [low, high] = info.range;
  const x = (count) => left + (count / info.regions) * (width - left - right);
  const y = (score) => top + ((high - score) / (high - low || 1)) * (height - top - bottom);
  const path = (counts, scores) => counts.map((count, at) => `${at ? "L" : "M"}${x(count).toFixed(1)} ${y(scores[at]).toFixed(1)}`).join(" ");
  const move = (event) => {
    const box = svg.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - left) / (width - left - right);
    state.set({ count: Math.round(Math.min(1, Math.max(0, share)) * info.regions) });
  };
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointermove", (event) => event.buttons && move(event));
  return () => {
    const [name, kind, baseline, count] = ["method", "kind", "baseline", "count"].map((trait) => state.get(trait));
    svg.replaceChildren();
    drawAxes(svg, { x, y, info, kind });
    const { counts, curves } = info.methods[name];
    const own = curves[baseline][kind];
    shape("path", { class: "wbx-band", d: `${path(counts, own.high)} ${path([...counts].reverse(), [...own.low].reverse()).replace("M", "L")} Z` }, svg);
    for (const [other, { counts: at, curves: its }] of Object.entries(info.methods)) {
      if (other !== name) shape("path", { class: "wbx-other", d: path(at, its[baseline][kind].map) }, svg);
    }
    shape("path", { class: "wbx-own", d: path(counts, own.map) }, svg);
    counts.forEach((at, number) => shape("circle", { class: "wbx-dot", cx: x(at), cy: y(own.map[number]), r: 3 }, svg));
    shape("line", { class: "wbx-mark", x1: x(count), x2: x(count), y1: top, y2: height - bottom }, svg);
    shape("circle", { class: "wbx-now", cx: x(count), cy: y(between(counts, own.map, count)), r: 6 }, svg);
    const others = Object.keys(info.methods).length > 1 ? "; thin: the other maps" : "";
    caption.textContent = `Thick: ${name}${others}; grey: range of random orders`;
  };
}

/** A curve's height at a count, on the line between the points that were measured. */
function between(counts, scores, count) {
  const at = Math.max(1, counts.findIndex((measured) => measured >= count));
  const share = (count - counts[at - 1]) / (counts[at] - counts[at - 1]);
  return scores[at - 1] + share * (scores[at] - scores[at - 1]);
}

/** The round number, of 1, 2 or 5 times a power of ten, that is at least as large. */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].find((times) => times * power >= least) * power;
}

function drawAxes(svg, { x, y, info, kind }) {
  const { width, height, left, right, top, bottom } = PLOT;
  const [low, high] = info.range;
  const text = (attributes, content) => shape("text", { "text-anchor": "middle", ...attributes }, svg, content);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    text({ x: x(share * info.regions), y: height - bottom + 15 }, `${100 * share}`);
  }
  const step = roundStep((high - low) / 4 || 1);
  for (let score = Math.ceil(low / step) * step; score <= high; score += step) {
    shape("line", { class: "wbx-rule", x1: left, x2: width - right, y1: y(score), y2: y(score) }, svg);
    text({ x: left - 6, y: y(score) + 4, "text-anchor": "end" }, String(Number(score.toPrecision(3))));
  }
  text({ x: (left + width - right) / 2, y: height - 6 }, `regions ${DONE[kind]} (%)`);
  const middle = (top + height - bottom) / 2;
  text({ x: 12, y: middle, transform: `rotate(-90 12 ${middle})` }, "log-probability (nats)");
}

function render({ model, el }) {
  const { show, close, note } = mount(el, kernelState(model));
  const receive = ({ kind }, buffers) => kind === "pictures" && show(buffers);
  const failed = () => note("The kernel of this widget is gone: maps and curves have no picture. Run its cell again.");
  model.on("msg:custom", receive);
  try {
    Promise.resolve(model.send({ kind: "pictures" })).catch(failed);
  } catch {
    failed();
  }
  return () => {
    model.off("msg:custom", receive);
    close();
  };
}

/** Start from the data that a saved page carries. */
function open(el, { state, pictures }) {
  return mount(el, pageState(state)).show(pictures.map(fromBase64));
}

export { open };
export default { render };
