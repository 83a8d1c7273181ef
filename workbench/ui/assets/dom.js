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
