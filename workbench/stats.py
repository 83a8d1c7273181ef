"""Sampling error: intervals, paired tests, corrections and power; all uncertainty is computed here.

Scores lie between 0 and 1.  The distributions are scipy's.  statsmodels has Wilson's interval, McNemar's test
and Holm's correction too, but for whole counts of independent items: these take the effective number of items
of a clustered sample, without another heavy dependency.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InputError
from .names import verb

__all__ = [
    "Interval",
    "METHODS",
    "bootstrap_mean",
    "bootstrap_means",
    "check_power",
    "clustered_error",
    "design_effect",
    "detectable",
    "effective_items",
    "holm",
    "items_needed",
    "mcnemar",
    "mean_interval",
    "paired_interval",
    "power_of",
    "resampled",
    "student",
    "wilson",
]

METHODS = ("auto", "wilson", "clt", "bootstrap")
"""Ways to an interval of a mean."""

MOST_RESAMPLES = 1_000_000
CHUNK = 4_000_000  # cells of the resampling matrix that are in memory at once


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
        values: one number per sample; NaN is left out.
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


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean score with its interval (``low`` to ``high`` at ``level``) and its standard error."""

    value: float
    low: float
    high: float
    error: float
    items: int
    clusters: int
    method: str
    level: float = 0.95

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"


def clustered_error(values: object, clusters: object = None) -> float:
    """Standard error of a mean whose items come in clusters.

    The sum of deviations in each cluster is one draw (Liang and Zeger 1986; for language models Miller
    2024, arXiv:2411.00640, formula 4), times G/(G-1) for G clusters, so that clusters of one item give the
    usual standard error. Infinite with one cluster.

    Args:
        values: ``[items]``.
        clusters: ``[items]`` labels; None where each item stands alone.
    """
    values = _values(values)
    sums = values - values.mean()
    if clusters is not None:
        codes = _codes(clusters, len(values))
        sums = np.bincount(codes, sums)
    count = len(sums)
    if count < 2:
        return math.inf
    return math.sqrt(count / (count - 1) * float(sums @ sums)) / len(values)


@verb(resamples="n_resamples")
def mean_interval(
    values: object,
    clusters: object = None,
    *,
    method: str = "auto",
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A mean score and its interval.

    Args:
        values: ``[items]`` scores of 0 to 1.
        clusters: ``[items]`` labels of items that share a picture or a problem; None if all stand alone.
        method: "wilson" (Wilson 1927; shares only. With clusters, on the effective number of items: n
            over the design effect, Kish 1965, and Student's t, as Korn and Graubard 1998 do for exact
            intervals), "clt" (clustered standard error, Student's t with G-1 degrees of freedom), "bootstrap"
            (percentiles over resampled clusters; Efron 1979), or "auto": Wilson for shares, else "clt".
        level: of the interval.
        n_resamples, seed: of the bootstrap.

    Raises:
        InputError: for no items, a NaN, labels of another length, or an unknown method.

    Example:
        >>> str(mean_interval([1] * 8 + [0] * 2))
        '80.0 (49.0 to 94.3)'
    """
    values = _values(values)
    if method not in METHODS:
        raise InputError(f"method={method!r}", f"one of {', '.join(map(repr, METHODS))}")
    if not 0 < level < 1:
        raise InputError(f"level={level!r}", "a share between 0 and 1", "pass 0.95 for 95%")
    codes = None if clusters is None else _codes(clusters, len(values))
    count = len(values) if codes is None else int(codes.max()) + 1
    mean, error = float(values.mean()), clustered_error(values, codes)
    share = bool(np.isin(values, (0, 1)).all())
    if method == "auto":
        method = "wilson" if share else "clt"
    if method == "wilson" and not share:
        raise InputError(
            "method='wilson' for scores between 0 and 1", "scores of 0 or 1", "pass method='clt'"
        )
    if method == "wilson":
        effective, z = effective_items(values, codes), _quantile(level, count if codes is not None else None)
        low, high = wilson(mean * effective, effective, z=z)
    elif method == "clt":
        half = _quantile(level, count) * error if count > 1 else math.inf
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    else:
        draws = bootstrap_means(values, codes, n_resamples=n_resamples, seed=seed)
        low, high = (float(x) for x in np.quantile(draws, ((1 - level) / 2, (1 + level) / 2)))
    return Interval(mean, low, high, error, len(values), count, method, level)


def effective_items(values: np.ndarray, codes: np.ndarray | None) -> float:
    """How many independent items would give the same standard error; never more than there are.

    Where all scores are equal the error says nothing, and the number of clusters is taken.
    """
    n = len(values)
    if codes is None:
        return float(n)
    count, p = int(codes.max()) + 1, float(values.mean())
    if count < 2 or p in (0.0, 1.0):
        return float(count)
    error = clustered_error(values, codes)
    return min(float(n), p * (1 - p) / error**2) if error > 0 else float(n)


def resampled(codes: np.ndarray, *, n_resamples: int, seed: int) -> Any:
    """Blocks of a cluster bootstrap: how often each cluster is drawn, ``[block, clusters]``, block by block.

    Args:
        codes: cluster of each item, numbered from 0.
    """
    if not 1 <= n_resamples <= MOST_RESAMPLES:
        raise InputError(f"n_resamples={n_resamples}", f"a whole number from 1 to {MOST_RESAMPLES:,}")
    count = int(codes.max()) + 1
    rng, block = np.random.default_rng(seed), max(1, CHUNK // count)
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        yield rng.multinomial(count, np.full(count, 1 / count), size=size).astype(float)


def bootstrap_means(
    values: object,
    clusters: object = None,
    *,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Means over items in resampled clusters (Davison and Hinkley 1997, section 3.8).

    Args:
        values: ``[items]``, or ``[items, columns]`` for several quantities of the same items.
        clusters: ``[items]`` labels, or None.
        statistic: from means ``[block, columns]`` to one number per draw ``[block]``; None keeps the means.

    Returns:
        ``[resamples]`` for one quantity or with a statistic, else ``[resamples, columns]``.
    """
    table = np.asarray(values, dtype=float)
    flat = table.ndim == 1
    table = table[:, None] if flat else table
    codes = np.arange(len(table)) if clusters is None else _codes(clusters, len(table))
    sizes = np.bincount(codes).astype(float)
    sums = np.stack([np.bincount(codes, column) for column in table.T], axis=1)
    found = []
    for weights in resampled(codes, n_resamples=n_resamples, seed=seed):
        means = (weights @ sums) / (weights @ sizes)[:, None]
        found.append(statistic(means) if statistic is not None else means[:, 0] if flat else means)
    return np.concatenate(found)


def mcnemar(only_first: int, only_second: int, *, midp: bool = True) -> float:
    """Two-sided p of McNemar's test from the two counts of items that only one run gets right.

    Args:
        only_first, only_second: items right in one run and wrong in the other.
        midp: half the probability of what was seen (Fagerland, Lydersen and Laake 2013), which keeps its
            level nearly always and finds more than the exact test; False for the exact binomial test.

    Raises:
        InputError: for a negative count.
    """
    if min(only_first, only_second) < 0:
        raise InputError(f"counts {only_first} and {only_second}", "counts of at least 0")
    n, least = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    tail = 2 * _scipy().binom.cdf(least, n, 0.5)
    seen = _scipy().binom.pmf(least, n, 0.5)
    if midp:
        return float(1.0 if only_first == only_second else tail - seen)
    return float(min(1.0, tail))


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for their number, step by step (Holm 1979); a NaN stays one and is not counted."""
    values = np.asarray(p, dtype=float)
    out = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return [float(x) for x in out]


def paired_interval(
    differences: object, clusters: object = None, *, level: float = 0.95
) -> tuple[float, float, float, float]:
    """Mean difference of the same items, its interval and standard error: (difference, low, high, error).

    Differences of right and wrong (-1, 0, 1) get half an item added to each cell of their table, so that the
    interval is honest where few items differ (Agresti and Min 2005); where items come in clusters the table
    is first shrunk to the effective number of pairs. Other differences get the clustered standard error
    (Miller 2024, section 4.2). Student's t in both.

    Args:
        differences: ``[items]``, first minus second.
        clusters: ``[items]`` labels, or None.
    """
    d = np.asarray(differences, dtype=float)
    if not len(d):
        raise InputError("no pairs of items", "at least one item that both runs answered")
    codes = np.arange(len(d)) if clusters is None else _numbered(np.asarray(clusters))
    count = int(codes.max()) + 1
    mean, error = float(d.mean()), clustered_error(d, codes)
    half = float(_scipy().t.ppf((1 + level) / 2, max(1, count - 1)))
    if not np.isin(d, (-1, 0, 1)).all():
        return mean, max(-1.0, mean - half * error), min(1.0, mean + half * error), error
    effective = _effective_pairs(d, error, count)
    up, down = ((d == sign).mean() * effective + 0.5 for sign in (1, -1))
    total = effective + 2
    middle = (up - down) / total
    spread = half * math.sqrt(max(0.0, up + down - (up - down) ** 2 / total)) / total
    low, high = max(-1.0, middle - spread), min(1.0, middle + spread)
    return mean, min(low, mean), max(high, mean), error


def _effective_pairs(d: np.ndarray, error: float, count: int) -> float:
    n, variance = len(d), float(d.var())
    if count == n:
        return float(n)
    if variance == 0 or count < 2:
        return float(count)
    return min(float(n), variance / error**2) if error > 0 else float(n)


def student(mean: float, error: float, *, count: int) -> float:
    """Two-sided p of a mean difference and its clustered error: Student's t with G-1 degrees of freedom."""
    if count < 2:
        return math.nan
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * _scipy().t.sf(abs(mean) / error, count - 1))


def design_effect(items_a_cluster: float, within: float) -> float:
    """How many times larger the variance is because items come in clusters: 1 + (m - 1) * icc (Kish 1965).

    Args:
        items_a_cluster: mean number of items that share a picture or a problem.
        within: intraclass correlation of their scores, 0 (none) to 1 (all right or all wrong together).
    """
    if items_a_cluster < 1 or not 0 <= within <= 1:
        raise InputError(
            f"items_a_cluster={items_a_cluster!r}, within={within!r}", "at least 1 item, and 0 <= within <= 1"
        )
    return 1 + (items_a_cluster - 1) * within


def power_of(
    difference: float,
    items: float,
    *,
    accuracy: float = 0.5,
    paired: bool = True,
    correlation: float = 0.5,
    discordant: float | None = None,
    alpha: float = 0.05,
    comparisons: int = 1,
    effect: float = 1.0,
) -> float:
    """Probability that a true difference is found by a two-sided test.

    Paired: McNemar's test (Connor 1987). Unpaired: two independent shares (Fleiss 1981). The tail in
    which the sign comes out wrong is left out.

    Args:
        difference: true difference of the two accuracies, 0 to 1.
        items: questions in each run.
        accuracy: of the lower run.
        paired: the same questions in both runs, compared item by item.
        correlation: of the two runs' right-or-wrong (0.5 is usual for two good models; `compare` reports it).
        discordant: share of items that exactly one run gets right; overrides ``correlation``.
        alpha: level of the test over all comparisons; each gets ``alpha / comparisons`` (Holm's first step).
        comparisons: how many benchmarks are compared.
        effect: design effect of clusters, from `design_effect`.

    Raises:
        InputError: for numbers outside their range.
    """
    check_power(difference, items, p=accuracy, alpha=alpha, comparisons=comparisons, effect=effect)
    z, n = _scipy().norm.ppf(1 - alpha / comparisons / 2), items / effect
    null, alternative = _spreads(difference, accuracy, paired, correlation, discordant)
    if alternative == 0:
        return float(difference * math.sqrt(n) > z * null)
    return float(_scipy().norm.cdf((abs(difference) * math.sqrt(n) - z * null) / alternative))


def detectable(items: float, *, power: float = 0.8, accuracy: float = 0.5, **assumed: Any) -> float:
    """The smallest true difference (0 to 1) that a run of this size finds with this power.

    Args:
        items: questions in each run.
        power: probability of finding it.
        accuracy: of the lower run.
        **assumed: paired, correlation, discordant, alpha, comparisons, effect, as for `power_of`.

    Returns:
        The difference, or NaN if even the largest possible one would not be found.

    Example:
        >>> round(100 * detectable(1000, paired=False), 1)  # points, two runs of 1000 questions
        6.2
    """
    if not 0 < power < 1:
        raise InputError(f"power={power!r}", "a probability between 0 and 1")
    from scipy.optimize import brentq

    top = min(1 - accuracy, assumed.get("discordant") or 1.0) - 1e-9

    def lack(difference: float) -> float:
        return power_of(difference, items, accuracy=accuracy, **assumed) - power

    least = 1e-9
    if top <= least or lack(top) < 0:
        return math.nan
    return float(brentq(lack, least, top, xtol=1e-7))


def items_needed(difference: float, *, power: float = 0.8, **assumed: Any) -> int:
    """How many questions a run needs to find a difference with this power (`detectable` the other way round).

    Raises:
        InputError: for a difference of zero, which no number of questions shows.
    """
    if difference == 0:
        raise InputError("difference=0", "a difference that is not zero")
    low, high = 1, 2
    while power_of(difference, high, **assumed) < power:
        low, high = high, high * 2
        if high > 2**40:
            raise InputError(f"difference={difference!r}", "one that 10^12 questions can show")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(difference, middle, **assumed) >= power else (middle, high)
    return high


def _spreads(
    d: float, p: float, paired: bool, correlation: float, discordant: float | None
) -> tuple[float, float]:
    """Standard deviation of one item's difference without and with the true difference."""
    d, q = abs(d), p + abs(d)
    if not paired:
        middle = (p + q) / 2
        return math.sqrt(2 * middle * (1 - middle)), math.sqrt(p * (1 - p) + q * (1 - q))
    if discordant is None:
        if not -1 <= correlation <= 1:
            raise InputError(f"correlation={correlation!r}", "a correlation of -1 to 1")
        shared = correlation * math.sqrt(max(0.0, p * (1 - p) * q * (1 - q)))
        discordant = p * (1 - q) + q * (1 - p) - 2 * shared
        discordant = min(max(discordant, d), p + q, 2 - p - q) if d else max(discordant, 0.0)
    if not d - 1e-12 <= discordant <= 1:
        raise InputError(f"discordant={discordant!r}", f"a share of {d:g} to 1: no less than the difference")
    return math.sqrt(discordant), math.sqrt(max(0.0, discordant - d * d))


def check_power(d: float, items: float, *, p: float, alpha: float, comparisons: int, effect: float) -> None:
    """Refuse numbers that no power can be computed from.

    Raises:
        InputError: with the number.
    """
    if items < 1 or comparisons < 1 or effect <= 0:
        raise InputError(
            f"items={items!r}, comparisons={comparisons!r}, effect={effect!r}",
            "at least 1 item and comparison",
        )
    if not 0 <= p <= 1 or not 0 < alpha < 1 or p + abs(d) > 1 + 1e-9:
        raise InputError(
            f"accuracy={p!r}, difference={d!r}, alpha={alpha!r}",
            "shares, with accuracy + difference of at most 1",
            "divide percentages by 100",
        )


def _values(values: object) -> np.ndarray:
    array = np.asarray(values, dtype=float).ravel()
    if not len(array):
        raise InputError("no scores", "at least one item")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(
            f"{count} scores that are NaN or infinite", "numbers", "leave these items out, and say so"
        )
    return array


def _codes(clusters: object, items: int) -> np.ndarray:
    labels = np.asarray(clusters)
    if labels.shape != (items,):
        raise InputError(f"clusters of shape {labels.shape} for {items} items", "one label an item")
    return _numbered(labels)


def _quantile(level: float, clusters: int | None) -> float:
    """Student's t with G-1 degrees of freedom; the normal quantile where items stand alone in a share."""
    upper = (1 + level) / 2
    if clusters is None:
        return float(_scipy().norm.ppf(upper))
    return float(_scipy().t.ppf(upper, max(1, clusters - 1)))


def _numbered(labels: np.ndarray) -> np.ndarray:
    """Labels as numbers from 0, in the order in which they come."""
    import pandas as pd

    return pd.factorize(labels)[0]


def _scipy() -> Any:
    """`scipy.stats`, which takes half a second to import, when it is first needed."""
    from scipy import stats

    return stats
