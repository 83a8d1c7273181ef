"""Greedy region search for what suffices and what is needed, after Chen et al. 2025 (arXiv 2509.22496)

Written from the paper's abstract ("Where MLLMs attend and what they rely on"), which names insertion and
deletion as the two aims; the form of the objective, the lazy search and the values are ours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import InputError
from .job import Job, Outcome, whole_number

__all__ = ["run"]


def run(job: Job) -> Outcome:
    """Order the regions so that each prefix alone keeps the answer, and its absence destroys it.

    The objective of a set ``S`` is ``p(only S is shown) + 1 - p(S is hidden)``, with ``p`` the geometric mean
    of the target tokens' probabilities (for a contrast: the probability of this answer against the other).
    Region after region the best one is added.  After the first sweep only the ``width`` candidates with the
    largest gain so far are tried again at each step, as lazy greedy search does (Minoux 1978).

    A region's value falls from one step to the next by the absolute change of the objective, and ends at 0:
    so values rank as the search did, and are large where the objective moved.
    """
    width = job.options["width"]
    width = len(job.regions) if width is None else whole_number(job.options, "width")
    count = len(job.regions)
    job.expect(2 * (count + 1) + sum(2 * min(width, count - step) for step in range(1, count)))
    objective = _objective(job)
    kept = np.zeros(count, dtype=bool)
    now = float(objective(kept[None])[0])
    gains, order, changes = np.full(count, np.inf), [], []
    for step in range(count):
        left = np.flatnonzero(~kept)
        tried = left if step == 0 else left[np.argsort(-gains[left], kind="stable")[:width]]
        reached = objective(kept[None] | (np.arange(count)[None] == tried[:, None]))
        gains[tried] = reached - now
        best = int(np.argmax(reached))
        kept[tried[best]] = True
        order.append(int(tried[best]))
        changes.append(abs(float(reached[best]) - now))
        now = float(reached[best])
    values = np.zeros(count)
    # What is still to change; the tiny slope keeps the order where nothing moved.
    rest = np.append(np.cumsum(changes[::-1])[::-1], 0.0)[:-1]
    values[order] = rest + 1e-9 * np.arange(count, 0, -1)
    return Outcome(values=values, settings={"width": width})


def _objective(job: Job) -> Callable[[np.ndarray], np.ndarray]:
    scorer, target = job.scorer, job.scorer.target
    if not len(job.regions):
        raise InputError("no region", "at least one")

    def probability(hidden: np.ndarray) -> np.ndarray:
        scores = scorer.masked(hidden, regions=job.regions, baseline=job.baseline)
        if target.kind == "contrast":
            return 1 / (1 + np.exp(-scores))
        return np.exp(scores / len(target.span))

    return lambda kept: probability(~kept) + 1 - probability(kept)
