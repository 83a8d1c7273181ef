"""Places in an answer's sequence: tokens, spans, regions of a picture, and the rows that wrote a token"""

from __future__ import annotations

from collections.abc import Sequence

from ..answer import Answer
from ..attention.select import region_positions as attention_positions
from ..errors import CapabilityError, InputError
from ..types import Box, Region, Span, TokenLayout

__all__ = ["NAMES", "Place", "layout_of", "positions", "region_positions", "writers"]

Place = int | Span | Region | str | Sequence["int | Span | Region | str"]
"""One or several places: a position, a span, a region of a picture, a name of `NAMES`, or a mixture."""

NAMES = ("all", "prompt", "images", "text", "reply", "thought", "answer")
"""Names: every position; the prompt; its image tokens; the prompt without them; the reply and its parts."""


def layout_of(answer: Answer) -> TokenLayout:
    """Where the pictures stand.

    Raises:
        CapabilityError: for an answer of a server, which tells no token ids.
    """
    if answer.layout is None or not answer.token_ids:
        raise CapabilityError(
            "an answer without token ids (a server gives none)",
            "an answer of a model that was loaded here",
            "load the model itself: workbench.load('owner/name')",
        )
    return answer.layout


def positions(answer: Answer, place: Place) -> tuple[int, ...]:
    """Positions in ``answer.token_ids`` of a place, in order and each once.

    Args:
        answer: an answer with token ids.
        place: a position (negative ones count from the end), a `Span`, a `Region`, one of `NAMES`,
            or a sequence of these.

    Raises:
        InputError: for a place that is not there.
        CapabilityError: for an answer of a server.
    """
    layout_of(answer)
    return tuple(sorted(set(_found(answer, place))))


def writers(answer: Answer, place: Place) -> tuple[int, ...]:
    """The positions whose states wrote the tokens of a place: each token is chosen one position earlier.

    Raises:
        InputError: as `positions`, or if a token of the place was not written by the model.
    """
    written = positions(answer, place)
    if early := [at for at in written if at < answer.prompt_tokens]:
        raise InputError(
            f"position {early[0]}, which belongs to the prompt",
            f"positions of the reply, {answer.prompt_tokens} to {len(answer.token_ids) - 1}",
        )
    return tuple(at - 1 for at in written)


def region_positions(answer: Answer, region: Region | Box) -> tuple[int, ...]:
    """Positions of the image tokens under a region, on the overview and on every crop that shows it.

    Raises:
        InputError: for a picture that is not there, or a box outside of it.
        CapabilityError: for an answer of a server.
    """
    return tuple(int(at) for at in attention_positions(layout_of(answer), region)[0])


def _found(answer: Answer, place: Place) -> Sequence[int]:
    if isinstance(place, str):
        return _named(answer, place)
    if isinstance(place, Region):
        return region_positions(answer, place)
    length = len(answer.token_ids)
    if isinstance(place, Span):
        if not 0 <= place.start <= place.stop <= length:
            raise InputError(f"the span {place.start} to {place.stop}", f"a span within 0 to {length}")
        return list(place)
    if isinstance(place, int) and not isinstance(place, bool):
        if not -length <= place < length:
            raise InputError(
                f"position {place}", f"a position from 0 to {length - 1}, or from -{length} to -1"
            )
        return [place % length]
    if isinstance(place, Sequence):
        return [at for part in place for at in _found(answer, part)]
    if hasattr(place, "__index__"):  # a number of numpy
        return _found(answer, place.__index__())
    raise InputError(
        f"a place of type {type(place).__name__}", "a position, Span, Region, name, or a sequence of them"
    )


def _named(answer: Answer, name: str) -> Sequence[int]:
    prompt, length = range(answer.prompt_tokens), len(answer.token_ids)
    if name in ("thought", "answer"):
        if not (span := answer.spans[name]):
            raise InputError(
                f"place={name!r}, but the {name} is empty",
                "a part of the reply that holds a token",
                "look at answer.spans; a direct answer has no thought",
            )
        return list(span)
    if name == "all":
        return range(length)
    if name == "prompt":
        return prompt
    if name == "reply":
        return range(answer.prompt_tokens, length)
    if name in ("images", "text"):
        layout = layout_of(answer)
        return [at for at in prompt if (layout.locate(at) is None) == (name == "text")]
    raise InputError(f"place={name!r}", f"one of {', '.join(map(repr, NAMES))}, a position, Span or Region")
