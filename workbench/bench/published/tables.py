"""The published tables, tidy, with an error bar on every number"""

from __future__ import annotations

import math
from functools import cache

import pandas as pd

from ...data import data_path
from ...errors import InputError
from ...stats import wilson

__all__ = ["FOUR", "PHI", "benchmarks", "consistent", "mixture", "models", "resolution", "scores"]

#: The model that the report is about.
PHI = "Phi-4-reasoning-vision-15B"

#: The benchmarks that the article averages.
FOUR = ("ChartQA", "MathVista", "MMMU", "ScreenSpot_v2")


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(data_path("published", name), keep_default_na=False, na_values=[""])


def benchmarks() -> pd.DataFrame:
    """Items of each benchmark: benchmark, split, items, clusters (NaN: not known), shared_unit, checked."""
    return _read("benchmarks.csv").fillna({"split": "", "checked": ""})


def models() -> pd.DataFrame:
    """Training tokens of each model, in billions, as far as the report says; relation ">" means "over"."""
    return _read("models.csv").copy()


def scores() -> pd.DataFrame:
    """Tables 3 and 4: a row a benchmark, model, mode and output limit.

    Returns:
        ``benchmark``, ``model``, ``mode``, ``max_output_tokens`` (text, empty where the report names none),
        ``entry`` (model, mode and limit in one name), ``score``, ``low``, ``high``, ``error`` (percent),
        ``items``, ``independent`` (items that the error counts), ``right`` (items, rounded) and ``tables``.
    """
    found = _read("scores.csv").fillna({"max_output_tokens": ""})
    limit = found["max_output_tokens"].where(
        found["max_output_tokens"] == "", " " + found["max_output_tokens"]
    )
    mode = found["mode"].where(found["model"] == PHI, "")
    found["entry"] = found["model"] + (" " + mode).where(mode != "", "") + limit
    return with_error(found)


def mixture() -> pd.DataFrame:
    """Table 2: a row a mixture and benchmark, with records a domain and the columns of error of `scores`."""
    return with_error(_read("mixture.csv"))


def resolution() -> pd.DataFrame:
    """Table 1: a row a method and benchmark, with the columns of error of `scores`."""
    found = _read("resolution.csv")
    return with_error(found.assign(entry=found["method"] + " " + found["max_tokens"].astype(str)))


def with_error(table: pd.DataFrame) -> pd.DataFrame:
    """Percent scores with their items and sampling error: Wilson's 95% interval and the standard error.

    Where items are versions of one problem, the problems are counted as if all versions were answered alike:
    the largest error that clusters can cause with a correlation of 0 to 1 within them (Kish 1965).

    Raises:
        InputError: for a benchmark of which the number of items is not known.
    """
    known = benchmarks().set_index("benchmark")
    if unknown := sorted(set(table["benchmark"]) - set(known.index)):
        raise InputError(f"benchmark {unknown[0]!r}", f"one of {', '.join(known.index)}")
    items = known.loc[table["benchmark"], "items"].to_numpy()
    independent = known.loc[table["benchmark"], "clusters"].fillna(known["items"]).to_numpy(int)
    share = table["score"].to_numpy(float) / 100
    bounds = [wilson(p * n, n) for p, n in zip(share, independent, strict=True)]
    return table.assign(
        low=[100 * low for low, _ in bounds],
        high=[100 * high for _, high in bounds],
        error=[100 * math.sqrt(p * (1 - p) / n) for p, n in zip(share, independent, strict=True)],
        items=items,
        independent=independent,
        right=(share * items).round().astype(int),
    )


def consistent(table: pd.DataFrame) -> pd.DataFrame:
    """Which printed scores are a whole number of right items (the GRIM test, Brown and Heathers 2017).

    A score of one decimal can be checked where a benchmark has fewer than 1000 items. One that no count of
    items gives was averaged otherwise, cut instead of rounded, mistyped, or is of another number of items.

    Args:
        table: from `scores`, `mixture` or `resolution`.

    Returns:
        The rows of benchmarks with fewer than 1000 items, with ``nearest`` (percent, of the closest count),
        ``reachable`` (rounds to the printed score), and ``by_chance``: the share of all scores with one
        decimal that some count gives, so how little a reachable score proves.
    """
    small = table[table["items"] < 1000]
    nearest = 100 * small["right"] / small["items"]
    # half a unit of the last digit, and a little for the binary form of the number
    return small.assign(
        nearest=nearest,
        reachable=(nearest - small["score"]).abs() <= 0.05 + 1e-9,
        by_chance=[len({round(100 * k / n, 1) for k in range(n + 1)}) / 1001 for n in small["items"]],
    )
