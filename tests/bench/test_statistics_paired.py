"""Differences between two runs on the same items: exact where they can be, honest about lost items."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as distributions

from workbench.bench import statistics
from workbench.bench.statistics import compare, holm, mcnemar, paired_interval
from workbench.bench.statistics.paired import corrected_levels
from workbench.errors import InputError


def run(values: np.ndarray, benchmark: str = "A", cluster: int = 1, **more: object) -> list[dict]:
    return [
        {"benchmark": benchmark, "item": str(i), "value": float(v), "cluster": str(i // cluster)} | more
        for i, v in enumerate(values)
    ]


def test_mcnemar_is_the_binomial_test_and_its_mid_p_is_smaller() -> None:
    for b, c in ((1, 9), (12, 25), (0, 6), (7, 7)):
        exact = distributions.binomtest(min(b, c), b + c).pvalue
        assert mcnemar(b, c, midp=False) == pytest.approx(exact)
        assert mcnemar(b, c) <= mcnemar(b, c, midp=False)
    # Fagerland, Lydersen and Laake 2013, table 1 (airway hyper-responsiveness, 1 and 7): 0.070 and 0.039
    assert mcnemar(1, 7, midp=False) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert mcnemar(0, 0) == 1


def test_the_mid_p_test_keeps_its_level() -> None:
    """Exactly, over all outcomes of n items of which a share differ, with no difference between the runs."""
    for n, differ in ((50, 0.1), (50, 0.4), (100, 0.05)):
        false_alarms = 0.0
        for m in range(int(n * differ * 3) + 6):  # more are too rare to matter
            b = np.arange(m + 1)
            alarms = np.array([mcnemar(int(k), m - int(k)) < 0.05 for k in b])
            chance = distributions.binom.pmf(m, n, differ)
            false_alarms += chance * float(distributions.binom.pmf(b, m, 0.5)[alarms].sum())
        assert 0.02 < false_alarms <= 0.051


def test_holm_equals_the_worked_example_and_skips_what_is_not_known() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, math.nan, 0.03]) == pytest.approx([0.04, math.nan, 0.04], nan_ok=True)
    assert holm([0.9, 0.8]) == [1, 1]


@pytest.mark.parametrize(("share", "cluster"), [((0.06, 0.02), 1), ((0.01, 0.0), 1), ((0.2, 0.1), 5)])
def test_paired_intervals_cover_the_truth_about_as_often_as_they_say(share: tuple, cluster: int) -> None:
    rng, hits, runs = np.random.default_rng(0), 0, 400
    for _ in range(runs):
        # whole clusters differ together, half of the time
        own = rng.random(250)
        shared = np.repeat(rng.random(250 // cluster), cluster)
        u = np.where(np.repeat(rng.random(250 // cluster) < 0.5, cluster), shared, own)
        d = np.where(u < share[0], 1.0, np.where(u < sum(share), -1.0, 0.0))
        _, low, high, _ = paired_interval(d, np.arange(250) // cluster)
        hits += low <= share[0] - share[1] <= high
    assert 0.92 <= hits / runs <= 0.995


def test_two_runs_with_the_same_answers_are_not_known_to_be_equal() -> None:
    mean, low, high, error = paired_interval(np.zeros(100))
    assert mean == error == 0
    assert low == pytest.approx(-high)
    assert 0.01 < high < 0.05


def test_a_difference_is_reported_with_everything_that_leads_to_it() -> None:
    rng = np.random.default_rng(1)
    base = (rng.random(400) < 0.6).astype(float)
    better = np.maximum(base, rng.random(400) < 0.2)
    row = compare(run(better), run(base)).iloc[0]
    assert row["difference"] == pytest.approx(better.mean() - base.mean())
    assert row["low"] < row["difference"] < row["high"]
    assert row["level"] == 0.95
    assert (row["only_first"], row["only_second"]) == ((better > base).sum(), 0)
    assert row["p"] == row["p_midp"] == mcnemar(int((better > base).sum()), 0)
    assert row["test"] == "midp"
    assert row["says"] == "better"
    assert row["correlation"] == pytest.approx(np.corrcoef(better, base)[0, 1])


def test_pairs_find_what_two_separate_intervals_hide() -> None:
    from workbench.bench.statistics import scores

    rng = np.random.default_rng(2)
    base = (rng.random(500) < 0.7).astype(float)
    better = np.maximum(base, rng.random(500) < 0.1)
    first, second = (scores(run(v)).iloc[0] for v in (better, base))
    assert first["low"] < second["high"], "the two intervals overlap"
    assert compare(run(better), run(base))["p"].item() < 0.001


def test_items_that_share_a_picture_are_not_counted_as_so_many() -> None:
    d = np.repeat((np.arange(20) < 14).astype(float), 10)  # whole pictures are better, or worse
    first, second = run(d, cluster=10), run(1 - d, cluster=10)
    row = compare(first, second).iloc[0]
    assert row["test"] == "clustered"
    assert row["p_midp"] < 1e-6 < row["p"]
    assert row["p"] == pytest.approx(distributions.ttest_1samp(d.reshape(20, 10).mean(1) * 2 - 1, 0).pvalue)
    assert row["says"] == "no difference seen"


def test_the_correction_is_over_all_benchmarks() -> None:
    rng = np.random.default_rng(3)
    sides: tuple[list, list] = ([], [])
    for name in "ABCDE":
        for side in sides:
            side += run(rng.random(60) < 0.5, name)
    table = compare(*sides)
    assert table["benchmark"].tolist() == list("ABCDE")
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"]))
    assert (table["p_holm"] >= table["p"]).all()


def test_modes_of_one_table_are_compared_with_each_other() -> None:
    table = run(np.array([1, 1, 0, 1]), mode="think") + run(np.array([1, 0, 0, 0]), mode="nothink")
    row = compare(table, mode=("think", "nothink")).iloc[0]
    assert row["difference"] == 0.5
    with pytest.raises(InputError, match="no rows with mode='auto'"):
        compare(table, mode=("auto", "think"))
    with pytest.raises(InputError, match="columns size"):
        compare(table, size=(1, 2))
    with pytest.warns(DeprecationWarning, match="compare"):
        again = statistics.between(table, "mode", "think", "nothink")
    assert again.iloc[0]["difference"] == 0.5
    with pytest.raises(InputError, match="two values"):
        compare(table, mode="think")


def test_two_runs_in_all_modes_are_compared_mode_by_mode() -> None:
    one = run(np.ones(4), mode="think") + run(np.zeros(4), mode="nothink")
    table = compare(one, one)
    assert table["mode"].tolist() == ["think", "nothink"]
    assert table["difference"].tolist() == [0, 0]


def test_missing_partners_and_scores_are_counted_never_dropped_silently() -> None:
    first, second = run(np.ones(10)), run(np.zeros(12))[2:]
    with pytest.warns(
        UserWarning, match="4 items without a partner are left out: 2 only in the first run, 2 only"
    ):
        row = compare(first, second).iloc[0]
    assert (row["n"], row["missing_first"], row["missing_second"]) == (8, 2, 2)
    second = run(np.zeros(10))
    second[3]["value"] = math.nan
    with pytest.warns(UserWarning, match="1 items without a partner") as seen, pytest.warns(match="no score"):
        row = compare(first, second).iloc[0]
    assert {w.filename for w in seen} == {__file__}, "a warning points at the line of the caller"
    assert (row["n"], row["missing_second"]) == (9, 1)


def test_mixed_versions_of_a_benchmark_are_refused() -> None:
    with pytest.raises(InputError, match="A in 2 versions: v1, v2"):
        compare(run(np.ones(4), version="v1"), run(np.ones(4), version="v2"))
    mixed = run(np.ones(4), version="v1") + [
        r | {"item": "x" + r["item"]} for r in run(np.ones(4), version="v2")
    ]
    with pytest.raises(InputError, match="A in 2 versions"):
        compare(mixed, mixed)
    unknown = run(np.ones(4), version="")
    assert compare(unknown, run(np.ones(4), version="v2"))["n"].item() == 4


def test_different_rules_on_the_two_sides_are_said() -> None:
    first, second = run(np.ones(4), protocol="workbench"), run(np.ones(4), protocol="lmms-eval")
    with pytest.warns(UserWarning, match="scored by different protocols: workbench against lmms-eval"):
        compare(first, second)


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(InputError, match="without an item in common"):
        compare(run(np.ones(3)), run(np.ones(3), "B"))
    two = run(np.ones(3), model="a") + run(np.ones(3), model="b")
    with pytest.raises(InputError, match="first holds several models"):
        compare(two, run(np.ones(3)))
    with pytest.raises(InputError, match="test='chi'"):
        compare(run(np.ones(3)), run(np.ones(3)), test="chi")
    with pytest.raises(InputError, match="-1"):
        mcnemar(-1, 3)


def test_the_interval_is_the_one_that_the_corrected_verdict_used() -> None:
    """Over many tables: an interval leaves out zero where the word is sure, and only there."""
    rng, agree, rows = np.random.default_rng(5), 0, 0
    for _ in range(60):
        first, second = [], []
        for name in "abcde":
            base = rng.random(150) < 0.5
            gain = rng.uniform(0, 0.3)
            other = np.where(rng.random(150) < gain, True, np.where(rng.random(150) < 0.15, ~base, base))
            for item in range(150):
                first.append({"benchmark": name, "item": str(item), "value": float(other[item])})
                second.append({"benchmark": name, "item": str(item), "value": float(base[item])})
        table = compare(first, second, test="clustered")
        sure = table["says"] != "no difference seen"
        covers = (table["low"] <= 0) & (table["high"] >= 0)
        agree += int((sure != covers).sum())
        rows += len(table)
        assert table["level"].between(0.95, 0.99 + 1e-9).all()
        assert table["level"].max() > 0.95
    assert agree == rows == 300


def test_levels_step_down_as_holm_does() -> None:
    assert corrected_levels([0.001, 0.2, 0.02]) == pytest.approx([1 - 0.05 / 3, 0.95, 1 - 0.05 / 2])
    assert corrected_levels([0.3, 0.2, 0.02]) == pytest.approx([1 - 0.05 / 3] * 3)
    assert corrected_levels([0.03]) == pytest.approx([0.95])
    assert corrected_levels([math.nan, 0.03]) == pytest.approx([0.95, 0.95])
