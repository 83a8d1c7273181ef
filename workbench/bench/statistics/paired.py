"""Two runs on the same items: McNemar, clustered and bootstrapped differences, Holm over benchmarks"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as distributions

from ...errors import InputError
from ...names import deprecated, verb
from .intervals import averaged, bootstrap_means, clustered_error, clusters_of, one_version, scored, warn

__all__ = ["between", "compare", "holm", "mcnemar", "paired_interval", "student"]

TESTS = ("auto", "exact", "midp", "clustered")


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
    tail = 2 * distributions.binom.cdf(least, n, 0.5)
    seen = distributions.binom.pmf(least, n, 0.5)
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
    differences: Any, clusters: Any = None, *, level: float = 0.95
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
    codes = np.arange(len(d)) if clusters is None else pd.factorize(np.asarray(clusters))[0]
    count = int(codes.max()) + 1
    mean, error = float(d.mean()), clustered_error(d, codes)
    half = float(distributions.t.ppf((1 + level) / 2, max(1, count - 1)))
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


@verb(resamples="n_resamples")
def compare(
    first: Any,
    second: Any = None,
    *,
    test: str = "auto",
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    **column: tuple[Any, Any],
) -> pd.DataFrame:
    """Compare two runs, models or modes item by item, benchmark by benchmark.

    Args:
        first, second: results or rows with benchmark, item and value. Items are paired by benchmark and
            item, and by mode where a side has several.
        column: instead of ``second``, a column of ``first`` with the two values to compare: its rows with
            the one against those with the other.
        test: which p value is ``p`` and goes into Holm's correction: "midp" or "exact" (McNemar; right and
            wrong only, and it takes items for independent), "clustered" (Student's t on the clustered
            standard error), "auto": mid-p for right and wrong where no cluster has two items, else clustered.
        level: of the intervals.
        n_resamples, seed: of the cluster bootstrap.

    Returns:
        A row a benchmark (and mode): ``n`` pairs, ``clusters``, ``first`` and ``second`` (mean scores of the
        pairs), ``difference`` with ``low`` and ``high``, ``error``, the bootstrap's ``boot_low`` and
        ``boot_high``, ``only_first`` and ``only_second`` (items better in one run), ``p_exact``, ``p_midp``,
        ``p_clustered``, ``p`` and ``test``, ``p_holm`` over all rows, ``says`` ("better", "worse", "no
        difference seen", after Holm), ``correlation`` of the two runs' scores, and ``missing_first``,
        ``missing_second``: items that one side lacks, or has no score for. They are left out, with a warning.

    Raises:
        InputError: for one benchmark in several versions, no item in common, an unknown test, or a column
            or value that is not there.

    Example:
        ``compare(results, mode=("think", "nothink"))`` says what thinking changes in each benchmark.
    """
    if column:
        first, second = _split(first, column)
    if test not in TESTS:
        raise InputError(f"test={test!r}", f"one of {', '.join(map(repr, TESTS))}")
    both, on = _joined(first, second)
    groups = [name for name in on if name != "item"]
    options: dict[str, Any] = {"test": test, "level": level, "n_resamples": n_resamples, "seed": seed}
    found = [
        dict(zip(groups, key, strict=True)) | _compared(one, **options)
        for key, one in both.groupby(groups, sort=False)
        if (one["_merge"] == "both").any()
    ]
    table = pd.DataFrame(found)
    table["p_holm"] = holm(table["p"])
    table["says"] = [
        _says(p, d, 1 - level) for p, d in zip(table["p_holm"], table["difference"], strict=True)
    ]
    return table


def _joined(first: Any, second: Any) -> tuple[pd.DataFrame, list[str]]:
    """Both runs side by side, a row an item (``value_a``, ``value_b``, ``_merge``), and what joined them."""
    a, b = scored(first), scored(second)
    one_version(a, b)
    on = ["benchmark", "item"]
    if any("mode" in side and side["mode"].nunique() > 1 for side in (a, b)):
        on.insert(1, "mode")
    sides = []
    for name, side in (("first", a), ("second", b)):
        if any(key not in side for key in on):
            raise InputError(f"{name} without a mode, the other run with several", "modes on both sides")
        side = averaged(side, on)
        if side.duplicated(on).any():
            raise InputError(
                f"{name} holds several models or runs",
                "one run a side",
                "keep the rows of one: results.where(...)",
            )
        sides.append(side)
    a, b = sides
    keep = [*on, "value", *(["cluster"] if "cluster" in a else [])]
    ours = a[keep].assign(_order=np.arange(len(a)))
    both = ours.merge(b[[*on, "value"]], on=on, how="outer", suffixes=("_a", "_b"), indicator=True)
    both = both.sort_values("_order", ignore_index=True)  # an outer merge sorts by name
    counts = both["_merge"].value_counts()
    if not counts.get("both", 0):
        raise InputError(
            "two runs without an item in common", "the same benchmarks and item ids on both sides"
        )
    if counts["both"] < len(both):
        warn(
            f"{len(both) - counts['both']} items without a partner are left out: {counts['left_only']} only "
            f"in the first run, {counts['right_only']} only in the second.",
        )
    protocols = [set(side["protocol"]) - {""} if "protocol" in side else set() for side in sides]
    if all(protocols) and protocols[0] != protocols[1]:
        said = [" and ".join(sorted(names)) for names in protocols]
        warn(f"scored by different protocols: {said[0]} against {said[1]}.")
    return both, on


def _split(data: Any, column: Mapping[str, tuple[Any, Any]]) -> list[pd.DataFrame]:
    """The rows of one table with the first and with the second of two values of a column."""
    rows = pd.DataFrame(data.frame() if hasattr(data, "frame") else data)
    (name, values), *more = column.items()
    if more or name not in rows:
        raise InputError(f"columns {', '.join(column)}", f"one of {', '.join(map(str, rows.columns))}")
    if isinstance(values, str) or len(values) != 2:
        raise InputError(f"{name}={values!r}", "two values to compare")
    sides = [rows[rows[name].astype(str) == str(value)] for value in values]
    for value, side in zip(values, sides, strict=True):
        if side.empty:
            there = ", ".join(map(repr, rows[name].astype(str).unique()[:8]))
            raise InputError(f"no rows with {name}={value!r}", f"one of {there}")
    return [side.drop(columns=name) if name == "mode" else side for side in sides]


def between(data: Any, column: str, first: Any, second: Any, **options: Any) -> pd.DataFrame:
    """`compare` with a column, as it was written before."""
    deprecated("between(results, column, first, second)", "compare(results, column=(first, second))")
    options[column] = (first, second)
    return compare(data, **options)


def _compared(one: pd.DataFrame, *, test: str, level: float, n_resamples: int, seed: int) -> dict[str, Any]:
    pairs = one[one["_merge"] == "both"]
    x, y = pairs["value_a"].to_numpy(float), pairs["value_b"].to_numpy(float)
    d, codes = x - y, clusters_of(pairs)
    count = len(np.unique(codes))
    binary = bool(np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all())
    mean, low, high, error = paired_interval(d, codes, level=level)
    draws = bootstrap_means(d, codes, n_resamples=n_resamples, seed=seed)
    boot_low, boot_high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2))
    up, down = int((d > 0).sum()), int((d < 0).sum())
    p = {
        "exact": mcnemar(up, down, midp=False) if binary else math.nan,
        "midp": mcnemar(up, down) if binary else math.nan,
        "clustered": student(mean, error, count),
    }
    if test == "auto":
        test = "midp" if binary and count == len(pairs) else "clustered"
    varied = x.std() > 0 and y.std() > 0
    return {
        "n": len(pairs), "clusters": count, "first": float(x.mean()), "second": float(y.mean()),
        "difference": mean, "low": low, "high": high, "error": error,
        "boot_low": float(boot_low), "boot_high": float(boot_high), "only_first": up, "only_second": down,
        "p_exact": p["exact"], "p_midp": p["midp"], "p_clustered": p["clustered"], "p": p[test], "test": test,
        "correlation": float(np.corrcoef(x, y)[0, 1]) if varied else math.nan,
        "missing_first": int((one["_merge"] == "right_only").sum()),
        "missing_second": int((one["_merge"] == "left_only").sum()),
    }  # fmt: skip


def student(mean: float, error: float, count: int) -> float:
    """Two-sided p of a mean difference and its clustered error: Student's t with G-1 degrees of freedom."""
    if count < 2:
        return math.nan
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * distributions.t.sf(abs(mean) / error, count - 1))


def _says(p: float, difference: float, alpha: float) -> str:
    if math.isnan(p) or p >= alpha:
        return "no difference seen"
    return "better" if difference > 0 else "worse"
