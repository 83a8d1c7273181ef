"""What recorded runs say about a claim: the difference of two kinds of runs, and its error

Every run of a study answers the same questions, and runs of a kind differ in their seed alone.  So the error
here is that of training again, which published tables of one run a row leave out; another set of questions,
other sizes and other worlds are not in it.

The report's claims about training, beside our own recorded runs

>>> for found in claims("mixture"): print(found)

Each is one comparison of two kinds of runs with an interval of its own: of some dozens, one or two may stand
out by chance.  All were stated before their study's runs were first made, but those against a mixture that
trains longer: the runs were planned before, the claims worded after.  The published claims are those of arXiv
2603.03975, some of which `workbench.bench.claims` tests on the report's own tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from ..errors import InputError
from .resolution.feeding import METHODS
from .studies import LONGER, PIPELINES, SHAPES, recorded

__all__ = ["Finding", "claims", "finding", "interval", "over_pairs", "per_run"]


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


#: Rows of the published table that differ in maths data alone, and in computer-use data alone (less, more).
MORE_MATHS = (("row1", "row3"), ("row2", "row4"))
MORE_SCREENS = (("row1", "row2"), ("row3", "row4"))


def claims(study: str, table: pd.DataFrame | None = None) -> list[Finding]:
    """What a study's runs say about the report's claims; claims whose runs are not recorded yet are left out.

    Args:
        study: one of `studies.STUDIES`.
        table: its rows; None for the recorded ones that ship.

    Raises:
        InputError: for an unknown study, or one that has not been recorded.
    """
    found = recorded(study) if table is None else table
    return _CLAIMS[study](found)


def _mixture(table: pd.DataFrame) -> list[Finding]:
    values = per_run(table, ["mixture"], where={"mode": "auto"}, by=["domain"])
    made = []
    for domain in ("maths", "computer_use"):
        claim = f"tripling maths data, with computer-use data held, improves {domain} (Table 2)"
        made += _rows(values, domain, MORE_MATHS, claim, "three times the maths data minus once")
    same_length = tuple((name, long) for name, (_, long) in LONGER.items())
    for domain in ("maths", "computer_use"):
        claim = f"it is the maths data, not the longer training, that improves {domain} (a question of ours)"
        told = "three times the maths data minus the first mixture for as long"
        made += _rows(values, domain, same_length, claim, told)
    claim = "more computer-use data improves computer_use (Table 2; a question of ours)"
    made += _rows(
        values,
        "computer_use",
        MORE_SCREENS,
        claim,
        "1.9 times the computer-use data minus once",
    )
    claim = "more computer-use data takes nothing from maths, and even helps (Table 2; a question of ours)"
    made += _rows(values, "maths", MORE_SCREENS, claim, "1.9 times the computer-use data minus once")
    return made


def _rows(
    values: pd.DataFrame, domain: str, pairs: tuple[tuple[str, str], ...], claim: str, compared: str
) -> list[Finding]:
    """The differences of some pairs of mixtures, (less, more), together."""
    one = values[values["domain"] == domain]
    both = [[one[one["mixture"] == name]["accuracy"] for name in (more, less)] for less, more in pairs]
    found = [(more, less) for more, less in both if len(more) and len(less)]
    return [over_pairs(claim, found, f"{domain}, {compared}")] if found else []


def _reasoning(table: pd.DataFrame) -> list[Finding]:
    values = per_run(table, ["reasoning"], by=["mode"])

    def at(share: float, mode: str = "auto") -> pd.Series:
        return values[(values["reasoning"] == share) & (values["mode"] == mode)]["accuracy"]

    made = [
        _between(
            f"{claim} (Tables 3 and 4)", at(0.2), at(0.2, mode), f"a fifth with thoughts, auto minus {mode}"
        )
        for mode, claim in (
            ("nothink", "letting the model decide is better than forcing a direct answer"),
            ("think", "letting the model decide is better than forcing a thought"),
        )
    ]
    for share in (0.0, 0.4, 1.0):
        claim = (
            f"a fifth of the data with thoughts does better than {share:.0%} (the report's choice, in words)"
        )
        made.append(_between(claim, at(0.2), at(share), f"auto, 20% minus {share:.0%}"))
    return [one for one in made if one is not None]


def _pipelines(table: pd.DataFrame) -> list[Finding]:
    values = per_run(table, ["pipeline"], where={"mode": "auto"}).set_index("pipeline")["accuracy"]
    *others, chosen = PIPELINES
    made = [
        _between(
            f"a reasoning language model and then a mix is the pipeline to choose, not: {other} (in words)",
            values[values.index == chosen],
            values[values.index == other],
            f"auto, the chosen one minus {other!r}",
        )
        for other in others
    ]
    return [one for one in made if one is not None]


def _feeding(table: pd.DataFrame) -> list[Finding]:
    values = per_run(table, ["method", "token_budget"])

    def at(method: str, budget: int) -> pd.Series:
        return values[(values["method"] == method) & (values["token_budget"] == budget)]["accuracy"]

    first, *others = METHODS
    budgets = sorted(set(values["token_budget"]))
    made = [
        _between(
            f"dynamic resolution finds small targets better than {METHODS[other]} (Table 1)",
            at(first, budget),
            at(other, budget),
            f"at most {budget} tokens, {METHODS[first]} minus {METHODS[other]}",
        )
        for budget in budgets
        for other in others
    ]
    if len(budgets) > 1:
        claim = "with dynamic resolution more tokens help on small targets (Table 1)"
        made.append(
            _between(
                claim, at(first, budgets[-1]), at(first, budgets[0]), "the larger budget minus the smaller"
            )
        )
    return [one for one in made if one is not None]


def _architecture(table: pd.DataFrame) -> list[Finding]:
    values = per_run(table, ["shape"], where={"mode": "auto"}).set_index("shape")["accuracy"]
    own, *others = SHAPES
    told = {
        "patches see later ones": "attention in both directions within a picture helps (the model card)",
        "early fusion": "with little training, early fusion does worse than a tower of its own (in words)",
    }
    made = []
    for other in others:
        sides = values[values.index == other], values[values.index == own]
        if other == "early fusion":
            made.append(_between(told[other], sides[1], sides[0], f"auto, {own!r} minus {other!r}"))
        else:
            claim = told.get(other, f"{other}: better than {own} (a question of ours)")
            made.append(_between(claim, *sides, f"auto, {other!r} minus {own!r}"))
    return [one for one in made if one is not None]


def _between(claim: str, higher: pd.Series, lower: pd.Series, compared: str) -> Finding | None:
    return None if higher.empty or lower.empty else finding(claim, higher, lower, compared)


_CLAIMS: dict[str, Callable[[pd.DataFrame], list[Finding]]] = {
    "mixture": _mixture,
    "reasoning": _reasoning,
    "pipelines": _pipelines,
    "feeding": _feeding,
    "architecture": _architecture,
}
