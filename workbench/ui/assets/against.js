// A second reply to the same question, such as think against nothink: the other's words, and differences.

const showsOf = (state) => state.get("shows") ?? "this";

/** The other reply's word that is compared: the chosen one, else the one that stands at the shown word's place. */
function oppositeOf({ info, state }, shownWords) {
  if (!info.against || !shownWords.length) return null;
  return state.get("opposite") ?? info.against.counterparts[shownWords[0]];
}

/** The other reply's words: a click or the arrow keys choose the one that is compared. */
function makeOthers(info, state, parent) {
  if (!info.against) return [];
  const { names: [own, other], words } = info.against;
  make("div", "label", parent, { textContent: `compared with ${other}: choose a word here, or the one at the same place of the answer is taken` });
  const elements = makeWords(words, info.choices.others, parent, `Words of the reply ${other}: arrow keys choose the one that is compared with ${own}, Escape lets go`);
  const carried = info.choices.others;
  const list = elements[0].closest(".wbx-words");
  list.classList.add("wbx-others");
  const of = (event) => {
    const found = elements.indexOf(event.target.closest?.(".wbx-word"));
    return carried.includes(found) ? found : -1;
  };
  list.addEventListener("click", (event) => {
    const word = of(event);
    if (word >= 0) state.set({ opposite: state.get("opposite") === word ? null : word });
  });
  list.addEventListener("keydown", (event) => {
    const word = of(event);
    if (word < 0) return;
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const target = { Home: carried[0], End: carried.at(-1), Enter: word, " ": word }[event.key] ?? stepped(carried, word, step);
    if (event.key === "Escape") state.set({ opposite: null });
    else if (target === undefined && !step) return;
    else if (target !== undefined) {
      state.set({ opposite: target });
      elements[target].focus();
    }
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to another cell
  });
  return elements;
}

/** The other's words, shaded by the attention of the one that is compared. */
function drawOthers({ info, others, opposite, oppositeMap: map }) {
  others.forEach((element, word) => {
    element.classList.toggle("wbx-kept", word === opposite);
    element.setAttribute("aria-selected", String(word === opposite));
    element.tabIndex = word === (opposite ?? info.choices.others[0]) ? 0 : -1;
    shadeWord(element, slotShare(map, info.against.prompt.length + word), map ? map.textPeak : 0);
  });
}

const valueAt = ({ values, peak }, cell) => (values[cell] * peak) / 255;

/** One map minus another, in signed bytes of the largest difference. */
function differenceOf(map, other) {
  const raw = Float32Array.from(map.values, (_, cell) => valueAt(map, cell) - valueAt(other, cell));
  const peak = raw.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return { raw, peak, values: Int8Array.from(raw, (value) => (peak > 0 ? Math.round((127 * value) / peak) : 0)) };
}

/** What the picture shows: an overlay, or this reply's map, the other's, or their difference. */
function chosenMap({ state, map, oppositeMap, overlayMap }) {
  if (overlayMap) return overlayMap;
  if (!map || !oppositeMap || showsOf(state) === "this") return map;
  return showsOf(state) === "against" ? oppositeMap : differenceOf(map, oppositeMap);
}

const points = (share) => `${share < 0 ? "−" : "+"}${(100 * Math.abs(share)).toPrecision(2)} points`;

/** A difference in words: how much of the attention lies elsewhere, and what gains and loses most. */
function tellDifference(info, map, other, { raw }) {
  const sums = [map, other].map(({ shares }) => shares.reduce((sum, share) => sum + share, 0));
  const part = (one, cell, sum) => (sum > 0 ? valueAt(one, cell) / sum : 0);
  const moved = raw.reduce((sum, _, cell) => sum + Math.abs(part(map, cell, sums[0]) - part(other, cell, sums[1])) / 2, 0);
  const named = new Map();
  info.pictures.forEach(({ names, grids: [grid] }, picture) =>
    grid.names.forEach((name, cell) => {
      const key = `${names[name]}${info.pictures.length > 1 ? ` of picture ${picture}` : ""}`;
      named.set(key, (named.get(key) ?? 0) + raw[grid.start + cell]);
    }));
  const [most, least] = [1, -1].map((sign) => [...named].reduce((a, b) => (sign * b[1] > sign * a[1] ? b : a)));
  const said = [most[1] > 0 && `more ${most[0]} (${points(most[1])})`, least[1] < 0 && `less ${least[0]} (${points(least[1])})`];
  return [`${percent(moved)} of the attention on the pictures lies elsewhere`, ...said.filter(Boolean)].join("; ");
}
