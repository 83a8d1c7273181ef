"""The table of families, and drawing samples from them.

A maker draws with a `canvas.Canvas` of its own size, in pixels at scale 1, and asks `Question`s with boxes of
that canvas.  Where a question names its kind and gaps (``asks``, ``names``; `wordings.WORDINGS`), the second
world asks it in other words; what the look of a picture does to boxes and to answers that are places, is done
for the maker (`world.dressed`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ..errors import InputError
from ..names import verb
from ..plugins import Table
from ..records import closest
from . import captions, charts, documents, gui, large, maths, reading, scenes, sequences
from .sample import Drawing, Element, Sample, sentences
from .world import WORLD_1, World, dressed

__all__ = [
    "DIFFICULTIES",
    "DRAWN",
    "EVERYDAY",
    "FAMILIES",
    "FREE",
    "LARGE",
    "Family",
    "draw",
    "families_of",
    "family",
    "register_family",
    "sample",
]

DIFFICULTIES = (1, 2, 3)
MOST = 1_000_000  # samples of one call, which are all in memory

DOMAINS = ("general", "maths", "computer_use")


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

_LARGE: dict[str, tuple[Callable[[random.Random, int], Drawing], Family]] = {
    "icon_name": (large.icon_name, Family("computer_use", False)),
    "icon_find": (large.icon_find, Family("computer_use", False)),
}

_FREE: dict[str, tuple[Callable[[random.Random, int], Drawing], Family]] = {
    "series_value": (charts.series_value, Family("general", False)),
    "point_value": (charts.point_value, Family("general", False)),
    "gui_chosen": (gui.gui_chosen, Family("computer_use", False)),
    "digit_read": (scenes.digit_read, Family("general", False)),
    "read_text": (reading.read_text, Family("general", False)),
    "word_after": (reading.word_after, Family("general", False)),
    "caption": (captions.caption, Family("general", False)),
    "receipt": (documents.receipt, Family("general", False)),
    "receipt_sum": (documents.receipt_sum, Family("maths", True)),
    "document": (documents.document, Family("general", False)),
    "homework": (maths.homework, Family("maths", True)),
    "sequence": (sequences.sequence, Family("general", True)),
    "gui_task": (gui.gui_task, Family("computer_use", False)),
}

#: What is drawn where words that training never holds are asked for.
_UNSEEN: dict[str, Callable[[random.Random, int], Drawing]] = {
    "read_text": partial(reading.read_text, unseen=True),
    "word_after": partial(reading.word_after, unseen=True),
}

#: What the second world draws otherwise: what was ambiguous, ungrammatical or not to scale in the first.
_MENDED: dict[str, Callable[[random.Random, int], Drawing]] = {
    "chain": partial(maths.chain, mended=True),
    "geometry": maths.scaled_geometry,
    "shape_count": partial(scenes.shape_count, mended=True),
    "shape_relation": partial(scenes.shape_relation, mended=True),
}

#: Name of each family -> (domain, several_steps).
FAMILIES: dict[str, Family] = {name: family for name, (_, family) in _MAKERS.items()}

#: Families of large pictures: drawn when they are asked for by name; the built-in model never saw them.
LARGE: dict[str, Family] = {name: family for name, (_, family) in _LARGE.items()}

#: Families that came with the second world: drawn when they are asked for by name.
FREE: dict[str, Family] = {name: family for name, (_, family) in _FREE.items()}

#: Families of `FREE` that stand for what such models are published with: everyday tasks.
EVERYDAY = ("caption", "receipt", "receipt_sum", "document", "homework", "sequence", "gui_task")

Maker = Callable[[random.Random, int], Drawing]
"""Draws one picture, or set of pictures, with its questions: from a source of randomness and a difficulty."""

DRAWN: Table[tuple[Maker, Family]] = Table("drawing family", {**_MAKERS, **_LARGE, **_FREE})
"""All families that `sample` draws, those of plug-ins too."""


def register_family(name: str, make: Maker, *, domain: str = "general", several_steps: bool = False) -> None:
    """Add a family of drawings: `sample`, ``bench.run(vlm, "synth:NAME")`` and training recipes draw it.

    ``pytest --pyargs workbench.contracts`` then checks that its drawings keep what others rely on.

    Args:
        name: its name; a Python name in lower case.
        make: called with a ``random.Random`` and a difficulty (1, 2 or 3); returns a `Drawing`.  It takes all
            randomness from the first, so that a seed gives the same bytes again.
        domain: "general", "maths" or "computer_use", as in the published data mixture.
        several_steps: whether its questions take several steps of reasoning.

    Raises:
        InputError: for one of the workbench's or another plug-in's names, what is no name, another domain,
            or what cannot be called.  A family of one's own is replaced.
    """
    if not (isinstance(name, str) and name.isidentifier() and name == name.lower()):
        raise InputError(f"family name {name!r}", "a Python name in lower case, such as 'road_sign'")
    if domain not in DOMAINS:
        raise InputError(f"domain={domain!r}", f"one of {', '.join(map(repr, DOMAINS))}")
    if not callable(make):
        raise InputError(
            f"family {name!r} is drawn by {make!r}", "a function of a random.Random and a difficulty"
        )
    DRAWN.register(name, (make, Family(domain, several_steps)))


def families_of(world: World | int) -> tuple[str, ...]:
    """Names of the families that a drawn world has: `FAMILIES`, and in the second also those of `FREE`.

    Args:
        world: 1, 2, or a `World`.

    Raises:
        InputError: for an unknown world.
    """
    world = world if isinstance(world, World) else World(world)
    return tuple(FAMILIES) if world.version == 1 else (*FAMILIES, *FREE)


def family(name: str) -> Family:
    """What a family, of whichever table, belongs to.

    Raises:
        InputError: for an unknown family.
    """
    return _drawn(name)[1]


def _drawn(name: str) -> tuple[Maker, Family]:
    if name not in DRAWN:
        raise InputError(f"family={name!r}", f"one of {', '.join(DRAWN)}", closest(str(name), DRAWN))
    return DRAWN[name]


def draw(
    family: str, *, seed: str | int, difficulty: int | None = None, world: World | int = WORLD_1
) -> tuple[Drawing, int]:
    """Draw one picture (or set of pictures) with all its questions: (drawing, difficulty).

    Args:
        family: one of `FAMILIES`, `LARGE` or `FREE`.
        seed: the same family, seed, difficulty and world give the same drawing.
        difficulty: 1, 2 or 3; None for one of them.
        world: 1, on a grid in one typeface, as everything recorded was drawn; 2, free; or a `World`.

    Raises:
        InputError: for an unknown family, difficulty or world.
    """
    make = _drawn(family)[0]
    if difficulty not in (None, *DIFFICULTIES):
        raise InputError(f"difficulty={difficulty!r}", f"one of {DIFFICULTIES}, or None for a mix of them")
    world = world if isinstance(world, World) else World(world)
    rng = random.Random(f"{family}/{seed}/{difficulty}")
    level = difficulty or rng.choice(DIFFICULTIES)
    if world.version == 2:
        make = _MENDED.get(family, make)
    if "words" in world.held_out:
        make = _UNSEEN.get(family, make)
    drawing = make(rng, level)
    if not isinstance(drawing, Drawing) or not drawing.canvases or not drawing.questions:
        raise InputError(
            f"the family {family!r} draws {drawing!r}",
            "a workbench.synth.Drawing with a canvas and a question",
        )
    rng.shuffle(drawing.questions)
    return (drawing if world == WORLD_1 else dressed(drawing, rng, world)), level


@verb()
def sample(
    family: str,
    n: int,
    *,
    seed: int,
    difficulty: int | None = None,
    world: World | int = WORLD_1,
) -> list[Sample]:
    """Draw ``n`` samples of one family, one question each.

    Args:
        family: one of `FAMILIES`, `LARGE` or `FREE`.
        n: how many, at least 1.
        seed: the same family, seed, difficulty, world and position give the same bytes.
        difficulty: 1, 2 or 3; None mixes them evenly.
        world: 1, on a grid in one typeface, as everything recorded was drawn; 2, free; or a `World`.

    Raises:
        InputError: for an unknown family, difficulty or world, or n below 1.
    """
    if not 1 <= n <= MOST:
        raise InputError(f"n={n!r}", f"at least one sample, at most {MOST:,} at a time")
    samples = []
    for i in range(n):
        drawing, level = draw(family, seed=f"{seed}/{i}", difficulty=difficulty, world=world)
        asked = drawing.questions[0]
        samples.append(
            Sample(
                images=[canvas.image() for canvas in drawing.canvases],
                question=asked.text,
                answer=asked.answer,
                trace=asked.trace,
                boxes=asked.boxes,
                family=family,
                domain=_drawn(family)[1].domain,
                steps=asked.steps,
                difficulty=level,
                rule=asked.rule,
                image=asked.image,
                truths=_truths(drawing),
                elements=tuple(Element(m.box, m.kind, m.name) for m in drawing.canvases[asked.image].marks),
            )
        )
    return samples


def _truths(drawing: Drawing) -> tuple[str, ...]:
    """The sentences that are true of a drawing."""
    told = (s for question in drawing.questions for s in sentences(question.trace))
    return tuple(dict.fromkeys((*told, *drawing.truths)))
