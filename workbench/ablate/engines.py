"""Where the runs of a sweep are worked at: in this process, in several, or on a Ray cluster.

A worker process or node that dies costs the steps since the last checkpoint: another goes on from there.
``python -m workbench.ablate.engines`` is such a worker process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bench.engines import connected
from ..errors import BusyError, WorkbenchError
from .recipe import Recipe
from .run import run

__all__ = ["Outcome", "TRIES", "attempt", "here", "in_processes", "main", "on_cluster"]


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
    except BusyError as error:
        return Outcome(recipe.hash, str(error), busy=True)
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
        yield attempt(recipe, root, options, on_metrics=lambda _: look())


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
                [sys.executable, "-m", "workbench.ablate.engines"],
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


#: Seconds that a run waits for its own lost worker, which may take a moment to die.
LINGER = 60.0


def _work(recipe: dict[str, Any], root: str, options: dict[str, Any]) -> dict[str, Any]:
    """One run, in a process of the cluster."""
    return dataclasses.asdict(attempt(Recipe.from_dict(recipe), Path(root), options))


def on_cluster(
    recipes: Sequence[Recipe],
    root: Path,
    options: dict[str, Any],
    *,
    workers: int | None,
    address: str | None,
    look: Look,
) -> Generator[Outcome, None, None]:
    """Work on a cluster; see `workbench.bench.engines.connected` for which one.

    Yields:
        The outcome of each run as it ends.

    Raises:
        CapabilityError: if Ray is not installed.
        WorkbenchError: if the cluster is not there.
    """
    with connected(address) as ray:
        gpu = str(options["device"]).startswith("cuda")
        # Tries are counted here: Ray's own do not tell a node that died from a run that kills its workers.
        resources = {"num_cpus": 1, "num_gpus": int(gpu), "max_retries": 0}
        task = ray.remote(**resources)(_work)
        waiting = deque((recipe, 0) for recipe in recipes)
        running: dict[Any, tuple[Recipe, int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < (workers or len(recipes)):
                    recipe, tries = waiting.popleft()
                    told = {**options, "wait": max(options["wait"], LINGER)} if tries else options
                    running[task.remote(recipe.to_dict(), str(root), told)] = (recipe, tries)
                done, _ = ray.wait(list(running), num_returns=1, timeout=0.5)
                look()
                for future in done:
                    recipe, tries = running.pop(future)
                    outcome = _outcome(ray, future, recipe, tries)
                    if outcome is None:
                        waiting.appendleft((recipe, tries + 1))
                    else:
                        yield outcome
        finally:
            for future in running:
                ray.cancel(future, force=True)


def _outcome(ray: Any, future: Any, recipe: Recipe, tries: int) -> Outcome | None:
    """How a task ended; None if its worker was lost and it is to be tried again."""
    lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError)
    try:
        return Outcome(**ray.get(future))
    except lost as error:
        if tries + 1 < TRIES:
            return None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Outcome(recipe.hash, f"its worker was lost {TRIES} times: {reason}")
    except ray.exceptions.RayTaskError as error:
        return Outcome(recipe.hash, f"{type(error.cause).__name__}: {error.cause}")


def main() -> None:
    """A worker of a local sweep: reads a job a line from standard input, writes its outcome a line.

    It ends with the process that gave it work, however that one ends: a run is then left at its last
    checkpoint.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not come between the outcomes
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        job = json.loads(jobs.get())
        outcome = attempt(Recipe.from_dict(job["recipe"]), Path(job["root"]), job["options"])
        answers.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
        answers.flush()


def _listen(jobs: queue.Queue[str]) -> None:
    """Take jobs as they come; the end of the input is the end of this process, whatever it is at."""
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
