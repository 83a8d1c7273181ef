// The attention explorer: hover a word and see where it looked; draw a box and see which words looked there.
// Text of the model only ever becomes textContent. What is shown lives in the state's traits, so that
// every view, and Python, shows the same; each view draws all of it anew whenever something changes.

const GLANCE = 120; // milliseconds that a pointer rests on a word before every head is asked for

/** Words that looked into the box: at least half of the most, and more than an even look at the picture. */
function markedWords({ share, lift }) {
  const most = Math.max(...share);
  return [...share.keys()].filter((word) => most > 0 && share[word] >= most / 2 && lift[word] > 1);
}

/**
 * Run a task again whenever it is asked for, one run at a time: what is asked for during a run is done once after
 * it, with the state as it is then. So a pointer that crosses many words never leaves a queue in a slow kernel.
 */
function oneAtATime(task, { start, slow, end }) {
  let wanted = false;
  let running = false;
  return async () => {
    wanted = true;
    if (running) return;
    running = true;
    start();
    const timer = setTimeout(slow, 400);
    await null; // several traits that change together are drawn once
    while (wanted) {
      wanted = false;
      await task();
    }
    clearTimeout(timer);
    running = false;
    end();
  };
}

/** Put the explorer into an element; returns a function that takes it out again. */
function mount(el, state, source) {
  const info = state.get("info");
  const root = make("div", "explorer", el, { tabIndex: -1 });
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the arrow keys for its cells
  const opening = make("div", "opening", root, { textContent: info.opening });
  const controls = makeControls(info, state, root);
  const body = make("div", "body", root);
  const album = make("div", "album", body);
  const text = make("div", "text", body);
  if (info.question) make("div", "question", text, { textContent: info.question });
  const prompt = makePrompt(info, text);
  const sentences = makeSentences(info, state, text);
  const words = makeWords(info.words, info.choices.words, text, "Words of the reply: arrow keys move, Enter keeps one, Escape lets go");
  const others = makeOthers(info, state, text);
  const heads = makeHeads(info, state, text);
  const legend = make("div", "legend", root);
  const bar = make("canvas", "bar", legend, { ariaHidden: "true" });
  const scale = make("span", "scale", legend);
  const status = make("div", "status", root);
  status.setAttribute("role", "status");

  const view = {
    info, state, source, root, opening, prompt, words, others, heads, bar, scale, status,
    pinned: false, bare: false, map: null, other: null, opposite: null, oppositeMap: null, overlayMap: null, looks: null, grid: null, of: "the reply",
  };
  const boxPanel = makeBoxPanel(view, root);
  const again = makeAgain(root);
  makeSave(view, root);
  view.boxPanel = boxPanel;
  view.pictures = info.pictures.map((_, number) => makePicture(info, number, source, album, setBox));
  view.twins = view.pictures.map((picture) => makeTwin(picture, album));
  function setBox(number, box, done) {
    if (!done) return drawPictures(view);
    return state.set({ image: number, box });
  }

  let gone = false;
  async function redraw() {
    controls();
    sentences();
    const setting = { layer: state.get("layer"), head: state.get("head"), sinks: state.get("sinks") };
    const [word, box, image] = ["word", "box", "image"].map((name) => state.get(name));
    const sentence = state.get("sentence") ?? null;
    const of = sentence === null ? (word === null ? [] : [word]) : info.sentences[sentence].words;
    const kept = state.get("beside") ?? null;
    const opposite = oppositeOf(view, of);
    const mapOf = async (words, more) =>
      (words.length ? meanMap(await Promise.all(words.map((one) => source.map({ word: one, ...setting, ...more })))) : null);
    try {
      const [map, other, oppositeMap, overlayMap, looks] = await Promise.all([
        mapOf(of),
        mapOf(kept === null ? [] : [kept]),
        mapOf(opposite === null ? [] : [opposite], { against: true }),
        fetchOverlay(view),
        box === null ? null : source.looks({ image, box, ...setting }),
        ...view.pictures.map((picture) => picture.loaded),
      ]);
      Object.assign(view, { map, other, opposite, oppositeMap, overlayMap, looks, error: "" });
    } catch (error) {
      const nothing = { map: null, other: null, opposite: null, oppositeMap: null, overlayMap: null, looks: null };
      Object.assign(view, { ...nothing, error: error.message });
    }
    if (gone) return;
    drawAll(view);
    clearTimeout(view.later);
    view.later = setTimeout(glance, GLANCE); // the heads of a word that the pointer rests on
  }
  async function glance() {
    const [word, image, sinks] = ["word", "image", "sinks"].map((name) => state.get(name));
    if (!heads.shown || gone) return;
    try {
      view.grid = await source.grid({ word, image, sinks });
    } catch {
      return; // told where the map would be
    }
    if (gone || word !== state.get("word")) return;
    view.of = `${word === null ? "the reply" : `“${shown(info.words[word])}”`}${info.against ? ` (${info.against.names[0]})` : ""}`;
    heads.draw(view.grid, view.of);
    root.dataset.grid = word ?? "reply";
  }
  const fetchAgain = () => again(source, state.get("asked") ?? 0).catch((error) => (status.textContent = error.message));
  const plan = oneAtATime(redraw, {
    start: () => (root.dataset.busy = "1"),
    slow: () => (status.textContent = "Computing …"),
    end: () => {
      root.dataset.ready = "1";
      delete root.dataset.busy;
    },
  });
  const watched = ["word", "beside", "sentence", "layer", "head", "sinks", "image", "box", "crops", "strength", "shows", "opposite", "overlay"];
  const stops = [...watched.map((name) => state.on(name, plan)), state.on("asked", fetchAgain)];
  listenToWords(view);
  listenToKeys(view);
  listenToBare(root, (held) => {
    view.bare = held;
    drawPictures(view);
  });
  listenToPatches(view);
  listenToControls(root);
  const sizes = new ResizeObserver(() => drawPictures(view)); // also when the page puts a dropped canvas back
  view.pictures.forEach((picture) => sizes.observe(picture.canvas));
  plan();
  fetchAgain();
  return () => {
    gone = true;
    clearTimeout(view.later);
    stops.forEach((stop) => stop());
    sizes.disconnect();
    source.close();
    root.remove();
  };
}

function listenToWords(view) {
  const { root, state, words } = view;
  const list = root.querySelector(".wbx-words");
  const of = (event) => {
    const found = event.target.closest?.(".wbx-word[data-word]");
    return found ? Number(found.dataset.word) : null;
  };
  const show = (word) => word !== state.get("word") && state.set({ word });
  const free = () => !view.pinned && (state.get("sentence") ?? null) === null; // nothing is held
  list.addEventListener("pointerover", (event) => {
    const word = of(event);
    if (word === null) return;
    if (free()) show(word);
    tellOf(words[word], view, word, view.info.prompt.length + word);
  });
  view.prompt.elements.forEach((element, slot) =>
    element.addEventListener("pointerover", () => tellOf(element, view, null, slot)));
  list.addEventListener("focusin", (event) => {
    const word = of(event);
    if (word !== null && free()) show(word);
  });
  const pin = (word) => {
    view.pinned = !(view.pinned && state.get("word") === word);
    if (state.get("word") === word) drawWords(view);
    else state.set({ word, sentence: null });
  };
  list.addEventListener("click", (event) => {
    if (of(event) === null) return;
    if (event.shiftKey) keepBeside(state, of(event));
    else pin(of(event));
  });
  list.addEventListener("keydown", (event) => {
    const word = of(event);
    if (word === null) return;
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const carried = view.info.choices.words;
    const target = { Home: carried[0], End: carried.at(-1) }[event.key] ?? stepped(carried, word, step);
    if (event.key === "Enter" || event.key === " ") pin(word);
    else if (event.key.toLowerCase() === "p") keepBeside(state, word);
    else if (event.key === "Escape") {
      view.pinned = false;
      state.set({ word: null, sentence: null });
    } else if (target === undefined && !step) return;
    else if (target !== undefined) {
      view.pinned = false;
      words[target].focus();
    }
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to another cell
  });
}

function listenToKeys({ pictures, state }) {
  for (const picture of pictures) {
    picture.canvas.addEventListener("keydown", (event) => {
      const own = state.get("image") === picture.number ? state.get("box") : null;
      const box = event.key === "Escape" ? null : movedBox(event, own, picture);
      if (box === null && event.key !== "Escape") return;
      state.set({ image: picture.number, box });
      event.preventDefault();
      event.stopPropagation();
    });
  }
}

function drawAll(view) {
  const { state, info } = view;
  drawPictures(view);
  drawWords(view);
  drawPrompt(view);
  drawOthers(view);
  drawStatus(view);
  view.heads.draw(view.grid, view.of);
  view.boxPanel();
  const best = state.get("layer") === info.best[0] && state.get("head") === info.best[1];
  view.opening.classList.toggle("wbx-elsewhere", !best);
}

function drawPictures(view) {
  const { pictures, twins, state, other, info } = view;
  const shownMap = chosenMap(view);
  const top = scaleOf(view);
  for (const picture of pictures) {
    const own = state.get("image") === picture.number ? state.get("box") : null;
    drawOne(view, picture, picture.canvas, shownMap, top, picture.draft ?? own);
  }
  twins.forEach((twin, number) => {
    twin.figure.hidden = !other || shownMap !== view.map;
    if (twin.figure.hidden) return;
    twin.caption.textContent = `“${shown(info.words[state.get("beside")])}”${pictures.length > 1 ? ` on picture ${number}` : ""}`;
    drawOne(view, pictures[number], twin.canvas, other, top, null);
  });
}

/** What the strongest colour stands for: maps that are compared share one; a difference, an overlay has its own. */
function scaleOf(view) {
  if (view.overlayMap || showsOf(view.state) === "difference") return chosenMap(view)?.peak ?? 0;
  return Math.max(...[view.map, view.other, view.oppositeMap].map((map) => map?.peak ?? 0));
}

function drawOne({ state, info, bare, overlayMap }, picture, canvas, map, top, box) {
  const unit = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round((canvas.clientWidth || SIDE) * unit));
  canvas.height = Math.max(1, Math.round((canvas.width * picture.height) / picture.width));
  const whole = picture.grids.length === 1;
  const grids = picture.grids.filter((grid) => whole || grid.crop === Boolean(state.get("crops") && !overlayMap));
  const values = map ? onScale(map, top) : null;
  const strength = bare ? 0 : state.get("strength");
  paint(canvas, { ...picture, grids, values, spotlight: info.spotlight, strength, box });
}

function drawWords(view) {
  const { words, state, info, looks, map, root } = view;
  const current = state.get("word");
  const kept = state.get("beside") ?? null;
  const spoken = new Set(info.sentences[state.get("sentence") ?? -1]?.words ?? []);
  const most = looks ? Math.max(...looks.share) : (map?.textPeak ?? 0);
  const marked = looks ? markedWords(looks) : [];
  const chosen = new Set(marked);
  words.forEach((element, word) => {
    element.classList.toggle("wbx-shown", word === current);
    element.classList.toggle("wbx-pinned", word === current && view.pinned);
    element.classList.toggle("wbx-marked", chosen.has(word));
    element.classList.toggle("wbx-kept", word === kept);
    element.classList.toggle("wbx-spoken", spoken.has(word));
    element.setAttribute("aria-selected", String(word === current));
    element.tabIndex = word === (current ?? info.choices.words[0]) ? 0 : -1;
    shadeWord(element, looks ? looks.share[word] : slotShare(map, info.prompt.length + word), most);
  });
  root.dataset.word = current ?? "";
  root.dataset.marked = marked.join(" ");
  if (JSON.stringify(marked) !== JSON.stringify(state.get("marked"))) state.set({ marked });
}

/** Attention of the shown word on a word of the prompt or the reply. */
const slotShare = (map, slot) => (map ? (map.texts[slot] * map.textPeak) / 255 : 0);

/** Shade a word by its share; a style that stays as it is costs a browser nothing. */
function shadeWord(element, share, most) {
  const strength = `${Math.round(65 * (most > 0 ? share / most : 0))}%`;
  if (element.wbxStrength === strength) return;
  element.wbxStrength = strength;
  element.style.setProperty("--wbx-strength", strength);
}

/** What is told of a word while it is pointed at: a control token's own text, and a share. */
function tellOf(element, { map, looks }, word, slot) {
  const share = looks && word !== null ? looks.share[word] : slotShare(map, slot);
  const told = looks && word !== null ? `${percent(share)} of its attention in the box` : map ? `${percent(share)} of the shown word's attention` : "";
  element.title = [element.dataset.token, told].filter(Boolean).join(": ");
}

/** The prompt's words, shaded by the attention of the word that is shown. */
function drawPrompt({ prompt, map }) {
  let whole = 0;
  prompt.elements.forEach((element, slot) => {
    const share = slotShare(map, slot);
    whole += share;
    shadeWord(element, share, map ? map.textPeak : 0);
  });
  prompt.line.textContent = map ? `prompt: ${percent(whole)} of its attention` : "prompt";
}

/** How much of a word's attention lies on the prompt's text, the thought and the answer. */
function onTexts(info, map) {
  const parts = { prompt: 0, thought: 0, answer: 0 };
  [...info.prompt, ...info.words].forEach(({ part }, slot) => {
    if (part in parts) parts[part] += slotShare(map, slot);
  });
  return Object.entries(parts).filter(([, share]) => share >= 0.005).map(([name, share]) => `${percent(share)} on the ${name}`);
}

/** What lies under the strongest patch, and how much of its picture's attention is there. */
function mostOn({ pictures }, { values, shares, peak }) {
  const { image: number, grid, cell: strongest } = strongestPatch({ pictures }, values);
  const name = grid.names[strongest];
  let there = 0;
  grid.names.forEach((other, cell) => (there += other === name ? values[grid.start + cell] : 0));
  const share = shares[number] > 0 ? (there * peak) / 255 / shares[number] : 0;
  const which = pictures.length > 1 ? `that on picture ${number}` : "it";
  return `${percent(share)} of ${which} ${pictures[number].names[name]}`;
}

/** In words what is shown: for readers who do not see the picture, and with the numbers. */
function drawStatus(view) {
  const { info, state, map, other, opposite, oppositeMap, looks, status, error } = view;
  const [word, image, box] = ["word", "image", "box"].map((name) => state.get(name));
  const sentence = info.sentences[state.get("sentence") ?? -1];
  const lines = [];
  const told = (name, { shares }) => {
    const where = shares.map((share, i) => `${percent(share)} on ${info.pictures.length > 1 ? `picture ${i}` : "the picture"}`);
    return `“${name}”: ${where.join(", ")}`;
  };
  if (view.overlayMap) lines.push(tellOverlay(view));
  const name = map && (sentence ? sentence.text : shown(info.words[word]));
  if (map && oppositeMap) {
    const [own, their] = info.against.names;
    const named = shown(info.against.words[opposite]);
    const shows = showsOf(state);
    if (shows === "this") lines.push(`${own} ${told(name, map)}; ${mostOn(info, map)}`);
    else if (shows === "against") lines.push(`${their} ${told(named, oppositeMap)}; ${mostOn(info, oppositeMap)}`);
    else lines.push(`${own} “${name}” minus ${their} “${named}”: ${tellDifference(info, map, oppositeMap, chosenMap(view))}`);
  } else if (map) lines.push(`${view.overlayMap ? "Attention of " : ""}${told(name, map)}; ${mostOn(info, map)}`);
  if (map) {
    if (sentence?.told) lines.push(`This sentence: ${sentence.told}`);
    if (other) lines.push(`Beside it ${told(shown(info.words[state.get("beside")]), other)}; ${mostOn(info, other)}`);
    const texts = showsOf(state) === "against" ? onTexts(info.against, oppositeMap) : onTexts(info, map);
    if (texts.length && showsOf(state) !== "difference") lines.push(`In the text: ${texts.join(", ")}`);
  }
  if (looks) {
    const marked = markedWords(looks);
    const named = marked.slice(0, 8).map((i) => `“${shown(info.words[i])}” ${percent(looks.share[i])}`);
    lines.push(`Box on picture ${image} (${box.map((n) => Math.round(n)).join(", ")}): ${plural(marked.length, "word")} looked there`
      + `${named.length ? `: ${named.join(", ")}` : ""}${marked.length > 8 ? ", …" : ""}`);
  }
  if (!lines.length) lines.push("Point at a word to see where it looked; draw a box on the picture to see which words looked there.");
  status.textContent = error || lines.join("\n");
  status.classList.toggle("wbx-error", Boolean(error));
  drawScale(view);
}

/** The scale below the pictures: what its ends stand for. */
function drawScale(view) {
  const { info, state, map, bar, scale } = view;
  const { overlayMap: overlay } = view;
  const signed = overlay ? overlay.about.signed : showsOf(state) === "difference";
  paintBar(bar, info.spotlight, info.pictures[0].dark, signed);
  const top = scaleOf(view);
  if (overlay) scale.textContent = tellScale(overlay);
  else if (!map) scale.textContent = "share of the attention";
  else if (signed) scale.textContent = `${points(-top)} to ${points(top)} of the attention; in the middle no difference`;
  else scale.textContent = `0 to ${percent(top)} of the attention`;
}

function render({ model, el }) {
  return mount(el, kernelState(model), kernelSource(model));
}

/** Start from the data that a saved page carries. */
function open(el, data) {
  el.replaceChildren();
  return mount(el, pageState({ info: data.info, marked: [], asked: data.again.length, ...data.state }), pageSource(data));
}

export { mount, open, pageState };
export default { render };
