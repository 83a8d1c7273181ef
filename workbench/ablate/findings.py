"""What recorded runs say about a claim: the difference of two kinds of runs, and its error

Every run of a study answers the same questions, and runs of a kind differ in their seed alone.  So the error
here is that of training again, which published tables of one run a row leave out; another set of questions,
other sizes and other worlds are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from ..errors import InputError

__all__ = ["Finding", "finding", "interval", "over_pairs", "per_run"]

AGREES, DISAGREES, OPEN = "agrees", "disagrees", "cannot tell"


def per_run(
    table: pd.DataFrame,
    labels: Sequence[str],
    *,
    value: str = "accuracy",
    where: Mapping[str, Any] | None = None,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """One number a run, from rows of families and modes.

    Args:
        table: from `recording.recorded`.
        labels: columns that tell the kinds of runs apart.
        value: what is averaged over the rows of a run, weighted by their questions.
        where: column -> the value (or list of values) that rows must have.
        by: further columns, such as "domain" and "mode", to keep apart within a run.

    Returns:
        Columns ``labels``, ``by``, "run", "seed", "n" (questions) and ``value``.

    Raises:
        InputError: if no row is left, or a column is missing.
    """
    rows = table
    for name, wanted in (where or {}).items():
        _known(rows, [name])
        many = list(wanted) if isinstance(wanted, (list, tuple, set)) else [wanted]
        rows = rows[rows[name].isin(many)]
    keys = [*labels, *by, "run", "seed"]
    _known(rows, [*keys, value, "n"])
    if rows.empty:
        raise InputError(f"no recorded row with {dict(where or {})}", "rows of the study")
    rows = rows.assign(weighted=rows[value] * rows["n"])
    made = rows.groupby(keys, sort=False, as_index=False)[["n", "weighted"]].sum()
    made[value] = made.pop("weighted") / made["n"]
    return made


def _known(table: pd.DataFrame, names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in table]:
        raise InputError(
            f"a table without {', '.join(missing)}", f"a recorded study; it has {', '.join(table)}"
        )


def interval(values: Sequence[float] | pd.Series) -> tuple[float, float, float]:
    """Mean of some runs with its 95% interval (Student's t); an interval without bounds for a single run."""
    found = np.asarray(values, dtype=float)
    mean = float(found.mean())
    if len(found) < 2:
        return mean, -np.inf, np.inf
    half = float(student.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5)
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Finding:
    """A claim beside our own runs.

    Attributes:
        claim: in words, with where it was published.
        compared: what was subtracted from what.
        difference, low, high: mean difference with its 95% interval (Welch's t over runs).
        runs: how many runs stand on each side.
        verdict: "agrees", "disagrees", or "cannot tell" where the interval holds zero.
    """

    claim: str
    compared: str
    difference: float
    low: float
    high: float
    runs: tuple[int, int]
    verdict: str

    def __str__(self) -> str:
        spread = f"{self.low:+.1%} to {self.high:+.1%}" if np.isfinite(self.low) else "no interval"
        told = f"{self.difference:+.1%} ({spread}; {self.runs[0]} and {self.runs[1]} runs)"
        return f"{self.verdict.upper()}: {self.claim}\n  {self.compared}: {told}"


def finding(
    claim: str, higher: pd.Series | Sequence[float], lower: pd.Series | Sequence[float], compared: str
) -> Finding:
    """Whether runs bear out that one kind does better than another.

    Args:
        claim: what is claimed.
        higher: values of the runs that the claim says do better, one a run.
        lower: those of the others.
        compared: what the two are, for the reader.

    Raises:
        InputError: if a side has no run.
    """
    return over_pairs(claim, [(higher, lower)], compared)


def over_pairs(claim: str, pairs: Sequence[tuple[Any, Any]], compared: str) -> Finding:
    """The same for several pairs of kinds: the mean of their differences.

    The error comes from runs of one kind alone, so each kind needs two; Welch and Satterthwaite's degrees
    of freedom.

    Raises:
        InputError: if there is no pair, or a side has no run.
    """
    sides = [[np.asarray(side, dtype=float) for side in pair] for pair in pairs]
    counts = (sum(len(a) for a, _ in sides), sum(len(b) for _, b in sides))
    if not sides or not all(len(side) for pair in sides for side in pair):
        raise InputError(f"{compared}: {counts[0]} and {counts[1]} runs", "runs on both sides")
    difference = float(np.mean([a.mean() - b.mean() for a, b in sides]))
    low, high = -np.inf, np.inf
    every = [side for pair in sides for side in pair]
    if all(len(side) > 1 for side in every):
        parts = [side.var(ddof=1) / len(side) / len(sides) ** 2 for side in every]
        below = sum(part**2 / (len(side) - 1) for part, side in zip(parts, every, strict=True))
        freedom = sum(parts) ** 2 / below if below > 0 else sum(counts) - len(every)
        half = float(student.ppf(0.975, freedom) * sum(parts) ** 0.5)
        low, high = difference - half, difference + half
    verdict = AGREES if low > 0 else DISAGREES if high < 0 else OPEN
    return Finding(claim, compared, difference, low, high, counts, verdict)
