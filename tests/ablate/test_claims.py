"""Each claim takes the runs that it speaks of, and says what they show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.ablate.studies import STUDIES, claims, study
from workbench.synth import family


def table(name: str, right: Any) -> pd.DataFrame:
    """Rows of a study with made accuracies, ``right(labels, domain, mode)`` and a little noise."""
    rng, rows = np.random.default_rng(0), []
    for one in study(name).runs:
        for chosen in one.recipe.families:
            for mode in one.recipe.modes:
                accuracy = right(one.labels, family(chosen).domain, mode) + 0.005 * rng.standard_normal()
                told = {"run": one.recipe.hash, "seed": one.recipe.seed, **one.labels}
                told |= {"domain": family(chosen).domain, "family": chosen, "mode": mode, "n": 40}
                rows.append({**told, "accuracy": accuracy})
    return pd.DataFrame(rows)


RULES: dict[str, Any] = {
    "mixture": lambda labels, domain, mode: labels[domain],
    "reasoning": lambda labels, domain, mode: 0.5 - abs(labels["reasoning"] - 0.2) - 0.1 * (mode != "auto"),
    "pipelines": lambda labels, domain, mode: 0.3 + 0.2 * labels["pipeline"].endswith("a mix"),
    "feeding": lambda labels, domain, mode: (
        labels["token_budget"] / 400 + 0.2 * (labels["method"] == "dynamic_resolution")
    ),
    "architecture": lambda labels, domain, mode: 0.4 - 0.2 * (labels["shape"] == "early fusion"),
}


@pytest.mark.parametrize("name", STUDIES)
def test_made_runs_give_the_verdicts_that_were_put_into_them(name: str) -> None:
    found = claims(name, table(name, RULES[name]))
    assert found
    verdicts = {one.compared: one.verdict for one in found}
    if name == "mixture":  # shares: more of one is less of the other
        assert verdicts["maths, three times the maths data minus once"] == "agrees"
        assert verdicts["computer_use, three times the maths data minus once"] == "disagrees"
        assert verdicts["maths, three times the maths data minus the first mixture for as long"] == "agrees"
        assert verdicts["maths, 1.9 times the computer-use data minus once"] == "disagrees"
    elif name == "architecture":
        assert verdicts.pop("auto, 'as built' minus 'early fusion'") == "agrees"
        assert set(verdicts.values()) == {"about equal"}, "the others were made alike"
        assert len(verdicts) == 5
    else:
        assert set(verdicts.values()) == {"agrees"}


@pytest.mark.parametrize("name", STUDIES)
def test_runs_that_are_not_recorded_yet_leave_their_claims_out_or_open(name: str) -> None:
    whole = table(name, RULES[name])
    one_seed = claims(name, whole[whole["seed"] == 1])
    assert {one.verdict for one in one_seed} <= {"cannot tell"}
    first = study(name).runs[0].recipe.hash
    assert len(claims(name, whole[whole["run"] == first])) < len(claims(name, whole))
