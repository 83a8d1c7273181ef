// Results to explore: the plane, the lens and the list come with the widget or the page; an item is asked for.

const [WIDE, HIGH] = [640, 360]; // the plane, in its own units
const EDGE = { left: 52, right: 16, top: 12, bottom: 44 };
const LINES = 10; // items on a page of the list
const NAMED = 16; // most points that carry their name in the plane
const DECADE = 8; // costs that differ by more are drawn on a logarithmic scale
const STEPS = 200; // of a slider over the brushed range
const DRAG = 4; // pixels that a drag must move to be one

const right = (value) => value > 0.5;
const both = (test) => ({ think, nothink }) => think != null && nothink != null && test(think, nothink);

/** Which items are listed: a name for the button, what it means, and the test of an item's scores. */
const WHICH = {
  wrong: ["wrong", "wrong in a mode that is shown", (values, modes) => modes.some((mode) => values[mode] != null && !right(values[mode]))],
  won: ["won by thinking", "thinking scores higher than answering directly", both((think, direct) => think > direct)],
  lost: ["lost by thinking", "thinking scores lower than answering directly", both((think, direct) => think < direct)],
  "both right": ["both right", "right both ways", both((think, direct) => think === direct && think === 1)],
  "both wrong": ["both wrong", "wrong both ways", both((think, direct) => think === direct && think === 0)],
  missed: ["auto missed", "auto scores below the better forced mode",
    ({ auto, ...forced }) => auto != null && both((think, direct) => auto < Math.max(think, direct))(forced)],
  all: ["all", "every item", () => true],
};

const points100 = (share) => (100 * share).toFixed(1);
const signed = (share) => `${share > 0 ? "+" : share < 0 ? "−" : ""}${points100(Math.abs(share))}`;
const costly = (cost) => (cost >= 100 ? Math.round(cost) : cost.toPrecision(cost >= 10 ? 3 : 2));
const mark = (value) => (value == null ? "–" : value === 1 ? "✓" : value === 0 ? "✗" : value.toFixed(2));

/** Put the explorer into an element; returns what takes it out again. */
function mount(el, state, source) {
  const root = make("div", "explorer wbx-results", el);
  root.dataset.lmSuppressShortcuts = "true";
  const info = state.get("info");
  const view = { info, state, lines: null, live: null, first: 0, item: null };
  const headline = make("div", "opening", root);
  headline.setAttribute("role", "status");
  const draw = () => keepingFocus(root, () => {
    Object.assign(view, chosen(view));
    headline.textContent = info.headlines[state.get("cost")];
    parts.forEach((part) => part());
  });
  view.draw = draw;
  const bar = makeBar(view, root);
  const body = make("div", "body", root);
  const plane = makePlane(view, make("div", "plane", body));
  const table = makeTable(view, make("div", "points", body));
  const parts = [bar, plane, table, makeLens(view, root), makeItems(view, root, source)];
  for (const note of info.notes) make("div", "note", root, { textContent: note });
  listenToControls(root);
  const names = ["cost", "benchmark", "brush", "point", "group", "which"];
  const restart = () => {
    view.first = 0;
    view.item = null;
    draw();
  };
  const off = names.map((name) => state.on(name, restart));
  draw();
  root.dataset.ready = "1";
  source.lines().then((lines) => (view.lines = lines), (error) => (view.trouble = error.message)).then(draw);
  return () => {
    off.forEach((stop) => stop());
    source.close();
    root.remove();
  };
}

/** Draw anew, and give the focus back to what has the same name. */
function keepingFocus(root, draw) {
  const name = root.getRootNode().activeElement?.dataset?.name;
  draw();
  if (name) root.querySelector(`[data-name="${CSS.escape(name)}"]`)?.focus({ preventScroll: true });
}

/** What the choices leave: points of the plane, those inside the brush, and the groups and modes listed. */
function chosen({ info, state, live }) {
  const [cost, benchmark] = [state.get("cost"), state.get("benchmark")];
  const ofCost = info.points.filter((point) => point.of === cost);
  const named = (name) => ofCost.filter((point) => point.benchmark === name);
  const single = ofCost.filter(({ groups }) => groups.length === 1);
  const points = benchmark ? named(benchmark) : single.length ? single : ofCost;
  const brush = live ?? state.get("brush");
  const within = ({ cost: x, accuracy: y }) => !brush || (x >= brush[0] && x <= brush[1] && y >= brush[2] && y <= brush[3]);
  const inside = points.filter(within);
  const point = points.find(({ id }) => id === state.get("point"));
  const listed = point ? [point] : inside;
  const modesOf = new Map(); // group -> modes that are shown
  for (const { groups, mode } of listed) for (const group of groups) modesOf.set(group, [...(modesOf.get(group) || []), mode]);
  if (state.get("group") != null) {
    for (const group of modesOf.keys()) if (group !== state.get("group")) modesOf.delete(group);
  }
  return { cost, points, inside, point, brush, modesOf, scale: scalesOf(points) };
}

// -- the plane -------------------------------------------------------------------------------

/** Where costs and accuracies stand, from 0 to 1, and back. */
function scalesOf(points) {
  const ends = (low, high) => [Math.min(...points.map((one) => one[low])), Math.max(...points.map((one) => one[high]))];
  const [least, most] = ends("cost_low", "cost_high");
  const log = least > 0 && most > DECADE * least;
  return { x: axis(least, most, log, Infinity), y: axis(...ends("low", "high"), false, 1), log };
}

function axis(least, most, log, limit) {
  const [there, back] = log ? [Math.log, Math.exp] : [(value) => value, (value) => value];
  const room = 0.08 * (there(most) - there(least) || Math.abs(there(most)) || 1);
  const low = log ? there(least) - room : Math.max(0, least - room);
  const high = Math.min(limit, there(most) + room);
  return {
    of: (value) => (there(value) - low) / (high - low),
    at: (share) => back(low + share * (high - low)),
    ticks: log ? logTicks(back(low), back(high)) : ticks(low, high),
  };
}

function ticks(low, high) {
  const rough = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((times) => times * unit >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, at) => (first + at) * step);
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const times of [1, 2, 5]) found.push(times * 10 ** power);
  }
  return found.filter((tick) => tick >= low && tick <= high);
}

const across = (share) => EDGE.left + share * (WIDE - EDGE.left - EDGE.right);
const down = (share) => HIGH - EDGE.bottom - share * (HIGH - EDGE.top - EDGE.bottom);

function svg(tag, name, parent, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  if (name) element.setAttribute("class", `wbx-${name}`);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

const SHAPES = { nothink: "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z", auto: "M-5.5 -5.5H5.5V5.5H-5.5Z", think: "M0 -7L6.5 5.5H-6.5Z" };

/** The plane, its brush by mouse, and its sliders, which brush by keyboard. */
function makePlane(view, parent) {
  const { info, state } = view;
  const legend = make("div", "legend", parent);
  for (const [mode, { label, colour }] of Object.entries(info.modes)) {
    if (!info.points.some((point) => point.mode === mode)) continue;
    const key = svg("svg", "sign", legend, { viewBox: "-8 -8 16 16", "aria-hidden": "true" });
    svg("path", "sign-shape", key, { d: SHAPES[mode], style: `--mode:${colour}` });
    make("span", "", legend, { textContent: label });
  }
  make("span", "", legend, { textContent: "filled: on the front of its benchmark; bars: 95% intervals" });
  const canvas = svg("svg", "canvas", parent, { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "group", "aria-label": "accuracy against cost" });
  const drawn = svg("g", "", canvas);
  const frame = svg("rect", "brush", canvas, { "pointer-events": "none" });
  brushByMouse(view, canvas);
  const told = make("div", "told", parent);
  told.setAttribute("role", "status");
  const sliders = makeSliders(view, parent);
  let shown = null;
  return () => {
    const key = `${view.cost}/${state.get("benchmark")}`;
    if (key !== shown) {
      drawn.replaceChildren();
      paintAxes(view, drawn);
      paintFronts(view, drawn);
      paintPoints(view, drawn, (text) => (told.textContent = text));
      shown = key;
    }
    for (const element of drawn.querySelectorAll(".wbx-point")) {
      const id = Number(element.dataset.point);
      element.classList.toggle("wbx-outside", !view.inside.some((point) => point.id === id));
      element.setAttribute("aria-pressed", String(view.point?.id === id));
    }
    told.textContent = view.point ? tell(view, view.point) : "Click a point to see its failures; drag a frame, or move the sliders, to keep a range.";
    paintBrush(view, frame);
    sliders();
  };
}

function tell({ info, cost }, point) {
  return `${point.name}: ${points100(point.accuracy)}% (${points100(point.low)} to ${points100(point.high)}) for ${costly(point.cost)} `
    + `${info.costs[cost]} a reply (${costly(point.cost_low)} to ${costly(point.cost_high)}); ${plural(point.n, "item")}; `
    + `on the front in ${Math.round(100 * point.p_front)}% of resamples.`;
}

function paintAxes({ info, cost, scale }, parent) {
  const [left, bottom] = [across(0), down(0)];
  for (const tick of scale.y.ticks) {
    const y = down(scale.y.of(tick));
    svg("path", "rule", parent, { d: `M${left} ${y}H${across(1)}` });
    svg("text", "tick", parent, { x: left - 6, y: y + 4, "text-anchor": "end" }, `${+(100 * tick).toFixed(1)}`);
  }
  for (const tick of scale.x.ticks) {
    const x = across(scale.x.of(tick));
    svg("path", "rule", parent, { d: `M${x} ${bottom}v5` });
    svg("text", "tick", parent, { x, y: bottom + 18, "text-anchor": "middle" }, `${+tick.toPrecision(3)}`);
  }
  svg("path", "frame", parent, { d: `M${left} ${EDGE.top}V${bottom}H${across(1)}` });
  const name = `${info.costs[cost]} a reply${scale.log ? " (logarithmic)" : ""}`;
  svg("text", "axis", parent, { x: across(0.5), y: HIGH - 6, "text-anchor": "middle" }, name);
  svg("text", "axis", parent, { transform: `translate(13 ${down(0.5)}) rotate(-90)`, "text-anchor": "middle" }, "score (%)");
}

/** The front of one benchmark as steps; of several at once they would cross without meaning. */
function paintFronts({ points, scale }, parent) {
  if (new Set(points.map(({ benchmark }) => benchmark)).size > 1) return;
  const front = points.filter(({ on_front }) => on_front).sort((a, b) => a.cost - b.cost);
  const places = front.map((point) => [across(scale.x.of(point.cost)), down(scale.y.of(point.accuracy))]);
  if (places.length < 2) return;
  const path = places.slice(1).reduce((drawn, [x, y]) => `${drawn}H${x}V${y}`, `M${places[0].join(" ")}`);
  svg("path", "front", parent, { d: path });
}

function paintPoints(view, parent, hear) {
  const { info, state, points, scale } = view;
  const taken = points.flatMap((point) => {
    const [x, y] = [across(scale.x.of(point.cost)), down(scale.y.of(point.accuracy))];
    const [north, south] = [point.high, point.low].map((share) => down(scale.y.of(share)));
    return [box(x, y, 14, 14), box(x, (north + south) / 2, 2, south - north)];
  });
  points.forEach((point, at) => {
    const [x, y] = [across(scale.x.of(point.cost)), down(scale.y.of(point.accuracy))];
    const own = svg("g", "point", parent, { tabindex: at ? -1 : 0, role: "button", "aria-label": point.name, style: `--mode:${info.modes[point.mode].colour}` });
    Object.assign(own.dataset, { point: point.id, name: `point-${point.id}` });
    const [west, east] = [point.cost_low, point.cost_high].map((cost) => across(scale.x.of(cost)));
    const [south, north] = [point.low, point.high].map((share) => down(scale.y.of(share)));
    svg("path", "interval", own, { d: `M${west} ${y}H${east}M${x} ${south}V${north}` });
    svg("circle", "touch", own, { cx: x, cy: y, r: 13 });
    svg("path", point.on_front ? "shape wbx-on" : "shape", own, { d: SHAPES[point.mode], transform: `translate(${x} ${y})` });
    const place = points.length <= NAMED && besides(point.label, x, y, taken);
    if (place) svg("text", "name", own, { x: place.x, y: place.y }, point.label);
    const choose = () => state.set({ point: state.get("point") === point.id ? null : point.id, group: null, which: "wrong" });
    own.addEventListener("click", choose);
    for (const event of ["pointerenter", "focus"]) own.addEventListener(event, () => hear(tell(view, point)));
    own.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") choose();
      else if (!walk(own, [...parent.querySelectorAll(".wbx-point")], event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    });
  });
}

/** Move the focus to a neighbour by an arrow key; whether there was one to move. */
function walk(own, all, key) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
  const ends = { Home: 0, End: all.length - 1 }[key];
  const to = ends ?? (step && Math.min(Math.max(all.indexOf(own) + step, 0), all.length - 1));
  if (to === undefined) return false;
  all.forEach((one, at) => one.setAttribute("tabindex", at === to ? 0 : -1));
  all[to].focus();
  return true;
}

const box = (x, y, wide, high) => ({ left: x - wide / 2, right: x + wide / 2, top: y - high / 2, bottom: y + high / 2 });
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** A place for a name beside its point that covers nothing, if there is one; names are at most as wide as told. */
function besides(name, x, y, taken) {
  const wide = 6.2 * name.length + 4;
  for (const [left, middle] of [[x + 10, y - 9], [x + 10, y + 12], [x - 10 - wide, y - 9], [x - 10 - wide, y + 12], [x - wide / 2, y - 20], [x - wide / 2, y + 22]]) {
    const place = box(left + wide / 2, middle, wide, 13);
    if (place.left < EDGE.left || place.right > WIDE || place.top < 0 || place.bottom > HIGH - EDGE.bottom) continue;
    if (taken.some((other) => meet(other, place))) continue;
    taken.push(place);
    return { x: left, y: middle + 4 };
  }
  return null;
}

/** Drag a frame over the plane; a click beside every point takes the frame away. */
function brushByMouse(view, canvas) {
  const { state } = view;
  const place = (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const [x, y] = [((event.clientX - left) * WIDE) / width, ((event.clientY - top) * HIGH) / height];
    const within = (share) => Math.min(1, Math.max(0, share));
    return [within((x - across(0)) / (across(1) - across(0))), within((y - down(0)) / (down(1) - down(0)))];
  };
  let begun = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest(".wbx-point")) return;
    begun = { share: place(event), x: event.clientX, y: event.clientY };
    canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!begun || (!view.live && Math.hypot(event.clientX - begun.x, event.clientY - begun.y) < DRAG)) return;
    const [[x1, y1], [x2, y2]] = [begun.share, place(event)];
    view.live = brushOf(view.scale, Math.min(x1, x2), Math.max(x1, x2), Math.min(y1, y2), Math.max(y1, y2));
    view.draw();
  });
  const end = (kept) => {
    if (!begun) return;
    const brush = kept ? view.live : state.get("brush");
    begun = view.live = null;
    state.set({ brush, point: null, group: null });
    view.draw();
  };
  canvas.addEventListener("pointerup", () => end(true));
  canvas.addEventListener("pointercancel", () => end(false));
}

const brushOf = ({ x, y }, left, right, bottom, top) => [x.at(left), x.at(right), y.at(bottom), y.at(top)];

/** The brush in shares of the plane, cut at its edges: left, right, bottom, top. */
function brushedShares({ brush, scale }) {
  if (!brush) return [0, 1, 0, 1];
  const within = (share) => (share >= 0 ? Math.min(1, share) : 0); // a cost of 0 has no place on a logarithmic scale
  return [scale.x.of(brush[0]), scale.x.of(brush[1]), scale.y.of(brush[2]), scale.y.of(brush[3])].map(within);
}

function paintBrush(view, frame) {
  frame.style.display = view.brush ? "" : "none";
  const [left, right, bottom, top] = brushedShares(view);
  const place = { x: across(left), y: down(top), width: across(right) - across(left), height: down(bottom) - down(top) };
  for (const [name, value] of Object.entries(place)) frame.setAttribute(name, value);
}

/** Four sliders: the ends of the range that is kept. */
function makeSliders(view, parent) {
  const { info, state } = view;
  const bar = make("div", "controls wbx-range", parent);
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "range that is kept");
  const pairs = [make("span", "ends", bar), make("span", "ends", bar)]; // each stays on one line
  const ends = ["cost from", "to", "score from", "to"].map((name, end) => {
    const label = make("label", "slider", pairs[end >> 1]);
    make("span", "", label, { textContent: name });
    const input = make("input", "", label, { type: "range", min: 0, max: STEPS, step: 1 });
    input.setAttribute("aria-label", ["least cost", "greatest cost", "lowest score", "highest score"][end]);
    const output = make("output", "", label);
    input.addEventListener("input", () => {
      const shares = brushedShares(view);
      const share = Number(input.value) / STEPS;
      const other = shares[end ^ 1];
      shares[end] = end % 2 ? Math.max(share, other) : Math.min(share, other);
      const whole = shares.every((one, at) => one === at % 2);
      state.set({ brush: whole ? null : brushOf(view.scale, ...shares), point: null, group: null });
    });
    return [input, output];
  });
  const clear = make("button", "button", bar, { type: "button", textContent: "whole plane" });
  clear.addEventListener("click", () => state.set({ brush: null, point: null, group: null }));
  return () => {
    const shares = brushedShares(view);
    const values = brushOf(view.scale, ...shares);
    ends.forEach(([input, output], end) => {
      input.value = Math.round(STEPS * shares[end]);
      output.textContent = end < 2 ? costly(values[end]) : `${points100(values[end])}%`;
      input.setAttribute("aria-valuetext", `${output.textContent}${end < 2 ? ` ${info.costs[view.cost]}` : ""}`);
    });
    clear.disabled = !view.brush && !view.point && state.get("group") == null;
  };
}

// -- what stands beside it ------------------------------------------------------------------------

/** What accuracy is drawn against, and the points of which benchmark. */
function makeBar({ info, state }, parent) {
  const bar = make("div", "controls", parent);
  const costs = Object.entries(info.costs).map(([name, label]) => {
    const button = make("button", "button", bar, { type: "button", textContent: label, hidden: Object.keys(info.costs).length < 2 });
    button.addEventListener("click", () => state.set({ cost: name, brush: null, point: null, group: null }));
    return [name, button];
  });
  const label = make("label", "slider", bar, { hidden: info.benchmarks.length < 2 });
  make("span", "", label, { textContent: "points of" });
  const list = make("select", "field", label);
  for (const name of ["", ...info.benchmarks]) make("option", "", list, { value: name, textContent: name || "every benchmark" });
  list.addEventListener("change", () => state.set({ benchmark: list.value, brush: null, point: null, group: null }));
  const slow = make("span", "note", bar, { textContent: "Seconds mean something only for questions that were asked one at a time." });
  return () => {
    for (const [name, button] of costs) button.setAttribute("aria-pressed", String(name === state.get("cost")));
    list.value = state.get("benchmark");
    slow.hidden = state.get("cost") !== "seconds";
  };
}

function row(parent, cells, tag = "td") {
  const line = make("tr", "", parent);
  for (const cell of cells) {
    const own = make(tag, typeof cell === "string" && /^[\d+−-]/.test(cell) ? "number" : "", line);
    own.append(cell);
  }
  return line;
}

/** A button inside a table; `name` keeps its focus when the table is drawn anew. */
function cellButton(name, text, pressed, choose, label = text) {
  const button = make("button", "button", null, { type: "button", textContent: text });
  button.dataset.name = name;
  button.setAttribute("aria-pressed", String(pressed));
  button.setAttribute("aria-label", label);
  button.addEventListener("click", choose);
  return button;
}

/** The points inside the brush, the cheapest first. */
function makeTable(view, parent) {
  const { info, state } = view;
  const title = make("div", "title", parent);
  const table = make("table", "table", make("div", "scroll", parent, { tabIndex: -1 }));
  return () => {
    title.textContent = `${view.inside.length} of ${plural(view.points.length, "point")}`;
    table.replaceChildren();
    row(make("thead", "", table), ["point", "items", "score, % (95%)", `${info.costs[view.cost]} (95%)`, "on the front"], "th");
    const body = make("tbody", "", table);
    for (const point of [...view.inside].sort((a, b) => a.cost - b.cost)) {
      const pressed = view.point === point;
      const choose = () => state.set({ point: pressed ? null : point.id, group: null, which: "wrong" });
      row(body, [
        cellButton(`row-${point.id}`, point.name, pressed, choose, `${point.name}: its failures`),
        `${point.n}`,
        `${points100(point.accuracy)} (${points100(point.low)} to ${points100(point.high)})`,
        `${costly(point.cost)} (${costly(point.cost_low)} to ${costly(point.cost_high)})`,
        `${Math.round(100 * point.p_front)}%`,
      ]);
    }
  };
}

/** What thinking changes, benchmark by benchmark: counts that list their items, and the verdict. */
function makeLens(view, parent) {
  const { info, state } = view;
  const own = make("section", "lens-part", parent);
  make("div", "title", own, { textContent: "What thinking changes, item by item" });
  const none = make("div", "note", own, { hidden: info.lens.length > 0 });
  none.textContent = "This needs replies in both forced modes, think and nothink, to the same items.";
  const table = make("table", "table", make("div", "scroll", own, { tabIndex: -1, hidden: !info.lens.length }));
  const says = { helps: "thinking helps", hurts: "thinking hurts", "no difference seen": "no difference seen" };
  return () => {
    table.replaceChildren();
    row(make("thead", "", table), ["benchmark", "items", "won", "lost", "", "both right", "both wrong", "gain, points (95%)", "after Holm"], "th");
    const body = make("tbody", "", table);
    const groups = new Set(view.inside.flatMap((point) => point.groups));
    for (const one of info.lens.filter(({ group }) => groups.has(group))) {
      const count = (which, number) => {
        const pressed = state.get("group") === one.group && state.get("which") === which;
        const choose = () => state.set(pressed ? { group: null, which: "wrong" } : { group: one.group, which, point: null });
        return cellButton(`lens-${one.group}-${which}`, `${number}`, pressed, choose, `${one.name}: ${number} ${WHICH[which][0]}`);
      };
      row(body, [
        one.name, `${one.n}`, count("won", one.helps), count("lost", one.hurts), balance(one),
        count("both right", one.both_right), count("both wrong", one.both_wrong),
        `${signed(one.gain)} (${signed(one.gain_low)} to ${signed(one.gain_high)})`, says[one.says],
      ]);
    }
  };
}

/** Items lost to the left and won to the right, as shares of all. */
function balance({ helps, hurts, n }) {
  const bar = make("span", "balance", null);
  bar.setAttribute("aria-hidden", "true");
  make("span", "lost", make("span", "", bar)).style.width = `${(100 * hurts) / n}%`;
  make("span", "won", make("span", "", bar)).style.width = `${(100 * helps) / n}%`;
  return bar;
}

/** The items that the choices leave, page by page, and the one that is looked at. */
function makeItems(view, parent, source) {
  const { info, state } = view;
  const own = make("section", "items-part", parent);
  const title = make("div", "title", own);
  title.setAttribute("role", "status");
  const bar = make("div", "controls", own);
  const buttons = Object.entries(WHICH).map(([which, [label, meaning]]) => {
    const button = make("button", "button", bar, { type: "button", title: meaning });
    button.addEventListener("click", () => state.set({ which }));
    return [which, label, button];
  });
  const body = make("div", "body", own);
  const side = make("div", "list-part", body);
  const list = make("div", "list", side);
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "items");
  const turning = make("div", "controls", side);
  const turn = (pages) => {
    view.first += LINES * pages;
    view.item = null;
    view.draw();
  };
  const [back, on] = [["previous", -1], ["next", 1]].map(([name, pages]) => {
    const button = make("button", "button", turning, { type: "button", textContent: name });
    button.addEventListener("click", () => turn(pages));
    return button;
  });
  const place = make("span", "note", turning);
  turning.insertBefore(place, on);
  const card = makeCard(source, make("div", "card", body));
  return () => {
    own.dataset.lines = view.lines ? "1" : "";
    if (!view.lines) {
      title.textContent = view.trouble || "Items are on their way ...";
      title.classList.toggle("wbx-error", Boolean(view.trouble));
      return;
    }
    const kept = itemsOf(view);
    for (const [which, label, button] of buttons) {
      button.textContent = `${label} ${kept[which].length}`;
      button.setAttribute("aria-pressed", String(which === state.get("which")));
    }
    const found = kept[state.get("which")].sort((a, b) => source.has(b) - source.has(a)); // what the page carries first
    title.textContent = titleOf(view, found.length);
    view.first = Math.max(0, Math.min(view.first, LINES * Math.floor((found.length - 1) / LINES)));
    const page = found.slice(view.first, view.first + LINES);
    if (!page.includes(view.item)) view.item = page[0] ?? null;
    paintList(view, list, page, turn);
    place.textContent = found.length ? `${view.first + 1} to ${view.first + page.length} of ${found.length}` : "no items";
    back.disabled = !view.first;
    on.disabled = view.first + LINES >= found.length;
    card(view.item);
  };
}

/** Which lines each of `WHICH` keeps, within what the brush or a click left. */
function itemsOf({ lines, modesOf }) {
  const kept = Object.fromEntries(Object.keys(WHICH).map((which) => [which, []]));
  lines.item.forEach((_, at) => {
    const modes = modesOf.get(lines.group[at]);
    if (!modes) return;
    const values = valuesOf(lines, at);
    for (const [which, [, , test]] of Object.entries(WHICH)) if (test(values, modes)) kept[which].push(at);
  });
  return kept;
}

const valuesOf = (lines, at) => Object.fromEntries(Object.entries(lines.values).map(([mode, values]) => [mode, values[at]]));

function titleOf({ info, state, point, brush }, count) {
  const group = state.get("group");
  const where = group != null ? info.groups[group] : point ? point.name : brush ? "the points inside the frame" : "all points shown";
  return `${plural(count, "item")} of ${where}: ${WHICH[state.get("which")][1]}`;
}

/** One line an item: its name, and whether each mode was right. */
function paintList(view, list, page, turn) {
  const { info, lines } = view;
  list.replaceChildren();
  for (const at of page) {
    const line = make("div", "line", list, { tabIndex: at === view.item ? 0 : -1 });
    line.setAttribute("role", "option");
    line.setAttribute("aria-selected", String(at === view.item));
    line.dataset.name = `item-${at}`;
    const names = [info.groups.length > 1 && info.groups[lines.group[at]], lines.item[at], lines.category[at]];
    make("span", "item-name", line, { textContent: names.filter(Boolean).join(" · ") });
    const marks = make("span", "marks", line);
    for (const [mode, value] of Object.entries(valuesOf(lines, at))) {
      const kind = value == null ? "none" : right(value) ? "right" : "wrong";
      make("span", `mark wbx-${kind}`, marks, { textContent: `${info.modes[mode].label} ${mark(value)}` });
    }
    const choose = (item) => {
      view.item = item;
      view.draw();
      list.querySelector('[aria-selected="true"]')?.focus();
    };
    line.addEventListener("click", () => choose(at));
    line.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const pages = { PageDown: 1, PageUp: -1 }[event.key];
      if (step) choose(page[Math.min(Math.max(page.indexOf(at) + step, 0), page.length - 1)]);
      else if (pages) {
        turn(pages);
        choose(view.item);
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }
}

/** The item that is looked at. Its HTML is ours: all that models and benchmarks said is escaped in it. */
function makeCard(source, parent) {
  let wanted = null;
  return async (item) => {
    if (item === wanted) return;
    wanted = item;
    if (item === null) {
      parent.replaceChildren();
      return;
    }
    try {
      const html = await source.card(item);
      if (item === wanted) parent.innerHTML = html;
    } catch (error) {
      if (item !== wanted) return;
      parent.replaceChildren();
      make("div", "note", parent, { textContent: error.message });
    }
  };
}

// -- where items come from -------------------------------------------------------------------------

function itemsOfKernel(model) {
  const { ask, close } = asking(model);
  return {
    lines: async () => (await ask({ kind: "lines" })).lines,
    has: () => true,
    card: async (number) => (await ask({ kind: "card", number })).html,
    close,
  };
}

function itemsOfPage({ lines, cards }) {
  const count = Object.keys(cards).length;
  return {
    lines: async () => lines,
    has: (number) => number in cards,
    card: async (number) => {
      if (number in cards) return cards[number];
      throw new Error(`This page carries the pictures and replies of ${count} of ${lines.item.length} items; this one is not among them.`);
    },
    close: () => {},
  };
}

function render({ model, el }) {
  return mount(el, kernelState(model), itemsOfKernel(model));
}

/** Start from the data that a saved page carries. */
function open(el, data) {
  return mount(el, pageState(data.state), itemsOfPage(data));
}

export { open };
export default { render };
