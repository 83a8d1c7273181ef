"""What a drawn question is, and how a reply to it is judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..names import Named, later
from .canvas import Canvas
from .wordings import COLOURS, SHAPES

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = [
    "Drawing",
    "Element",
    "Fact",
    "Facts",
    "Question",
    "Sample",
    "facts_of",
    "parse_point",
    "sentences",
]

Box = tuple[float, float, float, float]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Question(Named, picture="image"):
    """One question about a drawing.

    Args:
        text: what is asked.
        answer: the gold reply.
        trace: the reasoning, one sentence a step; a single sentence for perception.
        boxes: (x1, y1, x2, y2) in pixels, where the evidence lies; of the last picture unless
            `image` says otherwise.
        rule: how a reply is judged: "words" (the same words), "number" (the same number) or
            "point" (the centre of the given box, or the given point, lies in ``boxes[0]``), or "facts"
            (everything that the gold reply names is named, and nothing is said that is not true).
        steps: reasoning steps; 1 for perception.
        image: number of the image that the boxes refer to.
        asks: the kind of question, of `wordings.WORDINGS`, in whose other words it can be asked; "" for none.
        names: what it asks about, by the name of the gap in those wordings.
    """

    text: str
    answer: str
    trace: str
    boxes: tuple[Box, ...]
    rule: str = "words"
    steps: int = 1
    image: int = 0
    asks: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Drawing:
    """One or more canvases with everything that was asked about them, and more sentences that are true."""

    canvases: list[Canvas]
    questions: list[Question] = field(default_factory=list)
    truths: tuple[str, ...] = ()


class Element(NamedTuple):
    """Something on a picture: its box in pixels, its kind (of `words.KINDS`), and its text or label."""

    box: Box
    kind: str
    name: str = ""


@dataclass(frozen=True)
class Sample(Named, picture="image"):
    """A picture (or several) with one question whose answer is known exactly.

    ``boxes`` are (x1, y1, x2, y2) in pixels of ``images[image]``: where the evidence lies.
    ``steps`` counts reasoning steps (1: perception); ``difficulty`` is 1, 2 or 3.
    ``elements`` are all things that were drawn on ``images[image]``, in the order of drawing.
    ``truths`` are sentences that are true of the drawing: those of the traces of all that was asked about it,
    and what else can be said of it.
    """

    images: list[Image]
    question: str
    answer: str
    trace: str
    boxes: tuple[Box, ...]
    family: str
    domain: str
    steps: int
    difficulty: int
    rule: str
    image: int = 0
    elements: tuple[Element, ...] = ()
    truths: tuple[str, ...] = ()

    def true(self, thought: str) -> bool:
        """Whether every sentence of a thought is true of the drawing; an empty thought is not.

        A place that it names is true by the rule of answers: its point lies in the drawn box.
        """
        said, truths = sentences(thought), self.truths or sentences(self.trace)
        return bool(said) and all(one in truths or any(_says(one, true) for true in truths) for one in said)

    def plot(self) -> Figure:
        """The images, where the evidence lies, and the known answer: `workbench.viz.show_sample`."""
        return later("viz", "show_sample")(self)

    def correct(self, text: str) -> bool:
        """Whether a reply (its answer part, without the thought) is right by this family's rule."""
        if self.rule == "number":
            found = _NUMBER.findall(text.replace(",", ""))
            return len(found) == 1 and float(found[0]) == float(self.answer)
        if self.rule == "facts":
            return self.facts(text) == Facts(1.0, 0.0)
        if self.rule == "point":
            width, height = self.images[self.image].size
            point = parse_point(text)
            if point is None:
                return False
            x, y = point[0] * width, point[1] * height
            x1, y1, x2, y2 = self.boxes[0]
            return x1 <= x <= x2 and y1 <= y <= y2
        return _words(text) == _words(self.answer)

    def facts(self, text: str) -> Facts:
        """How much of what is to be told a description names, and how much of what it says is invented.

        To be told are the things and the words on signs that the gold reply names.  Where things stand need
        not be told, but must be true where it is.
        """
        told, gold = facts_of(text), facts_of(self.answer)
        true = gold.union(*map(facts_of, self.truths))
        needed = {fact for fact in gold if not fact.beside}
        named = len(told & needed) / len(needed) if needed else 0.0
        return Facts(named, len(told - true) / len(told) if told else 0.0)


class Facts(NamedTuple):
    """Shares of a description: of the facts that it should name, those ``named``; of what it says, what is
    ``invented``."""

    named: float
    invented: float


class Fact(NamedTuple):
    """What a description says: that a thing is there ("red star"), what a sign reads (``reads``), or that a
    thing is on a side of another one (``side`` and ``beside``)."""

    thing: str
    reads: str = ""
    side: str = ""
    beside: str = ""


_THING = rf"(?:{'|'.join(COLOURS)}) (?:{'|'.join((*SHAPES, 'sign'))})"
_SIDE = re.compile(
    rf"({_THING}),?(?: (?:is|stands|lies|and|just|directly|to|the|on))*"
    rf" (left|right|above|below|over|under)(?: of)?(?: (?:a|an|the))? ({_THING})"
)
_READS = re.compile(
    rf"({'|'.join(COLOURS)}) sign,?(?: (?:that|which|with|the|word|text|is|labelled))*"
    r" (?:says|reads|saying|reading|text|word|labelled) ([a-z0-9]+)"
)
_BOX = re.compile(r"\[{0}, {0}, {0}, {0}\]".format(r"([\d.]+)"))
_OTHER_WAY = {"right": "left", "below": "above", "under": "above"}


def facts_of(text: str) -> set[Fact]:
    """What a description says of shapes, signs and their places; a place is told from the left or from
    above."""
    plain = re.sub(r"[\"'“”:]", "", text.lower().replace("gray", "grey"))
    facts = {Fact(thing) for thing in re.findall(rf"(?<!\bno ){_THING}", plain)}
    facts |= {Fact(f"{colour} sign", reads=word) for colour, word in _READS.findall(plain)}
    for one, side, other in _SIDE.findall(plain):
        if side in _OTHER_WAY:
            one, side, other = other, _OTHER_WAY[side], one
        facts.add(Fact(one, side="above" if side == "over" else side, beside=other))
    return facts


def sentences(text: str) -> list[str]:
    """The sentences of a trace; a point within a number ends none."""
    return [part.strip() for part in re.findall(r".+?(?:\.(?!\d)|$)", text) if part.strip()]


def _says(said: str, true: str) -> bool:
    """Whether a sentence says the same as a true one, but for a place that lies in the true one's box."""
    point, box = parse_point(said) if "[" in said else None, _BOX.search(true)
    if point is None or box is None or _BOX.sub("[]", said) != _BOX.sub("[]", true):
        return False
    x1, y1, x2, y2 = map(float, box.groups())
    return x1 <= point[0] <= x2 and y1 <= point[1] <= y2


def parse_point(text: str) -> tuple[float, float] | None:
    """The relative point that a grounding reply names: a box's centre, or a point as it is.

    Reads ``[x1, y1, x2, y2]`` or ``[x, y]`` with values from 0 to 1; None where neither is there.
    """
    inside = re.search(r"\[([^\[\]]*)\]", text)
    values = [float(v) for v in _NUMBER.findall(inside.group(1) if inside else text)]
    if len(values) not in (2, 4) or any(not 0 <= v <= 1 for v in values):
        return None
    if len(values) == 2:
        return values[0], values[1]
    return (values[0] + values[2]) / 2, (values[1] + values[3]) / 2


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
