// The panels beside the pictures: all heads at a glance, the heads of a box, and what was asked again.

const WIDEST = 320; // pixels that the thumbnails of a layer's heads may take, if they can

/** A small map of every head, layer by layer: a click chooses one, arrow keys move. */
function makeHeads(info, state, parent) {
  const panel = make("figure", "heads", parent);
  const caption = make("figcaption", "", panel, { textContent: "every head" });
  const canvas = make("canvas", "grid", panel, { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Every head, layers down and heads across: arrow keys choose one, M shows the mean of all");
  const mean = make("button", "button", panel, { type: "button", textContent: "mean of all heads" });
  mean.addEventListener("click", () => state.set({ layer: null, head: null }));
  const { layers, heads } = apart(info);
  if (!layers.length || !heads.length) {
    panel.hidden = true;
    return { shown: false, draw: () => {} };
  }
  mean.hidden = info.choices.layers[0] !== null || info.choices.heads[0] !== null;
  const side = Math.max(9, Math.min(46, Math.floor(WIDEST / heads.length)));
  const left = 22;
  const top = 14;
  const at = (event) => {
    const { left: x, top: y } = canvas.getBoundingClientRect();
    const head = heads[Math.floor((event.clientX - x - left) / side)];
    const layer = layers[Math.floor((event.clientY - y - top) / side)];
    return layer !== undefined && head !== undefined ? { layer, head } : null;
  };
  canvas.addEventListener("click", (event) => at(event) && state.set(at(event)));
  canvas.addEventListener("pointermove", (event) => {
    const found = at(event);
    canvas.title = found ? `layer ${info.numbers[found.layer]}, head ${found.head}` : "";
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key.toLowerCase() === "m" && !mean.hidden) state.set({ layer: null, head: null });
    else if (step) {
      const moved = (there, from, by) => there[Math.min(Math.max(there.indexOf(from) + by, 0), there.length - 1)];
      const [layer, head] = [state.get("layer") ?? info.best[0], state.get("head") ?? info.best[1]];
      state.set({ layer: moved(layers, layer, step[0]), head: moved(heads, head, step[1]) });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const draw = (grid, of) => {
    const unit = window.devicePixelRatio || 1;
    canvas.style.width = `${left + side * heads.length + 2}px`;
    canvas.style.height = `${top + side * layers.length + 2}px`;
    canvas.width = Math.round((left + side * heads.length + 2) * unit);
    canvas.height = Math.round((top + side * layers.length + 2) * unit);
    const context = canvas.getContext("2d");
    context.scale(unit, unit);
    paintNumbers(context, canvas, info, { left, top, side });
    if (grid) paintHeads(context, grid, { left, top, side });
    frameHead(context, canvas, info, state, { left, top, side });
    caption.textContent = `every head: ${of}`;
  };
  return { shown: true, draw };
}

/** The layers and heads that can be chosen one by one. */
function apart({ choices }) {
  const [layers, heads] = [choices.layers, choices.heads].map((all) => all.filter((one) => one !== null));
  return { layers, heads };
}

/** Numbers of layers and heads along the edges, as many as have room. */
function paintNumbers(context, canvas, info, { left, top, side }) {
  context.fillStyle = getComputedStyle(canvas).color;
  context.font = "10px system-ui, sans-serif";
  context.textBaseline = "middle";
  const every = Math.max(1, Math.ceil(18 / side));
  const { layers, heads } = apart(info);
  for (let head = 0; head < heads.length; head += every) {
    context.textAlign = "center";
    context.fillText(heads[head], left + (head + 0.5) * side, top / 2);
  }
  for (let layer = 0; layer < layers.length; layer += every) {
    context.textAlign = "right";
    context.fillText(info.numbers[layers[layer]], left - 5, top + (layer + 0.5) * side);
  }
}

function paintHeads(context, { shape, values }, { left, top, side }) {
  const [layers, heads, rows, cols] = shape;
  const [picture, small] = beside(cols, rows);
  const inner = side - Math.min(3, side / 6);
  const scale = Math.min(inner / cols, inner / rows);
  context.imageSmoothingEnabled = false;
  for (let number = 0; number < layers * heads; number++) {
    const cells = new ImageData(cols, rows);
    for (let cell = 0; cell < rows * cols; cell++) {
      cells.data.set([217, 95, 14, values[number * rows * cols + cell]], 4 * cell);
    }
    small.putImageData(cells, 0, 0);
    const x = left + (number % heads) * side;
    const y = top + Math.floor(number / heads) * side;
    context.fillStyle = "rgba(128, 128, 128, 0.16)";
    context.fillRect(x, y, cols * scale, rows * scale);
    context.drawImage(picture, x, y, cols * scale, rows * scale);
  }
}

/** A frame round the chosen head, or along the chosen layer or head where the other is the mean. */
function frameHead(context, canvas, info, state, { left, top, side }) {
  const [layer, head] = [state.get("layer"), state.get("head")];
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = 2;
  const wide = canvas.clientWidth - left - 2;
  const tall = canvas.clientHeight - top - 2;
  const { layers, heads } = apart(info);
  const x = head === null ? left : left + heads.indexOf(head) * side;
  const y = layer === null ? top : top + layers.indexOf(layer) * side;
  context.strokeRect(x - 1, y - 1, head === null ? wide : side, layer === null ? tall : side);
}

/** For a box, or the strongest patch: the heads that look there most, and the question with it hidden. */
function makeBoxPanel(view, parent) {
  const { state, source, info } = view;
  const panel = make("div", "box", parent);
  const heads = make("div", "buttons", panel);
  heads.setAttribute("role", "group");
  heads.setAttribute("aria-label", "Heads that look into the box most");
  const hide = make("button", "button wbx-hide", panel, { type: "button" });
  const note = make("span", "note", panel);
  if (!source.hide) {
    hide.disabled = true;
    hide.title = "A saved page has no model to ask";
  }
  hide.addEventListener("click", async () => {
    const region = hiddenRegion(view);
    if (!region || hide.disabled) return;
    hide.disabled = true;
    panel.dataset.asking = "1";
    note.textContent = "Asking again …";
    try {
      await source.hide(region);
      note.textContent = "";
    } catch (error) {
      note.textContent = error.message;
    }
    delete panel.dataset.asking;
    hide.disabled = false;
  });
  return () => {
    const box = state.get("box");
    heads.replaceChildren();
    const found = box && view.looks ? view.looks.heads : [];
    if (found.length) make("span", "note", heads, { textContent: "heads that look there most:" });
    for (const { layer, head, share } of found) {
      const button = make("button", "button", heads, { type: "button", textContent: `L${info.numbers[layer]} H${head} · ${percent(share)}` });
      button.title = `Layer ${info.numbers[layer]}, head ${head}: ${percent(share)} of its attention, over the reply, is in the box`;
      button.setAttribute("aria-pressed", String(state.get("layer") === layer && state.get("head") === head));
      button.addEventListener("click", () => state.set({ layer, head }));
    }
    const region = hiddenRegion(view);
    hide.hidden = !region;
    hide.textContent = `Hide ${region && region.box === box ? "the box" : "the strongest patch"} and ask again`;
    hide.setAttribute("aria-label", info.pictures.length > 1 && region ? `${hide.textContent}, on picture ${region.image}` : hide.textContent);
  };
}

/** What would be hidden: the box, else the strongest patch of the word that is shown. */
function hiddenRegion({ state, info, map }) {
  const box = state.get("box");
  if (box) return { image: state.get("image"), box };
  if (!map || !(map.peak > 0)) return null;
  const { image, grid, cell } = strongestPatch(info, map.values);
  const [left, top, right, bottom] = grid.region;
  const [w, h] = [(right - left) / grid.cols, (bottom - top) / grid.rows];
  const [x, y] = [left + (cell % grid.cols) * w, top + Math.floor(cell / grid.cols) * h];
  const { width, height } = info.pictures[image];
  return { image, box: [x, y, Math.min(x + w, width), Math.min(y + h, height)] };
}

/** The picture, grid and cell of the largest value. */
function strongestPatch({ pictures }, values) {
  let most = 0;
  values.forEach((value, at) => (most = value > values[most] ? at : most));
  for (const [image, { grids }] of pictures.entries()) {
    for (const grid of grids) {
      if (most >= grid.start && most < grid.start + grid.rows * grid.cols) return { image, grid, cell: most - grid.start };
    }
  }
  return null;
}

/** What was asked again, newest first: the altered picture, and each answer with its two probabilities. */
function makeAgain(parent) {
  const list = make("div", "again", parent);
  let count = 0;
  return async (source, asked) => {
    while (count < asked) {
      const one = await source.again(count++);
      const entry = make("section", "entry");
      list.prepend(entry);
      const canvas = make("canvas", "", entry, { width: one.bitmap.width, height: one.bitmap.height });
      canvas.getContext("2d").drawImage(one.bitmap, 0, 0);
      canvas.setAttribute("aria-label", "The picture with the part hidden");
      const beside = make("div", "", entry);
      make("div", "verdict", beside, { textContent: one.verdict });
      const table = make("table", "", beside);
      const head = make("tr", "", make("thead", "", table));
      for (const name of ["reply", "picture as it is", "part hidden"]) make("th", "", head, { textContent: name });
      const body = make("tbody", "", table);
      for (const { thought, text, probabilities } of one.rows) {
        const row = make("tr", "", body);
        const cell = make("td", "", row);
        if (thought) make("div", "thought", cell, { textContent: thought });
        make("div", "answer", cell, { textContent: text });
        for (const probability of probabilities) make("td", "number", row, { textContent: probability });
      }
    }
    list.dataset.count = count;
  };
}

/** A small form: which layers, heads and words a page carries; the kernel writes it, the browser keeps it. */
function makeSave({ info, state, source }, parent) {
  if (!source.save) return;
  const fold = make("details", "save", parent);
  make("summary", "", fold, { textContent: "Save page" });
  const form = make("form", "form", fold);
  const fields = ["layers", "heads"].map((name) => {
    const label = make("label", "slider", form, { textContent: name });
    return make("input", "field", label, { type: "text", name, value: "all", size: 12, title: "all, or numbers and ranges: 0, 2-4, mean" });
  });
  const parts = ["all", ...new Set(info.words.map(({ part }) => part).filter(Boolean)), "the shown one"];
  let words = 0;
  const group = make("div", "parts", form, { textContent: "words" });
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Words whose maps the page carries");
  const buttons = parts.map((textContent, number) => {
    const button = make("button", "button", group, { type: "button", textContent });
    button.addEventListener("click", () => press(number));
    return button;
  });
  const press = (number) => {
    words = number;
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === number)));
  };
  press(0);
  const save = make("button", "button", form, { type: "submit", textContent: "Save" });
  const note = make("span", "note", form);
  note.setAttribute("role", "status");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = [null, ...parts.slice(1, -1), [state.get("word")].filter((word) => word !== null)][words];
    save.disabled = true;
    note.textContent = "Saving …";
    try {
      const page = await source.save({ layers: fields[0].value, heads: fields[1].value, words: wanted });
      const link = make("a", "", null, { href: URL.createObjectURL(new Blob([page], { type: "text/html" })), download: "attention.html" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      note.textContent = `attention.html, ${Math.ceil(page.length / 1000)} kB`;
    } catch (error) {
      note.textContent = error.message;
    }
    save.disabled = false;
  });
}
