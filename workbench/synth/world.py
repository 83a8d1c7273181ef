"""The drawn worlds: the first, on a grid in one typeface, and the second, free, lettered and worn.

What was recorded (the suite, the league, the runs) was drawn in the first world, which stays as it is to the
byte.  The second draws the same things and asks the same questions, but places, sizes, typefaces, themes and
wordings vary, and some questions have no answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..errors import InputError
from .look import ANYWHERE, FACES, HELD_OUT_FACES, Look, choose, moved
from .sample import Drawing, Question
from .wordings import BUTTONS, CATEGORIES, COLOURS, FIELDS, OPTIONS, SHAPES, asked

__all__ = ["NONE", "WORLD_1", "WORLD_2", "World", "dressed"]

#: The answer to a question about something that is not there.
NONE = "none"

#: How often a drawing's first question asks for something that is not there.
UNANSWERABLE = 0.06


@dataclass(frozen=True)
class World:
    """Which world is drawn.

    Args:
        version: 1, on a grid in one typeface; or 2.
        worn: whether some pictures are turned, blurred, noisy, compressed or grey, as in training.
        plain: share of drawings that are only moved, as large as they were made and in one typeface.
        shift: how far those stand off the first world's grid at most, in pixels; 2 is anywhere.
        held_out: of "fonts", "wordings" and "words": those which training never uses take the place of its
            own.  Words are held out of ``read_text`` only; the others' are few, and all are trained.
    """

    version: int = 1
    worn: bool = False
    plain: float = 0.0
    shift: float = ANYWHERE
    held_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.version, int) or self.version not in (1, 2):
            raise InputError(f"world={self.version!r}", "1, the recorded one, or 2, the free one")
        if not set(self.held_out) <= {"fonts", "wordings", "words"}:
            raise InputError(f"held_out={self.held_out!r}", "of fonts, wordings and words")


WORLD_1 = World(1)
WORLD_2 = World(2)


def dressed(drawing: Drawing, rng: random.Random, world: World) -> Drawing:
    """A drawing as a world has it; of the second: a look for its pictures, other words, boxes moved.

    All pictures of a drawing get the same look, apart from their noise.  In the first world, only what is
    held out is put in place of what it has.
    """
    held_out = "wordings" in world.held_out
    if world.version == 1:
        if "fonts" in world.held_out:
            face = rng.choice(HELD_OUT_FACES)
            for canvas in drawing.canvases:
                canvas.dress(Look((canvas.width, canvas.height), face=face))
        asked = [_reworded(q, rng, held_out=True) if held_out else q for q in drawing.questions]
        return replace(drawing, questions=asked)
    questions = [*drawing.questions]
    absent = _absent(questions, drawing, rng) if rng.random() < UNANSWERABLE else None
    if absent is not None:
        questions.insert(0, absent)
    colours = any(set(f"{q.text} {q.answer} {q.trace}".lower().split()) & _COLOURED for q in questions)
    first = drawing.canvases[0]
    faces = HELD_OUT_FACES if "fonts" in world.held_out else FACES
    if rng.random() < world.plain:
        look = moved(rng, first.width, first.height, shift=world.shift)
    else:
        look = choose(rng, first.width, first.height, faces=faces, worn=world.worn, colours=colours)
    for number, canvas in enumerate(drawing.canvases):
        canvas.dress(replace(look, seed=look.seed + number))
    asked = [_reworded(_moved(q, drawing), rng, held_out=held_out) for q in questions]
    return replace(drawing, questions=asked)


_COLOURED = {*COLOURS, "colour"}


def _moved(question: Question, drawing: Drawing) -> Question:
    """A question whose boxes lie where the look put them; so does an answer that is a place."""
    canvas = drawing.canvases[question.image]
    located = question.rule == "point"
    boxes = tuple(canvas.placed(box, room=0 if located else 2) for box in question.boxes)
    if not located:
        return replace(question, boxes=boxes)
    x1, y1, x2, y2 = canvas.steps(boxes[0])
    alone = question.answer.count(",") == 1  # a point, where others give a box
    place = ((x1 + x2) // 2, (y1 + y2) // 2) if alone else (x1, y1, x2, y2)
    gold = "[" + ", ".join(f"{step / 40:.4f}" for step in place) + "]"
    trace = question.trace.replace(question.answer, gold)
    return replace(question, boxes=boxes, answer=gold, trace=trace)


def _reworded(question: Question, rng: random.Random, *, held_out: bool) -> Question:
    if not question.asks:
        return question
    return replace(question, text=asked(question.asks, question.names, rng, held_out=held_out))


def _absent(questions: Iterable[Question], drawing: Drawing, rng: random.Random) -> Question | None:
    """One of a drawing's questions asked about something that is not there; None where none can be."""
    for question in questions:
        if question.asks not in _ABSENCE:
            continue
        gap, what = _ABSENCE[question.asks]
        shown = {mark.name for canvas in drawing.canvases for mark in canvas.marks}
        shown |= {mark.facts.get("colour", "") for canvas in drawing.canvases for mark in canvas.marks}
        shown |= {q.names[gap] for q in drawing.questions if q.asks == question.asks}
        shown |= {mark.kind for canvas in drawing.canvases for mark in canvas.marks}
        others = [name for name in _kin(question.names[gap]) if name not in shown]
        if not others:
            continue
        name = rng.choice(others)
        canvas = drawing.canvases[question.image]
        return replace(
            question,
            names={**question.names, gap: name},
            answer=NONE,
            trace=f"There is no {what.format(name)}.",
            boxes=((0.0, 0.0, float(canvas.width), float(canvas.height)),),
            rule="words",
        )
    return None


#: Kind of question -> the gap that can name what is absent, and how the thought says so.
_ABSENCE = {
    "value": ("label", "{}"),
    "share": ("label", "{}"),
    "cell": ("row", "{}"),
    "find": ("button", "{} button"),
    "state": ("option", "{} setting"),
    "colour": ("shape", "{}"),
    "shape": ("colour", "{} shape"),
    "sign": ("colour", "{} sign"),
    "ink": ("colour", "{} text"),
    "number": ("colour", "{} number"),
    "series": ("label", "{}"),
    "price": ("item", "{}"),
    "field": ("field", "{}"),
}


def _kin(name: str) -> tuple[str, ...]:
    """The names of the same sort."""
    sorts = (*CATEGORIES.values(), BUTTONS, OPTIONS, SHAPES, tuple(COLOURS), tuple(FIELDS))
    return next((tuple(sort) for sort in sorts if name in sort), ())
