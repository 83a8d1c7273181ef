"""A reply that is being written: watch it, wait for it, stop it.

The handle returns at once, while the model works in a thread of its own.  Any cell, thread or
button may call `Stream.stop`; the answer then holds what there is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

from ..answer import Answer
from ..types import Piece

__all__ = ["Stream"]

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
