"""Rendered expressions, tables, simple geometry and worksheets."""

from __future__ import annotations

import random
from collections.abc import Iterator

from .canvas import RGB, Box, Canvas, colour_of
from .sample import Drawing, Question
from .wordings import CATEGORIES, COLOURS

__all__ = ["chain", "geometry", "homework", "scaled_geometry", "table_value"]

INK = (25, 25, 30)
MINUS = "−"
THIN = (150, 154, 160)

Lengths = Iterator[tuple[str, int, Box]]  # name, value, box of the written number


def chain(rng: random.Random, difficulty: int, *, mended: bool = False) -> Drawing:
    """Evaluate an expression from left to right modulo ten: each step needs the one before.

    ``mended`` draws and writes a minus sign where else there is a hyphen.
    """
    minus = MINUS if mended else "-"
    steps = {1: rng.randint(2, 3), 2: 4, 3: rng.randint(5, 6)}[difficulty]
    value = rng.randint(1, 9)
    glyphs, trace = [str(value)], []
    for _ in range(steps):
        operator = rng.choice("+×-" if value else "+×+")
        number = rng.randint(1, value) if operator == "-" else rng.randint(2, 9)
        result = {"+": value + number, "-": value - number, "×": value * number}[operator] % 10
        sign = minus if operator == "-" else operator
        trace.append(f"{value} {sign} {number} is {result}.")
        glyphs += [sign, str(number)]
        value = result
    canvas, boxes = _line_up(rng, glyphs)
    ask = rng.choice(
        (
            "Work from left to right and keep only the last digit after each step. What is left?",
            "Evaluate from left to right, keeping only the last digit. What is the result?",
        )
    )
    first = Question(ask, str(value), " ".join(trace), tuple(boxes), "number", steps=steps, asks="chain")
    return Drawing([canvas], [first])


def _line_up(rng: random.Random, glyphs: list[str]) -> tuple[Canvas, list[Box]]:
    """Glyphs side by side, on one line or two."""
    per_line = 7 if len(glyphs) > 7 else len(glyphs)
    lines = -(-len(glyphs) // per_line)
    size, pitch = rng.randint(12, 15), rng.choice((14, 15, 16))
    background = rng.choice(((255, 255, 255), (250, 248, 240), (236, 240, 246)))
    canvas = Canvas(128, 32 * lines + 16, background)
    left, boxes = 8 + rng.randint(0, 128 - 12 - pitch * per_line), []
    top = 22 + rng.randint(-4, 4)
    for i, glyph in enumerate(glyphs):
        line, place = divmod(i, per_line)
        kind = "number" if glyph.isdigit() else "operator"
        x, y = left + pitch * (place + 0.5), top + 30 * line
        says = "-" if glyph == MINUS else ""
        boxes.append(canvas.text((x, y), glyph, size=size, colour=INK, kind=kind, says=says))
    return canvas, boxes


def table_value(rng: random.Random, difficulty: int) -> Drawing:
    """Read a cell of a table by the names of its row and its column."""
    rows, cols = {1: (2, 2), 2: (3, 2), 3: (3, 3)}[difficulty]
    theme = rng.choice(("drinks", "fruit", "places", "animals"))
    names, heads = (
        rng.sample(CATEGORIES[theme], rows),
        rng.sample(CATEGORIES[rng.choice(("months", "days"))], cols),
    )
    pitch = 28
    # Lines of text stand inside rows of patches: cut in half, their numbers are too small to be read.
    left, top, high = 4 + rng.randint(0, 3), (4, 4, 12)[rng.randint(0, 2)], 16
    canvas = Canvas(112 if cols == 2 else 144, -(-(top + high * (rows + 1) + 2) // 16) * 16)
    xs = [left + 40 + pitch * (c + 0.5) for c in range(cols)]
    width = left + 40 + pitch * cols
    canvas.rectangle(
        (left, top, width, top + high), rng.choice(((226, 230, 238), (238, 232, 214), (222, 236, 224)))
    )
    for r in range(rows + 2):
        canvas.line([(left, top + high * r), (width, top + high * r)], (160, 164, 172), 0.5)
    for x, head in zip(xs, heads, strict=True):
        canvas.text((x, top + high / 2), head, size=9, bold=True)
    questions = []
    for r, name in enumerate(names):
        y = top + high * (r + 1.5)
        row_box = canvas.text((left + 3, y), name, size=9, anchor="lm", key=name)
        for x, head in zip(xs, heads, strict=True):
            value = rng.randint(1, 99)
            box = canvas.text((x, y), str(value), size=9, kind="cell", key=name, second=head)
            ask = rng.choice((f"What is the value of {name} in {head}?", f"How much is {name} in {head}?"))
            trace = f"{name} in {head} reads {value}."
            gaps = {"row": name, "column": head}
            questions.append(
                Question(ask, str(value), trace, (box, row_box), "number", asks="cell", names=gaps)
            )
    return Drawing([canvas], questions)


def geometry(rng: random.Random, difficulty: int) -> Drawing:
    """Read a length off a drawn figure: width and height of a rectangle or triangle, a radius."""
    shapes = rng.sample(("rectangle", "triangle", "circle"), {1: 1, 2: 2, 3: 2}[difficulty])
    canvas = Canvas(80 * len(shapes) if len(shapes) > 1 else 96, 80)
    questions = []
    for i, shape in enumerate(shapes):
        x, y = 80 * i + 6 + rng.randint(0, 4), 6 + rng.randint(0, 4)
        draw = {"rectangle": _rectangle, "triangle": _triangle, "circle": _circle}[shape]
        for name, value, box in draw(rng, canvas, x, y):
            ask = rng.choice(
                (f"What is the {name} of the {shape}?", f"How long is the {name} of the {shape}?")
            )
            trace = f"The {name} of the {shape} says {value}."
            names = {"length": name, "figure": shape}
            questions.append(Question(ask, str(value), trace, (box,), "number", asks="length", names=names))
    return Drawing([canvas], questions)


def _fill(rng: random.Random) -> RGB:
    return colour_of(rng.choice(list(COLOURS)), rng) if rng.random() < 0.5 else (246, 246, 246)


def _rectangle(rng: random.Random, canvas: Canvas, x: float, y: float) -> Lengths:
    w, h = rng.randint(26, 40), rng.randint(24, 40)
    canvas.rectangle((x, y, x + w, y + h), _fill(rng), INK)
    canvas.mark((x, y, x + w, y + h), "square")
    wide, high = rng.randint(2, 99), rng.randint(2, 99)
    yield "width", wide, _length(canvas, (x + w / 2, y + h + 8), wide, "width", "rectangle")
    yield "height", high, _length(canvas, (x + w + 10, y + h / 2), high, "height", "rectangle")


def _triangle(rng: random.Random, canvas: Canvas, x: float, y: float) -> Lengths:
    w, h = rng.randint(34, 44), rng.randint(30, 40)
    canvas.polygon([(x, y + h), (x + w, y + h), (x + w, y)], _fill(rng), INK)
    canvas.mark((x, y, x + w, y + h), "triangle")
    wide, high = rng.randint(2, 99), rng.randint(2, 99)
    yield "width", wide, _length(canvas, (x + w / 2, y + h + 8), wide, "width", "triangle")
    yield "height", high, _length(canvas, (x + w + 10, y + h / 2), high, "height", "triangle")


def _circle(rng: random.Random, canvas: Canvas, x: float, y: float) -> Lengths:
    r = rng.randint(18, 24)
    canvas.ellipse((x, y, x + 2 * r, y + 2 * r), (246, 246, 246), INK)
    canvas.mark((x, y, x + 2 * r, y + 2 * r), "circle")
    canvas.line([(x + r, y + r), (x + 2 * r, y + r)], INK)
    radius = rng.randint(2, 99)
    yield "radius", radius, _length(canvas, (x + 1.45 * r, y + r - 7), radius, "radius", "circle")


def _length(canvas: Canvas, at: tuple[float, float], value: int, name: str, figure: str) -> Box:
    return canvas.text(at, str(value), size=9, kind="side", key=name, second=figure)


def scaled_geometry(rng: random.Random, difficulty: int) -> Drawing:
    """Read a length off figures that are drawn to one scale; a diameter has to be computed."""
    shapes = rng.sample(("rectangle", "triangle", "circle"), {1: 1, 2: 2, 3: 2}[difficulty])
    unit = rng.uniform(2.6, 3.4)  # pixels of one unit of length, for all figures of the picture
    canvas = Canvas(80 * len(shapes) if len(shapes) > 1 else 96, 80)
    questions = []
    for i, shape in enumerate(shapes):
        x, y = 80 * i + 6 + rng.randint(0, 4), 6 + rng.randint(0, 4)
        for name, value, box, why in _SCALED[shape](rng, canvas, x, y, unit):
            trace = f"The {name} of the {shape} says {value}."
            questions.append(
                Question(
                    f"What is the {name} of the {shape}?",
                    str(value),
                    why or trace,
                    (box,),
                    "number",
                    asks="length",
                    names={"length": name, "figure": shape},
                )
            )
    return Drawing([canvas], questions)


ScaledLengths = Iterator[tuple[str, int, Box, str]]  # and why, where it was computed


def _scaled_rectangle(rng: random.Random, canvas: Canvas, x: float, y: float, unit: float) -> ScaledLengths:
    wide, high = rng.randint(8, 13), rng.randint(7, 13)
    w, h = wide * unit, high * unit
    canvas.rectangle((x, y, x + w, y + h), _fill(rng), INK)
    canvas.mark((x, y, x + w, y + h), "square")
    yield "width", wide, _length(canvas, (x + w / 2, y + h + 8), wide, "width", "rectangle"), ""
    yield "height", high, _length(canvas, (x + w + 10, y + h / 2), high, "height", "rectangle"), ""


def _scaled_triangle(rng: random.Random, canvas: Canvas, x: float, y: float, unit: float) -> ScaledLengths:
    wide, high = rng.randint(9, 14), rng.randint(8, 13)
    w, h = wide * unit, high * unit
    canvas.polygon([(x, y + h), (x + w, y + h), (x + w, y)], _fill(rng), INK)
    canvas.mark((x, y, x + w, y + h), "triangle")
    yield "width", wide, _length(canvas, (x + w / 2, y + h + 8), wide, "width", "triangle"), ""
    yield "height", high, _length(canvas, (x + w + 10, y + h / 2), high, "height", "triangle"), ""


def _scaled_circle(rng: random.Random, canvas: Canvas, x: float, y: float, unit: float) -> ScaledLengths:
    radius = rng.randint(6, 9)
    r = radius * unit
    canvas.ellipse((x, y, x + 2 * r, y + 2 * r), (246, 246, 246), INK)
    canvas.mark((x, y, x + 2 * r, y + 2 * r), "circle")
    canvas.line([(x + r, y + r), (x + 2 * r, y + r)], INK)
    box = _length(canvas, (x + 1.45 * r, y + r - 7), radius, "radius", "circle")
    yield "radius", radius, box, ""
    yield "diameter", 2 * radius, box, f"The diameter of the circle is 2 × {radius} = {2 * radius}."


_SCALED = {"rectangle": _scaled_rectangle, "triangle": _scaled_triangle, "circle": _scaled_circle}


def homework(rng: random.Random, difficulty: int) -> Drawing:
    """Solve a worksheet: sums in columns, or areas and perimeters of figures that are drawn to one scale."""
    return (_columns if rng.random() < 0.55 else _figures)(rng, difficulty)


def _columns(rng: random.Random, difficulty: int) -> Drawing:
    """Tasks side by side, each two numbers one below the other with a line and room for the result."""
    digits = 3 if difficulty == 3 else 2
    size, left = rng.randint(12, 14), rng.uniform(4, 10)
    canvas = Canvas(16 + 52 * difficulty, 72, rng.choice(((255, 255, 255), (250, 248, 240), (240, 245, 252))))
    questions = []
    for i in range(difficulty):
        letter, right, sign = "ABC"[i], left + 46 + 52 * i, rng.choice(f"+{MINUS}")
        low, high = (10 ** (digits - 1), 10**digits - 1)
        above, below = sorted((rng.randint(low, high), rng.randint(low, high)), reverse=sign == MINUS)
        first = canvas.text((right - 42, 12), f"{letter})", size=9, colour=INK, anchor="lm", bold=True)
        rows = [
            canvas.text((right, y), str(number), size=size, colour=INK, anchor="rm", kind="number", grid=1)
            for y, number in ((24, above), (42, below))
        ]
        says = "-" if sign == MINUS else ""
        drawn = canvas.text((right - 36, 42), sign, size=size, colour=INK, kind="operator", says=says, grid=1)
        canvas.line([(right - 40, 52), (right + 2, 52)], INK)
        trace, result = column_steps(above, below, sign)
        box = (right - 44, min(first[1], rows[0][1]), right + 2, max(drawn[3], rows[1][3]))
        questions.append(
            Question(
                f"Solve task {letter}.",
                str(result),
                " ".join(trace),
                (box,),
                "number",
                steps=len(trace),
                asks="solve",
                names={"letter": letter},
            )
        )
    return Drawing([canvas], questions)


def column_steps(above: int, below: int, sign: str) -> tuple[list[str], int]:
    """A sum or difference of two numbers, digit by digit from the right: (sentences, result)."""
    steps, carry, adds = [], 0, sign == "+"
    for place in range(len(str(max(above, below)))):
        one, other = (number // 10**place % 10 for number in (above, below))
        carried = f" {sign} 1" if carry else ""
        if adds:
            made = one + other + carry
            carry = made // 10
        else:
            lent = one - other - carry < 0
            one += 10 * lent
            made = one - other - carry
            carry = int(lent)
        steps.append(f"{one} {sign} {other}{carried} makes {made}.")
    result = above + below if adds else above - below
    return [*steps, f"The result is {result}."], result


def _figures(rng: random.Random, difficulty: int) -> Drawing:
    """One or two figures with their measures, drawn to one scale, some with their unit squares."""
    figures = rng.sample(("rectangle", "triangle"), min(2, difficulty))
    unit, squares = rng.uniform(4.2, 5.0), rng.random() < 0.4
    canvas = Canvas(88 * len(figures), 72)
    questions: list[Question] = []
    for i, figure in enumerate(figures):
        wide, high = rng.randint(3, 12), rng.randint(2, 9)
        if figure == "triangle" and wide * high % 2:
            wide += 1
        x, y = 88 * i + 5 + rng.randint(0, 3), 6 + rng.randint(0, 4)
        box = _figure(rng, canvas, figure, (x, y, x + wide * unit, y + high * unit), unit if squares else 0)
        _length(canvas, (x + wide * unit / 2, y + high * unit + 8), wide, "width", figure)
        _length(canvas, (x + wide * unit + 10, y + high * unit / 2), high, "height", figure)
        around = (box[0], box[1], min(box[2] + 18, canvas.width), min(box[3] + 14, canvas.height))
        questions += _measured(figure, wide, high, around)
    return Drawing([canvas], questions)


def _figure(rng: random.Random, canvas: Canvas, figure: str, box: Box, unit: float) -> Box:
    """A rectangle, with its unit squares where a unit is given, or a triangle with a right angle."""
    x1, y1, x2, y2 = box
    if figure == "triangle":
        canvas.polygon([(x1, y2), (x2, y2), (x2, y1)], _fill(rng), INK)
        return canvas.mark(box, "triangle")
    canvas.rectangle(box, _fill(rng), INK)
    if unit:
        for i in range(1, round((x2 - x1) / unit)):
            canvas.line([(x1 + i * unit, y1), (x1 + i * unit, y2)], THIN, 0.5)
        for i in range(1, round((y2 - y1) / unit)):
            canvas.line([(x1, y1 + i * unit), (x2, y1 + i * unit)], THIN, 0.5)
    return canvas.mark(box, "square")


def _measured(figure: str, wide: int, high: int, box: Box) -> Iterator[Question]:
    """What can be computed of a figure: its area, and a rectangle's perimeter."""
    read = f"The {figure} is {wide} wide and {high} high."
    area = [read, f"{wide} × {high} makes {wide * high}."]
    if figure == "triangle":
        area.append(f"Half of {wide * high} is {wide * high // 2}.")
    around = [read, f"{wide} + {high} makes {wide + high}.", f"2 × {wide + high} makes {2 * (wide + high)}."]
    computed = [("area", area, wide * high // (2 if figure == "triangle" else 1))]
    if figure == "rectangle":
        computed.append(("perimeter", around, 2 * (wide + high)))
    for what, trace, result in computed:
        yield Question(
            f"What is the {what} of the {figure}?",
            str(result),
            " ".join(trace),
            (box,),
            "number",
            steps=len(trace),
            asks=what,
            names={"figure": figure},
        )
