"""Rows of three pictures: what changes from one to the next, their order, and what comes after."""

from __future__ import annotations

import random
from typing import NamedTuple

from .canvas import Box, Canvas, colour_of
from .sample import Drawing, Question
from .scenes import BACKGROUNDS, draw_shape, plural
from .wordings import COLOURS, SHAPES

__all__ = ["sequence"]

MINUS = "−"


class Group(NamedTuple):
    """What one picture of a row shows: some equal things."""

    number: int
    colour: str
    shape: str

    def __str__(self) -> str:
        """In words, as after "Picture 1 has"."""
        return f"{self.number} {self.colour} {self.shape if self.number == 1 else plural(self.shape)}"


def sequence(rng: random.Random, difficulty: int) -> Drawing:
    """Three pictures of things whose number, colour or shape changes: say which, sort them, or go on."""
    kinds = (_counted, _counted, _alternating, _shuffled)
    groups, questions = rng.choice(kinds)(rng, difficulty)
    background, state = rng.choice(BACKGROUNDS), rng.getstate()
    canvases, boxes = [], []
    for group in groups:
        rng.setstate(state)  # the same shades and places, as far as there are things
        canvas, box = _picture(rng, group, background)
        canvases.append(canvas)
        boxes.append(box)
    said = " ".join(f"Picture {i} has {group}." for i, group in enumerate(groups, 1))
    return Drawing(canvases, [_asked(question, said, boxes[-1]) for question in questions])


class Asked(NamedTuple):
    """A question about a row: its kind, text, answer and gaps, and what is to be thought last."""

    asks: str
    text: str
    answer: str
    names: dict[str, str]
    last: str = ""


Row = tuple[list[Group], list[Asked]]


def _counted(rng: random.Random, difficulty: int) -> Row:
    """The number grows or shrinks evenly."""
    step = rng.choice((1, -1) if difficulty < 3 else (1, -1, 2, -2))
    numbers = rng.choice(
        [row for k in range(1, 7) if 1 <= (row := [k, k + step, k + 2 * step])[2] <= 6 and row[2] + step >= 0]
    )
    colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
    then, sign = numbers[-1] + step, "+" if step > 0 else MINUS
    last, things = f"{numbers[-1]} {sign} {abs(step)} makes {then}.", plural(shape)
    asked = f"How many {things} come next?"
    return [Group(n, colour, shape) for n in numbers], [
        Asked("next_number", asked, str(then), {"things": things}, last),
        _varies("number"),
    ]


def _alternating(rng: random.Random, difficulty: int) -> Row:
    """The colour or the shape goes to and fro."""
    what, number = rng.choice(("colour", "shape")), rng.randint(1, difficulty)
    colours, shapes = rng.sample(list(COLOURS), 2), rng.sample(SHAPES, 2)
    (one, other) = colours if what == "colour" else shapes
    groups = [
        Group(number, name, shapes[0]) if what == "colour" else Group(number, colours[0], name)
        for name in (one, other, one)
    ]
    asked = Asked("next_kind", f"Which {what} comes next?", other, {"what": what})
    return groups, [asked, _varies(what)]


def _shuffled(rng: random.Random, difficulty: int) -> Row:
    """The pictures are not in order."""
    numbers = rng.sample(range(1, 4 + difficulty), 3)
    colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
    order = " ".join(str(i + 1) for i in sorted(range(3), key=lambda i: numbers[i]))
    asked = Asked("sorted", "Put the pictures in order, from few to many.", order, {})
    return [Group(n, colour, shape) for n in numbers], [asked]


def _varies(what: str) -> Asked:
    return Asked("varies", "What changes: the number, the colour or the shape?", what, {})


def _asked(one: Asked, said: str, box: Box) -> Question:
    rule = "number" if one.asks == "next_number" else "words"
    trace, steps = f"{said} {one.last}".strip(), 3 + bool(one.last)
    return Question(
        one.text, one.answer, trace, (box,), rule, steps=steps, image=2, asks=one.asks, names=one.names
    )


def _picture(rng: random.Random, group: Group, background: tuple[int, int, int]) -> tuple[Canvas, Box]:
    """Equal things in two rows of three places: (canvas, box around them)."""
    canvas, shade = Canvas(64, 48, background), colour_of(group.colour, rng)
    canvas.rectangle((0, 0, 64, 48), background, (185, 187, 192))
    places = rng.sample([(12 + 20 * col, 13 + 22 * row) for row in range(2) for col in range(3)], 6)
    boxes = []
    for x, y in places[: group.number]:
        r = rng.uniform(7, 8.5)
        box = (x - r, y - r, x + r, y + r)
        draw_shape(canvas, group.shape, x, y, r, shade)
        boxes.append(canvas.mark(box, group.shape, colour=group.colour))
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return canvas, (min(x1), min(y1), max(x2), max(y2))
