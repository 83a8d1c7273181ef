"""How far a sweep is: runs finished, the share of the work done, and the time left"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bench.progress import time_words
from .recipe import Recipe
from .store import FILES

__all__ = ["SweepProgress"]


class SweepProgress:
    """A bar over runs, with the time left reckoned from the steps that all of them have made.

    Args:
        root: folder of the runs; their state files tell how far each is, wherever it is worked at.
        waiting: what is to be run.
        done: how many are finished already.
        show: whether to show the bar.
    """

    def __init__(self, root: Path, waiting: Mapping[str, Recipe], *, done: int, show: bool) -> None:
        from tqdm.auto import tqdm

        self._root = root
        self._share = {name: self._read(name) for name in waiting}
        samples = {name: recipe.budget.samples for name, recipe in waiting.items()}
        comparable = None not in samples.values()  # a budget in FLOPs has no samples before it begins
        self._size = {name: float(n) if comparable and n else 1.0 for name, n in samples.items()}
        self._begun, self._first = time.perf_counter(), self.work_done()
        self._looked = 0.0
        shape = "{desc}: {n_fmt}/{total_fmt} |{bar}| [{elapsed}{postfix}]"
        self._bar = tqdm(
            total=len(waiting) + done, initial=done, disable=not show, desc="sweep", bar_format=shape
        )

    def _read(self, name: str) -> float:
        """Share of a run's steps that are done."""
        try:
            state: dict[str, Any] = json.loads((self._root / name / FILES["state"]).read_text())
            return float(state["step"]) / float(state["steps"])
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):  # not begun, or just replaced
            return 0.0

    def work_done(self) -> float:
        """Share of all work that is done, 0 to 1; a run counts as much as its budget."""
        total = sum(self._size.values())
        return sum(self._size[n] * s for n, s in self._share.items()) / total if total else 1.0

    def seconds_left(self) -> float | None:
        """Seconds until the last run, from the pace since the sweep began; None before there is one."""
        made = self.work_done() - self._first
        if made <= 0:
            return None
        return (time.perf_counter() - self._begun) * (1 - self.work_done()) / made

    def look(self) -> None:
        """Read how far the runs are, at most twice a second."""
        if time.perf_counter() - self._looked < 0.5:
            return
        for name in self._share:
            self._share[name] = max(self._share[name], self._read(name))
        self._looked = time.perf_counter()
        left = self.seconds_left()
        told = f"{self.work_done():.0%} of the steps"
        if left is not None:  # what the final evaluation takes is not in it
            told += f", training {time_words(left)} more" if left else ", measuring"
        self._bar.set_postfix_str(told)

    def finish(self, name: str) -> None:
        """A run has ended."""
        self._share[name] = 1.0
        self._bar.update()
        self._looked = 0.0
        self.look()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def __enter__(self) -> SweepProgress:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
