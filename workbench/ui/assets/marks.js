// A pen and a box for a picture. Marks are kept apart from it, as shares of its width and height.

const COLOURS = ["red", "blue", "yellow", "black", "white"];
const STEP = 0.04; // of the picture, by which an arrow key moves a box
const LEAST = 0.005; // of the picture, between two points of a line or corners of a box
const apart = (a, b) => a.some((share, axis) => Math.abs(share - b[axis]) > LEAST);
const clip = (share) => Math.min(1, Math.max(0, share));

/** Draw marks over what a canvas shows, as Python does when they are asked about. */
function paintMarks(canvas, marks) {
  const pen = canvas.getContext("2d");
  const at = ([x, y]) => [x * (canvas.width - 1), y * (canvas.height - 1)];
  pen.lineWidth = Math.max(2, Math.round(0.008 * Math.max(canvas.width, canvas.height)));
  pen.lineJoin = pen.lineCap = "round";
  for (const { tool, colour, points } of marks) {
    pen.strokeStyle = colour;
    const [[x, y], ...others] = points.map(at);
    pen.beginPath();
    if (tool === "box") pen.rect(x, y, others[0][0] - x, others[0][1] - y);
    else {
      pen.moveTo(x, y);
      for (const point of others.length ? others : [[x, y]]) pen.lineTo(...point);
    }
    pen.stroke();
  }
}

/** Buttons for tools and colours, and drawing on a canvas by mouse, finger and keys; `repaint` shows a mark in the making. */
function makeMarks(model, canvas, parent, repaint) {
  const tools = make("div", "buttons", parent, { hidden: true });
  tools.setAttribute("role", "group");
  tools.setAttribute("aria-label", "draw on the picture");
  const note = make("div", "note", parent, { hidden: true });
  let tool = "";
  let colour = COLOURS[0];
  let growing = null;

  const button = (name, act) => {
    const made = make("button", "button", tools, { type: "button", textContent: name });
    made.addEventListener("click", act);
    return made;
  };
  const put = (marks) => {
    model.set("marks", marks);
    try {
      model.save_changes();
    } catch {
      // nobody to tell: asking says so
    }
  };
  const choices = ["pen", "box"].map((name) => [name, button(name, () => choose(tool === name ? "" : name))]);
  const colours = COLOURS.map((name) => {
    const made = button(name, () => {
      colour = name;
      draw();
    });
    make("span", "swatch", made).style.background = name;
    return [name, made];
  });
  const undo = button("undo", () => put(model.get("marks").slice(0, -1)));
  const clear = button("clear", () => put([]));

  const choose = (name) => {
    tool = name;
    growing = null;
    draw();
    repaint([]);
    if (tool === "box") canvas.focus();
  };
  const place = (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return [clip((event.clientX - left) / width), clip((event.clientY - top) / height)];
  };
  const finish = () => {
    const kept = growing && (growing.tool === "pen" || apart(...growing.points)); // a mere click is no box
    if (kept) put([...model.get("marks"), growing]);
    growing = null;
    repaint([]);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!tool) return;
    growing = { tool, colour, points: tool === "box" ? [place(event), place(event)] : [place(event)] };
    canvas.setPointerCapture?.(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!growing || !event.buttons) return;
    if (tool === "box") growing.points[1] = place(event);
    else if (apart(growing.points.at(-1), place(event))) growing.points.push(place(event));
    repaint([growing]);
  });
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("click", (event) => tool && event.stopPropagation());
  canvas.addEventListener("keydown", (event) => {
    if (tool !== "box") return;
    const way = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (way) {
      growing = growing ?? { tool, colour, points: [[0.4, 0.4], [0.6, 0.6]] };
      const moved = growing.points.map(([x, y], corner) => (event.shiftKey && !corner ? [x, y] : [clip(x + way[0]), clip(y + way[1])]));
      growing.points = moved;
      repaint([growing]);
    } else if (event.key === "Enter") finish();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const draw = () => {
    tools.hidden = canvas.hidden;
    note.hidden = canvas.hidden || !tool;
    note.textContent = tool === "box"
      ? "Drag a box; or move one with the arrow keys, size it with Shift and arrows, put it with Enter"
      : "Draw with the mouse or a finger";
    for (const [name, made] of choices) made.setAttribute("aria-pressed", String(name === tool));
    for (const [name, made] of colours) made.setAttribute("aria-pressed", String(name === colour));
    undo.disabled = clear.disabled = !model.get("marks").length;
    canvas.style.cursor = tool ? "crosshair" : "";
    canvas.style.touchAction = tool ? "none" : "";
    canvas.tabIndex = tool === "box" ? 0 : -1;
  };
  return { draw };
}
