// The resolution microscope: all that it shows came with it, so that sliders and lens need no kernel.

const WHOLE = 240; // longer side of a picture on the screen, in pixels
const LENS = 110; // side of the lens on the screen, in pixels
const SHARE = 0.06; // of the picture's longer side that the lens shows
const MOVE = 0.02; // of the picture, by which an arrow key moves the lens
const PARTS = ["tower", "projector", "decoder", "reply"];
const within = (share) => Math.min(1, Math.max(0, share));
const tera = (value) => `${value >= 100 ? Math.round(value) : value.toPrecision(3)} TFLOP`;

/** Put the microscope into an element; returns what shows the picture, and what takes it out again. */
function mount(el, state) {
  const root = make("div", "explorer", el);
  root.dataset.lmSuppressShortcuts = "true";
  const info = state.get("info");
  const lens = pageState({ place: [0.5, 0.5] }); // of this view alone
  const headline = make("div", "opening", root);
  headline.setAttribute("role", "status");
  const bar = make("div", "controls", root);
  const budget = makeChoice("most image tokens", info.budgets, bar, (value) => state.set({ budget: value }));
  const reply = makeChoice("tokens of the reply", info.replies, bar, (value) => state.set({ reply: value }));
  const legend = make("div", "legend wbx-note", root);
  for (const part of PARTS) {
    make("span", `key wbx-${part}`, make("span", "", legend, { textContent: "" }));
    legend.lastChild.append(part);
  }
  const ways = make("div", "ways", root);
  const cards = info.readings[info.budgets[0]].map(() => makeWay(info, lens, ways));
  const lensNote = make("div", "note", root);
  make("div", "note", root, { textContent: `Smallest text: ${info.criteria.smallest_text}.` });
  make("div", "note", root, { textContent: `Smallest target (red): ${info.criteria.smallest_target}.` });
  let bitmap = null;
  const draw = () => {
    const readings = info.readings[state.get("budget")];
    const number = info.replies.indexOf(state.get("reply"));
    const most = Math.max(...Object.values(info.readings).flat().map((reading) => sum(reading, number)));
    headline.textContent = info.headlines[state.get("budget")];
    budget(state.get("budget"));
    reply(state.get("reply"));
    cards.forEach((card, way) => card(readings[way], { bitmap, number, most, place: lens.get("place") }));
  };
  listenToControls(root);
  const off = [state.on("budget", draw), state.on("reply", draw), lens.on("place", draw)];
  draw();
  root.dataset.ready = "1";
  const show = (shown) => {
    bitmap = shown;
    const kept = bitmap.width / info.size[0];
    lensNote.textContent = "Point at the picture, or move there with the arrow keys: beside it stands what reaches the tower there"
      + (kept < 1 ? `, from the picture at ${Math.round(100 * kept)}% of its size, so that no way looks sharper than that.` : ".");
    draw();
  };
  const close = () => {
    off.forEach((stop) => stop());
    root.remove();
  };
  return { show, close };
}

const sum = ({ prompt, replies }, number) => prompt.reduce((all, part) => all + part, 0) + replies[number];

/** A slider over a few values. */
function makeChoice(name, values, parent, change) {
  const label = make("label", "slider", parent);
  make("span", "", label, { textContent: name });
  const input = make("input", "", label, { type: "range", min: 0, max: values.length - 1, step: 1 });
  const output = make("output", "", label);
  input.addEventListener("input", () => change(values[Number(input.value)]));
  return (value) => {
    input.value = values.indexOf(value);
    output.textContent = value;
    input.setAttribute("aria-valuetext", value);
  };
}

/** One way of feeding: the picture with its crops, the lens, and what it costs. */
function makeWay(info, at, parent) {
  const card = make("section", "way", parent);
  const name = make("div", "way-name", card);
  const views = make("div", "way-views", card);
  const whole = make("canvas", "whole", views, { tabIndex: 0 });
  const lens = make("canvas", "lens", views, { width: LENS, height: LENS, hidden: !info.picture });
  whole.setAttribute("role", "application");
  whole.setAttribute("aria-label", "the picture: arrow keys move the lens");
  lens.setAttribute("role", "img");
  const [width, height] = info.size;
  const scale = WHOLE / Math.max(width, height);
  whole.width = Math.max(1, Math.round(width * scale));
  whole.height = Math.max(1, Math.round(height * scale));
  const costs = make("div", "costs", card);
  costs.setAttribute("aria-hidden", "true");
  const parts = PARTS.map((part) => make("span", part, costs, { title: part }));
  const facts = make("div", "note", card);
  whole.addEventListener("pointermove", (event) => {
    const { left, top, width: across, height: down } = whole.getBoundingClientRect();
    at.set({ place: [within((event.clientX - left) / across), within((event.clientY - top) / down)] });
  });
  whole.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    at.set({ place: at.get("place").map((share, axis) => within(share + MOVE * way[axis])) });
    event.preventDefault();
    event.stopPropagation();
  });
  return (reading, { bitmap, number, most, place }) => {
    name.textContent = `${reading.label}: ${reading.tokens} tokens, ${plural(reading.crops.length, "crop")}`;
    paintWhole(whole, reading, bitmap, info, place);
    if (bitmap) paintLens(lens, reading, bitmap, info, place);
    lens.setAttribute("aria-label", `what reaches the tower there with ${reading.label}`);
    [...reading.prompt, reading.replies[number]].forEach((value, part) => (parts[part].style.width = `${(100 * value) / most}%`));
    facts.textContent = `Resized to ${reading.resized.join(" x ")}; smallest text ${Math.round(reading.text)} px, target `
      + `${Math.round(reading.target)} px. ${tera(sum(reading, number))}, ${Math.round((100 * reading.prompt[0]) / sum(reading, number))}% `
      + `in the tower; cache ${Math.round(reading.cache[number])} MB.`;
  };
}

/** The picture with the borders of its crops, the smallest target in red, and a frame where the lens is. */
function paintWhole(canvas, { crops, target }, bitmap, info, place) {
  const pen = canvas.getContext("2d");
  const scale = canvas.width / info.size[0];
  pen.globalAlpha = 1;
  pen.fillStyle = "#999";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (bitmap) pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const frame = (x, y, wide, high, colour) => {
    for (const [look, line] of [["#fff", 3], [colour, 1.5]]) {
      pen.strokeStyle = look;
      pen.lineWidth = line;
      pen.strokeRect(x, y, wide, high);
    }
  };
  for (const [x1, y1, x2, y2] of crops) frame(x1 * scale, y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale, "#004488");
  pen.fillStyle = "#BB5566";
  pen.fillRect(0.02 * canvas.width, 0.03 * canvas.height, Math.max(1, target * scale), Math.max(1, target * scale));
  const [x, y, side] = lensRegion(info, place);
  frame(x * scale, y * scale, side * scale, side * scale, "#111");
}

/** The square of the picture under the lens, in its pixels: left, top, side. */
function lensRegion({ size }, [across, down]) {
  const side = Math.min(...size, SHARE * Math.max(...size));
  return [within(across) * (size[0] - side), within(down) * (size[1] - side), side];
}

/** The lens: the region made as small as the tower gets it, and large again with all its pixels plain. */
function paintLens(canvas, { density }, bitmap, info, place) {
  const [x, y, side] = lensRegion(info, place);
  const kept = bitmap.width / info.size[0]; // a large picture comes smaller than it is
  const [wide, high] = density.map((zoom) => Math.max(1, Math.round(side * Math.min(1, zoom))));
  const small = new OffscreenCanvas(wide, high);
  const pen = small.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, x * kept, y * kept, side * kept, side * kept, 0, 0, wide, high);
  const shown = canvas.getContext("2d");
  shown.imageSmoothingEnabled = false;
  shown.drawImage(small, 0, 0, canvas.width, canvas.height);
}

function render({ model, el }) {
  const { show, close } = mount(el, kernelState(model));
  const receive = async ({ kind }, buffers) => {
    if (kind === "picture") show(await pictureOf(buffers[0]));
  };
  model.on("msg:custom", receive);
  if (model.get("info").picture) {
    try {
      Promise.resolve(model.send({ kind: "picture" })).catch(() => {});
    } catch {
      // without a kernel crops and numbers are shown
    }
  }
  return () => {
    model.off("msg:custom", receive);
    close();
  };
}

/** Start from the data that a saved page carries. */
async function open(el, { state, picture }) {
  const { show } = mount(el, pageState(state));
  if (picture) show(await pictureOf(fromBase64(picture)));
}

export { open };
export default { render };
