"""From a question to an `Answer`: check what was given, encode, generate, put the record together.

What fits: a prompt into the model's context, a reply into the device's memory.

Many questions in batches, each reply as if it had been asked alone.

A reply that is being written: watch it, wait for it, stop it.

The handle returns at once, while the model works in a thread of its own.  Any cell, thread or
button may call `Stream.stop`; the answer then holds what there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import torch

from ..answer import Answer
from ..errors import ContextLengthError, InputError, OutOfMemoryError, WorkbenchError
from ..images import open_images
from ..types import Mode, Piece, Span, Turn
from .capture import ReplyCapture, check_capture
from .device import available_memory
from .families import Encoded
from .generate import DEFAULT_MAX_TOKENS, ReplyReader, Row, Settings, run_generation
from .memory_plan import kv_cache
from .worker import Worker

if TYPE_CHECKING:
    from .vlm import VLM

__all__ = [
    "Job",
    "Request",
    "Stream",
    "ask_many",
    "check_images",
    "context_length",
    "make_request",
    "no_room",
    "pair",
    "reply_room",
]


def context_length(config: Any) -> int | None:
    """Positions that a model was built for, prompt and reply together; None where it does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def reply_room(config: Any, *, prompt: int, image_tokens: int, max_tokens: int | None) -> int:
    """Most tokens that a reply to this prompt may have.

    Args:
        config: the model's config.
        prompt: tokens of the prompt.
        image_tokens: how many of them stand for pictures.
        max_tokens: what was asked for; None for `DEFAULT_MAX_TOKENS` or what there is room for.

    Raises:
        ContextLengthError: if it does not fit.  Nothing is ever cut off.
    """
    what = f"a prompt of {prompt} tokens ({image_tokens} of them for pictures)"
    shorter = "use fewer or smaller pictures, a shorter question, or less history"
    longest = getattr(config, "tokenizer_model_max_length", None)  # Phi-4-RV's own limit for prompts
    if longest is not None and prompt > longest:
        raise ContextLengthError(what, f"at most {longest} tokens in a prompt of this model", shorter)
    context = context_length(config)
    if context is None:
        return max_tokens or DEFAULT_MAX_TOKENS
    room = context - prompt
    if room < 1 or (max_tokens or 1) > room:
        asked = "" if max_tokens is None else f" and max_tokens={max_tokens}"
        fix = f"pass max_tokens={room}, or {shorter}" if room >= 1 else shorter
        raise ContextLengthError(what + asked, f"together at most {context} tokens for this model", fix)
    return max_tokens or min(DEFAULT_MAX_TOKENS, room)


def no_room(
    config: Any, prompts: Sequence[int], max_tokens: int, *, device: torch.device, dtype: torch.dtype
) -> OutOfMemoryError:
    """The error for replies that ran out of memory, saying what would fit.

    Call it when the memory has been freed.

    Args:
        config: the model's config.
        prompts: tokens of each prompt of the batch.
        max_tokens: most tokens of a reply.
        device: where it ran.
        dtype: precision of the cache.
    """
    rows, prompt = len(prompts), max(prompts)
    config, width = config.get_text_config(), dtype.itemsize
    need, free = kv_cache(config, prompt + max_tokens, width=width) * rows, available_memory(device)
    batch = f", {rows} at a time" if rows > 1 else ""
    given = (
        f"no room on {device} for {prompt} prompt tokens and up to {max_tokens} of reply{batch}: "
        f"the cache alone grows to {_gigabytes(need)}, and {_gigabytes(free)} are free now (the failed run's "
        "memory was given back)"
    )
    per_token = max(1, kv_cache(config, 1000, width=width) // 1000)
    fits = max(0, free // 2 // per_token)  # half for activations, which come and go
    expected = f"about {fits:,} tokens of prompt and reply together, in one conversation, would fit"
    if rows > 1:
        fix = f"pass batch_size={rows // 2}"
    else:
        fix = (
            "use a smaller max_tokens or smaller pictures (image_tokens= of workbench.load), or load it "
            "smaller: workbench.memory_plan(...) shows quantize='int8', 'int4' and offload"
        )
    return OutOfMemoryError(given, expected, fix)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


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


def ask_many(
    vlm: VLM,
    images: Any,
    questions: str | Sequence[str],
    *,
    mode: str | Mode,
    settings: Settings,
    batch_size: int,
    progress: bool,
    capture: bool | str = False,
) -> list[Answer]:
    """See `VLM.ask_many`."""
    from tqdm.auto import tqdm

    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size={batch_size!r}", "a whole number, at least 1")
    check_capture(capture)
    vlm.family.check_mode(Mode.of(mode), vlm.name)
    requests = _requests(pair(images, questions), mode=mode, settings=settings)
    answers: list[Answer] = []
    interrupted = False
    with tqdm(total=len(requests), disable=not progress, unit="question") as bar:
        while len(answers) < len(requests) and not interrupted:
            batch = requests[len(answers) : len(answers) + batch_size]
            try:
                made = Job(vlm, batch, capture=capture).start().result()
            except OutOfMemoryError as error:
                if len(batch) == 1:
                    raise _keeping(error, answers) from None
                batch_size = len(batch) // 2
                continue
            except WorkbenchError as error:
                number = len(answers) + _culprit(vlm, batch)
                raise _keeping(error, answers, f"This is about question {number} (counted from 0).") from None
            except KeyboardInterrupt:  # while the batch was being encoded
                made, interrupted = [], True
            answers += made
            interrupted = interrupted or any(answer.stopped == "interrupted" for answer in made)
            bar.update(len(made))
    return answers + [_unasked(vlm, request) for request in requests[len(answers) :]]


def pair(images: Any, questions: str | Sequence[str]) -> list[tuple[Any, str]]:
    """One (pictures, question) per reply; what is given once counts for all.

    Raises:
        InputError: if the two sequences differ in length.
    """
    several = isinstance(images, (list, tuple))
    if isinstance(questions, str):
        return [(entry, questions) for entry in images] if several else [(images, questions)]
    if not several:
        return [(images, question) for question in questions]
    if len(images) != len(questions):
        raise InputError(
            f"{len(images)} entries of images and {len(questions)} questions",
            "as many entries as questions, or one for all",
            "give each question one entry: a picture, a list of pictures, or None",
        )
    return list(zip(images, questions, strict=True))


def _requests(pairs: list[tuple[Any, str]], *, mode: str | Mode, settings: Settings) -> list[Request]:
    """Check everything before anything is asked; a picture that is given twice is opened once.

    Raises:
        InputError: naming the question by its number.
    """
    opened: dict[int, list[Any]] = {}
    requests = []
    for number, (entry, question) in enumerate(pairs):
        seed = settings.seed if settings.seed is None else settings.seed + number
        try:
            if id(entry) not in opened:
                opened[id(entry)] = check_images(entry)
            own = replace(settings, seed=seed)
            requests.append(make_request(opened[id(entry)], question, mode=mode, settings=own))
        except InputError as error:
            error.add_note(f"This is about question {number} (counted from 0).")
            raise
    return requests


def _culprit(vlm: VLM, batch: list[Request]) -> int:
    """Which request of a batch cannot be encoded."""
    for number, request in enumerate(batch):
        try:
            Job(vlm, [request])
        except WorkbenchError:
            return number
    return 0


def _keeping(error: WorkbenchError, answers: list[Answer], note: str = "") -> WorkbenchError:
    """The error, carrying what was answered before it."""
    error.answers = list(answers)  # type: ignore[attr-defined]
    error.add_note(f"{note} {len(answers)} answers made before it are in the exception's .answers.".strip())
    return error


def _unasked(vlm: VLM, request: Request) -> Answer:
    """The record of a question that an interruption kept from being asked."""
    return Answer(
        text="",
        thought=None,
        mode=request.mode,
        p_think=None,
        prompt_tokens=0,
        image_tokens=0,
        thought_tokens=0,
        answer_tokens=0,
        seconds=0.0,
        seconds_to_first_token=None,
        stopped="interrupted",
        question=request.turns[-1].text,
        images=request.images,
        model=vlm.name,
        source=vlm.source,
        settings=request.settings.to_dict(),
    )


STEP = 0.05  # seconds between two looks for an interrupt


class Work(Protocol):
    """What goes on behind a stream (a `Job`, or a `Worker` that returns one answer in a list)."""

    @property
    def done(self) -> bool: ...

    def result(self) -> list[Answer]: ...


class _Log:
    """The pieces so far; the working thread writes, anyone reads."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.news = threading.Condition()

    def take(self, pieces: list[Piece]) -> None:
        with self.news:
            self.pieces.extend(pieces)
            self.news.notify_all()


class Stream:
    """One reply in the making.

    ``for piece in stream`` gives its pieces as they come, from the first one on, to each loop anew.
    Leaving such a loop early, by ``break``, an error or Ctrl-C, stops the reply, so that no thread
    goes on by itself; a handle that is kept and not looped over runs to its end.  ``await stream``
    gives the answer and lets other tasks work meanwhile.

    Args:
        begin: starts the work, given the event that stops it and the function that takes its pieces.
    """

    def __init__(self, begin: Callable[[threading.Event, Callable[[list[Piece]], None]], Work]) -> None:
        self._stop = threading.Event()
        self._log = _Log()  # the working thread holds this, not the handle: a dropped handle is noticed
        try:
            self._work = begin(self._stop, self._log.take)
        except BaseException:  # Ctrl-C between the thread's start and our return
            self._stop.set()
            raise

    def __del__(self) -> None:
        self._stop.set()

    def __iter__(self) -> Iterator[Piece]:
        shown = 0
        try:
            while True:
                with self._log.news:
                    if shown == len(self._log.pieces) and not self.done:
                        self._log.news.wait(STEP)
                    done, new = self.done, self._log.pieces[shown:]
                yield from new
                shown += len(new)
                if done and not new:
                    return
        except KeyboardInterrupt:  # the loop ends as if the reply had; `answer` holds what there is
            self.stop()
        finally:
            if not self.done:
                self.stop()

    def __await__(self) -> Generator[Any, None, Answer]:
        return self._until_done().__await__()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask the reply to end now; returns at once, from any thread, and may be called again."""
        self._stop.set()

    @property
    def done(self) -> bool:
        """Whether the reply has ended, in one way or another."""
        return self._work.done

    @property
    def answer(self) -> Answer:
        """The finished record; waits for the reply to end.  Ctrl-C while waiting stops it.

        Raises:
            WorkbenchError: what went wrong while it was written.
        """
        return self._work.result()[0]

    @property
    def thought(self) -> str:
        """The thought so far."""
        return self._so_far("thought")

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._so_far("answer")

    def __repr__(self) -> str:
        state = "done" if self.done else "writing"
        return f"<Stream {state}: {len(self.thought)} characters of thought, {len(self.text)} of answer>"

    def _so_far(self, kind: str) -> str:
        with self._log.news:
            return "".join(piece.text for piece in self._log.pieces if piece.kind == kind)

    async def _until_done(self) -> Answer:
        try:
            while not self.done:
                await asyncio.sleep(STEP)
        finally:  # a cancelled task must not leave a thread behind
            self.stop()
        return self.answer
