"""Work in a thread that can be interrupted, and what happens when memory runs out there.

A notebook's Stop button and Ctrl-C reach only the main thread, and only between two Python
instructions.  So the model runs in a thread of its own, and the caller waits in short steps.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from ..errors import OutOfMemoryError
from .device import release_memory

__all__ = ["Worker", "is_out_of_memory"]

T = TypeVar("T")
STEP = 0.05  # seconds between two looks for an interrupt
# What allocators say that raise no class of their own: PyTorch's on the CPU, MPS, cuBLAS, NumPy.
SIGNS = ("defaultcpuallocator: ", "out of memory", "cublas_status_alloc_failed", "unable to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the device, or this machine, has no room."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


class Worker(Generic[T]):
    """One piece of work in a thread.

    Args:
        work: what to do; it watches ``stop``.
        stop: set to make it end soon, with what there is.
        no_room: makes the error to raise when memory ran out; called after it was freed.
    """

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
