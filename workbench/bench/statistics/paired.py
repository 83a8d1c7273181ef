"""Two runs on the same items: what the comparison can show before a run, and what it shows after it"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...errors import InputError, warn
from ...names import deprecated, verb
from ...stats import (
    check_power,
    design_effect,
    detectable,
    holm,
    items_needed,
    mcnemar,
    paired_interval,
    power_of,
    student,
)
from .intervals import averaged, clusters_of, one_version, scored

__all__ = [
    "between",
    "compare",
    "corrected_levels",
    "design_effect",
    "detectable",
    "holm",
    "items_needed",
    "mcnemar",
    "paired_interval",
    "power",
    "power_of",
]

TESTS = ("auto", "exact", "midp", "clustered")


def power(
    items: Mapping[str, float], *, accuracy: Mapping[str, float] | float = 0.5, correlation: float = 0.5,
    power: float = 0.8, alpha: float = 0.05, effect: Mapping[str, float] | float = 1.0,
) -> pd.DataFrame:  # fmt: skip
    """What each benchmark can show, before anything is run.

    Args:
        items: questions of each benchmark.
        accuracy: expected, of all or of each benchmark.
        correlation: of the two runs' right-or-wrong, for the paired comparison.
        power, alpha: as for `detectable`.
        effect: design effect of clusters, of all or of each benchmark.

    Returns:
        One row per benchmark: ``items``, ``half_width`` of its 95% interval, the smallest detectable
        difference
        ``paired`` and ``unpaired``, and ``paired_holm``: paired, at Holm's first step over all
        benchmarks. Shares of 0 to 1.

    Raises:
        InputError: for a benchmark without items, or numbers outside their range.
    """
    found = []
    for name, n in items.items():
        p = accuracy.get(name, 0.5) if isinstance(accuracy, Mapping) else accuracy
        deff = effect.get(name, 1.0) if isinstance(effect, Mapping) else effect
        check_power(0.0, n, p=p, alpha=alpha, comparisons=1, effect=deff)
        options = {"accuracy": p, "power": power, "alpha": alpha, "effect": deff}
        found.append(
            {
                "benchmark": name,
                "items": n,
                "half_width": 1.959964 * math.sqrt(p * (1 - p) * deff / n),
                "paired": detectable(n, correlation=correlation, **options),
                "unpaired": detectable(n, paired=False, **options),
                "paired_holm": detectable(n, correlation=correlation, comparisons=len(items), **options),
            }
        )
    return pd.DataFrame(found)


@verb()
def compare(
    first: object,
    second: object = None,
    *,
    test: str = "auto",
    level: float = 0.95,
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
        level: of the intervals, all rows together.

    Returns:
        One row per benchmark (and mode): ``n`` pairs, ``clusters``, ``first`` and ``second`` (mean scores of
        the pairs), ``difference`` with ``low`` and ``high`` (at the ``level`` that Holm's correction gives
        the row, so that interval and verdict agree), ``error``, ``only_first`` and ``only_second`` (items
        better in one run), ``p_exact``, ``p_midp``, ``p_clustered``, ``p`` and ``test``, ``p_holm`` over all
        rows, ``says`` ("better", "worse", "no difference seen", after Holm), ``correlation`` of the two runs'
        scores, and ``missing_first``, ``missing_second``: items that one side lacks, or has no score for.
        They are left out, with a warning.

    Raises:
        InputError: for one benchmark in several versions, no item in common, an unknown test, or a column
            or value that is not there.

    Example:
        ``compare(results, mode=("think", "nothink"))`` says what thinking changes in each benchmark.
    """
    for old in ("n_resamples", "resamples", "seed"):  # of a second interval, which is gone
        column.pop(old, None)
    if column:
        first, second = _split(first, column)
    if test not in TESTS:
        raise InputError(f"test={test!r}", f"one of {', '.join(map(repr, TESTS))}")
    both, on = _joined(first, second)
    groups = [name for name in on if name != "item"]
    options: dict[str, Any] = {"test": test, "level": level}
    found = [
        dict(zip(groups, key, strict=True)) | _compared(one, **options)
        for key, one in both.groupby(groups, sort=False)
        if (one["_merge"] == "both").any()
    ]
    table = pd.DataFrame(found)
    table["p_holm"] = holm(table["p"])
    table["level"] = corrected_levels(table["p"], level)
    table["low"], table["high"], sure = deciding_intervals(
        table.pop("_pairs"), table["p_holm"], table["level"], level
    )
    word = np.where(table["difference"] > 0, "better", "worse")
    table["says"] = np.where(sure, word, "no difference seen")
    return table


def deciding_intervals(
    pairs: Any, p_holm: Any, levels: Any, level: float
) -> tuple[list[float], list[float], list[bool]]:
    """(low, high, sure) of each row: sure where the corrected test says so and the interval leaves out zero.

    Test and interval take a variance in different ways, so that one in fifty rows near the edge would
    contradict itself: there the more careful one counts, and the interval reaches to zero.
    """
    lows, highs, sure = [], [], []
    for (d, codes), p, own in zip(pairs, p_holm, levels, strict=True):
        _, low, high, _ = paired_interval(d, codes, level=own)
        decided = bool(p < 1 - level)
        sure.append(decided and (low > 0 or high < 0))
        lows.append(low if decided else min(low, 0.0))
        highs.append(high if decided else max(high, 0.0))
    return lows, highs, sure


def corrected_levels(p: Any, level: float = 0.95) -> list[float]:
    """The level of each interval at which Holm's procedure decides on its p value.

    The k-th smallest of m is compared with (1 - level) / (m - k + 1), and from the first that is larger on
    all are kept at that step.  An interval of this level leaves out zero where the corrected verdict is sure,
    and covers it elsewhere: one interval, the one that the verdict used.  NaN takes no step.
    """
    values = np.asarray(p, dtype=float)
    order = [at for at in np.argsort(values, kind="stable") if not math.isnan(values[at])]
    found, step = [level] * len(values), 0
    for place, at in enumerate(order):
        alpha = (1 - level) / (len(order) - step)
        found[at] = 1 - alpha
        if values[at] < alpha and step == place:
            step += 1
    return found


def _joined(first: object, second: object) -> tuple[pd.DataFrame, list[str]]:
    """Both runs side by side, one row per item (``value_a``, ``value_b``, ``_merge``), and what joined
    them."""
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


def _split(data: object, column: Mapping[str, tuple[Any, Any]]) -> list[pd.DataFrame]:
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


def between(data: object, column: str, first: object, second: object, **options: Any) -> pd.DataFrame:
    """`compare` with a column, as it was written before."""
    deprecated("between(results, column, first, second)", "compare(results, column=(first, second))")
    options[column] = (first, second)
    return compare(data, **options)


def _compared(one: pd.DataFrame, *, test: str, level: float) -> dict[str, Any]:
    pairs = one[one["_merge"] == "both"]
    x, y = pairs["value_a"].to_numpy(float), pairs["value_b"].to_numpy(float)
    d, codes = x - y, clusters_of(pairs)
    count = len(np.unique(codes))
    binary = bool(np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all())
    mean, low, high, error = paired_interval(d, codes, level=level)
    up, down = int((d > 0).sum()), int((d < 0).sum())
    p = {
        "exact": mcnemar(up, down, midp=False) if binary else math.nan,
        "midp": mcnemar(up, down) if binary else math.nan,
        "clustered": student(mean, error, count=count),
    }
    if test == "auto":
        test = "midp" if binary and count == len(pairs) else "clustered"
    varied = x.std() > 0 and y.std() > 0
    return {
        "n": len(pairs), "clusters": count, "first": float(x.mean()), "second": float(y.mean()),
        "difference": mean, "low": low, "high": high, "error": error,
        "only_first": up, "only_second": down, "_pairs": (d, codes),
        "p_exact": p["exact"], "p_midp": p["midp"], "p_clustered": p["clustered"], "p": p[test], "test": test,
        "correlation": float(np.corrcoef(x, y)[0, 1]) if varied else math.nan,
        "missing_first": int((one["_merge"] == "right_only").sum()),
        "missing_second": int((one["_merge"] == "left_only").sum()),
    }  # fmt: skip
