"""A difference of runs is told with its error, and only beyond it as a finding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from workbench.ablate.studies import Difference, difference, interval, judged, per_run
from workbench.errors import InputError
from workbench.stats import holm


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


def seeds(**kinds: list[float]) -> pd.DataFrame:
    """A row a seed, a column a kind."""
    return pd.DataFrame(kinds, index=pd.Index(range(len(next(iter(kinds.values())))), name="seed"))


def one(values: pd.DataFrame, pairs: list[tuple[str, str]]) -> Difference:
    made = difference("more is better", values, pairs, "more minus less")
    assert made is not None
    return made


def test_two_kinds_are_compared_seed_by_seed() -> None:
    values = seeds(a=[0.31, 0.52, 0.74, 0.44], b=[0.30, 0.50, 0.71, 0.40])
    made = one(values, [("a", "b")])
    theirs = ttest_rel(values["a"], values["b"])
    assert made.p == pytest.approx(theirs.pvalue)
    (found,) = judged([made])
    interval = theirs.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.verdict == "agrees", "what the seeds themselves differ by is no error"
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.seeds == 4


def test_all_kinds_tell_how_much_a_run_varies() -> None:
    rng = np.random.default_rng(0)
    values = seeds(**{name: list(rng.normal(0.5, 0.02, 3)) for name in "abcdef"})
    made = one(values, [("a", "b")])
    assert made.freedom == 10, "three seeds of six kinds"
    # ordinary least squares with a column a kind and a seed, from scratch
    seed, kind = np.divmod(np.arange(18), 6)
    design = np.c_[np.eye(6)[kind], np.eye(3)[seed][:, 1:]]
    heights = values.to_numpy().ravel()
    weights, squares, *_ = np.linalg.lstsq(design, heights, rcond=None)
    covariance = squares[0] / 10 * np.linalg.inv(design.T @ design)
    assert made.mean == pytest.approx(weights[0] - weights[1])
    assert made.error == pytest.approx((covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) ** 0.5)
    assert one(values[["a", "b"]], [("a", "b")]).freedom == 2


def test_pairs_of_kinds_are_told_together() -> None:
    values = seeds(a=[0.6, 0.62], b=[0.5, 0.52], c=[0.9, 0.92], d=[0.8, 0.825])
    made = one(values, [("a", "b"), ("c", "d"), ("a", "none")])
    assert made.mean == pytest.approx(np.mean([0.1, 0.1, 0.1, 0.095]))
    assert difference("x", values, [("a", "none")], "") is None


def test_verdicts_are_judged_together_as_holm_does() -> None:
    rng = np.random.default_rng(3)
    made = [
        one(seeds(a=list(rng.normal(shift, 0.02, 5)), b=[0.0] * 5), [("a", "b")])
        for shift in np.linspace(0, 0.048, 9)
    ]
    found = judged(made)
    assert [f.p for f in found] == pytest.approx(holm([m.p for m in made]))
    for f in found:
        assert (f.verdict in ("agrees", "disagrees")) == (f.p <= 0.05)
        assert (f.low > 0 or f.high < 0) == (f.p <= 0.05), "the interval that is shown gave the verdict"
    alone = [judged([m])[0].verdict for m in made]
    assert alone.count("agrees") > [f.verdict for f in found].count("agrees")
    assert max(f.level for f in found) == pytest.approx(1 - 0.05 / 9)


def test_about_equal_is_said_where_the_whole_interval_is_small() -> None:
    tight = judged([one(seeds(a=[0.501, 0.503, 0.498, 0.5], b=[0.5, 0.5, 0.501, 0.499]), [("a", "b")])])[0]
    assert tight.verdict == "about equal"
    wide = judged([one(seeds(a=[0.45, 0.56, 0.5], b=[0.5, 0.5, 0.5]), [("a", "b")])])[0]
    assert wide.verdict == "cannot tell"
    down = judged([one(seeds(a=[0.2, 0.22, 0.21], b=[0.5, 0.52, 0.515]), [("a", "b")])])[0]
    assert down.verdict == "disagrees"
    assert "DISAGREES" in str(down)
    assert "points" in str(down)


def test_a_single_seed_cannot_tell() -> None:
    made = judged(
        [one(seeds(a=[0.9], b=[0.1]), [("a", "b")]), one(seeds(a=[0.9, 0.8], b=[0.1, 0.1]), [("a", "b")])]
    )
    assert made[0].verdict == "cannot tell"
    assert "no interval" in str(made[0])
    assert made[1].level == 0.95, "a claim without an error is none of those that are judged"
    with pytest.raises(InputError, match="no recorded row"):
        per_run(rows(), ["kind"], where={"mode": "nothink"})


def test_what_is_not_recorded_is_named() -> None:
    with pytest.raises(InputError, match="no recorded row"):
        per_run(rows(), ["kind"], where={"mode": "nothink"})
    with pytest.raises(InputError, match="without colour"):
        per_run(rows(), ["colour"])
