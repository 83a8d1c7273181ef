// Small things that every widget is made with. Text of the model only ever becomes textContent.

function make(tag, name, parent, more = {}) {
  const element = Object.assign(document.createElement(tag), more);
  if (name) element.className = `wbx-${name}`;
  if (parent) parent.append(element);
  return element;
}

const percent = (share) =>
  share > 0 && share < 0.0001 ? "under 0.01%" : `${(100 * share).toPrecision(share >= 0.1 ? 3 : 2)}%`;
const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
const shown = ({ text, name }) => name || text.trim() || (text.includes("\n") ? "↵" : "␣");

/**
 * Sliders and lists of choices by keyboard: JupyterLab keeps arrow keys from native controls, so that we move them
 * ourselves.
 * Escape leaves the widget.
 */
function listenToControls(root) {
  root.addEventListener("keydown", (event) => {
    const input = event.target;
    if (event.key === "Escape") {
      document.activeElement?.blur();
      return;
    }
    if (input.tagName === "SELECT") {
      chooseByKey(input, event);
      return;
    }
    if (input.type !== "range" || input.disabled) return;
    const [low, high, step] = [input.min, input.max, input.step].map(Number);
    const value = Number(input.value);
    const moved = {
      ArrowLeft: value - step, ArrowDown: value - step, ArrowRight: value + step, ArrowUp: value + step,
      PageDown: value - 5 * step, PageUp: value + 5 * step, Home: low, End: high,
    }[event.key];
    if (moved === undefined) return;
    input.value = Math.min(Math.max(moved, low), high);
    input.dispatchEvent(new Event("input", { bubbles: true }));
    event.preventDefault();
    event.stopPropagation();
  });
}

/** The choice above or below in a closed list. */
function chooseByKey(list, event) {
  const last = list.options.length - 1;
  const moved = { ArrowUp: list.selectedIndex - 1, ArrowDown: list.selectedIndex + 1, Home: 0, End: last }[event.key];
  if (moved === undefined) return;
  list.selectedIndex = Math.min(Math.max(moved, 0), last);
  list.dispatchEvent(new Event("change", { bubbles: true }));
  event.preventDefault();
  event.stopPropagation();
}
