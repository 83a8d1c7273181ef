"""From a question to an `Answer`: check what was given, encode, generate, put the record together."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from ..answer import Answer
from ..errors import InputError, OutOfMemoryError
from ..images import open_images
from ..types import Mode, Piece, Span, Turn
from .capture import check_capture
from .capture_reply import ReplyCapture
from .context import no_room, reply_room
from .families import Encoded
from .generate import Row, Settings, run_generation
from .reader import ReplyReader
from .worker import Worker

if TYPE_CHECKING:
    from .handle import VLM

__all__ = ["Job", "Request", "check_images", "make_request"]


@dataclass(frozen=True)
class Request:
    """One question, checked: its pictures are open, its history is complete.

    Args:
        turns: the conversation; the last turn is the question.
        mode: how to reply.
        settings: how to write the reply; a sampled one has its seed.
    """

    turns: tuple[Turn, ...]
    mode: Mode
    settings: Settings

    @property
    def images(self) -> tuple[Any, ...]:
        """All pictures of the conversation, in order."""
        return tuple(image for turn in self.turns for image in turn.images)


def make_request(
    pictures: Sequence[Any],
    question: str,
    *,
    mode: str | Mode,
    settings: Settings,
    history: Sequence[Turn] = (),
) -> Request:
    """Check a question and what it builds on.

    Args:
        pictures: the question's pictures, as `check_images` gave them.
        question, mode, settings, history: as for `VLM.ask`.

    Raises:
        InputError: for a question or history that cannot be used; ModeError for a mode that does
            not exist.
    """
    mode = Mode.of(mode)
    check_question(question)
    if isinstance(history, Turn) or not all(isinstance(turn, Turn) for turn in history):
        raise InputError("a history that is not made of turns", "a sequence of workbench.types.Turn")
    past = tuple(replace(turn, images=tuple(open_images(turn.images))) for turn in history)
    if settings.temperature > 0 and settings.seed is None:
        settings = replace(settings, seed=secrets.randbits(32))  # kept with the answer: it can be repeated
    return Request((*past, Turn("user", question, tuple(pictures))), mode, settings)


def check_images(images: Any) -> list[Any]:
    """Open the pictures of a question.

    Raises:
        InputError: if one cannot be opened, or for an empty sequence: mostly a search that found nothing.
    """
    if isinstance(images, (list, tuple)) and not images:
        raise InputError(
            f"images={images!r}, which holds no picture",
            "one picture, several, or None",
            "pass None to ask without a picture",
        )
    return open_images(images)


def check_question(question: Any) -> None:
    """Refuse what is no question.

    Raises:
        InputError: if it is not text, or empty, or holds half a character.
    """
    if not isinstance(question, str):
        raise InputError(f"a question of type {type(question).__name__}", "text", "pass (images, question)")
    if not question.strip():
        raise InputError("an empty question", "some text", "ask something, for example 'What is this?'")
    try:
        question.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"a question with half a character at position {error.start}", "text that can be written as UTF-8"
        ) from None


class Job:
    """One run of the model over a few requests of the same mode and settings.

    Encoding happens at once, in the caller's thread, so that wrong input is reported by the call
    that gave it; generation runs in a thread of its own.

    Args:
        vlm: the model.
        requests: what to ask; one batch.
        stop: set it to end the run soon with what there is.
        on_pieces: called in the generating thread with a request's number and its new pieces.
        around: context managers that are open while the model runs.
        capture: whether the answers get their attention, and of what; see `VLM.ask`.

    Raises:
        InputError: if a request does not suit the model; ContextLengthError if it does not fit.
    """

    def __init__(
        self,
        vlm: VLM,
        requests: Sequence[Request],
        *,
        stop: threading.Event | None = None,
        on_pieces: Callable[[int, list[Piece]], None] | None = None,
        around: Sequence[contextlib.AbstractContextManager[Any]] = (),
        capture: bool | str = False,
    ) -> None:
        self._started = time.perf_counter()
        self._vlm, self._requests = vlm, list(requests)
        self._tokenizer, self._config = vlm.tokenizer, vlm.model.config
        self._place = (vlm.device, vlm.dtype)
        self.stop = stop or threading.Event()
        self._on_pieces, self._around = on_pieces, around
        self._encoded = self._encode()
        self._rows = [self._row(number) for number in range(len(self._requests))]
        self._capture = ReplyCapture(vlm, self._encoded, capture) if check_capture(capture) else None
        self._worker = Worker(self._run, stop=self.stop, no_room=self._no_room)

    def start(self) -> Job:
        """Begin to generate; returns at once."""
        self._worker.start()
        return self

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._worker.done

    def result(self) -> list[Answer]:
        """Wait for the end; one answer per request, interrupted ones with what there is.

        Raises:
            OutOfMemoryError: if the device had no room.
        """
        return self._worker.result()

    def _encode(self) -> Encoded:
        vlm, mode = self._vlm, self._requests[0].mode
        vlm.family.check_mode(mode, vlm.name)
        turns = [request.turns for request in self._requests]
        with vlm.encoding:
            encoded = vlm.family.encode(vlm.processor, turns, mode=mode, config=vlm.model.config)
        if self._requests[0].settings.thinking_budget is not None and not encoded.think_close:
            raise InputError(
                f"thinking_budget with {vlm.name}, which writes no thoughts", "no thinking_budget"
            )
        return encoded

    def _row(self, number: int) -> Row:
        vlm, encoded, settings = self._vlm, self._encoded, self._requests[number].settings
        reader = ReplyReader(
            _shown_text(self._tokenizer, encoded.think_open, encoded.think_close),
            think_open=encoded.think_open,
            think_close=encoded.think_close,
            delimiters=vlm.family.thought,
        )
        most = reply_room(
            self._config,
            prompt=len(encoded.prompt_ids[number]),
            image_tokens=encoded.layouts[number].image_tokens,
            max_tokens=settings.max_tokens,
        )
        random = torch.Generator().manual_seed(settings.seed) if settings.temperature > 0 else None
        return Row(reader, most, random)

    def _run(self) -> list[Answer]:
        vlm = self._vlm
        encoded, self._encoded = self._encoded, replace(self._encoded, inputs={})  # pixels are not kept
        with vlm.turn(self.stop) as ours:
            if ours:
                run_generation(
                    vlm.model,
                    encoded,
                    self._rows,
                    self._requests[0].settings,
                    tokenizer=self._tokenizer,
                    device=vlm.device,
                    stop=self.stop,
                    on_pieces=self._on_pieces,
                    around=[*self._around, *([self._capture] if self._capture else [])],
                )
        answers = [self._answer(number) for number in range(len(self._rows))]
        if self._capture is None:
            return answers
        records = self._capture.records(answers)
        return [replace(answer, captured=record) for answer, record in zip(answers, records, strict=True)]

    def _answer(self, number: int) -> Answer:
        """Put one record together."""
        vlm, request, row = self._vlm, self._requests[number], self._rows[number]
        prompt, layout = self._encoded.prompt_ids[number], self._encoded.layouts[number]
        reply = vlm.family.split(row.ids, self._tokenizer, mode=request.mode)
        thought = reply.thought or None  # one that was shut before it said anything is none
        thought_span = reply.thought_span if thought else Span(0, 0)
        spans = {"thought": thought_span, "answer": reply.answer_span}
        return Answer(
            text=reply.answer,
            thought=thought,
            mode=request.mode,
            p_think=row.p_think,
            prompt_tokens=len(prompt),
            image_tokens=layout.image_tokens,
            thought_tokens=len(thought_span),
            answer_tokens=len(reply.answer_span),
            seconds=(row.last_at or time.perf_counter()) - self._started,
            seconds_to_first_token=None if row.first_at is None else row.first_at - self._started,
            stopped=row.stopped,
            token_ids=(*prompt, *row.ids),
            spans={kind: Span(s.start + len(prompt), s.stop + len(prompt)) for kind, s in spans.items()},
            layout=layout,
            question=request.turns[-1].text,
            images=request.images,
            history=request.turns[:-1],
            model=vlm.name,
            source=vlm.source,
            settings={**request.settings.to_dict(), "max_tokens": row.max_tokens},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _no_room(self) -> OutOfMemoryError:
        device, dtype = self._place
        return no_room(
            self._config,
            [len(ids) for ids in self._encoded.prompt_ids],
            max(row.max_tokens for row in self._rows),
            device=device,
            dtype=dtype,
        )


def _shown_text(tokenizer: Any, *delimiters: list[int]) -> Callable[[list[int]], str]:
    """Token ids to text without special tokens; but parts of a delimiter that is found by its text stay."""
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    hidden = special.union(tokenizer.all_special_ids).difference(*(ids for ids in delimiters if len(ids) > 1))
    return lambda ids: tokenizer.decode([i for i in ids if i not in hidden], skip_special_tokens=False)
