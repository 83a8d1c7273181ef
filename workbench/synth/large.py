"""Pictures that are large for the small models: many patches, and a small thing to find on them"""

from __future__ import annotations

import random
from typing import NamedTuple

from .canvas import Canvas, colour_of
from .gui import THEMES
from .sample import Drawing, Question
from .scenes import draw_shape, named
from .wordings import COLOURS, SHAPES

__all__ = ["icon_find", "icon_name"]

SIDE = 256
BAR, BOX, STEP = 8, 16, 8


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
        questions += named(colour, shape, trace, box)
    return Drawing([canvas], questions)


def icon_find(rng: random.Random, difficulty: int) -> Drawing:
    """Find a small icon on the same screen: `gui_find`'s prompt, a box in relative coordinates."""
    canvas, icons = _screen(rng, difficulty)
    questions = []
    for colour, shape, box in icons:
        gold = "[" + ", ".join(f"{v / SIDE:.4f}" for v in box) + "]"
        ask = rng.choice((f"Locate the {shape}.", f"Find the {shape}.", f"Where is the {colour} icon?"))
        ask += " Output its bbox [x1, y1, x2, y2] from 0.0000 to 1.0000."
        trace, names = f"The {colour} {shape} is at {gold}.", {"thing": shape}
        questions.append(Question(ask, gold, trace, (box,), "point", asks="find_icon", names=names))
    return Drawing([canvas], questions)


def _screen(rng: random.Random, difficulty: int) -> tuple[Canvas, list[Icon]]:
    """A screen of 256 x 256 pixels with icons, a patch large, anywhere on it but apart.

    Anywhere in steps of 8 pixels, a thirty-second of the screen, in which `gui_find` tells edges too.  So no
    grid of tokens, whatever its size, has an icon in the middle of each of its cells, or whole in one.
    """
    theme = rng.choice(THEMES)
    canvas = Canvas(SIDE, SIDE, theme.page)
    canvas.rectangle((0, 0, SIDE, BAR), theme.bar)
    count = {1: 3, 2: 4, 3: 6}[difficulty]
    icons: list[Icon] = []
    for (x, y), colour, shape in zip(
        _places(rng, count), rng.sample(list(COLOURS), count), rng.sample(SHAPES, count), strict=True
    ):
        box = (x, y, x + BOX, y + BOX)
        draw_shape(canvas, shape, x + BOX / 2, y + BOX / 2, rng.uniform(5.5, 7.5), colour_of(colour, rng))
        edges = {edge: str(v // STEP) for edge, v in zip(("x1", "y1", "x2", "y2"), box, strict=True)}
        canvas.mark(box, shape, colour=colour, **edges)
        icons.append(Icon(colour, shape, box))
    return canvas, icons


def _places(rng: random.Random, count: int) -> list[tuple[int, int]]:
    """Upper left corners of icons, at least half an icon apart and below the bar."""
    found: list[tuple[int, int]] = []
    while len(found) < count:
        x, y = (rng.randrange(first, SIDE - BOX + 1, STEP) for first in (0, BAR))
        if all(max(abs(x - other), abs(y - below)) > BOX for other, below in found):
            found.append((x, y))
    return found
