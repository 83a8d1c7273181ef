"""Pictures with exactly known answers, boxes and reasoning traces.

>>> from workbench import synth
>>> sample = synth.sample("bar_value", 1, seed=0)[0]
>>> sample.question, sample.answer
>>> sample.correct("The value is " + sample.answer)
True

`FAMILIES` lists what can be drawn, `LARGE` what is drawn on large pictures, `FREE` what came with the second
world, and `EVERYDAY` which of the latter are everyday tasks; `register_family` adds one.  The same family,
seed, difficulty and world give the same bytes.  Drawings are of the first world, on a grid and in one
typeface, unless ``world=2`` asks for the second, whose places, sizes, typefaces and wordings vary.
"""

from __future__ import annotations

from .canvas import Canvas
from .collected import collected
from .families import (
    DIFFICULTIES,
    DRAWN,
    EVERYDAY,
    FAMILIES,
    FREE,
    LARGE,
    Family,
    draw,
    families_of,
    family,
    register_family,
    sample,
)
from .sample import Drawing, Facts, Question, Sample, parse_point, sentences
from .world import WORLD_1, WORLD_2, World

__all__ = [
    "Canvas",
    "DRAWN",
    "EVERYDAY",
    "Drawing",
    "Facts",
    "Question",
    "register_family",
    "DIFFICULTIES",
    "FAMILIES",
    "FREE",
    "LARGE",
    "Family",
    "Sample",
    "WORLD_1",
    "WORLD_2",
    "World",
    "collected",
    "draw",
    "families_of",
    "family",
    "parse_point",
    "sample",
    "sentences",
]
