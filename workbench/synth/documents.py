"""Receipts, forms and letters: find what is written, or check a sum."""

from __future__ import annotations

import random
from typing import NamedTuple

from .canvas import RGB, Box, Canvas
from .reading import made_up
from .sample import Drawing, Question
from .wordings import CATEGORIES, FIELDS, SHOPS, TITLES

__all__ = ["document", "receipt", "receipt_sum"]

INK = (30, 30, 34)
PAPERS = ((255, 255, 255), (250, 248, 240), (244, 245, 248), (252, 249, 228))
LINE = (150, 152, 158)
GAP = 4


class Slip(NamedTuple):
    """A receipt that is drawn: its prices and its date, and the box of each of its lines."""

    canvas: Canvas
    prices: dict[str, int]
    lines: dict[str, Box]
    total: int
    date: str


def receipt(rng: random.Random, difficulty: int) -> Drawing:
    """Read the price of an item, the total or the date of a receipt; some have no date."""
    slip = _slip(rng, difficulty + 1)
    questions = [
        Question(
            f"How much is the {item}?",
            str(price),
            f"The {item} costs {price}.",
            (slip.lines[item],),
            "number",
            asks="price",
            names={"item": item},
        )
        for item, price in slip.prices.items()
    ]
    said = f"The total says {slip.total}."
    where = (slip.lines["total"],)
    questions.append(Question("What is the total?", str(slip.total), said, where, "number", asks="total"))
    said = f"The date is {slip.date}." if slip.date else "There is no date."
    where = (slip.lines.get("date", _whole(slip.canvas)),)
    questions.append(Question("What is the date?", slip.date or "none", said, where, asks="date"))
    return Drawing([slip.canvas], questions)


def receipt_sum(rng: random.Random, difficulty: int) -> Drawing:
    """Add up the prices of a receipt, whose total is wrong half of the time."""
    slip = _slip(rng, difficulty + 2, wrong=rng.random() < 0.5)
    first, *others = slip.prices.values()
    trace, running = [], first
    for price in others:
        trace.append(f"{running} + {price} makes {running + price}.")
        running += price
    added, items = " ".join(trace), tuple(slip.lines[item] for item in slip.prices)
    checked = f"{added} The total says {slip.total}."
    right = "yes" if slip.total == running else "no"
    asked = "What do the items cost together?"
    return Drawing(
        [slip.canvas],
        [
            Question(asked, str(running), added, items, "number", steps=len(trace), asks="together"),
            Question(
                "Is the total right?",
                right,
                checked,
                (*items, slip.lines["total"]),
                steps=len(trace) + 1,
                asks="adds_up",
            ),
        ],
    )


def _slip(rng: random.Random, count: int, *, wrong: bool = False) -> Slip:
    """A receipt: a shop, perhaps a date, items with prices, a line, and the total."""
    items = rng.sample(CATEGORIES["drinks"] + CATEGORIES["fruit"], count)
    prices = {item: rng.randint(1, 19) for item in items}
    total = sum(prices.values())
    if wrong:
        total = rng.choice([n for n in range(max(1, total - 10), min(99, total + 10) + 1) if n != total])
    width, pitch = rng.choice((88, 96, 104)), rng.choice((14, 15, 16))
    dated = rng.random() < 0.85
    canvas = Canvas(width, 36 + pitch * (count + 1 + dated), rng.choice(PAPERS))
    canvas.text((width / 2, 10), rng.choice(SHOPS), size=12, colour=INK, bold=True)
    at_top, y, lines, date = rng.random() < 0.6, 28.0, {}, ""
    if dated and at_top:
        date, lines["date"] = _date(rng, canvas, y)
        y += pitch
    for item, price in prices.items():
        lines[item] = _row(canvas, y, item, price)
        y += pitch
    y += 4
    canvas.line([(width - 40 if rng.random() < 0.5 else 6, y - 9), (width - 6, y - 9)], LINE)
    lines["total"] = _row(canvas, y, "Total", total, bold=True)
    if dated and not at_top:
        date, lines["date"] = _date(rng, canvas, y + pitch)
    return Slip(canvas, prices, lines, total, date)


def _row(canvas: Canvas, y: float, name: str, number: int, *, bold: bool = False) -> Box:
    """A name at the left and its number at the right of a slip; the box of both."""
    left = canvas.text((6, y), name, size=10, colour=INK, anchor="lm", bold=bold, grid=1)
    right = canvas.text(
        (canvas.width - 6, y),
        str(number),
        size=10,
        colour=INK,
        anchor="rm",
        bold=bold,
        kind="number",
        key=name,
        grid=1,
    )
    return _around(left, right)


def _date(rng: random.Random, canvas: Canvas, y: float) -> tuple[str, Box]:
    """A day of a month, in either order: (as written, its box)."""
    parts = [str(rng.randint(1, 28)), rng.choice(CATEGORIES["months"])]
    if rng.random() < 0.5:
        parts.reverse()
    x = rng.choice((6, canvas.width - 50))
    first = canvas.text((x, y), parts[0], size=9, colour=INK, anchor="lm", grid=1)
    second = canvas.text((first[2] + GAP, y), parts[1], size=9, colour=INK, anchor="lm", grid=1)
    return " ".join(parts), _around(first, second)


def document(rng: random.Random, difficulty: int) -> Drawing:
    """Find a field of a form, or what a short letter says."""
    return (_form if rng.random() < 0.6 else _letter)(rng, difficulty)


def _form(rng: random.Random, difficulty: int) -> Drawing:
    """A form: labels with what was filled in beside or in boxes."""
    count = difficulty + 2
    fields = rng.sample(("name", *FIELDS), count)
    pitch, boxed = rng.choice((16, 18)), rng.random() < 0.5
    canvas = Canvas(rng.choice((112, 120)), 26 + pitch * count, rng.choice(PAPERS))
    canvas.text((8, 10), rng.choice(TITLES), size=12, colour=INK, anchor="lm", bold=True)
    left, bold, questions = rng.choice((48, 56)), rng.random() < 0.5, []
    for i, field in enumerate(fields):
        y, value = 28 + pitch * i, _value(rng, field)
        frame = (left - 4, y - 7, canvas.width - 6, y + 7)
        if boxed:
            canvas.rectangle(frame, (255, 255, 255), LINE, radius=1)
        else:
            canvas.line([(left - 4, y + 7), (canvas.width - 6, y + 7)], LINE, 0.5)
        label = canvas.text(
            (6, y), field.capitalize(), size=9, colour=(80, 82, 88), anchor="lm", bold=bold, grid=1
        )
        box = canvas.text((left, y), value, size=10, colour=_pen(rng), anchor="lm", kind="field", grid=1)
        questions.append(_found(field, value, (box, label)))
    return Drawing([canvas], questions)


def _letter(rng: random.Random, difficulty: int) -> Drawing:
    """A letter of a few short sentences, each of which names one thing or two."""
    city, day, drink, fruit = (_value(rng, field) for field in ("city", "day", "drink", "fruit"))
    lines = [
        (("see", ""), ("you", ""), ("in", ""), (city, "city")),
        (("on", ""), (day, "day"), ("in", ""), ("room", ""), (_value(rng, "room"), "room")),
        (("Please", ""), ("bring", ""), (drink, "drink")),
        (("and", ""), ("a", ""), (fruit, "fruit")),
    ][: difficulty + 1]
    ink, pitch, questions = _pen(rng), rng.choice((15, 16)), []
    canvas = Canvas(128, 20 + pitch * (len(lines) + 2), rng.choice(PAPERS))
    written = [
        (("Dear", ""), (f"{_value(rng, 'name')},", "")),
        *lines,
        ((f"Yours, {_value(rng, 'name')}", ""),),
    ]
    for number, line in enumerate(written):
        x, y = 8.0 if number < len(written) - 1 else 40.0, 14 + pitch * number
        for word, field in line:
            box = canvas.text((x, y), word, size=10, colour=ink, anchor="lm", grid=1)
            x = box[2] + GAP
            if field:
                questions.append(_found(field, word, (box,)))
    return Drawing([canvas], questions)


def _found(field: str, value: str, boxes: tuple[Box, ...]) -> Question:
    asked, said = f"What is the {field}?", f"The {field} is {value}."
    return Question(asked, value, said, boxes, asks="field", names={"field": field})


def _value(rng: random.Random, field: str) -> str:
    """What is written in a field; a name is made up."""
    return made_up(rng).capitalize() if field == "name" else rng.choice(FIELDS[field])


def _pen(rng: random.Random) -> RGB:
    return rng.choice((INK, INK, (30, 50, 140), (20, 80, 60)))


def _around(*boxes: Box) -> Box:
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def _whole(canvas: Canvas) -> Box:
    return 0.0, 0.0, float(canvas.width), float(canvas.height)
