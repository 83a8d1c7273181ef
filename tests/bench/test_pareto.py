"""The Pareto front: exact on points, and honest about which points are on it by luck."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.bench.statistics import on_front, pareto
from workbench.errors import InputError


def run(mode: str, values: np.ndarray, cost: float, **more: object) -> list[dict]:
    return [
        {"benchmark": "A", "item": str(i), "mode": mode, "value": float(v), "tokens": cost} | more
        for i, v in enumerate(values)
    ]


def test_the_front_of_known_points() -> None:
    accuracy = [0.5, 0.7, 0.6, 0.7, 0.9, 0.9]
    cost = [1, 2, 3, 4, 9, 9]
    assert on_front(accuracy, cost).tolist() == [True, True, False, False, True, True]


def test_the_front_is_what_a_search_through_all_pairs_finds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, c = rng.integers(0, 5, 8), rng.integers(0, 5, 8)
        expected = [
            not any(a[j] >= a[i] and c[j] <= c[i] and (a[j] > a[i] or c[j] < c[i]) for j in range(8))
            for i in range(8)
        ]
        assert on_front(a, c).tolist() == expected
    stacked = on_front(np.stack([a, a]), np.stack([c, c]))
    assert stacked.tolist() == [expected, expected]


def test_points_without_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="without an accuracy or a cost"):
        on_front([0.5, math.nan], [1, 2])
    with pytest.raises(InputError, match="one of each"):
        on_front([0.5], [1, 2])


def test_a_coin_toss_is_on_the_front_half_of_the_time_and_a_sure_point_always() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(1000) < 0.5
    # the dearer mode changes as many items for the better as for the worse: its place is luck
    other = base.copy()
    other[rng.permutation(np.flatnonzero(base))[:40]] = False
    other[rng.permutation(np.flatnonzero(~base))[:40]] = True
    better = base | (rng.random(1000) < 0.3)
    table = pareto(run("nothink", base, 3) + run("auto", other, 30) + run("think", better, 90)).set_index(
        "mode"
    )
    assert table.at["nothink", "p_front"] == 1
    assert table.at["think", "p_front"] == 1
    assert table.at["auto", "p_front"] == pytest.approx(0.5, abs=0.06)
    assert table["on_front"].tolist() == [True, False, True]


def test_the_probability_is_calibrated_over_many_runs() -> None:
    """A dearer mode that is truly better by 3 points: the bootstrap says so about as often as new runs do."""
    rng, truth, said = np.random.default_rng(2), [], []
    for seed in range(40):
        base = rng.random(300) < 0.5
        other = np.where(rng.random(300) < 0.13, True, base & (rng.random(300) > 0.06))
        truth.append(other.mean() > base.mean())
        table = pareto(run("nothink", base, 1) + run("think", other, 9), n_resamples=200, seed=seed)
        said.append(table.set_index("mode").at["think", "p_front"])
    assert np.mean(said) == pytest.approx(np.mean(truth), abs=0.13)


def test_benchmarks_count_the_same_whatever_their_size() -> None:
    large = run("think", np.ones(90), 10) + run("nothink", np.zeros(90), 1)
    small = [row | {"benchmark": "B", "value": 1 - row["value"]} for row in large if int(row["item"]) < 10]
    table = pareto(large + small).set_index("mode")
    assert table.at["think", "accuracy"] == table.at["nothink", "accuracy"] == 0.5


def test_seconds_are_a_cost_too_and_models_are_points() -> None:
    rows = run("auto", np.ones(5), 1, model="a", seconds=2.0) + run(
        "auto", np.zeros(5), 1, model="b", seconds=1.0
    )
    table = pareto(rows, cost="seconds")
    assert table[["model", "mode", "cost"]].to_numpy().tolist() == [["b", "auto", 1.0], ["a", "auto", 2.0]]
    assert table["on_front"].all()


def test_items_that_a_point_lacks_are_counted() -> None:
    rows = run("think", np.ones(10), 9) + run("nothink", np.zeros(8), 1)
    with pytest.warns(UserWarning, match="2 items that not every point answered"):
        table = pareto(rows)
    assert table["n"].tolist() == [8, 8]
    assert table["left_out"].tolist() == [2, 2]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="without 'tokens'"):
        pareto([{"benchmark": "A", "item": "1", "value": 1}])
    with pytest.raises(InputError, match="without an item in common"):
        pareto(run("think", np.ones(2), 1) + [r | {"item": "x"} for r in run("auto", np.ones(1), 1)])
    with pytest.raises(InputError, match="without column 'size'"):
        pareto(run("think", np.ones(2), 1), points=["size"])
    with pytest.raises(InputError, match="A in 2 versions"):
        pareto(run("think", np.ones(2), 1, version="1") + run("auto", np.ones(2), 1, version="2"))
