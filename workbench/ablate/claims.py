"""The report's claims about training, beside our own recorded runs

>>> for found in claims("mixture"): print(found)

Each is one comparison of two kinds of runs with an interval of its own: of some dozens, one or two may stand
out by chance.  All were stated before their study's runs were first made, but those against a mixture that
trains longer: the runs were planned before, the claims worded after.  The published claims are those of arXiv
2603.03975, some of which `workbench.bench.claims` tests on the report's own tables.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from .findings import Finding, finding, over_pairs, per_run
from .recording import recorded
from .resolution.feeding import METHODS
from .studies import LONGER, PIPELINES, SHAPES

__all__ = ["claims"]

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
