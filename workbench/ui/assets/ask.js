// The panel to ask with. All that is shown lives in traits, so that every view and Python show the same.

const MODES = { auto: "auto", think: "think", nothink: "answer directly", every: "all modes" };

function render({ model, el }) {
  const root = make("div", "explorer wbx-ask", el);
  root.dataset.lmSuppressShortcuts = "true";
  const body = make("div", "body", root);
  const problem = make("div", "status wbx-error", root);
  problem.setAttribute("role", "alert");
  const drop = makeDrop(model, make("div", "ask-picture", body), problem);
  const form = makeForm(model, make("div", "text", body));
  const asked = make("div", "asked", root);

  const tell = (content, buffers) => {
    try {
      Promise.resolve(model.send(content, undefined, buffers)).catch(gone);
    } catch {
      gone();
    }
  };
  const gone = () => (problem.textContent = "The kernel of this panel is gone. Run its cell again.");
  const draw = () => {
    form.draw();
    drop.redraw();
    problem.textContent = model.get("problem");
    drawAsked(asked, model.get("asked"), model.get("running"));
    root.dataset.running = model.get("running") ? "1" : "";
  };
  form.connect(tell);
  drop.connect(tell);
  const receive = async (message, buffers) => {
    if (message.kind === "picture" && message.number === model.get("pictures")) await drop.draw(buffers[0]);
  };
  const fetchPicture = () => model.get("pictures") > 0 && tell({ kind: "picture" });
  const names = ["marks", "warning", "question", "mode", "max_tokens", "thinking_budget", "running", "problem", "asked"];
  model.on("msg:custom", receive);
  model.on("change:pictures", fetchPicture);
  for (const name of names) model.on(`change:${name}`, draw);
  draw();
  fetchPicture();
  root.dataset.ready = "1";
  return () => {
    model.off("msg:custom", receive);
    model.off("change:pictures", fetchPicture);
    for (const name of names) model.off(`change:${name}`, draw);
    root.remove();
  };
}

/** Where a picture is dropped, pasted or chosen. */
function makeDrop(model, parent, problem) {
  const zone = make("div", "drop", parent, { tabIndex: 0 });
  zone.setAttribute("role", "button");
  const hint = make("div", "note", zone, { textContent: "Drop or paste a picture here, or press Enter to choose a file" });
  const canvas = make("canvas", "", zone, { hidden: true });
  const file = make("input", "", zone, { type: "file", accept: "image/*", hidden: true, ariaLabel: "picture" });
  zone.setAttribute("aria-label", hint.textContent);
  let bitmap = null;
  const paint = (growing = []) => {
    if (!bitmap) return;
    canvas.width = bitmap.width; // empties it
    canvas.height = bitmap.height;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    paintMarks(canvas, [...model.get("marks"), ...growing]);
  };
  const marks = makeMarks(model, canvas, parent, paint);
  const warning = make("div", "warning", parent, { hidden: true });
  warning.setAttribute("role", "status");
  const connect = (tell) => {
    const take = async (files) => {
      const picture = [...files].find(({ type }) => type.startsWith("image/"));
      if (picture) tell({ kind: "open", name: picture.name }, [await picture.arrayBuffer()]);
      else if (files.length) problem.textContent = `${files[0].name} is not a picture. Take a PNG, JPEG or WebP file.`;
    };
    file.addEventListener("change", () => take(file.files));
    zone.addEventListener("click", (event) => event.target !== file && file.click());
    zone.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      file.click();
      event.preventDefault();
      event.stopPropagation();
    });
    zone.addEventListener("dragover", (event) => event.preventDefault());
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation(); // JupyterLab would open the file
      take(event.dataTransfer.files);
    });
    zone.addEventListener("paste", (event) => {
      take(event.clipboardData.files);
      event.stopPropagation();
    });
  };
  const draw = async (view) => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    canvas.hidden = false;
    redraw();
    hint.textContent = "Drop, paste or choose another";
    zone.dataset.picture = model.get("pictures");
  };
  const redraw = () => {
    paint();
    marks.draw();
    warning.textContent = model.get("warning");
    warning.hidden = !warning.textContent;
  };
  return { connect, draw, redraw };
}

/** The question, the mode, the budgets, and the buttons. */
function makeForm(model, parent) {
  const question = make("textarea", "field wbx-ask-question", parent, { rows: 3, placeholder: "Ask about the picture; Enter asks", ariaLabel: "question" });
  const modes = make("div", "buttons", parent);
  modes.setAttribute("role", "group");
  modes.setAttribute("aria-label", "mode");
  const choices = Object.entries(MODES).map(([mode, name]) => {
    const button = make("button", "button", modes, { type: "button", textContent: name });
    button.addEventListener("click", () => set({ mode }));
    return [mode, button];
  });
  const budgets = make("div", "buttons", parent);
  const numbers = [["max_tokens", "most tokens", 1], ["thinking_budget", "thinking budget", 0]].map(([name, label, least]) => {
    const input = make("input", "field wbx-ask-number", make("label", "check", budgets, { textContent: label }), { inputMode: "numeric", placeholder: "none" });
    input.addEventListener("change", () => {
      const value = Number.parseInt(input.value, 10);
      set({ [name]: value >= least ? value : null });
    });
    return [name, input];
  });
  const doing = make("div", "buttons", parent);
  const ask = make("button", "button wbx-go", doing, { type: "button", textContent: "Ask" });
  const stop = make("button", "button wbx-stop", doing, { type: "button", textContent: "Stop" });
  const set = (changes) => {
    model.set(changes);
    try {
      model.save_changes();
    } catch {
      // nobody to tell: asking says so
    }
  };
  const connect = (tell) => {
    const go = () => {
      set({ question: question.value });
      tell({ kind: "ask" });
    };
    ask.addEventListener("click", go);
    stop.addEventListener("click", () => tell({ kind: "stop" }));
    question.addEventListener("change", () => set({ question: question.value }));
    question.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!ask.disabled) go();
    });
  };
  const draw = () => {
    if (document.activeElement !== question) question.value = model.get("question");
    for (const [mode, button] of choices) button.setAttribute("aria-pressed", String(mode === model.get("mode")));
    for (const [name, input] of numbers) if (document.activeElement !== input) input.value = model.get(name) ?? "";
    ask.disabled = model.get("running");
    stop.disabled = !model.get("running");
  };
  return { connect, draw };
}

/** Questions and their replies, the newest first; several modes of one question stand side by side. */
function drawAsked(parent, asked, running) {
  parent.replaceChildren();
  [...asked].reverse().forEach(({ question, replies }, place) => {
    const entry = make("section", "asked-one", parent);
    make("div", "question", entry, { textContent: question });
    const columns = make("div", "columns", entry);
    replies.forEach(({ mode, likely, thought, text, facts }) => {
      const column = make("div", "column", columns);
      make("div", "label", column, { textContent: MODES[mode] ?? mode });
      if (likely) make("div", "note wbx-likely", column, { textContent: likely });
      if (thought) {
        const fold = make("details", "", column, { open: place === 0 });
        make("summary", "label", fold, { textContent: "thought" });
        make("div", "thought", fold, { textContent: thought });
      }
      make("div", "answer", column, { textContent: text || (running && place === 0 && !facts ? "…" : "") });
      make("div", "note", column, { textContent: facts });
    });
  });
}

export default { render };
