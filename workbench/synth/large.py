"""Pictures that are large for the small models: many patches, and a small thing to find on them"""

from __future__ import annotations

import random

from .canvas import Canvas, colour_of
from .gui import THEMES
from .sample import Drawing, Question
from .scenes import draw_shape
from .words import COLOURS, SHAPES

__all__ = ["icon_name"]

SIDE = 256
CELL, BOX = 32, 16


def icon_name(rng: random.Random, difficulty: int) -> Drawing:
    """Name the colour of a small icon on a screen of 256 pixels, or the shape of a colour; each occurs once.

    Icons of a patch's size stand in the middle of cells of 32 pixels, as on a desktop.
    """
    theme = rng.choice(THEMES)
    canvas = Canvas(SIDE, SIDE, theme.page)
    canvas.rectangle((0, 0, SIDE, 8), theme.bar)
    count = {1: 3, 2: 4, 3: 6}[difficulty]
    cells = rng.sample([(row, col) for row in range(1, 8) for col in range(8)], count)
    questions = []
    for (row, col), colour, shape in zip(
        cells, rng.sample(list(COLOURS), count), rng.sample(SHAPES, count), strict=True
    ):
        x, y = CELL * (col + 0.5), CELL * (row + 0.5)
        box = (x - BOX / 2, y - BOX / 2, x + BOX / 2, y + BOX / 2)
        draw_shape(canvas, shape, x, y, rng.uniform(5.5, 7.5), colour_of(colour, rng))
        canvas.mark(box, shape, colour=colour)
        trace = f"The {shape} is {colour}."
        questions.append(Question(f"What colour is the {shape}?", colour, trace, (box,)))
        questions.append(Question(f"Which shape is {colour}?", shape, trace, (box,)))
    return Drawing([canvas], questions)
