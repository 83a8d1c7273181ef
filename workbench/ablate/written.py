"""A drawing written out: what is on its picture, in words, for training a decoder without pictures"""

from __future__ import annotations

from ..synth.canvas import Mark
from ..synth.sample import Drawing
from ..synth.words import SHAPES

__all__ = ["WRITTEN", "written"]

#: Families whose questions can be answered from what is written; where places matter, they cannot.
WRITTEN = (
    "bar_value", "line_value", "pie_share", "bar_walk", "table_value", "geometry", "chain",
    "gui_state", "gui_links", "shape_colour", "shape_count", "read_sign",
)  # fmt: skip

#: Kinds of things that say something without a text on them.
_SPEAKING = ("on", "off", *SHAPES)


def written(drawing: Drawing) -> str:
    """What is on a drawing's first picture, in the order of drawing: "Home Mail, Mail Shop."

    Every thing is told by its labels, its colour, and its text or else its kind; captions that only name
    others' labels (axes, heads of tables) are left out.
    """
    told = [line for mark in drawing.canvases[0].marks if (line := _line(mark))]
    return ", ".join(told) + "."


def _line(mark: Mark) -> str:
    facts = mark.facts
    says = facts.get("text") or (mark.kind if mark.kind in _SPEAKING else "")
    if not says or mark.kind == "text" or (mark.kind in SHAPES and "colour" not in facts):
        return ""
    labels = (facts.get("second", ""), facts.get("key", ""), facts.get("colour", ""))
    return " ".join(word for word in (*labels, says) if word)
