"""Rows of scored items, checked before arithmetic, and their mean scores with intervals

What cannot be used is counted in a warning.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import InputError, warn
from ...names import verb
from ...stats import Interval, clustered_error, mean_interval

__all__ = [
    "Interval",
    "clustered_error",
    "mean_interval",
    "averaged",
    "clusters_of",
    "groups_of",
    "one_version",
    "scored",
    "scores",
]


#: What a row is told apart by, as in ``workbench.bench.KEY``; a plain table may lack most of these.
NAMES = ("run", "harness", "model", "benchmark", "version", "item", "mode", "control", "epoch")
SHOWN = ("benchmark", "item")

MADE_BY = "workbench.bench.run(vlm, tasks) or workbench.bench.load_results(path)"


def scored(data: object, needed: Sequence[str] = ("benchmark", "item", "value")) -> Any:
    """Rows of scored items, ready for arithmetic.

    Args:
        data: results (anything with ``frame()``), a data frame or a list of dicts: one row per item and
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
    table = isinstance(frame, (list, pd.DataFrame)) or (
        isinstance(frame, Mapping) and all(hasattr(column, "__len__") for column in frame.values())
    )
    if not table:
        raise InputError(f"rows={reprlib.repr(data)}", "results, a data frame, or a list of dicts")
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
            "one row per item, mode and model",
            "drop repeats, name the runs apart (run), or number repetitions (epoch)",
        )
    return rows


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
    """One row per item: repetitions (epochs) of an item are averaged, other columns are those of the
    first."""
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


@verb(resamples="n_resamples")
def scores(
    data: object,
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


def _unscored(data: object, names: Sequence[str]) -> dict[Any, int]:
    frame = pd.DataFrame(data.frame() if hasattr(data, "frame") else data)
    without = frame[pd.to_numeric(frame["value"], errors="coerce").isna()]
    return {key: len(one) for key, one in without.groupby(list(names), dropna=False)}
