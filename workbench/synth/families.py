"""The table of families, and drawing samples from them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from ..errors import InputError
from . import charts, gui, maths, scenes
from .sample import Drawing, Element, Sample

__all__ = ["DIFFICULTIES", "FAMILIES", "Family", "draw", "sample"]

DIFFICULTIES = (1, 2, 3)


class Family(NamedTuple):
    """What a family belongs to: its domain in the sense of the published data mixture
    ("general", "maths", "computer_use"), and whether its questions take several steps."""

    domain: str
    several_steps: bool


_MAKERS: dict[str, tuple[Callable[[random.Random, int], Drawing], Family]] = {
    "bar_value": (charts.bar_value, Family("general", False)),
    "line_value": (charts.line_value, Family("general", False)),
    "pie_share": (charts.pie_share, Family("general", False)),
    "bar_walk": (charts.bar_walk, Family("maths", True)),
    "table_value": (maths.table_value, Family("maths", False)),
    "geometry": (maths.geometry, Family("maths", False)),
    "chain": (maths.chain, Family("maths", True)),
    "gui_find": (gui.gui_find, Family("computer_use", False)),
    "gui_state": (gui.gui_state, Family("computer_use", False)),
    "gui_links": (gui.gui_links, Family("computer_use", True)),
    "shape_colour": (scenes.shape_colour, Family("general", False)),
    "shape_count": (scenes.shape_count, Family("general", False)),
    "shape_relation": (scenes.shape_relation, Family("general", False)),
    "shape_change": (scenes.shape_change, Family("general", False)),
    "read_sign": (scenes.read_sign, Family("general", False)),
    "arrows": (scenes.arrows, Family("general", True)),
}

#: Name of each family -> (domain, several_steps).
FAMILIES: dict[str, Family] = {name: family for name, (_, family) in _MAKERS.items()}


def draw(family: str, *, seed: str | int, difficulty: int | None = None) -> tuple[Drawing, int]:
    """Draw one picture (or set of pictures) with all its questions: (drawing, difficulty).

    Raises:
        InputError: for an unknown family or difficulty.
    """
    if family not in _MAKERS:
        raise InputError(f"family={family!r}", f"one of {', '.join(FAMILIES)}")
    if difficulty not in (None, *DIFFICULTIES):
        raise InputError(f"difficulty={difficulty!r}", f"one of {DIFFICULTIES}, or None for a mix of them")
    rng = random.Random(f"{family}/{seed}/{difficulty}")
    level = difficulty or rng.choice(DIFFICULTIES)
    drawing = _MAKERS[family][0](rng, level)
    rng.shuffle(drawing.questions)
    return drawing, level


def sample(family: str, n: int, *, seed: int, difficulty: int | None = None) -> list[Sample]:
    """Draw ``n`` samples of one family, one question each.

    Args:
        family: one of `FAMILIES`.
        n: how many, at least 1.
        seed: the same family, seed, difficulty and position give the same bytes.
        difficulty: 1, 2 or 3; None mixes them evenly.

    Raises:
        InputError: for an unknown family or difficulty, or n below 1.
    """
    if n < 1:
        raise InputError(f"n={n!r}", "at least one sample")
    samples = []
    for i in range(n):
        drawing, level = draw(family, seed=f"{seed}/{i}", difficulty=difficulty)
        asked = drawing.questions[0]
        samples.append(
            Sample(
                images=[canvas.image() for canvas in drawing.canvases],
                question=asked.text,
                answer=asked.answer,
                trace=asked.trace,
                boxes=asked.boxes,
                family=family,
                domain=FAMILIES[family].domain,
                steps=asked.steps,
                difficulty=level,
                rule=asked.rule,
                picture=asked.picture,
                elements=tuple(Element(m.box, m.kind, m.name) for m in drawing.canvases[asked.picture].marks),
            )
        )
    return samples
