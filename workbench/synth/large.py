"""Pictures that are large for the small models: many patches, and a small thing to find on them"""

from __future__ import annotations

import random
from typing import NamedTuple

from .canvas import Canvas, colour_of
from .gui import THEMES
from .sample import Drawing, Question
from .scenes import draw_shape
from .words import COLOURS, SHAPES

__all__ = ["icon_find", "icon_name"]

SIDE = 256
CELL, BOX = 32, 16


class Icon(NamedTuple):
    """A small icon: its colour and shape, and its box in pixels."""

    colour: str
    shape: str
    box: tuple[float, float, float, float]


def icon_name(rng: random.Random, difficulty: int) -> Drawing:
    """Name a small icon's colour by its shape, or the other way round; each occurs once on its screen."""
    canvas, icons = _screen(rng, difficulty)
    questions = []
    for colour, shape, box in icons:
        trace = f"The {shape} is {colour}."
        questions.append(Question(f"What colour is the {shape}?", colour, trace, (box,)))
        questions.append(Question(f"Which shape is {colour}?", shape, trace, (box,)))
    return Drawing([canvas], questions)


def icon_find(rng: random.Random, difficulty: int) -> Drawing:
    """Find a small icon on the same screen: `gui_find`'s prompt, a box in relative coordinates."""
    canvas, icons = _screen(rng, difficulty)
    questions = []
    for colour, shape, box in icons:
        gold = "[" + ", ".join(f"{v / SIDE:.4f}" for v in box) + "]"
        ask = rng.choice((f"Locate the {shape}.", f"Find the {shape}.", f"Where is the {colour} icon?"))
        ask += " Output its bbox [x1, y1, x2, y2] from 0.0000 to 1.0000."
        questions.append(Question(ask, gold, f"The {colour} {shape} is at {gold}.", (box,), "point"))
    return Drawing([canvas], questions)


def _screen(rng: random.Random, difficulty: int) -> tuple[Canvas, list[Icon]]:
    """A screen of 256 x 256 pixels; its icons, a patch large, stand in the middle of cells of 32 pixels.

    What is told of an icon's edges is in steps of a thirty-second, as `gui_find` has them.
    """
    theme = rng.choice(THEMES)
    canvas = Canvas(SIDE, SIDE, theme.page)
    canvas.rectangle((0, 0, SIDE, 8), theme.bar)
    count = {1: 3, 2: 4, 3: 6}[difficulty]
    cells = rng.sample([(row, col) for row in range(1, 8) for col in range(8)], count)
    icons = []
    for (row, col), colour, shape in zip(
        cells, rng.sample(list(COLOURS), count), rng.sample(SHAPES, count), strict=True
    ):
        x, y = CELL * (col + 0.5), CELL * (row + 0.5)
        box = (x - BOX / 2, y - BOX / 2, x + BOX / 2, y + BOX / 2)
        draw_shape(canvas, shape, x, y, rng.uniform(5.5, 7.5), colour_of(colour, rng))
        edges = {
            edge: str(int(v * 32 // SIDE)) for edge, v in zip(("x1", "y1", "x2", "y2"), box, strict=True)
        }
        canvas.mark(box, shape, colour=colour, **edges)
        icons.append(Icon(colour, shape, box))
    return canvas, icons
