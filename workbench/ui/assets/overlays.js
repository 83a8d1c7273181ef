// Which map lies on the pictures: the attention of one reply, of another, their difference; or an attribution or a
// logit lens of the same answer, each with a scale and a unit of its own.

/** The switch; nothing where there is only this reply's attention. */
function makeChoice(info, state, parent) {
  const attention = !info.against ? [["attention", "The attention of the shown word", "this"]] : [
    [info.against.names[0], "This reply's map", "this"],
    [info.against.names[1], "The other reply's map", "against"],
    [info.against.names.join(" minus "), "Where this reply looked more than the other (orange), and less (blue)", "difference"],
  ];
  const entries = [
    ...attention.map(([name, title, shows]) => ({ name, title, chosen: { shows, overlay: null } })),
    ...info.overlays.map(({ name, unit }, overlay) => ({ name, title: `${name}: ${unit}`, chosen: { overlay } })),
  ];
  if (entries.length < 2) return () => {};
  const bar = make("div", "choice", parent);
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Which map lies on the picture");
  const buttons = entries.map(({ name, title, chosen }) => {
    const button = make("button", "button", bar, { type: "button", textContent: name, title });
    button.addEventListener("click", () => state.set(chosen));
    return button;
  });
  return () => {
    const overlay = overlayOf(state);
    entries.forEach(({ chosen }, number) => {
      const pressed = overlay === chosen.overlay && (overlay !== null || chosen.shows === showsOf(state));
      buttons[number].setAttribute("aria-pressed", String(pressed));
    });
  };
}

const overlayOf = (state) => state.get("overlay") ?? null;

/** Ask for an overlay's map, where one is chosen: of a logit lens, after the chosen layer. */
async function fetchOverlay({ info, state, source }) {
  const overlay = overlayOf(state);
  if (overlay === null) return null;
  const about = info.overlays[overlay];
  const layer = about.byLayer ? state.get("layer") : null;
  return { ...(await source.overlay({ overlay, layer })), about, layer };
}

const wordOn = ({ words, says, values, peak }, cell) => `“${words[says[cell]].trim() || "␣"}” ${percent((values[cell] * peak) / 127)}`;

/** What an overlay shows, in words. */
function tellOverlay(view) {
  const { info, state, overlayMap: map } = view;
  const { name, byLayer, signed } = map.about;
  const at = byLayer ? ` after ${map.layer === null ? "the last layer" : `layer ${info.numbers[map.layer]}`}` : "";
  const on = (values) => {
    const { image, grid, cell } = strongestPatch(info, values);
    return { cell: grid.start + cell, place: `${info.pictures[image].names[grid.names[cell]]}${info.pictures.length > 1 ? ` of picture ${image}` : ""}` };
  };
  const most = on(map.values);
  if (!(map.peak > 0)) return `${name}${at}: nothing`;
  if (byLayer) return `${name}${at}, what each patch says: most certain ${most.place}, ${wordOn(map, most.cell)}${saidInBox(view)}`;
  const valued = ({ place, cell }) => `${place} (${figures((map.values[cell] * map.peak) / 127)})`;
  const least = signed ? `; strongest against it ${valued(on(map.values.map((value) => -value)))}` : "";
  return `${name}: strongest ${signed ? "for it " : ""}${valued(most)}${least}`;
}

/** What the patches in the box say. */
function saidInBox({ info, state, overlayMap: map }) {
  const [box, [grid]] = [state.get("box"), info.pictures[state.get("image")].grids];
  if (!box) return "; point at a patch, or draw a box, to read it";
  const words = cellsInside(grid, box).slice(0, 8).map((cell) => wordOn(map, grid.start + cell));
  return `; in the box: ${words.join(", ")}`;
}

/** While a logit lens is shown, the patch that is pointed at tells its word. */
function listenToPatches(view) {
  for (const { canvas, number, width, height, grids: [grid] } of view.pictures) {
    canvas.addEventListener("pointermove", (event) => {
      const map = view.overlayMap;
      const { left, top, width: across, height: down } = canvas.getBoundingClientRect();
      const [x, y] = [((event.clientX - left) / across) * width, ((event.clientY - top) / down) * height];
      const [cell] = map?.about.byLayer ? cellsInside(grid, [x, y, x, y]) : [];
      canvas.title = cell === undefined ? "" : wordOn(map, grid.start + cell);
    });
  }
}

const figures = (value) => Number(value.toPrecision(2)).toString().replace("-", "−");

/** The ends of an overlay's scale, with its unit. */
function tellScale({ peak, about: { unit, signed } }) {
  return signed ? `−${figures(peak)} to ${figures(peak)}: ${unit}; in the middle nothing` : `0 to ${figures(peak)}: ${unit}`;
}
