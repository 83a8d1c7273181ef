"""The published tables and what is said about them: the numbers as printed, the arithmetic done again."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest

from workbench.bench import Results, published
from workbench.bench.published import PHI, claims, margin, mean_margin
from workbench.bench.published.claims import VERDICTS
from workbench.bench.published.tables import with_error
from workbench.errors import InputError


def test_every_entry_has_every_benchmark_once() -> None:
    table = published.matrix()
    assert table.shape == (15, 10)
    assert not table.isna().any(axis=None)
    rows = published.scores()
    assert len(rows) == 150
    assert (rows["tables"] == "3 and 4").sum() == 20  # auto and Gemma stand in both


def test_the_numbers_are_the_printed_ones() -> None:
    table = published.matrix()
    assert table.loc[f"{PHI} auto"].tolist() == [84.8, 83.3, 64.4, 44.9, 36.2, 75.2, 54.3, 64.5, 76.0, 88.2]
    assert table.at["Qwen3-VL-8B-Thinking 40K", "MathVerse"] == 73.3
    assert published.mixture().groupby("row")["score"].sum().round(1).tolist() == [
        129.6, 141.4, 129.6, 145.4, 110.9, 120.5,
    ]  # fmt: skip
    sums = published.resolution().groupby("entry", sort=False)["score"].sum()
    assert sums.round(1).tolist() == [183.6, 168.4, 190.2, 187.2, 198.1]


def test_every_number_has_the_error_of_its_number_of_items() -> None:
    for table in (published.scores(), published.mixture(), published.resolution()):
        assert ((table["low"] < table["score"]) & (table["score"] < table["high"])).all()
        p, n = table["score"] / 100, table["independent"]
        assert table["error"].to_numpy() == pytest.approx(100 * np.sqrt(p * (1 - p) / n).to_numpy())
    rows = published.scores().query(f"entry == '{PHI} auto'").set_index("benchmark")
    # the half-widths that the design expects, at 95%
    for name, expected in {
        "MathVision": 5.4,
        "MMMU": 3.3,
        "MathVista": 2.7,
        "MMStar": 2.4,
        "AI2D": 1.3,
    }.items():
        assert 1.96 * rows.at[name, "error"] == pytest.approx(expected, abs=0.06)


def test_five_versions_of_a_problem_do_not_count_as_five_problems() -> None:
    rows = published.scores().set_index("benchmark")
    assert set(rows.loc["MathVerse", "independent"]) == {788}
    assert set(rows.loc["MathVerse", "items"]) == {3940}
    with pytest.raises(InputError, match="'Chess'"):
        with_error(pd.DataFrame({"benchmark": ["Chess"], "score": [50.0]}))


def test_scores_that_no_count_of_items_gives_are_found() -> None:
    table = published.consistent(published.scores())
    assert (table["items"] < 1000).all()
    odd = table[~table["reachable"]]
    # 20.0% of 304 items: 61 items are 20.07%, which rounds to 20.1
    assert odd[["model", "benchmark", "score"]].to_numpy().tolist() == [
        ["Phi-4-mm-instruct", "MathVision", 20.0]
    ]
    assert published.consistent(published.resolution())["reachable"].all()
    made_up = pd.DataFrame({"benchmark": ["V*Bench"] * 2, "score": [52.9, 53.0]})
    assert published.consistent(with_error(made_up))["reachable"].tolist() == [True, False]


def test_a_margin_knows_the_largest_and_the_smallest_error_that_pairing_allows() -> None:
    """Against every way to pair the items of two small runs."""
    n, right, other = 20, 14, 11
    gap = margin(100 * right / n, 100 * other / n, items=n)
    errors = []
    for both in range(max(0, right + other - n), other + 1):
        d = np.array([1] * (right - both) + [-1] * (other - both) + [0] * (n - right - other + 2 * both))
        errors.append(100 * d.std() / math.sqrt(n))
    assert gap.least_error == pytest.approx(min(errors))
    # answers without any connection share right * other / n = 7.7 items: between 7 and 8
    fewest = max(0, right + other - n)
    assert errors[8 - fewest] < gap.error < errors[7 - fewest]
    assert gap.difference == pytest.approx(15)


def test_a_simulated_paired_run_is_judged_no_bolder_than_by_its_items() -> None:
    """Correlated runs without a difference: the unpaired error calls far fewer than 5% of them sure."""
    rng, n, sure = np.random.default_rng(0), 900, 0
    for _ in range(1000):
        base, own = rng.random(n) < 0.6, rng.random((2, n)) < 0.6
        copied = rng.random((2, n)) < 0.7
        first, second = np.where(copied, base, own).mean(axis=1) * 100
        sure += margin(first, second, items=n).sure
    assert sure / 1000 < 0.03


def test_means_of_the_same_items_have_a_larger_error_than_means_of_different_benchmarks() -> None:
    gaps = [margin(44, 42, items=900), margin(45, 42, items=900)]
    apart, together = mean_margin(gaps), mean_margin(gaps, same_items=True)
    assert apart.difference == together.difference == pytest.approx(2.5)
    assert together.error == pytest.approx(apart.error * math.sqrt(2), rel=0.01)
    assert together.least_error < apart.least_error


def found(start: str) -> published.Claim:
    (claim,) = [claim for claim in claims() if claim.text.startswith(start)]
    return claim


@pytest.mark.parametrize(
    ("start", "verdict"),
    [
        ("Letting the model decide is on average better than forcing a direct answer", "supported"),
        ("Letting the model decide is on average better than forcing a thought", "cannot tell"),
        ("Forcing a mode wins only on", "true as printed"),
        ("Forcing think is better than auto on MathVerse", "supported"),
        ("Forcing think is better than auto on MMMU", "cannot tell"),
        ("Forcing nothink is better than auto on ScreenSpot_v2", "cannot tell"),
        ("The average of ChartQA, MathVista, MMMU and ScreenSpot-v2", "contradicted"),
        ("Tripling maths data while holding", "untrue as printed"),
        ("Tripling maths data, with computer-use data held, improves the maths score", "cannot tell"),
        ("Tripling maths data, with computer-use data held, improves the computer-use score", "cannot tell"),
        ("More computer-use data improves the computer-use score", "supported"),
        ("Dynamic resolution does best on high-resolution benchmarks: ScreenSpot_Pro", "supported"),
        ("Dynamic resolution does best on high-resolution benchmarks: V*Bench", "cannot tell"),
        ("With the same budget of 2048 tokens", "untrue as printed"),
        ("The model excels at maths and science", "contradicted"),
        ("The model excels at grounding", "contradicted"),
        ("The model is more accurate than models that are as fast", "cannot tell"),
        ("The model competes with models that take ten times", "cannot tell"),
        ("The model moves the Pareto front", "cannot tell"),
        ("3600 tokens instead of 2048 help on ScreenSpot-Pro", "supported"),
        ("3600 tokens instead of 2048 matter most", "cannot tell"),
        ("The S2 methods often use only about half", "cannot tell"),
    ],
)
def test_the_verdict_on_a_claim(start: str, verdict: str) -> None:
    assert found(start).verdict == verdict


def test_the_arithmetic_of_auto_against_thinking_done_by_hand() -> None:
    auto = [84.8, 83.3, 64.4, 44.9, 36.2, 75.2, 54.3, 64.5, 76.0, 88.2]
    think = [79.7, 82.9, 63.9, 53.1, 36.2, 74.1, 55.0, 63.9, 73.7, 88.1]
    items = [3088, 2500, 951, 788, 304, 1000, 900, 1500, 1000, 1272]
    difference = sum(auto) / 10 - sum(think) / 10
    variance = sum((p * (100 - p) + q * (100 - q)) / n for p, q, n in zip(auto, think, items, strict=True))
    text = found("Letting the model decide is on average better than forcing a thought").arithmetic
    assert (
        f"67.18 - 67.06 = +{difference:.2f} points, 95% error {1.96 * math.sqrt(variance) / 10:.1f}" in text
    )
    assert "within its error however the items pair" in text


def test_the_falls_in_table_2_are_named() -> None:
    text = found("Tripling maths data while holding").arithmetic
    assert "4 rise, 2 fall (MathVista, MMMU)" in text
    assert (
        "36.0 - 37.4 = -1.4 points"
        in found("Tripling maths data, with computer-use data held, improves the maths").arithmetic
    )


def test_every_claim_says_its_source_its_test_and_its_arithmetic() -> None:
    table = published.claims_table()
    assert len(table) == len(claims()) >= 20
    assert set(table["verdict"]) == set(VERDICTS)
    assert (table[["text", "source", "test", "arithmetic"]].map(len) > 3).all(axis=None)
    assert table["text"].is_unique
    with pytest.raises(InputError, match="verdict='maybe'"):
        published.Claim("a", "b", "c", "d", "maybe")
    assert str(claims()[0]).startswith("CONTRADICTED: ")


def test_no_verdict_stands_on_a_difference_within_its_error() -> None:
    """One yardstick: -1.4 within 4.2 and -1.1 within 9.9 contradict nothing."""
    for claim in claims():
        sizes = re.findall(r"= ([+-][\d.]+) points, 95% error ([\d.]+)", claim.arithmetic)
        if claim.verdict in ("supported", "contradicted") and sizes:
            assert any(abs(float(gap)) > float(error) for gap, error in sizes), claim.text


def test_the_headline_on_maths_done_by_hand() -> None:
    text = found("The model excels at maths and science").arithmetic
    assert "= -6.85 points, 95% error 2.7" in text


@pytest.mark.parametrize(
    ("share", "says"),
    [(0.833, "within the error"), (0.80, "below"), (0.87, "above"), (0.845, "within the error")],
)
def test_a_log_is_held_against_the_printed_number(share: float, says: str) -> None:
    rows = [
        {"benchmark": "ChartQA", "item": str(n), "mode": "auto", "value": float(n < round(share * 2500))}
        for n in range(2500)
    ]
    (row,) = published.check(Results.of(rows)).to_dict("records")
    assert row["says"] == says
    assert row["printed"] == 83.3
    assert row["difference"] == pytest.approx(100 * share - 83.3, abs=0.03)
    errors = [math.sqrt(p * (1 - p) / 2500) for p in (share, 0.833)]
    assert row["error"] == pytest.approx(100 * 1.96 * math.hypot(*errors), rel=0.01)
    assert row["note"] == ""


def test_a_part_of_a_benchmark_is_noted_and_other_results_are_refused() -> None:
    rows = [{"benchmark": "MMMU", "item": str(n), "mode": "think", "value": float(n % 2)} for n in range(90)]
    (row,) = published.check(Results.of(rows)).to_dict("records")
    assert row["note"] == "90 items here, 900 in the table"
    assert row["entry"] == f"{PHI} think"
    (other,) = published.check(Results.of(rows), entry="Qwen3-VL-8B-Instruct 4K").to_dict("records")
    assert other["printed"] == 60.7
    with pytest.raises(InputError, match="entry='GPT'"):
        published.check(Results.of(rows), entry="GPT")
    with pytest.raises(InputError, match="without a scored benchmark of the tables"):
        published.check(Results.of([{**rows[0], "benchmark": "mine"}]))


def test_averages_rank_entries() -> None:
    table = published.averages().set_index("entry")
    assert table.at[f"{PHI} auto", "score"] == pytest.approx(67.18)
    assert table.at["Qwen3-VL-32B-Thinking 40K", "rank"] == 1
    four = published.averages(published.FOUR).set_index("entry")
    assert four.at[f"{PHI} auto", "score"] == pytest.approx(75.25)
    with pytest.raises(InputError, match="Chess"):
        published.averages(["Chess"])
    with pytest.raises(InputError, match="some of AI2D"):
        published.averages([])


def made(scores: dict[str, float], n: int = 400) -> pd.DataFrame:
    rows = [{"benchmark": b, "entry": e, "score": s} for e, s in scores.items() for b in ("MMMU", "AI2D")]
    return pd.DataFrame(rows).assign(error=lambda t: np.sqrt(t["score"] * (100 - t["score"]) / n))


def test_rank_stability_is_that_of_two_normal_means() -> None:
    """Two entries 2 points apart: the chance that the order holds is known."""
    table = made({"a": 60.0, "b": 58.0})
    found = published.rank_stability(table=table, n_resamples=20_000)
    spread = math.sqrt(sum(e**2 for e in table["error"])) / 2
    expected = 0.5 * (1 + math.erf(2 / spread / math.sqrt(2)))
    assert found["entry"].tolist() == ["a", "b"]
    assert found["p_first"][0] == pytest.approx(expected, abs=0.01)
    assert found["p_above"][0] == pytest.approx(expected, abs=0.01)
    shared = published.rank_stability(table=table, n_resamples=20_000, correlation=0.9)
    assert shared["p_first"][0] > found["p_first"][0] + 0.1


def test_equal_entries_share_their_ranks_and_sure_ones_keep_theirs() -> None:
    table = published.rank_stability(
        table=made({"a": 90.0, "b": 50.0, "c": 50.0, "d": 10.0}), n_resamples=2000
    )
    ranks = table.set_index("entry")
    assert (ranks.at["a", "rank_low"], ranks.at["a", "rank_high"]) == (1, 1)
    assert (ranks.at["b", "rank_low"], ranks.at["c", "rank_high"]) == (2, 3)
    assert ranks.at["b", "rank"] == ranks.at["c", "rank"] == 2
    again = published.rank_stability(
        table=made({"a": 90.0, "b": 50.0, "c": 50.0, "d": 10.0}), n_resamples=2000
    )
    pd.testing.assert_frame_equal(table, again)


def test_drawing_the_benchmarks_too_makes_ranks_less_certain() -> None:
    fixed, drawn = (published.rank_stability(resample_benchmarks=r, n_resamples=2000) for r in (False, True))
    width = [(t["rank_high"] - t["rank_low"]).sum() for t in (fixed, drawn)]
    assert width[1] > width[0]
    with pytest.raises(InputError, match="correlation=2"):
        published.rank_stability(correlation=2)


def test_the_four_reverse_an_order_of_the_ten() -> None:
    table = published.four_of_ten().set_index("entry")
    assert table.index[table["reversed"]].tolist() == ["Kimi-VL-A3B-Thinking"]
    row = table.loc["Kimi-VL-A3B-Thinking"]
    assert row["over_phi_four"] < 0 < row["over_phi_ten"]


def test_every_choice_of_four_is_compared() -> None:
    table = published.subsets()
    assert len(table) == math.comb(10, 4)
    assert table["chosen"].sum() == 1
    assert set(table.loc[table["chosen"], "benchmarks"].item()) == set(published.FOUR)
    assert table["over_others"].is_monotonic_decreasing
    whole = published.subsets(10)
    assert whole["score"].item() == pytest.approx(67.18)
    assert whole["rank"].item() == 10
    with pytest.raises(InputError, match="size=11"):
        published.subsets(11)
    with pytest.raises(InputError, match="'GPT'"):
        published.subsets(others=["GPT"])


def test_modes_and_training_tokens_stand_beside_the_scores() -> None:
    modes = published.modes().set_index("benchmark")
    assert modes.at["MathVerse", "over_think_says"] == "worse"
    assert modes.at["AI2D", "over_think_says"] == "better"
    assert modes.at["MMMU", "over_think_says"] == "no difference seen"
    tokens = published.tokens_against_score()
    assert len(tokens) == 15
    known = tokens.dropna(subset="billion_training_tokens")
    assert set(known["relation"]) == {"=", ">"}
    assert known.loc[known["relation"] == "=", "model"].unique().tolist() == [PHI]
