"""Where the runs of a sweep are worked at: in this process, or in several that outlive a lost run"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, WorkbenchError
from .recipe import Recipe
from .run import run

__all__ = ["TRIES", "Outcome", "attempt", "here", "in_processes"]

#: How often a run is tried whose worker died; then something about it kills workers.
TRIES = 3

Look = Callable[[], None]
Outcomes = Generator["Outcome", None, None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: well, with an error, or not begun because another process is at it."""

    hash: str
    error: str = ""
    busy: bool = False


def attempt(recipe: Recipe, root: Path, options: dict[str, Any], **more: Any) -> Outcome:
    """Run one recipe; its failure is an outcome, and the sweep goes on."""
    try:
        run(recipe, root, **options, **more)
    except InputError as error:
        return Outcome(recipe.hash, str(error), busy="is being written by" in error.given)
    except WorkbenchError as error:
        return Outcome(recipe.hash, str(error))
    except Exception as error:
        return Outcome(recipe.hash, f"{type(error).__name__}: {error}")
    return Outcome(recipe.hash)


def here(recipes: Sequence[Recipe], root: Path, options: dict[str, Any], *, look: Look) -> Outcomes:
    """One after another in this process.

    Yields:
        The outcome of each run.
    """
    for recipe in recipes:
        yield attempt(recipe, root, options, report=lambda _: look())


class _Worker(threading.Thread):
    """Keeps one worker process, and gives it one run after another."""

    def __init__(
        self, waiting: queue.Queue, ended: queue.Queue, root: Path, options: dict, threads: int
    ) -> None:
        super().__init__(daemon=True)
        self._waiting, self._ended, self._root, self._options = waiting, ended, root, options
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self) -> None:
        """Until nothing is waiting."""
        with contextlib.suppress(queue.Empty):
            while not self._stopped:
                recipe = self._waiting.get_nowait()
                try:
                    outcome = self._work(recipe)
                except Exception as error:  # a process that cannot be started; the sweep must not wait for it
                    outcome = Outcome(recipe.hash, f"{type(error).__name__}: {error}")
                self._ended.put(outcome)
        self.stop()

    def _work(self, recipe: Recipe) -> Outcome:
        status = None
        for _ in range(TRIES):
            process = self._worker()
            assert process.stdin is not None
            assert process.stdout is not None
            job = {"recipe": recipe.to_dict(), "root": str(self._root), "options": self._options}
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if line.endswith("\n"):
                    return Outcome(**json.loads(line))
            status, self._process = _ended(process), None
            if self._stopped:
                break
        return Outcome(recipe.hash, f"its worker ended {TRIES} times, last with status {status}")

    def _worker(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workbench.ablate.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                text=True,
                start_new_session=True,  # Ctrl-C in a terminal is this process's to handle
            )
        return self._process

    def stop(self) -> None:
        """End the worker process; what it was at is resumable."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()
            _ended(process)


def _ended(process: subprocess.Popen[str]) -> int:
    """Wait for a process whose work is over, and close what led to it; its status."""
    status = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not sent yet has nowhere to go
                pipe.close()
    return status


def in_processes(
    recipes: Sequence[Recipe], root: Path, options: dict[str, Any], *, workers: int, look: Look
) -> Outcomes:
    """In several processes, which share the cores; a process that dies is replaced and its run goes on.

    Yields:
        The outcome of each run as it ends.
    """
    waiting: queue.Queue[Recipe] = queue.Queue()
    ended: queue.Queue[Outcome] = queue.Queue()
    for recipe in recipes:
        waiting.put(recipe)
    threads = max(1, (os.cpu_count() or 1) // workers)
    crew = [_Worker(waiting, ended, root, options, threads) for _ in range(workers)]
    try:
        for worker in crew:
            worker.start()
        left = len(recipes)
        while left:
            try:
                outcome = ended.get(timeout=0.5)
            except queue.Empty:
                look()
                continue
            left -= 1
            yield outcome
    finally:
        for worker in crew:
            worker.stop()
        for worker in crew:
            if worker.ident is not None:
                worker.join()
