"""Mixtures: the published six scaled down, designs within their caps, replicate noise, caps on repetition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from workbench.ablate.mixture import (
    Noise,
    best,
    bounds,
    dirichlet_design,
    effective_records,
    mixture_of,
    named_mixtures,
    onto,
    published_response,
    repetition_caps,
    replicate_noise,
)
from workbench.ablate.recipe import DOMAINS
from workbench.ablate.response import fit_response
from workbench.errors import InputError


def test_the_six_named_mixtures_have_the_published_shares() -> None:
    made, (shares, scores) = named_mixtures(0.01), published_response()
    assert list(made) == [f"row{i}" for i in range(1, 7)] == list(shares.index)
    for name, mixture in made.items():
        assert [mixture.shares()[d] for d in DOMAINS] == pytest.approx(shares.loc[name].tolist(), rel=1e-6)
    assert made["row3"].maths.records == made["row1"].maths.records == 1500
    assert made["row3"].maths.repeat == 3
    assert len(scores) == 18
    assert (scores["error"] > 0).all()


def test_named_mixtures_refuse_a_scale_that_leaves_nothing() -> None:
    with pytest.raises(InputError, match="maths would have no records"):
        named_mixtures(1e-6)
    with pytest.raises(InputError, match="scale="):
        named_mixtures(0)


def test_six_published_rows_carry_a_line_and_say_when_they_carry_no_more() -> None:
    shares, scores = published_response()
    screens = scores[scores["benchmark"] == "ScreenSpot_v2"].set_index("name")["score"]
    fit = fit_response(shares, screens, method="ridge")
    more = pd.DataFrame([[0.5, 0.1, 0.4], [0.7, 0.2, 0.1]], columns=list(DOMAINS))
    assert fit.predict(more).iloc[0] > fit.predict(more).iloc[1]
    with pytest.raises(InputError, match="too few runs for 'LightGBM'"):
        fit_response(shares, screens, method="LightGBM")


def test_a_design_keeps_caps_and_repeats_what_it_is_told_to() -> None:
    made = dirichlet_design(
        8, caps={"maths": 0.3}, floors={"general": 0.1}, replicates=3, replicated=2, seed=1
    )
    assert len(made) == 2 * 3 + 6
    assert made.index.names == ["mixture", "replicate"]
    assert made.to_numpy().sum(axis=1) == pytest.approx(1)
    assert made["maths"].max() <= 0.3 + 1e-9
    assert made["general"].min() >= 0.1 - 1e-9
    assert len(made.drop_duplicates()) == 8
    pd.testing.assert_frame_equal(
        made,
        dirichlet_design(8, caps={"maths": 0.3}, floors={"general": 0.1}, replicates=3, replicated=2, seed=1),
    )


def test_a_design_reaches_the_corners_and_the_middle() -> None:
    made = dirichlet_design(20)
    assert (made.max() > 0.85).all()
    assert np.abs(made.iloc[0] - 1 / 3).max() < 0.1


def test_a_design_around_a_centre_has_its_mean_there() -> None:
    centre = {"general": 0.6, "maths": 0.1, "computer_use": 0.3}
    drawn = dirichlet_design(300, centre=centre, seed=2)
    assert drawn["general"].mean() > drawn["computer_use"].mean() > drawn["maths"].mean()


def test_shares_become_a_recipe_s_mixture() -> None:
    made = mixture_of({"general": 1 / 3, "maths": 2 / 3})
    assert made.shares()["maths"] == pytest.approx(2 / 3, abs=1e-5)
    assert made.shares()["computer_use"] == 0
    with pytest.raises(InputError, match=r"with the columns \['math'\]"):
        mixture_of({"general": 0.5, "math": 0.5})


def test_replicate_noise_is_the_noise_that_was_put_in() -> None:
    design = dirichlet_design(20, replicates=6)
    rng = np.random.default_rng(0)
    metric = pd.Series(50 * design["maths"] + rng.normal(0, 2.0, len(design)), design.index, name="accuracy")
    noise = replicate_noise(design, metric)
    assert noise.freedom == 100
    assert noise.low < 2.0 < noise.high
    assert noise.between > 5
    # 100 degrees of freedom are almost a normal distribution: 1.96 + 0.84 standard errors
    assert noise.detectable == pytest.approx(2.8 * 2**0.5 * noise.deviation, rel=0.015)
    with pytest.raises(InputError, match="run twice"):
        replicate_noise(dirichlet_design(5), pd.Series(range(5), dirichlet_design(5).index))


@pytest.mark.parametrize("freedom", [2, 4, 12])
def test_what_is_detectable_is_found_four_times_in_five(freedom: int) -> None:
    noise = Noise(1.0, 0.5, 3.0, freedom, 2, 1.0)
    rng = np.random.default_rng(freedom)
    for n_seeds in (1, 5):
        true = noise.detectable_with(n_seeds)
        seen = true + rng.normal(size=40_000) * (2 / n_seeds) ** 0.5
        known = np.sqrt(rng.chisquare(freedom, 40_000) / freedom) * (2 / n_seeds) ** 0.5
        found = np.abs(seen / known) > student.ppf(0.975, freedom)
        assert found.mean() == pytest.approx(0.8, abs=0.01)
    assert noise.detectable > 2.8 * 2**0.5, "noise that is known badly hides more"
    assert noise.detectable_with(5) == pytest.approx(noise.detectable / 5**0.5)
    assert noise.detectable_with(1, power=0.5) < noise.detectable
    with pytest.raises(InputError, match="power"):
        noise.detectable_with(1, power=1.5)


def test_caps_on_repetition_are_records_times_passes() -> None:
    caps = repetition_caps({"maths": 1500, "general": 100_000}, 20_000, passes=3)
    assert caps == {"maths": pytest.approx(0.225), "general": 1.0}
    assert repetition_caps({"maths": 1500}, 20_000)["maths"] == pytest.approx(0.3)
    for bad in ({"maths": -1}, {"maths": 1.5}):
        with pytest.raises(InputError, match="records"):
            repetition_caps(bad, 1000)
    with pytest.raises(InputError, match="samples"):
        repetition_caps({"maths": 10}, 0)


def test_further_passes_are_worth_less_and_never_more_than_the_bound() -> None:
    assert effective_records(100, 0.5) == 50
    assert effective_records(100, 1) == 100
    assert effective_records(100, 4) == pytest.approx(373, abs=1)  # about as good as new
    assert effective_records(100, 40) == pytest.approx(1517, abs=1)
    gains = np.diff([effective_records(100, passes) for passes in range(1, 200)])
    assert (np.diff(gains) < 0).all()
    assert effective_records(100, 1e9) == pytest.approx(1639)
    with pytest.raises(InputError, match="passes=-1"):
        effective_records(100, -1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixtures": 0}, "mixtures=0"),
        ({"mixtures": 4, "replicates": 0}, "replicates=0"),
        ({"mixtures": 4, "replicated": 5}, "replicated=5"),
        ({"mixtures": 4, "caps": {"math": 0.1}}, "caps name 'math'"),
        ({"mixtures": 4, "caps": {"maths": 1.5}}, "share from 0 to 1"),
        ({"mixtures": 4, "caps": dict.fromkeys(DOMAINS, 0.1)}, "leave a mixture"),
        ({"mixtures": 4, "floors": dict.fromkeys(DOMAINS, 0.5)}, "leave a mixture"),
        ({"mixtures": 4, "domains": ["maths"]}, "at least two"),
        ({"mixtures": 4, "centre": {"general": 1.0, "maths": 1.0, "computer_use": 0.0}}, "sum to one"),
    ],
)
def test_designs_that_cannot_be_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dirichlet_design(**arguments)


def test_projection_gives_the_nearest_mixture_within_bounds() -> None:
    low, high = bounds(["a", "b", "c"], {"a": 0.4}, {"c": 0.1})
    points = np.random.default_rng(0).normal(size=(50, 3))
    moved = onto(points, low, high)
    assert moved.sum(axis=1) == pytest.approx(1)
    assert (moved >= low - 1e-12).all()
    assert (moved <= high + 1e-12).all()
    other = onto(np.random.default_rng(1).normal(size=(50, 3)), low, high)
    for point, near in zip(points, moved, strict=True):
        assert ((point - near) ** 2).sum() <= ((point - other) ** 2).sum(axis=1).min() + 1e-9


def test_the_search_finds_a_top_in_seventeen_domains() -> None:
    top = np.random.default_rng(3).dirichlet(np.full(17, 0.5))
    low, high = np.zeros(17), np.ones(17)
    found = best(
        lambda x: -((x - top) ** 2).sum(axis=1),
        low,
        high,
        np.random.default_rng(0),
        start=np.full((1, 17), 1 / 17),
    )
    assert np.abs(found - top).max() < 0.01
