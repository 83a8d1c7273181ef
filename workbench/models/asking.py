"""A question, checked, and its reply while it is being written: watch it, wait for it, stop it.

Both kinds of models work this way.  The handle returns at once, while the reply is written in a thread
of its own: a notebook's Stop button and Ctrl-C reach only the main thread, and only between two Python
instructions, so that the caller waits in short steps.  Any cell, thread or button may call
`Stream.stop`; the answer then holds what there is.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from ..answer import Answer
from ..errors import InputError, ModeError, OutOfMemoryError
from ..images import open_images
from ..types import ImageLike, ImagesLike, Mode, Piece, Turn
from .device import is_out_of_memory, release_memory
from .generate import Settings

__all__ = [
    "Ended",
    "Request",
    "Stream",
    "Work",
    "Worker",
    "check_images",
    "make_request",
    "make_requests",
    "pair",
    "same_turns",
]

T = TypeVar("T")
STEP = 0.05  # seconds between two looks for an interrupt


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


def same_turns(requests: Sequence[Request]) -> bool:
    """Whether several requests are the same conversation about the very same pictures."""

    def key(request: Request) -> list[object]:
        return [(t.role, t.text, t.thought, t.thinks, *map(id, t.images)) for t in request.turns]

    return len(requests) > 1 and all(key(request) == key(requests[0]) for request in requests[1:])


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
        question, mode, settings, history: as for `Model.ask`.

    Raises:
        InputError: for a question or history that cannot be used; ModeError for a mode that does
            not exist.
    """
    mode = Mode.of(mode)
    check_question(question)
    if settings.thought is not None:
        check_characters(settings.thought, "a thought")
        if mode is Mode.NOTHINK:
            raise ModeError(
                "a thought with mode='nothink'", "mode='think'", "leave out mode=, or the thought"
            )
        mode = Mode.THINK
    if isinstance(history, Turn) or not all(isinstance(turn, Turn) for turn in history):
        raise InputError("a history that is not made of turns", "a sequence of workbench.types.Turn")
    past = tuple(replace(turn, images=tuple(open_images(turn.images))) for turn in history)
    if settings.temperature > 0 and settings.seed is None:
        settings = replace(settings, seed=secrets.randbits(32))  # kept with the answer: it can be repeated
    return Request((*past, Turn("user", question, tuple(pictures))), mode, settings)


def check_images(images: ImagesLike) -> list[Any]:
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


def check_question(question: object) -> None:
    """Refuse what is no question.

    Raises:
        InputError: if it is not text, or empty, or holds half a character.
    """
    if not isinstance(question, str):
        raise InputError(f"a question of type {type(question).__name__}", "text", "pass (images, question)")
    if not question.strip():
        raise InputError("an empty question", "some text", "ask something, for example 'What is this?'")
    check_characters(question, "a question")


def check_characters(text: str, what: str) -> None:
    """Refuse half a character.

    Raises:
        InputError: naming where it stands.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} with half a character at position {error.start}", "text that can be written as UTF-8"
        ) from None


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


def with_thoughts(
    pairs: list[tuple[Any, str]], thoughts: str | Sequence[str] | None
) -> list[tuple[Any, str, str | None]]:
    """Each question with its given thought; a single question is asked with each of several thoughts.

    Raises:
        InputError: if the two differ in number, or a thought is no text.
    """
    if thoughts is None or isinstance(thoughts, str):
        return [(entry, question, thoughts) for entry, question in pairs]
    if any(not isinstance(thought, str) for thought in thoughts):
        raise InputError(f"thoughts={thoughts!r:.80}", "a text for each question, or None for all of them")
    if len(pairs) == 1:
        return [(*pairs[0], thought) for thought in thoughts]
    if len(pairs) != len(thoughts):
        raise InputError(f"{len(thoughts)} thoughts for {len(pairs)} questions", "one for each question")
    return [(*each, thought) for each, thought in zip(pairs, thoughts, strict=True)]


def make_requests(
    images: ImageLike | Sequence[ImagesLike] | None,
    questions: str | Sequence[str],
    *,
    mode: str | Mode,
    settings: Settings,
    thoughts: str | Sequence[str] | None = None,
) -> Iterator[Request]:
    """The requests of `Model.ask_many`; a picture that is given twice is opened once.

    Raises:
        InputError: for entries, questions and thoughts that differ in number, or one that cannot be used.
    """
    opened: dict[int, list[Any]] = {}
    for number, (entry, question, thought) in enumerate(with_thoughts(pair(images, questions), thoughts)):
        seed = settings.seed if settings.seed is None else settings.seed + number
        if id(entry) not in opened:
            opened[id(entry)] = check_images(entry)
        own = replace(settings, seed=seed, thought=thought)
        yield make_request(opened[id(entry)], question, mode=mode, settings=own)


class Work(Protocol):
    """What goes on behind a stream (a `Worker`, or what starts one)."""

    @property
    def done(self) -> bool: ...

    @property
    def p_think(self) -> float | None: ...

    def result(self) -> list[Answer]: ...


@dataclass(frozen=True)
class Ended:
    """Work that ended before it began: Ctrl-C came while the question was encoded."""

    answers: list[Answer]
    done: bool = True
    p_think: float | None = None

    def result(self) -> list[Answer]:
        """The interrupted answers."""
        return self.answers


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

    @property
    def p_think(self) -> float | None:
        """`Answer.p_think`, known as soon as the first token is chosen; None before, and where there is none.

        A server tells it with the finished answer only.
        """
        return self._work.p_think

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


class Worker(Generic[T]):
    """One piece of work in a thread.

    Args:
        work: what to do; it watches ``stop``.
        stop: set to make it end soon, with what there is.
        no_room: makes the error to raise when memory ran out; called after it was freed.
    """

    p_think: float | None = None  # nothing of a reply is known before it is whole

    def __init__(
        self, work: Callable[[], T], *, stop: threading.Event, no_room: Callable[[], OutOfMemoryError]
    ) -> None:
        self._work: Callable[[], T] | None = work
        self._no_room, self._stop = no_room, stop
        self._outcome: list[T] = []
        # Not the thread's own state: a Ctrl-C within Thread.join marks a living thread as dead (Python 3.11).
        self._ended = threading.Event()
        self._error: BaseException | None = None
        # A daemon: leaving Python must not wait for a reply of an hour.
        self._thread = threading.Thread(target=self._run, name="workbench-generate", daemon=True)

    def start(self) -> Worker[T]:
        """Begin; returns at once."""
        self._thread.start()
        return self

    @property
    def done(self) -> bool:
        """Whether it has ended, in one way or another."""
        return self._ended.is_set()

    def result(self) -> T:
        """Wait for the end.  A first Ctrl-C stops the work and still returns what there is; a second
        one does not wait for that.

        Raises:
            BaseException: what the work raised, with its type.
        """
        try:
            self._wait()
        except KeyboardInterrupt:
            self._stop.set()
            self._wait()
        finally:  # whatever ends the wait, no thread goes on by itself
            self._stop.set()
        if self._error is not None:
            raise self._error
        return self._outcome[0]

    def _wait(self) -> None:
        while not self._ended.wait(STEP):
            pass

    def _run(self) -> None:
        assert self._work is not None, "a worker starts once"
        no_room = False
        try:
            self._outcome.append(self._work())
        except BaseException as error:  # carried to the caller, who raises it
            no_room = is_out_of_memory(error)
            if no_room:
                _drop_frames(error)
            else:
                self._error = error
        self._work = None
        if no_room:  # here the exception and its frames, which held the tensors, are gone
            release_memory()
            self._error = self._no_room()
        self._ended.set()


def _drop_frames(error: BaseException | None) -> None:
    """Empty the frames of an exception and of those it came from: they keep tensors alive."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
