"""Intervals cover what they say they cover, and equal known values."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as distributions

from workbench.bench import Results
from workbench.bench.statistics import clustered_error, mean_interval, scores
from workbench.errors import InputError
from workbench.stats import wilson


def clustered(
    rng: np.random.Generator, clusters: int, size: int, *, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong items whose clusters differ in difficulty (beta-binomial, mean 0.7)."""
    p = rng.beta(0.7 / spread, 0.3 / spread, clusters)
    values = (rng.random((clusters, size)) < p[:, None]).astype(float)
    return values.ravel(), np.repeat(np.arange(clusters), size)


def test_single_items_give_the_usual_standard_error() -> None:
    values = np.random.default_rng(0).random(50)
    expected = distributions.sem(values)
    assert clustered_error(values) == pytest.approx(expected)
    assert clustered_error(values, np.arange(50)) == pytest.approx(expected)


def test_the_clustered_error_is_that_of_the_formula_and_of_cluster_means() -> None:
    """Miller 2024, formula 4 (without the G/(G-1) of few clusters); equal clusters: error of their means."""
    values, codes = clustered(np.random.default_rng(1), 40, 5, spread=0.5)
    d = values - values.mean()
    within = sum(d[codes == c].sum() ** 2 - (d[codes == c] ** 2).sum() for c in range(40))
    miller = math.sqrt((d @ d + within) / len(values) ** 2)
    assert clustered_error(values, codes) == pytest.approx(miller * math.sqrt(40 / 39))
    assert clustered_error(values, codes) == pytest.approx(
        distributions.sem(values.reshape(40, 5).mean(axis=1))
    )


def test_without_clusters_a_share_has_wilson_s_interval() -> None:
    found = mean_interval([1] * 81 + [0] * 182)
    assert (found.low, found.high) == pytest.approx(wilson(81, 263), abs=1e-6)
    expected = distributions.binomtest(81, 263).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("method", ["wilson", "clt", "bootstrap"])
def test_clustered_intervals_cover_the_truth_about_as_often_as_they_say(method: str) -> None:
    rng, hits, runs = np.random.default_rng(2), 0, 300
    for seed in range(runs):
        values, codes = clustered(rng, 60, 5, spread=0.8)
        found = mean_interval(values, codes, method=method, n_resamples=400, seed=seed)
        hits += found.low <= 0.7 <= found.high
    # 95% of 300 is 285 with a standard deviation of 3.8; percentiles of 60 clusters fall a little short
    assert 0.91 <= hits / runs <= 0.985


def test_ignoring_clusters_covers_far_too_rarely() -> None:
    rng, hits = np.random.default_rng(3), 0
    for _ in range(300):
        values, _codes = clustered(rng, 60, 5, spread=0.8)
        found = mean_interval(values)
        hits += found.low <= 0.7 <= found.high
    assert hits / 300 < 0.85


def test_all_right_is_not_certainty_and_clusters_count_not_items() -> None:
    alone, together = mean_interval([1.0] * 100), mean_interval([1.0] * 100, np.repeat(np.arange(10), 10))
    assert together.low < alone.low < 1
    assert together.low < wilson(10, 10)[0] + 0.01
    assert alone.high == together.high == 1


def test_the_same_seed_gives_the_same_bootstrap() -> None:
    values, codes = clustered(np.random.default_rng(4), 30, 3, spread=0.5)
    first, again = (mean_interval(values, codes, method="bootstrap", seed=5) for _ in range(2))
    assert first == again
    assert first != mean_interval(values, codes, method="bootstrap", seed=6)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "no scores"),
        ([1, math.nan, 0], {}, "1 scores that are NaN"),
        ([0, 0.5], {"method": "wilson"}, "scores between 0 and 1"),
        ([0, 1], {"method": "exact"}, "method='exact'"),
        ([0, 1], {"clusters": [1, 2, 3]}, "one label an item"),
        ([0, 1], {"level": 95}, "level=95"),
    ],
)
def test_what_cannot_have_an_interval_is_refused(values: list, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mean_interval(values, **options)


def rows(**change: object) -> list[dict]:
    found = [
        {"benchmark": name, "item": str(i), "mode": "auto", "value": float(i % 3 > 0), "cluster": str(i // 2)}
        for name in ("A", "B")
        for i in range(12)
    ]
    found[5] |= change
    return found


def test_a_table_of_results_and_plain_rows_give_the_same_scores() -> None:
    plain, record = scores(rows()), scores(Results.of(rows()))
    pd.testing.assert_frame_equal(plain, record)
    assert list(plain["benchmark"]) == ["A", "B"]
    assert plain["clusters"].tolist() == [6, 6]
    assert plain["value"].tolist() == pytest.approx([2 / 3, 2 / 3])


def test_clusters_of_two_benchmarks_with_the_same_names_are_different_ones() -> None:
    table = scores(rows(), by=["mode"])
    assert table["clusters"].tolist() == [12]


def test_a_missing_score_is_counted_in_a_warning_and_in_the_table() -> None:
    with pytest.warns(UserWarning, match=r"1 of 24 rows have no score and are left out \(A 5\)"):
        table = scores(rows(value=math.nan))
    assert table["n"].tolist() == [11, 12]
    assert table["unscored"].tolist() == [1, 0]


def test_repetitions_of_an_item_are_one_cluster() -> None:
    repeated = [
        {"benchmark": "A", "item": str(i), "mode": "auto", "value": float(i < 6), "epoch": e}
        for i in range(10)
        for e in range(4)
    ]
    table = scores(repeated)
    assert table["n"].item() == 40
    assert table["clusters"].item() == 10
    assert table["design_effect"].item() == pytest.approx(
        4 * 39 / 36
    )  # four copies, and the corrections for few


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": "4"}, r"2 rows in which an item comes twice \(A 4, A 4\)"),
        ({"value": 66.7}, "divide percentages by 100"),
    ],
)
def test_bad_rows_are_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scores(rows(**change))


def test_a_table_without_rows_or_columns_is_refused() -> None:
    with pytest.raises(InputError, match="without 'item', 'value'"):
        scores([{"benchmark": "A"}])
    with pytest.raises(InputError, match="no row has a score"):
        scores([{"benchmark": "A", "item": "1", "value": None}])
    with pytest.raises(InputError, match="without column 'colour'"):
        scores(rows(), by=["colour"])
