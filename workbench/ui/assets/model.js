// The panel for models. All that is shown lives in traits, so that every view and Python show the same.

const HEADER = ["precision", "weights", "on the device", "fits", ""];

function render({ model, el }) {
  const root = make("div", "explorer wbx-model", el);
  root.dataset.lmSuppressShortcuts = "true";
  const choices = make("div", "buttons", root);
  choices.setAttribute("role", "group");
  choices.setAttribute("aria-label", "models");
  const buttons = model.get("choices").map((choice) => {
    const button = make("button", "button", choices, { type: "button", textContent: choice.label });
    make("span", "note", button, { textContent: choice.note });
    button.addEventListener("click", () => set(chosen(choice)));
    return [choice, button];
  });
  const row = make("div", "buttons", root);
  const source = make("input", "field wbx-model-source", row, { type: "text", ariaLabel: "folder or Hub id", placeholder: "a folder, or owner/name" });
  const acts = ["plan", "load", "unload"].map((kind) => {
    const button = make("button", "button", row, { type: "button", textContent: kind[0].toUpperCase() + kind.slice(1) });
    button.addEventListener("click", () => tell({ kind }));
    return [kind, button];
  });
  const state = make("div", "buttons", root);
  const loaded = make("span", "loaded", state);
  const memory = make("span", "note", state);
  const now = make("button", "button", state, { type: "button", textContent: "Memory now" });
  now.addEventListener("click", () => tell({ kind: "memory" }));
  const going = make("div", "buttons", root);
  const bar = make("progress", "", going, { max: 1, ariaLabel: "loaded so far" });
  const doing = make("span", "note", going);
  doing.setAttribute("role", "status");
  const problem = make("div", "status wbx-error", root);
  problem.setAttribute("role", "alert");
  const plan = make("div", "plan", root);

  const chosen = ({ source: name, quantize, image_tokens }) => ({ source: name, quantize, image_tokens });
  const gone = () => (problem.textContent = "The kernel of this panel is gone. Run its cell again.");
  const set = (changes) => {
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    try {
      model.save_changes();
    } catch {
      gone();
    }
  };
  const tell = (content) => {
    try {
      Promise.resolve(model.send(content)).catch(gone);
    } catch {
      gone();
    }
  };
  const type = () => source.value.trim() !== model.get("source") && set({ source: source.value.trim(), quantize: "", image_tokens: null });
  source.addEventListener("change", type);
  source.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" || event.isComposing) return;
    type();
    if (!model.get("doing")) tell({ kind: "plan" });
  });
  const draw = () => {
    const busy = Boolean(model.get("doing"));
    if (document.activeElement !== source) source.value = model.get("source");
    for (const [choice, button] of buttons) {
      const same = Object.entries(chosen(choice)).every(([name, value]) => model.get(name) === value);
      button.setAttribute("aria-pressed", String(same));
    }
    for (const [kind, button] of acts) button.disabled = busy || (kind === "unload" && !model.get("loaded"));
    loaded.textContent = model.get("loaded") ? `${model.get("loaded")} is loaded` : "No model is loaded";
    memory.textContent = model.get("memory");
    going.hidden = !busy;
    doing.textContent = model.get("doing");
    if (model.get("progress") > 0) bar.value = model.get("progress");
    else bar.removeAttribute("value"); // how far it is, is not known yet
    problem.textContent = model.get("problem");
    drawPlan(plan, model.get("planned"));
  };
  const names = ["source", "quantize", "image_tokens", "planned", "doing", "progress", "memory", "loaded", "problem"];
  for (const name of names) model.on(`change:${name}`, draw);
  draw();
  root.dataset.ready = "1";
  return () => {
    for (const name of names) model.off(`change:${name}`, draw);
    root.remove();
  };
}

/** What each way to load a model takes. */
function drawPlan(parent, { source, rows, notes, advice }) {
  parent.replaceChildren();
  if (!rows) return;
  const table = make("table", "", parent);
  make("caption", "label", table, { textContent: source });
  const fill = (cells, tag) => cells.reduce((row, cell) => (make(tag, "", row, { textContent: cell }), row), make("tr", "", table));
  fill(HEADER, "th");
  for (const cells of rows) fill(cells, "td");
  for (const note of notes) make("div", "note", parent, { textContent: note });
  make("div", "advice", parent, { textContent: advice });
}

export default { render };
