// The parts of the explorer: words, sliders, pictures with a box. Text of the model only ever becomes textContent.

const SIDE = 380; // the longer side of a picture on the screen, in pixels

/** The words of the prompt, folded away; returns their elements and the line above them. */
function makePrompt(info, parent) {
  const fold = make("details", "prompt", parent);
  const line = make("summary", "", fold, { textContent: "prompt" });
  const block = make("div", "block", fold);
  const elements = info.prompt.map((word) => {
    const element = make("span", "slot", block, { textContent: word.name || word.text });
    if (word.name) nameControl(element, word);
    return element;
  });
  return { line, elements };
}

/** A control token stands by its name; its own text is told when it is pointed at. */
function nameControl(element, word) {
  element.classList.add("wbx-named");
  element.dataset.token = word.text.trim();
}

/** A reply's words in their blocks, those without a map faint; returns their elements. */
function makeWords(words, carried, parent, label) {
  const there = new Set(carried);
  const list = make("div", "words", parent, { tabIndex: -1 });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", label);
  let block = null;
  let part = null;
  return words.map((word, number) => {
    if (word.part !== part) {
      part = word.part;
      block = make("div", `block wbx-${part || "control"}`, list);
      block.setAttribute("role", "group");
      block.setAttribute("aria-label", part || "control tokens");
      if (part) make("div", "label", block, { textContent: part, ariaHidden: "true" });
    }
    const before = /^\s*/.exec(word.text)[0];
    const after = word.text.trim() ? /\s*$/.exec(word.text)[0] : "";
    if (word.text.trim() && before) block.append(before);
    const element = make("span", "word", block, { textContent: shown(word), tabIndex: number === carried[0] ? 0 : -1 });
    element.setAttribute("role", "option");
    if (there.has(number)) element.dataset.word = number;
    else Object.assign(element, { title: "This page carries no map of this word" }).classList.add("wbx-absent");
    if (word.name) nameControl(element, word);
    if (!word.text.trim()) element.classList.add("wbx-blank");
    if (after || word.text.includes("\n")) block.append(word.text.includes("\n") ? "\n" : after);
    return element;
  });
}

/** A slider over what can be chosen, of which null stands for the mean; numbers are what it tells of the others. */
function makeSlider(name, choices, numbers, parent, change) {
  const least = choices[0] === null ? -1 : 0; // so that a value is a number where all can be chosen
  const label = make("label", "slider", parent);
  make("span", "", label, { textContent: name });
  const input = make("input", "", label, {
    type: "range", min: least, max: least + choices.length - 1, step: 1, disabled: choices.length < 2,
  });
  const output = make("output", "", label);
  input.addEventListener("input", () => change(choices[Number(input.value) - least]));
  return (value) => {
    input.value = least + choices.indexOf(value);
    output.textContent = value === null ? "mean" : numbers[value];
    input.setAttribute("aria-valuetext", output.textContent);
  };
}

function makeCheck(name, title, parent, change) {
  const label = make("label", "check", parent, { title });
  const input = make("input", "", label, { type: "checkbox" });
  label.append(name);
  input.addEventListener("change", () => change(input.checked));
  return (value) => (input.checked = value);
}

/** The thought's sentences: a click shows where the words of one looked, on the mean. */
function makeSentences(info, state, parent) {
  if (info.sentences.length < 2) return () => {};
  const bar = make("div", "sentences", parent);
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Sentences of the thought");
  const buttons = info.sentences.map(({ text }, number) => {
    const button = make("button", "button", bar, { type: "button", textContent: `${number + 1}`, title: text });
    button.setAttribute("aria-label", `Sentence ${number + 1}: ${text}`);
    button.disabled = !info.sentences[number].words.every((word) => info.choices.words.includes(word));
    button.addEventListener("click", () =>
      state.set(state.get("sentence") === number ? { sentence: null } : { sentence: number, word: null }));
    return button;
  });
  make("span", "note", bar, { textContent: "sentences of the thought" });
  return () => buttons.forEach((button, number) => button.setAttribute("aria-pressed", String(state.get("sentence") === number)));
}

/** The word that lies some steps among those that have a map; undefined beyond their ends, or for no step. */
const stepped = (carried, word, step) => (step ? carried[carried.indexOf(word) + step] : undefined);

/** The button that puts the shown word's map beside whatever is shown next, or takes it away. */
function makeBeside(info, state, parent) {
  const title = "Keep this word's map beside the next one's, on one scale (or the key P)";
  const button = make("button", "button", parent, { type: "button", title });
  button.addEventListener("click", () => keepBeside(state, state.get("word")));
  return () => {
    const kept = state.get("beside") ?? null;
    button.textContent = kept === null ? "keep beside" : `take away “${shown(info.words[kept])}”`;
    button.disabled = kept === null && state.get("word") === null;
  };
}

/** Keep a word beside; the one that is kept, or none, lets it go. */
function keepBeside(state, word) {
  const kept = state.get("beside") ?? null;
  state.set({ beside: kept !== null && (word === null || word === kept || state.get("word") === word) ? null : word });
}

function makeControls(info, state, parent) {
  const bar = make("div", "controls", parent);
  const layer = makeSlider("layer", info.choices.layers, info.numbers, bar, (value) => state.set({ layer: value }));
  const head = makeSlider("head", info.choices.heads, [...Array(info.heads).keys()], bar, (value) => state.set({ head: value }));
  const sinks = makeCheck("sinks", "Positions that draw attention whatever is asked; without them the rest is shared out anew",
    bar, (value) => state.set({ sinks: value }));
  const strength = makeStrength(bar, (value) => state.set({ strength: value }));
  const some = info.pictures.some((picture) => picture.grids.length > 1);
  const beside = makeBeside(info, state, bar);
  const choice = makeChoice(info, state, bar);
  const crops = some && makeCheck("crops", "Show the attention on the picture's crops instead of on the whole picture",
    bar, (value) => state.set({ crops: value }));
  return () => {
    layer(state.get("layer"));
    head(state.get("head"));
    sinks(state.get("sinks"));
    strength(state.get("strength"));
    beside();
    choice();
    if (crops) crops(state.get("crops"));
  };
}

/** One picture: its canvas, its pixels, and the box that is being drawn on it. */
function makePicture(info, number, source, parent, onBox) {
  const { width, height, grids, dark } = info.pictures[number];
  const frame = make("figure", "picture", parent);
  const canvas = make("canvas", "", frame, { tabIndex: 0 });
  const many = info.pictures.length > 1;
  if (many) make("figcaption", "", frame, { textContent: `picture ${number}` });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label",
    `Picture ${number}, ${width} by ${height} pixels: drag or use the arrow keys to place a box, `
    + "with Shift to size it, Escape to remove it");
  const scale = SIDE / Math.max(width, height);
  canvas.style.width = `${Math.round(width * scale)}px`;
  canvas.style.aspectRatio = `${width} / ${height}`;
  const picture = { number, canvas, width, height, grids, dark, bitmap: null, draft: null };
  picture.loaded = source.picture(number).then((bitmap) => (picture.bitmap = bitmap));
  listenToBox(picture, onBox);
  return picture;
}

/** The same picture for a word that is kept beside; hidden while none is. */
function makeTwin({ number, canvas: own }, parent) {
  const figure = make("figure", "twin", parent, { hidden: true });
  const canvas = make("canvas", "", figure);
  const caption = make("figcaption", "", figure);
  canvas.style.cssText = own.style.cssText; // as large
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Picture ${number} for the word that is kept beside`);
  return { figure, caption, canvas };
}

/** Drag with a pointer, or arrow keys: both end in onBox(number, box or null). */
function listenToBox(picture, onBox) {
  const { canvas, width, height } = picture;
  let start = null;
  const point = (event) => {
    const { left, top, width: across, height: down } = canvas.getBoundingClientRect();
    const clip = (value, most) => Math.min(Math.max(value, 0), most);
    return [clip(((event.clientX - left) / across) * width, width), clip(((event.clientY - top) / down) * height, height)];
  };
  const between = ([x1, y1], [x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
  const large = ([x1, y1, x2, y2]) => {
    const unit = canvas.clientWidth / width;
    return (x2 - x1) * unit > 3 && (y2 - y1) * unit > 3; // smaller is a click
  };
  const draft = (box) => {
    picture.draft = box;
    onBox(picture.number, box, false);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = point(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => start && draft(between(start, point(event))));
  canvas.addEventListener("pointerup", (event) => {
    if (!start) return;
    const box = between(start, point(event));
    start = picture.draft = null;
    onBox(picture.number, large(box) ? box : null, true);
  });
  canvas.addEventListener("pointercancel", () => {
    start = null;
    draft(null);
  });
}

/** The box after an arrow key: moved by a cell, or with Shift sized by one; null if the key is another. */
function movedBox(event, box, { width, height, grids }) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!step) return null;
  const [left, top, right, bottom] = grids[0].region;
  const [w, h] = [(right - left) / grids[0].cols, (bottom - top) / grids[0].rows];
  if (!box) {
    const [x, y] = [Math.floor(width / w / 2) * w, Math.floor(height / h / 2) * h];
    return [x, y, Math.min(x + w, width), Math.min(y + h, height)];
  }
  const [dx, dy] = [step[0] * w, step[1] * h];
  let [x1, y1, x2, y2] = box;
  if (event.shiftKey) {
    x2 = Math.min(Math.max(x2 + dx, x1 + w), width);
    y2 = Math.min(Math.max(y2 + dy, y1 + h), height);
    return [x1, y1, x2, y2];
  }
  const [mx, my] = [Math.min(Math.max(dx, -x1), width - x2), Math.min(Math.max(dy, -y1), height - y2)];
  return [x1 + mx, y1 + my, x2 + mx, y2 + my];
}
