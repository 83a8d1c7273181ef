"""What a map is about: the whole reply, a span, one token, or the contrast of two answers.

A caller points at tokens, spans or regions of an image; here they become positions in the answer's
sequence, and the rows that wrote a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..answer import Answer
from ..attention.select import region_positions as attention_positions
from ..errors import CapabilityError, InputError
from ..types import Box, Region, Span, TokenLayout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "Contrast",
    "NAMES",
    "Place",
    "Scored",
    "Target",
    "check_answer",
    "layout_of",
    "make_target",
    "positions",
    "region_positions",
    "whole_reply",
    "writers",
]


ACCEPTED = (
    "None (thought and answer), 'answer', 'thought' or 'reply', a types.Span, one token position, "
    "or another Answer to the same prompt (their contrast)"
)


@dataclass(frozen=True)
class Contrast:
    """Why this answer rather than that one: the difference of their log-probabilities.

    Args:
        other: the other answer: an `Answer` to the same prompt, or its text, which is then read
            where this answer begins (after the same thought, if there is one).
    """

    other: Answer | str


@dataclass(frozen=True)
class Scored:
    """One sequence whose tokens are scored.

    Args:
        ids: prompt and reply.
        span: positions in ``ids`` that are scored.
        weight: 1, or -1 for what is subtracted.
    """

    ids: tuple[int, ...]
    span: Span
    weight: float = 1.0


@dataclass(frozen=True)
class Target:
    """What is scored: the weighted sum of the sequences' log-probabilities, in nats.

    Args:
        kind: ``"whole"`` (thought and answer), ``"answer"``, ``"thought"``, ``"reply"``, ``"span"``,
            ``"token"`` or ``"contrast"``.
        label: in words, for titles.
        sequences: what is scored; the first one is the answer that was given.
    """

    kind: str
    label: str
    sequences: tuple[Scored, ...]

    @property
    def span(self) -> Span:
        """The scored positions of the answer that was given."""
        return self.sequences[0].span

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        rows = [
            {"ids": list(s.ids), "span": [s.span.start, s.span.stop], "weight": s.weight}
            for s in self.sequences
        ]
        return {"kind": self.kind, "label": self.label, "sequences": rows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Target:
        """The inverse of `to_dict`."""
        rows = tuple(
            Scored(tuple(map(int, s["ids"])), Span(*map(int, s["span"])), float(s["weight"]))
            for s in data["sequences"]
        )
        return cls(str(data["kind"]), str(data["label"]), rows)


def check_answer(answer: Answer) -> None:
    """Refuse an answer that holds nothing to look into.

    Raises:
        CapabilityError: if it came from a server.
        InputError: if it has no reply.
    """
    if not isinstance(answer, Answer):
        raise InputError(
            f"an answer of type {type(answer).__name__}", "an Answer", "pass what vlm.ask returned"
        )
    if not answer.token_ids and answer.text:
        raise CapabilityError(
            "an answer without token ids, as a server gives it",
            "an answer of a model that runs here",
            "load the model with workbench.load and ask it",
        )
    if not answer.reply_ids:
        raise InputError("an empty answer: the reply has no token", "an answer with a reply", "ask again")


def make_target(
    answer: Answer, target: object = None, *, tokenizer: PreTrainedTokenizerBase = None
) -> Target:
    """Read a target.

    Args:
        answer: the answer that it is about.
        target: None (thought and answer; see `whole_reply`), "answer" (the answer given its thought),
            "thought", "reply" (both, with delimiters and end token), a `types.Span` or one position in
            ``answer.token_ids``, another `Answer` to the same prompt or a `Contrast`, or the pair
            (answer, other).
        tokenizer: the model's; only a contrast with a text needs it.

    Raises:
        InputError: for a target that is empty, out of range, or of another prompt.
    """
    check_answer(answer)
    if isinstance(target, Target):
        if target.sequences[0].ids != answer.token_ids:
            raise InputError("a target of another answer", "a target made of this answer")
        return target
    if isinstance(target, tuple) and len(target) == 2 and all(isinstance(a, Answer) for a in target):
        if target[0].token_ids != answer.token_ids:
            raise InputError(
                "a contrast whose first answer is another one", "(answer, other)", "swap the two"
            )
        target = target[1]
    if isinstance(target, (Answer, Contrast)):
        return _contrast(answer, target.other if isinstance(target, Contrast) else target, tokenizer)
    span = whole_reply(answer) if target is None and answer.thought is not None else None
    if span is not None:
        label = f"thought and answer “{answer.text}”" if answer.text else "the thought"
        return _span(answer, span, "whole", label)
    if target is None or isinstance(target, str):
        return _named(answer, "answer" if target is None else target)
    if isinstance(target, Span):
        return _span(answer, target, "span", f"tokens {target.start} to {target.stop - 1}")
    if isinstance(target, int) and not isinstance(target, bool):
        return _span(answer, Span(target, target + 1), "token", f"token {target}")
    raise InputError(f"target={target!r}"[:80], ACCEPTED)


def whole_reply(answer: Answer) -> Span | None:
    """Thought and answer together, without what the mode forced before them; None for an empty reply.

    An answer whose thought is given often copies the thought's last word and needs no picture any more:
    so this is the default target.
    """
    spans = [span for span in answer.spans.values() if len(span)]
    return Span(min(s.start for s in spans), max(s.stop for s in spans)) if spans else None


def _named(answer: Answer, name: str) -> Target:
    spans = {**answer.spans, "reply": Span(answer.prompt_tokens, len(answer.token_ids))}
    if name not in spans:
        raise InputError(f"target={name!r}", ACCEPTED)
    if not len(spans[name]):
        others = [f"target={n!r}" for n, span in spans.items() if len(span) and n != name]
        raise InputError(
            f"target={name!r}, but the {name} is empty (the reply {_ended(answer)})",
            "a part of the reply that holds a token",
            f"use {' or '.join(others)}, or ask again",
        )
    label = {"answer": f"“{answer.text}”", "thought": "the thought"}.get(name, "the reply")
    return Target(name, label, (Scored(answer.token_ids, spans[name]),))


def _ended(answer: Answer) -> str:
    return "ended by itself" if answer.stopped == "end" else f"stopped: {answer.stopped}"


def _span(answer: Answer, span: Span, kind: str, label: str) -> Target:
    first, last = answer.prompt_tokens, len(answer.token_ids)
    empty = span.stop <= span.start
    if empty or span.start < first or span.stop > last:
        raise InputError(
            f"target: {span}, which is empty" if empty else f"target: {label}",
            f"positions of the reply, {first} to {last - 1}",
            f"answer.spans['answer'] is Span{(answer.spans['answer'].start, answer.spans['answer'].stop)}",
        )
    return Target(kind, label, (Scored(answer.token_ids, span),))


def _contrast(answer: Answer, other: Answer | str, tokenizer: PreTrainedTokenizerBase) -> Target:
    own = _named(answer, "answer").sequences[0]
    if isinstance(other, str):
        ids = tuple(tokenizer.encode(other, add_special_tokens=False)) if other else ()
        if not ids:
            raise InputError("a contrast with an empty text", "the text of another answer")
        start = own.span.start
        theirs = Scored((*answer.token_ids[:start], *ids), Span(start, start + len(ids)), -1.0)
        text = other
    else:
        check_answer(other)
        if other.prompt_ids != answer.prompt_ids:
            raise InputError(
                "a contrast with an answer to another prompt",
                "two answers to the same question about the same pictures, in the same mode",
                "ask both with the same pictures and question",
            )
        found = _named(other, "answer").sequences[0]
        theirs, text = Scored(found.ids, found.span, -1.0), other.text
    if theirs.ids[: theirs.span.stop] == own.ids[: own.span.stop]:
        raise InputError("a contrast of an answer with itself", "two different answers")
    return Target("contrast", f"“{answer.text.strip()}” rather than “{text.strip()}”", (own, theirs))


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
        return _named_place(answer, place)
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
    if isinstance(place, np.ndarray):
        place = place.tolist()
    if isinstance(place, Sequence):
        return [at for part in place for at in _found(answer, part)]
    if hasattr(place, "__index__"):  # a number of numpy
        return _found(answer, place.__index__())
    raise InputError(
        f"a place of type {type(place).__name__}", "a position, Span, Region, name, or a sequence of them"
    )


def _named_place(answer: Answer, name: str) -> Sequence[int]:
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
