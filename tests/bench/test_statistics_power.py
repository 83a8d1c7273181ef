"""What a run can show before it is run: power equals simulation, and the questions invert each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.bench.statistics import design_effect, detectable, items_needed, mcnemar, power, power_of
from workbench.errors import InputError


def found_by_mcnemar(n: int, up: float, down: float, runs: int = 1500) -> float:
    u = np.random.default_rng(0).random((runs, n))
    b, c = (u < up).sum(axis=1), ((u >= up) & (u < up + down)).sum(axis=1)
    return float(np.mean([mcnemar(int(x), int(y)) < 0.05 for x, y in zip(b, c, strict=True)]))


@pytest.mark.parametrize(("n", "up", "down"), [(400, 0.12, 0.06), (900, 0.10, 0.07), (300, 0.15, 0.05)])
def test_paired_power_is_what_simulated_runs_have(n: int, up: float, down: float) -> None:
    expected = power_of(up - down, n, discordant=up + down)
    assert found_by_mcnemar(n, up, down) == pytest.approx(expected, abs=0.04)


def test_unpaired_power_is_what_simulated_runs_have() -> None:
    rng, n, p, q = np.random.default_rng(1), 900, 0.54, 0.60
    a, b = rng.binomial(n, p, 20000) / n, rng.binomial(n, q, 20000) / n
    middle = (a + b) / 2
    z = (b - a) / np.sqrt(2 * middle * (1 - middle) / n)
    assert np.mean(z > 1.96) == pytest.approx(power_of(q - p, n, accuracy=p, paired=False), abs=0.015)


def test_the_sizes_of_the_textbook() -> None:
    """Fleiss 1981: 0.50 against 0.60 with 80% power takes 388 to 392 a group, and Connor 1987 for pairs."""
    assert 385 <= items_needed(0.10, accuracy=0.5, paired=False) <= 392
    z_a, z_b, psi, d = 1.959964, 0.841621, 0.2, 0.1
    connor = ((z_a * math.sqrt(psi) + z_b * math.sqrt(psi - d * d)) / d) ** 2
    assert items_needed(0.1, discordant=psi) == math.ceil(connor)


def test_detectable_needed_and_power_invert_each_other() -> None:
    for options in ({"paired": False}, {"correlation": 0.7}, {"comparisons": 10}, {"effect": 2.5}):
        d = detectable(1000, accuracy=0.6, **options)
        assert power_of(d, 1000, accuracy=0.6, **options) == pytest.approx(0.8, abs=1e-4)
        assert items_needed(d, accuracy=0.6, **options) == pytest.approx(1000, abs=1)


def test_pairs_clusters_and_comparisons_move_it_the_right_way() -> None:
    base = detectable(900)
    assert detectable(900, paired=False) > base > detectable(900, correlation=0.8)
    assert detectable(900, comparisons=10) > base
    assert detectable(900, effect=design_effect(5, 0.5)) == pytest.approx(detectable(300))
    assert math.isnan(detectable(5, accuracy=0.9))


def test_a_plan_names_every_benchmark() -> None:
    table = power({"MMMU": 900, "V*Bench": 191}, accuracy={"MMMU": 0.54})
    assert table["benchmark"].tolist() == ["MMMU", "V*Bench"]
    assert (table["paired"] < table["paired_holm"]).all()
    assert (table["paired_holm"] < table["unpaired"]).all()
    assert table["half_width"][0] == pytest.approx(0.0326, abs=1e-4)  # the 3.3 points of scoring.md


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power_of(0.1, 0), "items=0"),
        (lambda: power({"MMMU": 0}), "items=0"),
        (lambda: power_of(10, 100), "divide percentages by 100"),
        (lambda: power_of(0.1, 100, discordant=0.05), "no less than the difference"),
        (lambda: power_of(0.1, 100, correlation=2), "correlation=2"),
        (lambda: items_needed(0), "difference=0"),
        (lambda: detectable(100, power=80), "power=80"),
        (lambda: design_effect(0.5, 0.1), "items_a_cluster=0.5"),
    ],
)
def test_numbers_outside_their_range_are_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
