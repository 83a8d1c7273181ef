"""A thought's sentences as spans of tokens, and the evidence of each step of a drawn question"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InputError
from ..types import Box, Span

if TYPE_CHECKING:
    from ..synth import Sample

__all__ = ["sentences", "step_boxes"]

# An end mark, closing quotes or brackets behind it; but "3." alone numbers a list.
_END = re.compile(r"(?:[.!?…]|[。！？])[\"'”’»)\]*_]*\s*$|\n\s*$")
_NUMBERING = re.compile(r"^\W*\d{1,3}\.\s*$")
_WIDE = re.compile(r"[。！？][\"'”’»)\]]*$")


def sentences(texts: Sequence[str], span: Span) -> list[Span]:
    """Split a span of tokens into sentences; together they are the span.

    A sentence ends with a token after which the text ends in ``.``, ``!``, ``?``, ``…`` (or their wide
    forms) and white space follows, or with a line break.  Sentences end where tokens end: a token that
    holds the end of one and the beginning of the next belongs to the first.

    Args:
        texts: text of each token of the sequence.
        span: the tokens to split, for example ``answer.spans["thought"]``.
    """
    found: list[Span] = []
    start, text = span.start, ""
    for at in span:
        text += texts[at]
        follows = texts[at + 1] if at + 1 < span.stop else " "
        apart = not follows or follows[0].isspace() or text[-1:].isspace() or bool(_WIDE.search(text))
        if apart and _END.search(text) and not _NUMBERING.match(text) and text.strip():
            found.append(Span(start, at + 1))
            start, text = at + 1, ""
    if start < span.stop:
        if found and not text.strip():  # white space before the thought's end
            found[-1] = Span(found[-1].start, span.stop)
        else:
            found.append(Span(start, span.stop))
    return found


def step_boxes(sample: Sample) -> list[tuple[Box, ...]]:
    """Where the evidence of each sentence of a drawn question's trace lies, in pixels.

    A sample holds its boxes in the order of the steps, a place that is visited twice only once: steps are
    told apart by what their sentence begins with ("News links to Mail.").

    Raises:
        InputError: if the boxes cannot be told apart by step.
    """
    steps = [part.strip() for part in re.split(r"(?<=\.)\s+", sample.trace.strip()) if part.strip()]
    if len(steps) == 1:
        return [tuple(sample.boxes)]
    if len(steps) == len(sample.boxes):
        return [(box,) for box in sample.boxes]
    if (
        len(sample.boxes) == 2 * len(steps) + 1
    ):  # an expression: a value, then an operator and a number a step
        first, rest = sample.boxes[:1], sample.boxes[1:]
        pairs = [tuple(rest[2 * i : 2 * i + 2]) for i in range(len(steps))]
        return [(*first, *pairs[0]), *pairs[1:]]
    order = list(dict.fromkeys(step.split()[0] for step in steps))
    if len(order) != len(sample.boxes):
        raise InputError(
            f"a sample of {sample.family!r} with {len(steps)} steps and {len(sample.boxes)} boxes",
            "one box a step",
            "pass boxes=[...], one entry a sentence",
        )
    return [(sample.boxes[order.index(step.split()[0])],) for step in steps]
