"""Pictures that are large for the small models: many patches, and a small thing to find on them"""

from __future__ import annotations

import random

from .canvas import Canvas, colour_of
from .gui import THEMES
from .sample import Drawing, Question
from .scenes import draw_shape
from .words import COLOURS, SHAPES

__all__ = ["icon_find"]

SIDE = 256
#: Boxes stand on a grid of this many pixels: 32 steps a side, the same as buttons have.
GRID = SIDE // 32
SIZE = 2 * GRID


def icon_find(rng: random.Random, difficulty: int) -> Drawing:
    """Find a small icon on a screen of 256 pixels, told by colour and shape, which it shares with others."""
    theme = rng.choice(THEMES)
    canvas = Canvas(SIDE, SIDE, theme.page)
    canvas.rectangle((0, 0, SIDE, GRID), theme.bar)
    count = {1: 4, 2: 6, 3: 8}[difficulty]
    colours, shapes = rng.sample(list(COLOURS), (count + 1) // 2), rng.sample(SHAPES, (count + 1) // 2)
    things = rng.sample([(colour, shape) for colour in colours for shape in shapes], count)
    cells = rng.sample([(row, col) for row in range(1, 8) for col in range(8)], count)
    questions = []
    for (row, col), (colour, shape) in zip(cells, things, strict=True):
        left, top = (4 * n + rng.randint(0, 2) for n in (col, row))
        x1, y1 = left * GRID, top * GRID
        box = (x1, y1, x1 + SIZE, y1 + SIZE)
        draw_shape(canvas, shape, x1 + SIZE / 2, y1 + SIZE / 2, rng.uniform(5.5, 7.5), colour_of(colour, rng))
        edges = {"x1": left, "y1": top, "x2": left + 2, "y2": top + 2}
        canvas.mark(box, shape, colour=colour, **{edge: str(value) for edge, value in edges.items()})
        gold = "[" + ", ".join(f"{value / SIDE:.4f}" for value in box) + "]"
        ask = f"Locate the {colour} {shape}. Output its bbox [x1, y1, x2, y2] from 0.0000 to 1.0000."
        questions.append(Question(ask, gold, f"The {colour} {shape} is at {gold}.", (box,), "point"))
    return Drawing([canvas], questions)
