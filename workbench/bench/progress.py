"""How far a run is, and how long it still takes"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .engines import Asking

__all__ = ["Progress", "time_words"]


class Progress:
    """A bar with the time left, reckoned by task and mode: a thought takes many times a direct reply.

    Args:
        waiting: what is to be asked.
        done: how many are answered already.
        show: whether to show the bar.
    """

    def __init__(self, waiting: Sequence[Asking], done: int, *, show: bool) -> None:
        from tqdm.auto import tqdm

        self._left = Counter((a.task, a.mode) for a in waiting)
        self._spent: dict[tuple[str, str], list[float]] = {}
        self._last = time.perf_counter()
        shape = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        self._bar = tqdm(
            total=len(waiting) + done,
            initial=done,
            disable=not show,
            unit="reply",
            bar_format=shape,
            desc="benchmark",
        )

    def note(self, replies: Sequence[Asking]) -> None:
        """Replies came; the time since the last ones is theirs."""
        now = time.perf_counter()
        each = (now - self._last) / max(1, len(replies))
        self._last = now
        for asking in replies:
            group = (asking.task, asking.mode)
            self._left[group] -= 1
            spent = self._spent.setdefault(group, [0.0, 0.0])
            spent[0] += each
            spent[1] += 1
        self._bar.set_postfix_str(f"{time_words(self.seconds_left())} left", refresh=False)
        self._bar.update(len(replies))

    def seconds_left(self) -> float:
        """Seconds until the last reply, from what each task and mode took so far.

        A task that has not begun in some mode is taken to cost what that mode costs elsewhere; a mode that
        has not begun, what the average reply costs.
        """
        total = [sum(s) for s in zip(*self._spent.values())] or [0.0, 0.0]
        left = 0.0
        for (task, mode), n in self._left.items():
            of_mode = [sum(s) for s in zip(*(v for (_, m), v in self._spent.items() if m == mode))]
            spent = self._spent.get((task, mode)) or of_mode or total
            left += n * spent[0] / max(1.0, spent[1])
        return left

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def time_words(seconds: float) -> str:
    """Seconds as a reader takes them: about 5 min, for instance."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
