"""Scenes that are told in one to three sentences."""

from __future__ import annotations

import random

from .canvas import Box, Canvas, colour_of
from .sample import Drawing, Question
from .scenes import BACKGROUNDS, CELL, draw_shape
from .wordings import COLOURS, SHAPES, SIGNS

__all__ = ["caption"]

Place = tuple[int, int]  # row, column


def caption(rng: random.Random, difficulty: int) -> Drawing:
    """Describe two to four shapes, perhaps with a sign below them: what is there, and what is where."""
    count, signed = difficulty + 1, rng.random() < 0.35
    count -= signed and count == 4  # more would be a long sentence for a small model
    things = list(zip(rng.sample(list(COLOURS), count), rng.choices(SHAPES, k=count), strict=True))
    rows = 2 if difficulty < 3 else 3
    places = sorted(rng.sample([(row, col) for row in range(rows) for col in range(3)], count))
    canvas = Canvas(3 * CELL, rows * CELL + 32 * signed, rng.choice(BACKGROUNDS))
    boxes = [_drawn(rng, canvas, place, *thing) for place, thing in zip(places, things, strict=True)]
    names = [" ".join(thing) for thing in things]
    told = [
        f"A {one} is {_side(a, b)} a {other}."
        for one, other, a, b in zip(names[::2], names[1::2], places[::2], places[1::2], strict=False)
    ]
    told = [_articled(sentence) for sentence in told]
    if count % 2:
        told.append(_articled(f"There is a {names[-1]}."))
    true = _places(names, places)
    if signed:
        colour = rng.choice([c for c in COLOURS if c not in {c for c, _ in things}])
        word, box = _sign(rng, canvas, rows * CELL + 14, colour)
        told.append(_articled(f"A {colour} sign says {word}."))
        true += [_articled(f"A {name} is above a {colour} sign.") for name in names]
        names.append(f"{colour} sign")
        boxes.append(box)
    listed = ", ".join(f"a {name}" for name in names[:-1]) + f" and a {names[-1]}"
    return Drawing(
        [canvas],
        [
            Question(
                "Describe the picture.",
                " ".join(told),
                _articled(f"I see {listed}."),
                (_around(boxes), *boxes),
                "facts",
                asks="caption",
            )
        ],
        truths=(*told, *true),
    )


def _side(one: Place, other: Place) -> str:
    """Where the first of two places, in the order of reading, is."""
    return "left of" if one[0] == other[0] else "above"


def _places(names: list[str], places: list[Place]) -> list[str]:
    """Everything that is true of the places of two things."""
    said = []
    for one, (row, col) in zip(names, places, strict=False):
        for other, (below, beside) in zip(names, places, strict=False):
            if col < beside:
                said.append(f"A {one} is left of a {other}.")
            if row < below:
                said.append(f"A {one} is above a {other}.")
    return [_articled(sentence) for sentence in said]


def _articled(sentence: str) -> str:
    return sentence.replace("A orange", "An orange").replace("a orange", "an orange")


def _drawn(rng: random.Random, canvas: Canvas, place: Place, colour: str, shape: str) -> Box:
    r = rng.uniform(9, 12)
    x, y = (CELL * (at + 0.5) + rng.uniform(-3, 3) for at in reversed(place))
    draw_shape(canvas, shape, x, y, r, colour_of(colour, rng))
    return canvas.mark((x - r, y - r, x + r, y + r), shape, colour=colour)


def _sign(rng: random.Random, canvas: Canvas, y: float, colour: str) -> tuple[str, Box]:
    """A sign with a word: (the word, its box)."""
    word = rng.choice(SIGNS)
    width = 8 * len(word) + 14
    x = rng.uniform(2, canvas.width - width - 2)
    box = (x, y - 10, x + width, y + 10)
    canvas.rectangle(box, colour_of(colour, rng), radius=rng.choice((0, 3, 6)))
    canvas.mark(box, "sign", colour=colour)
    ink = (30, 30, 30) if colour == "yellow" else (255, 255, 255)
    canvas.text((x + width / 2, y), word, size=10, colour=ink, bold=True, kind="sign", named=colour)
    return word, box


def _around(boxes: list[Box]) -> Box:
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)
