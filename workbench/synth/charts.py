"""Bar, line and pie charts with axes, grids, titles and printed values."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from .canvas import RGB, Box, Canvas, colour_of
from .sample import Drawing, Question
from .wordings import CATEGORIES, COLOURS, LETTERS, TITLES

__all__ = ["bar_value", "bar_walk", "line_value", "pie_share", "point_value", "series_value"]

AXIS = (70, 70, 70)
GRID = (222, 222, 222)


class Axes(NamedTuple):
    """Axes that are drawn: the x of each label, the y of a value, and what is to stand above them."""

    canvas: Canvas
    xs: list[float]
    y_of: Callable[[float], float]
    centre: float
    name: str
    style: float  # from 0 to 1: a bold title, a plain one, or a legend


def bar_value(rng: random.Random, difficulty: int) -> Drawing:
    """Read the value of a bar: printed on it (difficulty 1, 2) or against the axis (3)."""
    labels = _categories(rng, difficulty + 2)
    read = difficulty == 3
    values = [rng.randint(1, 10) if read else rng.randint(5, 99) for _ in labels]
    canvas, boxes = _bars(rng, labels, values, printed=not read)
    return Drawing(
        [canvas], [_value_question(rng, k, v, (b,)) for k, v, b in zip(labels, values, boxes, strict=True)]
    )


def line_value(rng: random.Random, difficulty: int) -> Drawing:
    """Read a point of a line: its printed value (difficulty 1, 2) or against the axis (3)."""
    labels = _categories(rng, difficulty + 2)
    read = difficulty == 3
    top = 10 if read else 100
    values = [rng.randint(1, 10) if read else rng.randint(5, 99) for _ in labels]
    axes = _axes(rng, labels, top)
    canvas = axes.canvas
    colour = rng.choice(list(COLOURS))
    shade = colour_of(colour, rng)
    points = [(x, axes.y_of(v)) for x, v in zip(axes.xs, values, strict=True)]
    canvas.line(points, shade, 1.5)
    _heading(axes, colour, shade)
    boxes = []
    for (x, y), label, value in zip(points, labels, values, strict=True):
        canvas.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), shade)
        text = str(value) if read else ""
        box = canvas.mark((x - 5, y - 5, x + 5, y + 5), "point", text=text, colour=colour, key=label)
        if not read:
            below = y < 32
            canvas.text((x, y + (10 if below else -10)), str(value), size=9, kind="number", key=label)
            box = (box[0], box[1] - (0 if below else 9), box[2], box[3] + (9 if below else 0))
        boxes.append(box)
    return Drawing(
        [canvas], [_value_question(rng, k, v, (b,)) for k, v, b in zip(labels, values, boxes, strict=True)]
    )


def pie_share(rng: random.Random, difficulty: int) -> Drawing:
    """Read the share of a slice, printed inside it, its name outside."""
    count = difficulty + 2
    labels = rng.sample(CATEGORIES[rng.choice(("drinks", "fruit", "animals", "days"))], count)
    shares = _shares(rng, count, least=14)
    canvas = Canvas(144, 112)
    cx, cy, radius = 72 + rng.randint(-3, 3), 56 + rng.randint(-2, 2), 34
    colours = rng.sample(list(COLOURS), count)
    start, questions = rng.uniform(0, 360), []
    for label, share, colour in zip(labels, shares, colours, strict=True):
        stop = start + share * 3.6
        canvas.slice(
            (cx - radius, cy - radius, cx + radius, cy + radius), start, stop, colour_of(colour, rng)
        )
        middle = math.radians((start + stop) / 2)
        x, y = cx + 0.64 * radius * math.cos(middle), cy + 0.64 * radius * math.sin(middle)
        canvas.mark((x - 9, y - 9, x + 9, y + 9), "slice", colour=colour, key=label)
        inside = canvas.text((x, y), f"{share}%", size=9, kind="number", key=label, says=str(share))
        out = (cx + 1.18 * radius * math.cos(middle), cy + 1.14 * radius * math.sin(middle))
        anchor = ("l" if math.cos(middle) > 0.25 else "r" if math.cos(middle) < -0.25 else "m") + "m"
        outside = canvas.text(out, label, size=9, anchor=anchor)
        ask = rng.choice((f"What share is {label}?", f"How many percent is {label}?"))
        questions.append(
            Question(
                ask,
                str(share),
                f"The slice {label} says {share}.",
                (inside, outside),
                "number",
                asks="share",
                names={"label": label},
            )
        )
        start = stop
    return Drawing([canvas], questions)


def bar_walk(rng: random.Random, difficulty: int) -> Drawing:
    """Walk along six bars, each saying how far to move: one look-up and one addition a step."""
    labels = list(LETTERS[:6])
    values = [rng.randint(1, 5) for _ in labels]
    while any(values[(i + v) % 6] == 6 - v for i, v in enumerate(values)):
        values = [rng.randint(1, 5) for _ in labels]  # no going back and forth, which could be guessed
    canvas, boxes = _bars(rng, labels, values, printed=True, top=6)
    questions = []
    for start in range(6):
        steps = {1: 3, 2: rng.randint(4, 5), 3: 6}[difficulty]
        at, trace, seen = start, [], []
        for _ in range(steps):
            to = (at + values[at]) % 6
            trace.append(f"{labels[at]} says {values[at]}, so {labels[to]}.")
            seen.append(boxes[at])
            at = to
        ask = rng.choice(
            (
                f"Start at {labels[start]} and move right by the number on the bar, after F comes A. "
                f"Where are you after {steps} moves?",
                f"Each bar says how far to move right. Start at {labels[start]}. "
                f"Where are you after {steps} moves?",
            )
        )
        names = {"start": labels[start], "steps": str(steps)}
        seen_boxes = tuple(dict.fromkeys(seen))
        questions.append(
            Question(ask, labels[at], " ".join(trace), seen_boxes, steps=steps, asks="walk", names=names)
        )
    return Drawing([canvas], questions)


def _value_question(rng: random.Random, label: str, value: int, boxes: tuple[Box, ...]) -> Question:
    ask = rng.choice(
        (f"What is the value of {label}?", f"What is the value for {label}?", f"How much is {label}?")
    )
    trace, names = f"{label} reads {value}.", {"label": label}
    return Question(ask, str(value), trace, boxes, "number", asks="value", names=names)


def _categories(rng: random.Random, count: int) -> list[str]:
    names = CATEGORIES[rng.choice(list(CATEGORIES))]
    if rng.random() < 0.5:
        return rng.sample(names, count)
    first = rng.randint(0, len(names) - count)
    return list(names[first : first + count])


def _axes(rng: random.Random, labels: list[str], top: int) -> Axes:
    """Axes with ticks, a grid and category labels; `_heading` puts a title or a legend above them."""
    pitch = max(20, max(len(label) for label in labels) * 6 + 3)
    width = max(112, math.ceil((26 + pitch * len(labels)) / 16) * 16)
    background = rng.choice(((255, 255, 255), (255, 255, 255), (244, 245, 248), (252, 249, 242)))
    canvas = Canvas(width, 96, background)
    left, right, high, low = 20, width - 4, 23 + rng.randint(-1, 1), 79 + rng.randint(-1, 1)

    def y_of(value: float) -> float:
        return low - (low - high - 4) * value / top

    for tick in (0, top // 2, top):
        y = y_of(tick)
        if tick:
            canvas.line([(left, y), (right, y)], GRID)
        canvas.text((left - 3, y), str(tick), size=8, anchor="rm", colour=(90, 90, 90))
    if top == 10:
        for tick in range(1, 10):
            canvas.line([(left, y_of(tick)), (right, y_of(tick))], GRID)
    canvas.line([(left, high - 3), (left, low), (right, low)], AXIS)
    centre, name, style = width / 2 + rng.randint(-8, 8), rng.choice(TITLES), rng.random()
    step = (right - left) / len(labels)
    xs = [left + step * (i + 0.5) for i in range(len(labels))]
    for x, label in zip(xs, labels, strict=True):
        canvas.text((x, 88), label, size=9, key=label)
    return Axes(canvas, xs, y_of, centre, name, style)


def _heading(axes: Axes, colour: str, shade: RGB) -> None:
    """A title; or, where one series of one colour is shown, a legend."""
    if colour and axes.style > 0.6:
        x, _, right, _ = axes.canvas.text((axes.centre + 6, 8), axes.name, size=9, named=colour)
        axes.canvas.rectangle((x - 11, 5, x - 4, 12), shade)
        axes.canvas.line([(x - 14, 1), (right + 3, 1), (right + 3, 15), (x - 14, 15), (x - 14, 1)], GRID)
    else:
        axes.canvas.text((axes.centre, 8), axes.name, size=9, bold=axes.style < 0.5)


def _bars(
    rng: random.Random, labels: list[str], values: list[int], *, printed: bool, top: int | None = None
) -> tuple[Canvas, list[Box]]:
    top = top or (100 if printed else 10)
    axes = _axes(rng, labels, top)
    canvas, xs, y_of = axes.canvas, axes.xs, axes.y_of
    colours = (
        rng.sample(list(COLOURS), len(labels))
        if rng.random() < 0.5
        else [rng.choice(list(COLOURS))] * len(labels)
    )
    half = (xs[1] - xs[0]) * rng.uniform(0.28, 0.4)
    boxes = []
    for x, label, value, colour in zip(xs, labels, values, colours, strict=True):
        y = y_of(value)
        body = (x - half, y, x + half, y_of(0))
        shade = colour_of(colour, rng)
        canvas.rectangle(body, shade)
        canvas.mark(body, "bar", colour=colour, key=label)
        if printed:
            box = canvas.text((x, y - 7), str(value), size=9, kind="number", key=label)
            boxes.append((min(box[0], body[0]), box[1], max(box[2], body[2]), body[3]))
        else:
            canvas.mark((x - half, y - 5, x + half, y + 5), "bar", text=str(value), key=label)
            boxes.append(body)
    _heading(axes, colour if len(set(colours)) == 1 else "", shade)
    return canvas, boxes


def _shares(rng: random.Random, count: int, least: int) -> list[int]:
    """Whole percentages of at least ``least`` that sum to 100."""
    cuts = sorted(rng.randint(0, 100 - least * count) for _ in range(count - 1))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, 100 - least * count], strict=True)]
    return [p + least for p in parts]


def series_value(rng: random.Random, difficulty: int) -> Drawing:
    """Read a value of one of several series: grouped or stacked bars, or lines, told apart by a legend."""
    labels = _categories(rng, difficulty + 1)
    names = rng.sample(TITLES, 2 if difficulty < 3 else 3)
    colours = rng.sample([c for c in COLOURS if c != "grey"], len(names))
    shades = [colour_of(colour, rng) for colour in colours]
    kind = rng.choice(("grouped", "stacked", "lines"))
    most = {"grouped": 95, "stacked": 99 // len(names), "lines": 68}[kind]
    values = {(n, k): rng.randint(12, most) for n in names for k in labels}
    pitch = max(44 if kind == "grouped" else 34, max(len(label) for label in labels) * 6 + 3)
    canvas = Canvas(24 + pitch * len(labels), 124, rng.choice(((255, 255, 255), (246, 247, 250))))
    left, right, high, low = 20, canvas.width - 4, 24, 107

    def y_of(value: float) -> float:
        return low - (low - high) * value / 100

    for tick in (0, 50, 100):
        if tick and rng.random() < 0.5:
            canvas.line([(left, y_of(tick)), (right, y_of(tick))], GRID)
        canvas.text((left - 3, y_of(tick)), str(tick), size=8, anchor="rm", colour=(90, 90, 90))
    canvas.line([(left, high - 3), (left, low), (right, low)], AXIS)
    xs = [left + pitch * (i + 0.5) for i in range(len(labels))]
    for x, label in zip(xs, labels, strict=True):
        canvas.text((x, 116), label, size=9, key=label)
    legend = _legend(canvas, names, colours, shades)
    draw = {"grouped": _grouped, "stacked": _stacked, "lines": _lines}[kind]
    boxes = draw(canvas, xs, y_of, labels, names, values, dict(zip(names, shades, strict=True)))
    questions = []
    for (name, label), value in values.items():
        trace = f"{name} in {label} reads {value}."
        questions.append(
            Question(
                f"What is the value of {name} in {label}?",
                str(value),
                trace,
                (boxes[name, label], legend[name]),
                "number",
                asks="series",
                names={"series": name, "label": label},
            )
        )
    return Drawing([canvas], questions)


Values = dict[tuple[str, str], int]
Shades = dict[str, RGB]


def _legend(canvas: Canvas, names: list[str], colours: list[str], shades: list[RGB]) -> dict[str, Box]:
    """The names of the series beside patches of their colours, in one line: name -> box of both."""
    x, boxes = 4.0, {}
    step = (canvas.width - 4) / len(names)
    for name, colour, shade in zip(names, colours, shades, strict=True):
        canvas.rectangle((x, 5, x + 7, 12), shade)
        box = canvas.text((x + 10, 8), name, size=8, anchor="lm", named=colour)
        boxes[name] = (x, min(5, box[1]), box[2], max(12, box[3]))
        x += step
    return boxes


def _printed(canvas: Canvas, x: float, y: float, value: int, name: str, label: str, **more: Any) -> Box:
    return canvas.text((x, y), str(value), size=8, kind="number", key=label, second=name, **more)


def _grouped(
    canvas: Canvas, xs: list[float], y_of: Callable[[float], float], labels: list[str], names: list[str],
    values: Values, shades: Shades,
) -> dict[tuple[str, str], Box]:  # fmt: skip
    """Bars side by side, each with its value on top."""
    boxes, width = {}, 13
    for x, label in zip(xs, labels, strict=True):
        for i, name in enumerate(names):
            middle, y = x + (i - (len(names) - 1) / 2) * (width + 1), y_of(values[name, label])
            canvas.rectangle((middle - width / 2, y, middle + width / 2, y_of(0)), shades[name])
            box = _printed(canvas, middle, y - 6, values[name, label], name, label)
            boxes[name, label] = (min(box[0], middle - width / 2), box[1], box[2], y_of(0))
    return boxes


def _stacked(
    canvas: Canvas, xs: list[float], y_of: Callable[[float], float], labels: list[str], names: list[str],
    values: Values, shades: Shades,
) -> dict[tuple[str, str], Box]:  # fmt: skip
    """Bars on one another, each with its value inside."""
    boxes = {}
    for x, label in zip(xs, labels, strict=True):
        bottom = 0
        for name in names:
            top = bottom + values[name, label]
            canvas.rectangle((x - 11, y_of(top), x + 11, y_of(bottom)), shades[name])
            ink = (20, 20, 20) if sum(shades[name]) > 380 else (255, 255, 255)
            middle = (y_of(top) + y_of(bottom)) / 2
            _printed(canvas, x, middle, values[name, label], name, label, colour=ink)
            boxes[name, label] = (x - 11, y_of(top), x + 11, y_of(bottom))
            bottom = top
    return boxes


def _lines(
    canvas: Canvas, xs: list[float], y_of: Callable[[float], float], labels: list[str], names: list[str],
    values: Values, shades: Shades,
) -> dict[tuple[str, str], Box]:  # fmt: skip
    """Lines through points, each with its value beside it, on the side where the other lines leave room."""
    boxes = {}
    for label in labels:
        order = sorted(names, key=lambda name: values[name, label])
        for i, (name, after) in enumerate(zip(order, order[1:], strict=False)):
            if values[after, label] - values[name, label] < 13:  # room for a number between two points
                values[after, label] = min(97, values[name, label] + 13)
            values[order[i + 1], label] = values[after, label]
    for name in names:
        points = [(x, y_of(values[name, label])) for x, label in zip(xs, labels, strict=True)]
        canvas.line(points, shades[name], 1.5)
        for (x, y), label in zip(points, labels, strict=True):
            canvas.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), shades[name])
            box = _printed(canvas, x + 9, y, values[name, label], name, label)
            boxes[name, label] = (x - 4, min(y - 4, box[1]), box[2], max(y + 4, box[3]))
    return boxes


def point_value(rng: random.Random, difficulty: int) -> Drawing:
    """Read a lettered point of a scatter plot against an axis; fine lines help, but not always."""
    canvas = Canvas(112, 112, rng.choice(((255, 255, 255), (246, 247, 250))))
    left, right, high, low = 20, 108, 8, 98

    def y_of(value: float) -> float:
        return low - (low - high) * value / 10

    for tick in range(0, 11, 1 if difficulty < 3 else 2):
        if difficulty < 3 or rng.random() < 0.5:
            canvas.line([(left, y_of(tick)), (right, y_of(tick))], GRID)
        if tick % 2 == 0:
            canvas.text((left - 3, y_of(tick)), str(tick), size=8, anchor="rm", colour=(90, 90, 90))
    canvas.line([(left, high), (left, low), (right, low)], AXIS)
    count = difficulty + 2
    columns = rng.sample(range(6), count)
    questions = []
    for letter, column in zip(rng.sample(LETTERS, count), columns, strict=True):
        x, value = left + 10 + 14 * column, rng.randint(1, 9)
        y = y_of(value)
        canvas.ellipse((x - 3, y - 3, x + 3, y + 3), colour_of(rng.choice(list(COLOURS)), rng))
        canvas.mark((x - 5, y - 5, x + 5, y + 5), "point", text=str(value), key=letter)
        above = -9 if y > 24 else 9
        box = canvas.text((x, y + above), letter, size=9, bold=True, key=letter)
        where = (x - 5, min(y - 5, box[1]), x + 5, max(y + 5, box[3]))
        questions.append(
            Question(
                f"What is the value of point {letter}?",
                str(value),
                f"Point {letter} is at {value}.",
                (where,),
                "number",
                asks="point",
                names={"letter": letter},
            )
        )
    return Drawing([canvas], questions)
