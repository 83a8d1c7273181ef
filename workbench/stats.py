"""Sampling error of a share and of a mean: the two formulas that every table needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .errors import InputError
from .names import verb

__all__ = ["bootstrap_mean", "wilson"]


def wilson(right: float, n: float, *, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share ``right / n`` (Wilson 1927), 95% by default.

    Unlike the normal interval it stays inside 0 to 1 and is honest at 0% and 100%.  Both numbers may be
    fractions: an effective number of items, for one.

    Raises:
        InputError: if there are no items, or more right ones than items.
    """
    if n <= 0 or not 0 <= right <= n:
        raise InputError(f"{right} right of {n}", "0 <= right <= n and n of at least 1")
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


@verb(draws="n_resamples")
def bootstrap_mean(
    values: Sequence[float] | np.ndarray, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """The mean of independent values with its percentile bootstrap interval (Efron 1979).

    Args:
        values: one number a sample; NaN is left out.
        level: probability that the interval covers.
        n_resamples: resamples.
        seed: of the resampling; the same values and seed give the same interval.

    Returns:
        ``(mean, low, high)``; three NaN without a value, and an interval of NaN with a single one, which
        says nothing about the spread.

    Raises:
        InputError: for a level outside 0 to 1, or fewer than one draw.
    """
    if not 0 < level < 1 or n_resamples < 1:
        raise InputError(f"level={level}, n_resamples={n_resamples}", "0 < level < 1 and at least one draw")
    kept = np.asarray(values, dtype=float)
    kept = kept[~np.isnan(kept)]
    if len(kept) < 2:
        mean = float(kept[0]) if len(kept) else math.nan
        return mean, math.nan, math.nan
    picks = np.random.default_rng(seed).integers(len(kept), size=(n_resamples, len(kept)))
    low, high = np.quantile(kept[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(kept.mean()), float(low), float(high)
