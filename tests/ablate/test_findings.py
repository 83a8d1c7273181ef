"""A difference of runs is told with its error, and only beyond it as a finding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from workbench.ablate.studies import finding, interval, over_pairs, per_run
from workbench.errors import InputError


def rows() -> pd.DataFrame:
    made = [
        {
            "kind": kind,
            "run": f"{kind}{seed}",
            "seed": seed,
            "mode": mode,
            "family": f,
            "n": n,
            "accuracy": a,
        }
        for kind, seed in (("a", 0), ("a", 1), ("b", 0))
        for mode in ("auto", "think")
        for f, n, a in (("chain", 10, 0.2 + 0.1 * seed), ("geometry", 30, 0.6))
    ]
    return pd.DataFrame(made)


def test_a_run_is_the_mean_over_its_questions() -> None:
    made = per_run(rows(), ["kind"], where={"mode": "auto"})
    assert len(made) == 3
    assert made.set_index("run")["accuracy"].to_dict() == pytest.approx({"a0": 0.5, "a1": 0.525, "b0": 0.5})
    assert made["n"].tolist() == [40, 40, 40]
    assert len(per_run(rows(), ["kind"], by=["mode", "family"])) == 12


def test_an_interval_needs_two_runs() -> None:
    mean, low, high = interval([0.4, 0.5, 0.6])
    assert mean == pytest.approx(0.5)
    assert high - mean == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert interval([0.4]) == (0.4, -np.inf, np.inf)


@pytest.mark.parametrize(
    ("higher", "verdict"),
    [([0.8, 0.82, 0.79], "agrees"), ([0.2, 0.22, 0.21], "disagrees"), ([0.5, 0.7, 0.4], "cannot tell")],
)
def test_the_verdict_is_that_of_welchs_interval(higher: list[float], verdict: str) -> None:
    lower = [0.5, 0.52, 0.49]
    made = finding("more is better", higher, lower, "more minus less")
    theirs = ttest_ind(higher, lower, equal_var=False).confidence_interval()
    assert (made.low, made.high) == pytest.approx((theirs.low, theirs.high))
    assert made.verdict == verdict
    assert verdict.upper() in str(made)


def test_pairs_are_told_by_the_noise_within_each_kind() -> None:
    pairs = [([0.6, 0.62], [0.5, 0.52]), ([0.9, 0.92], [0.8, 0.82])]
    made = over_pairs("x", pairs, "more minus less")
    assert made.difference == pytest.approx(0.1)
    assert made.high - made.low < 0.1, "how far the pairs lie apart is no error"
    assert made.runs == (4, 4)
    single = over_pairs("x", [([0.6], [0.5]), ([0.9], [0.8])], "more minus less")
    assert single.verdict == "cannot tell"


def test_single_runs_cannot_tell() -> None:
    assert finding("x", [0.9], [0.1], "a minus b").verdict == "cannot tell"
    assert finding("x", [0.9, 0.9], [0.1, 0.1], "a minus b").verdict == "agrees"


def test_what_is_not_recorded_is_named() -> None:
    with pytest.raises(InputError, match="no recorded row"):
        per_run(rows(), ["kind"], where={"mode": "nothink"})
    with pytest.raises(InputError, match="without colour"):
        per_run(rows(), ["colour"])
    with pytest.raises(InputError, match="0 and 1 runs"):
        finding("x", [], [0.1], "a minus b")
