"""The three modes, item by item: counts by hand, known choices, a router that cannot cheat."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef

from workbench.bench import Results
from workbench.bench.statistics import efficiency, matthews, mode_lens, router_curve, router_gain
from workbench.bench.statistics.router import best_cut
from workbench.errors import InputError


def rows(
    think: list, direct: list, opens: list | None = None, p: list | None = None, **more: object
) -> list[dict]:
    """Items in three modes; the auto reply is that of the mode it opens."""
    found = []
    for i, (t, d) in enumerate(zip(think, direct, strict=True)):
        replies = {"think": (t, True), "nothink": (d, False)}
        if opens is not None:
            replies["auto"] = (t if opens[i] else d, bool(opens[i]))
        for mode, (value, thinks) in replies.items():
            row = {"benchmark": "A", "item": str(i), "mode": mode, "value": float(value)}
            row |= {"thought": "so" if thinks else None, "tokens": 100.0 if thinks else 4.0}
            found.append(row | ({} if p is None else {"p_think": float(p[i])}) | more)
    return found


def simulated(seed: int, n: int = 300, *, know: float = 0.3) -> list[dict]:
    """Items that need a thought or are spoilt by one; ``know`` says how well p_think tells which."""
    rng = np.random.default_rng(seed)
    need = rng.random(n) < 0.5
    think, direct = rng.random(n) < np.where(need, 0.8, 0.5), rng.random(n) < np.where(need, 0.4, 0.75)
    p = np.clip(0.5 + know * np.where(need, 1, -1) + rng.normal(0, 0.2, n), 0, 1)
    return rows(list(think), list(direct), list(p >= 0.5), list(p))


def test_the_lens_counts_by_hand() -> None:
    think, direct = [1, 1, 1, 0, 0, 1, 1, 0], [0, 0, 1, 1, 0, 1, 0, 0]
    row = mode_lens(rows(think, direct, [1, 0, 1, 1, 0, 0, 1, 0])).iloc[0]
    assert row[["helps", "hurts", "both_right", "both_wrong"]].tolist() == [3, 1, 2, 2]
    assert row[["think", "direct", "auto"]].tolist() == pytest.approx([5 / 8, 3 / 8, 4 / 8])
    assert row["oracle"] == 6 / 8
    assert row["oracle_gain"] == pytest.approx(1 / 8)
    assert row["gap"] == pytest.approx(2 / 8)
    assert row["thinks"] == 4 / 8
    assert row["choice_right"] == 2 / 4  # of the four items that change, items 0 and 6
    assert row["mcc"] == pytest.approx(matthews_corrcoef([1, 1, 0, 0, 0, 0, 1, 0], [1, 0, 1, 1, 0, 0, 1, 0]))


def test_matthews_is_that_of_scikit_learn_and_nan_without_a_choice() -> None:
    rng = np.random.default_rng(0)
    need, thought = rng.random(200) < 0.3, rng.random(200) < 0.6
    assert matthews(need, thought) == pytest.approx(matthews_corrcoef(need, thought))
    assert matthews(need, need) == pytest.approx(1)
    assert math.isnan(matthews(need, np.ones(200)))


def test_a_choice_by_coin_is_near_zero_and_a_knowing_one_is_not() -> None:
    blind, knowing = (mode_lens(simulated(1, 1500, know=k)).iloc[0] for k in (0.0, 0.4))
    assert blind["mcc_low"] < 0 < blind["mcc_high"]
    assert knowing["mcc_low"] > 0.2
    assert knowing["choice_low"] > 0.6
    assert knowing["gap"] < blind["gap"]


def test_the_interval_of_the_choice_covers_the_truth() -> None:
    truth = mode_lens(simulated(999, 10_000), n_resamples=10)["mcc"].item()
    hits = 0
    for seed in range(50):
        row = mode_lens(simulated(seed, 200), n_resamples=200).iloc[0]
        hits += row["mcc_low"] <= truth <= row["mcc_high"]
    assert hits / 50 >= 0.87


def test_a_difference_is_said_only_after_the_correction() -> None:
    rng, found = np.random.default_rng(3), []
    for name, gain in (("A", 0.4), ("B", 0.0), ("C", -0.4)):
        direct = rng.random(150) < 0.5
        think = np.where(rng.random(150) < abs(gain), gain > 0, direct)
        found += [row | {"benchmark": name} for row in rows(list(think), list(direct))]
    table = mode_lens(found)
    assert table["says"].tolist() == ["helps", "no difference seen", "hurts"]
    assert (table["p_holm"] >= table["p"]).all()
    assert table["auto"].isna().all()


def test_a_record_and_plain_rows_give_the_same_lens() -> None:
    found = simulated(4, 60)
    record = Results.of(
        [{k: v for k, v in row.items() if k != "tokens"} | {"answer_tokens": row["tokens"]} for row in found]
    )
    pd.testing.assert_frame_equal(mode_lens(found), mode_lens(record))


def test_a_model_of_several_is_a_row_of_its_own() -> None:
    both = rows([1, 1], [0, 1], model="a") + rows([0, 0], [1, 0], model="b")
    table = mode_lens(both)
    assert table["model"].tolist() == ["a", "b"]
    assert table["helps"].tolist() == [1, 0]
    assert table["hurts"].tolist() == [0, 1]


def test_repetitions_of_an_item_are_one_item() -> None:
    """Three repetitions: the thought is right in two of them, and auto opened one in one."""
    found = []
    for epoch, right in enumerate((1, 1, 0)):
        found += [row | {"epoch": epoch} for row in rows([right, 1], [0, 1], [epoch == 0, 0])]
    row = mode_lens(found).iloc[0]
    assert row["n"] == 2
    assert row["think"] == pytest.approx((2 / 3 + 1) / 2)
    assert row["thinks"] == 0


def test_items_without_both_forced_modes_are_counted() -> None:
    found = rows([1, 0, 1], [0, 0, 1])[:-1]
    with pytest.warns(UserWarning, match="1 of 3 items were not scored both thinking and directly"):
        assert mode_lens(found)["n"].item() == 2
    with pytest.raises(InputError, match="rows of mode nothink too"):
        mode_lens([row for row in found if row["mode"] == "think"])
    with pytest.raises(InputError, match="A in 2 versions"):
        mode_lens(rows([1], [0], version="1") + [r | {"item": "9"} for r in rows([1], [0], version="2")])


def test_accuracy_for_its_tokens() -> None:
    table = efficiency(rows([1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0])).set_index("mode")
    assert table.at["think", "per_1000"] == pytest.approx(1000 * 0.75 / 100)
    assert table.at["nothink", "per_1000"] == pytest.approx(1000 * 0.25 / 4)
    assert table.at["auto", "tokens"] == 28
    # half the questions more, for 96 tokens more
    assert table.at["think", "extra_per_1000"] == pytest.approx(1000 * 0.5 / 96)
    assert math.isnan(table.at["nothink", "extra_per_1000"])
    unknown = rows([1, 0], [0, 0])
    unknown[0]["tokens"] = math.nan
    with pytest.warns(UserWarning, match="1 of 4 rows have no token count"):
        assert efficiency(unknown)["n"].sum() == 3


def test_the_best_threshold_is_what_trying_all_of_them_finds() -> None:
    rng = np.random.default_rng(5)
    for _ in range(100):
        p = rng.integers(0, 6, 12) / 5
        think, direct = rng.random(12) < 0.6, rng.random(12) < 0.5
        cuts = [0.0, *np.unique(p), 2.0]
        best = max(np.where(p >= cut, think, direct).mean() for cut in cuts)
        cut = best_cut(p, think.astype(float), direct.astype(float))
        assert np.where(p >= cut, think, direct).mean() == pytest.approx(best)


def test_the_curve_runs_from_never_to_always() -> None:
    table = router_curve(simulated(6))
    first, last = table.iloc[0], table.iloc[-1]
    lens = mode_lens(simulated(6)).iloc[0]
    assert (first["threshold"], first["thinks"], first["accuracy"]) == (0, 1, pytest.approx(lens["think"]))
    assert (last["thinks"], last["accuracy"]) == (0, pytest.approx(lens["direct"]))
    assert last["threshold"] > 1
    assert (first["tokens"], last["tokens"]) == (100, 4)
    assert table["thinks"].is_monotonic_decreasing


def test_a_router_that_knows_nothing_gains_nothing_on_held_out_items() -> None:
    """The best point of the curve always looks like a gain; held out it is none."""
    found, looks = [], []
    for seed in range(40):
        row = router_gain(simulated(seed, 120, know=0.0), n_repeats=2, n_resamples=2).iloc[0]
        found.append(row["over_fixed"])
        looks.append(row["optimism"])
    assert np.mean(found) < 0.01
    assert np.mean(looks) > 0.02


def test_the_interval_of_a_router_s_gain_covers_the_true_gain() -> None:
    """True gain: that of the best threshold over the better mode, from a large draw."""
    large = router_gain(simulated(1234, 10_000), n_repeats=1, n_resamples=2).iloc[0]
    hits = 0
    for seed in range(40):
        row = router_gain(simulated(seed, 300), n_repeats=2, n_resamples=20).iloc[0]
        hits += row["over_fixed_low"] <= large["over_fixed"] <= row["over_fixed_high"]
    assert hits / 40 >= 0.88


def test_a_price_on_tokens_opens_fewer_thoughts() -> None:
    free, dear = (router_gain(simulated(7), price=price).iloc[0] for price in (0.0, 2.0))
    assert dear["thinks"] < free["thinks"]
    assert dear["tokens"] < free["tokens"]


def test_one_threshold_for_all_benchmarks() -> None:
    both = simulated(8, 100) + [row | {"benchmark": "B"} for row in simulated(9, 100)]
    assert router_gain(both)["benchmark"].tolist() == ["A", "B"]
    pooled = router_gain(both, pooled=True)
    assert pooled["n"].tolist() == [200]
    assert router_curve(both, pooled=True)["benchmark"].unique().tolist() == ["all"]


def test_a_cluster_is_never_on_both_sides_of_a_fold() -> None:
    from workbench.bench.statistics.router import _deals

    codes = np.repeat(np.arange(20), 3)
    for held in _deals(codes, 5, 2, seed=0):
        assert not set(codes[held]) & set(codes[~held])
        assert held.sum() == 12


def test_what_cannot_be_routed_is_refused() -> None:
    with pytest.raises(InputError, match="without p_think"):
        router_curve(rows([1, 0], [0, 1]))
    with pytest.raises(InputError, match="3 clusters of items for 5 folds"):
        router_gain(rows([1, 0, 1], [0, 1, 0], p=[0.1, 0.2, 0.3]))
    with pytest.raises(InputError, match="folds=1"):
        router_gain(simulated(1, 20), folds=1)
    without = [{k: v for k, v in row.items() if k != "tokens"} for row in simulated(1, 20)]
    with pytest.raises(InputError, match="price without token counts"):
        router_gain(without, price=1.0)
