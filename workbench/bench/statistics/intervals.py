"""Intervals of a mean score: Wilson, clustered standard errors, and a bootstrap over clusters

Rows of scored items, checked before arithmetic; what cannot be used is counted in a warning
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as distributions

from ...errors import InputError
from ...names import verb
from ...stats import wilson

__all__ = [
    "Interval",
    "averaged",
    "bootstrap_means",
    "clustered_error",
    "clusters_of",
    "groups_of",
    "mean_interval",
    "one_version",
    "resampled",
    "scored",
    "scores",
    "warn",
]


#: What a row is told apart by, as in ``workbench.bench.KEY``; a plain table may lack most of these.
NAMES = ("run", "harness", "model", "benchmark", "version", "item", "mode", "control", "epoch")
SHOWN = ("benchmark", "item")

MADE_BY = "workbench.bench.run(vlm, tasks) or workbench.bench.load_results(path)"


def scored(data: Any, needed: Sequence[str] = ("benchmark", "item", "value")) -> Any:
    """Rows of scored items, ready for arithmetic.

    Args:
        data: results (anything with ``frame()``), a data frame or a list of dicts: one row an item and
            mode, ``value`` 0 to 1. ``cluster`` (items that share a picture or a problem), ``version``,
            ``model``, ``tokens``, ``seconds`` and ``p_think`` are read where they are present.
        needed: columns that must be there.

    Returns:
        A data frame with a fresh index, without the rows that have no score; a warning counts
        them.

    Raises:
        InputError: without rows, without a column, with a value outside 0 to 1, or with the same item twice.
    """
    frame = data.frame() if hasattr(data, "frame") else data
    rows = pd.DataFrame(frame).reset_index(drop=True)
    missing = [name for name in needed if name not in rows.columns]
    if missing or rows.empty:
        what = f"without {', '.join(map(repr, missing))}" if missing else "without rows"
        raise InputError(f"a table {what}", f"the columns {', '.join(needed)}", f"make it with {MADE_BY}")
    rows["value"] = pd.to_numeric(rows["value"], errors="coerce").astype(float)
    unscored = rows["value"].isna()
    if unscored.all():
        raise InputError("a table in which no row has a score", "a value of 0 to 1 in some rows")
    if unscored.any():
        warn(
            f"{unscored.sum()} of {len(rows)} rows have no score and are left out "
            f"({_first(rows.loc[unscored])})."
        )
    rows = rows[~unscored].reset_index(drop=True)
    outside = ~rows["value"].between(0, 1)
    if outside.any():
        worst = rows.loc[outside, "value"].iloc[0]
        raise InputError(
            f"value={worst:g} ({outside.sum()} rows)", "scores of 0 to 1", "divide percentages by 100"
        )
    twice = rows.duplicated([name for name in NAMES if name in rows.columns], keep=False)
    if twice.any():
        raise InputError(
            f"{twice.sum()} rows in which an item comes twice ({_first(rows.loc[twice])})",
            "one row an item, mode and model",
            "drop repeats, name the runs apart (run), or number repetitions (epoch)",
        )
    return rows


def warn(message: str) -> None:
    """Warn at the line that called into the workbench, whichever function it called."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("workbench."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def groups_of(rows: pd.DataFrame, without: Sequence[str] = ()) -> list[str]:
    """The columns to split by: benchmark and mode; run, harness, model, version, control where they vary."""
    found = []
    for name in ("run", "harness", "model", "benchmark", "version", "mode", "control"):
        if name not in rows.columns or name in without:
            continue
        within = {"version": "benchmark", "harness": "run"}.get(name)
        if within in rows.columns:
            varies = bool((rows.groupby(within)[name].nunique() > 1).any())
        else:
            varies = name in ("benchmark", "mode") or rows[name].nunique() > 1
        # a run that is named after its model would split the table twice
        if varies and not (name == "model" and "run" in found and (rows["run"] == rows["model"]).all()):
            found.append(name)
    return found


def averaged(rows: pd.DataFrame, on: Sequence[str]) -> pd.DataFrame:
    """One row an item: repetitions (epochs) of an item are averaged, other columns are those of the first."""
    if "epoch" not in rows.columns or rows["epoch"].nunique() < 2 or not rows.duplicated(list(on)).any():
        return rows
    numbers = [n for n in ("value", "tokens", "seconds", "p_think", "thinks") if n in rows.columns]
    groups = rows.groupby(list(on), sort=False, dropna=False)
    first = groups.first().drop(columns=numbers)
    return first.join(groups[numbers].mean()).reset_index()


def clusters_of(rows: pd.DataFrame) -> np.ndarray:
    """A whole number for each row: its cluster within its benchmark; an item without one is its own."""
    own = rows["item"].astype(str)
    if "cluster" not in rows.columns:
        names = "i:" + own
    else:
        given = rows["cluster"]
        names = ("c:" + given.astype(str)).where(given.notna() & (given.astype(str) != ""), "i:" + own)
    if "benchmark" in rows.columns:
        names = rows["benchmark"].astype(str) + "\n" + names
    return pd.factorize(names)[0]


def one_version(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Check that each benchmark was asked in one version only.

    Raises:
        InputError: naming the benchmark and its versions.
    """
    versions: dict[str, set[str]] = {}
    for rows in (first, second):
        if "version" in rows.columns:
            known = rows[rows["version"].notna() & (rows["version"].astype(str) != "")]
            for name, one in known.groupby("benchmark")["version"]:
                versions.setdefault(str(name), set()).update(map(str, one.unique()))
    mixed = {name: sorted(found) for name, found in versions.items() if len(found) > 1}
    if mixed:
        name, found = next(iter(mixed.items()))
        raise InputError(
            f"{name} in {len(found)} versions: {', '.join(found[:4])}"
            + (f" (and {len(mixed) - 1} more benchmarks)" if len(mixed) > 1 else ""),
            "the same version of a benchmark in both runs",
            "keep the rows of one version, or drop the column 'version' if their items are the same",
        )


def _first(rows: pd.DataFrame) -> str:
    """The first rows' names, for a message."""
    shown = [" ".join(str(row[name]) for name in SHOWN if name in row) for _, row in rows.head(3).iterrows()]
    return ", ".join(shown) + (", ..." if len(rows) > 3 else "")


METHODS = ("auto", "wilson", "clt", "bootstrap")
CHUNK = 4_000_000  # cells of the resampling matrix that are in memory at once


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


def clustered_error(values: Any, clusters: Any = None) -> float:
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
    values: Any,
    clusters: Any = None,
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
    count = int(codes.max()) + 1
    rng, block = np.random.default_rng(seed), max(1, CHUNK // count)
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        yield rng.multinomial(count, np.full(count, 1 / count), size=size).astype(float)


def bootstrap_means(
    values: Any,
    clusters: Any = None,
    *,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Means over items in resampled clusters (Davison and Hinkley 1997, section 3.8).

    Args:
        values: ``[items]``, or ``[items, columns]`` for several quantities of the same items.
        clusters: ``[items]`` labels, or None.
        statistic: from means ``[block, columns]`` to one number a draw ``[block]``; None keeps the means.

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


@verb(resamples="n_resamples")
def scores(
    data: Any,
    *,
    by: Sequence[str] | None = None,
    method: str = "auto",
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score and interval of each benchmark and mode, clustered where items share a picture.

    Args:
        data: results, or rows with benchmark, item, value and, where known, cluster, mode and model.
        by: columns that make a group; None for those of source, model, benchmark and mode that are there.
        method, level, n_resamples, seed: as for `mean_interval`.

    Returns:
        Rows with the group's columns, ``n``, ``clusters``, ``value``, ``low``, ``high``, ``error``,
        ``design_effect`` (clustered variance over that of independent items), ``method`` and ``unscored``
        (rows without a score, which are left out and warned of).

    Raises:
        InputError: as `scored` and `mean_interval`.
    """
    rows = scored(data)
    names = list(by) if by is not None else groups_of(rows)
    if absent := [name for name in names if name not in rows.columns]:
        raise InputError(f"by={names!r} without column {absent[0]!r}", f"any of {', '.join(rows.columns)}")
    left_out = _unscored(data, names)
    found = []
    for key, one in rows.groupby(names, sort=False, dropna=False):
        codes = clusters_of(one)
        single = len(np.unique(codes)) == len(one)
        options: dict[str, Any] = {"method": method, "level": level, "n_resamples": n_resamples, "seed": seed}
        interval = mean_interval(one["value"], None if single else codes, **options)
        plain = clustered_error(one["value"])
        effect = 1.0 if single or plain == 0 else (interval.error / plain) ** 2
        found.append(
            dict(zip(names, key, strict=True))
            | {
                "n": interval.items, "clusters": interval.clusters, "value": interval.value,
                "low": interval.low, "high": interval.high, "error": interval.error,
                "design_effect": effect, "method": interval.method, "unscored": left_out.get(key, 0),
            }
        )  # fmt: skip
    return pd.DataFrame(found)


def _unscored(data: Any, names: Sequence[str]) -> dict[Any, int]:
    frame = pd.DataFrame(data.frame() if hasattr(data, "frame") else data)
    without = frame[pd.to_numeric(frame["value"], errors="coerce").isna()]
    return {key: len(one) for key, one in without.groupby(list(names), dropna=False)}


def _values(values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=float).ravel()
    if not len(array):
        raise InputError("no scores", "at least one item")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(
            f"{count} scores that are NaN or infinite", "numbers", "leave these items out, and say so"
        )
    return array


def _codes(clusters: Any, items: int) -> np.ndarray:
    labels = np.asarray(clusters)
    if labels.shape != (items,):
        raise InputError(f"clusters of shape {labels.shape} for {items} items", "one label an item")
    return pd.factorize(labels)[0]


def _quantile(level: float, clusters: int | None) -> float:
    """Student's t with G-1 degrees of freedom; the normal quantile where items stand alone in a share."""
    upper = (1 + level) / 2
    if clusters is None:
        return float(distributions.norm.ppf(upper))
    return float(distributions.t.ppf(upper, max(1, clusters - 1)))
