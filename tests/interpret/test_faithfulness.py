"""Faithfulness: curves with known areas, baselines, plausibility, and verdicts that can be negative."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from workbench.errors import CapabilityError, InputError
from workbench.interpret import curves
from workbench.interpret import faithfulness as baselines
from workbench.interpret import faithfulness as plausibility
from workbench.interpret.faithfulness import (
    Faithfulness,
    FaithfulnessSummary,
    examine,
    judge,
    outlook,
    p_value,
    summarise,
)
from workbench.stats import bootstrap_mean
from workbench.types import PatchGrid, Region

GRID = PatchGrid(0, 4, 4, 3, (64, 64), (0, 0, 64, 64), 4)


def additive(weights: np.ndarray):
    """A scorer whose right map is known: the score is the sum of the visible regions' weights."""
    return lambda keep, baseline: keep @ weights


def record(found, *, full: float, no_image: float | None, **more) -> Faithfulness:
    return Faithfulness(
        method="toy", target="the answer", model="toy", regions=16, curves=found, full=full,
        no_image=no_image, **more,
    )  # fmt: skip


def toy(values: np.ndarray, weights: np.ndarray, *, no_image: float = -10.0, **options) -> Faithfulness:
    found = examine(additive(weights), [values.reshape(4, 4)], [GRID], regions="patches", **options)
    return record(found, full=float(weights.sum()), no_image=no_image)


WEIGHTS = np.random.default_rng(0).exponential(size=16)


def run(score, order: list[int]):
    return curves.curves(score, {"o": np.array(order)}, baselines=["mean"], steps=2)


# -- curves ------------------------------------------------------------------------------------------


def test_the_area_under_a_known_curve_is_exact() -> None:
    assert curves.area([0, 0.5, 1], [0, 1, 1]) == pytest.approx(0.75)
    assert curves.area([0, 0.25, 1], [2, 2, 2]) == pytest.approx(2)
    assert curves.area([0, 1], [-4, 0]) == pytest.approx(-2)


def test_budgets_go_from_none_to_all_and_are_symmetric() -> None:
    for regions, steps in ((16, 4), (25, 8), (36, 7), (3, 9), (2, 2)):
        counts = curves.budgets(regions, steps)
        assert counts[0] == 0
        assert counts[-1] == regions
        assert sorted(regions - counts) == list(counts)
        assert len(counts) <= steps + 3
    fine = [0, 1, 2, 4, 9, 18, 27, 32, 34, 35, 36]
    assert curves.budgets(36).tolist() == fine
    for regions in (2, 3, 5, 24, 100):
        counts = curves.budgets(regions)
        assert sorted(regions - counts) == list(counts)
        assert {0, 1, regions - 1, regions} <= set(counts.tolist())


def test_insertion_shows_first_what_deletion_hides_first() -> None:
    insertion, deletion = curves.kept(np.array([2, 0, 1]), np.array([0, 1, 3]))
    assert insertion.tolist() == [[False] * 3, [False, False, True], [True] * 3]
    assert np.array_equal(deletion, ~insertion)


def test_curves_of_an_additive_score_are_what_arithmetic_says() -> None:
    found = curves.curves(
        additive(np.array([4.0, 2, 1, 1])), {"o": np.array([0, 1, 2, 3])}, baselines=["mean"], steps=4
    )
    curve = found["mean"]["o"]
    assert curve.share == (0, 0.25, 0.5, 0.75, 1)
    assert curve.insertion == (0, 4, 6, 7, 8)
    assert curve.deletion == (8, 4, 2, 1, 0)
    assert curve.insertion_auc == pytest.approx(5.25)
    assert curve.deletion_auc == pytest.approx(2.75)
    assert curve.gap == pytest.approx(2.5)


def test_no_state_is_scored_twice() -> None:
    seen = []

    def score(keep, baseline):
        seen.extend((baseline, row.tobytes()) for row in keep)
        return keep.sum(1)

    rng = np.random.default_rng(1)
    curves.curves(score, {str(i): rng.permutation(9) for i in range(8)}, baselines=["mean", "white"], steps=9)
    assert len(seen) == len(set(seen))


def test_equal_values_are_ranked_at_random_but_repeatably() -> None:
    flat = np.zeros(50)
    assert curves.ranking(flat, seed=1).tolist() == curves.ranking(flat, seed=1).tolist()
    assert curves.ranking(flat, seed=1).tolist() != curves.ranking(flat, seed=2).tolist()
    assert curves.ranking(np.array([0.0, 3, -1, 2])).tolist() == [1, 3, 0, 2]


def test_an_order_and_its_reverse_have_opposite_gaps_also_for_a_score_with_interactions() -> None:
    def score(keep, baseline):  # needs two regions together
        return 5.0 * (keep[:, 0] & keep[:, 1]) + keep @ np.linspace(0, 1, 9)

    order = np.random.default_rng(2).permutation(9)
    both = {"forward": order, "backward": order[::-1]}
    for steps in (3, 4, 9):
        gaps = {
            n: c.gap for n, c in curves.curves(score, both, baselines=["mean"], steps=steps)["mean"].items()
        }
        assert gaps["forward"] == pytest.approx(-gaps["backward"])
        assert abs(gaps["forward"]) > 0.1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: curves.budgets(1, 4), "1 regions"),
        (lambda: curves.ranking(np.array([1.0, np.nan])), "finite"),
        (
            lambda: curves.curves(
                lambda k, f: k[:, 0] * 1.0, {"a": np.array([0, 0])}, baselines=["mean"], steps=2
            ),
            "once",
        ),
        (
            lambda: curves.curves(
                lambda k, f: k[:, 0] * np.nan, {"a": np.arange(3)}, baselines=["mean"], steps=2
            ),
            "finite",
        ),
    ],
)
def test_orders_and_scores_that_cannot_be_used_are_refused(call, says) -> None:
    with pytest.raises(InputError, match=says):
        call()


# -- regions and baselines ---------------------------------------------------------------------------


def test_regions_are_numbered_through_all_pictures_and_cover_every_cell() -> None:
    wide = PatchGrid(1, 2, 7, 30, (112, 32), (0, 0, 112, 32), 7)
    labels = baselines.blocks([GRID, wide], (3, 3))
    assert [part.shape for part in labels] == [(4, 4), (2, 7)]
    assert sorted(set(np.concatenate([p.ravel() for p in labels]))) == list(range(9 + 6))
    sizes = np.bincount(labels[0].ravel())
    assert sizes.sum() == 16
    assert sizes.max() <= 2 * 2


def test_a_regions_value_is_its_cells_mean() -> None:
    labels = baselines.blocks([GRID], (2, 2))
    values = np.arange(16.0).reshape(4, 4)
    assert baselines.region_means([values], labels).tolist() == [2.5, 4.5, 10.5, 12.5]


def test_the_centre_prior_is_highest_in_the_middle_and_equal_in_the_corners() -> None:
    prior = baselines.centre(PatchGrid(0, 3, 5, 0, (80, 48), (0, 0, 80, 48), 5))
    assert np.unravel_index(prior.argmax(), prior.shape) == (1, 2)
    assert prior[0, 0] == pytest.approx(prior[2, 4]) == prior.min()


# -- verdicts ----------------------------------------------------------------------------------------


def test_the_true_map_is_better_than_random_and_its_opposite_is_worse() -> None:
    good, bad = toy(WEIGHTS, WEIGHTS), toy(-WEIGHTS, WEIGHTS)
    assert good.finding.kind == "better than random"
    assert "than centre" in good.verdict
    assert bad.finding.kind == "worse than random"
    assert all(
        good.ahead(baseline) == pytest.approx(good.gap(baseline) - good.gap(baseline, "random"))
        for baseline in good.baselines
    )
    assert good.frame().query("order == 'map'")["gap"].min() > good.frame()["high"].max()


def test_random_and_flat_maps_are_hardly_ever_called_better_or_worse() -> None:
    rng = np.random.default_rng(3)
    for values in (lambda: rng.normal(size=16), lambda: np.zeros(16)):
        kinds = [toy(values(), WEIGHTS, seed=i).finding.kind for i in range(30)]
        undecided = kinds.count("no better than random") + kinds.count("cannot tell")
        assert undecided >= 24
        assert kinds.count("no better than random") >= 6  # behind half of the random orders


SIX = PatchGrid(0, 6, 6, 3, (96, 96), (0, 0, 96, 96), 6)


def rests_on(region: int, count: int = 36):
    """An answer that one region decides, and the map that names it."""
    named = np.zeros(count)
    named[region] = 1.0
    return (lambda keep, baseline: 5.0 * keep[:, region]), named


def checked(score, values: np.ndarray, seed: int, grid: PatchGrid = SIX, **options) -> Faithfulness:
    maps = [values.reshape(grid.rows, grid.cols)]
    return record(examine(score, maps, [grid], seed=seed, **options), full=5.0, no_image=0.0)


def test_a_map_that_names_the_one_region_that_matters_passes_three_times_in_four_at_least() -> None:
    kinds = []
    for seed in range(100):
        score, named = rests_on(seed % 36)
        kinds.append(checked(score, named, seed).finding.kind)
    assert kinds.count("better than random") >= 75
    assert kinds.count("better than random") + kinds.count("cannot tell") == 100


@pytest.mark.parametrize("depends", ["one", "two together", "either of two", "all"])
def test_the_false_alarms_stay_at_five_in_a_hundred(depends: str) -> None:
    score = {
        "one": lambda keep, _: 5.0 * keep[:, 0],
        "two together": lambda keep, _: 5.0 * (keep[:, 0] & keep[:, 1]),
        "either of two": lambda keep, _: 5.0 * (keep[:, 0] | keep[:, 1]),
        "all": lambda keep, _: keep @ np.linspace(0.1, 1, 36),
    }[depends]
    rng = np.random.default_rng(5)
    better = [
        checked(score, rng.normal(size=36), seed, baselines=["mean"]).finding.kind == "better than random"
        for seed in range(300)
    ]
    assert np.mean(better) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_with_few_regions_it_says_that_even_the_best_order_could_not_be_told() -> None:
    nine = PatchGrid(0, 3, 3, 3, (96, 96), (0, 0, 96, 96), 3)
    score, named = rests_on(4, 9)
    found = [checked(score, named, seed, nine) for seed in range(20)]
    unsure = [one for one in found if one.finding.kind == "cannot tell"]
    assert len(unsure) >= 10
    assert all(one.best_p("mean") > 0.05 for one in unsure)
    assert "even the best order has p = 0." in unsure[0].verdict


def test_p_is_a_rank_in_which_equal_orders_count_half() -> None:
    random = [1.0] * 3 + [0.5] * 16
    assert p_value(2.0, random) == pytest.approx(1 / 40)
    assert p_value(1.0, random) == pytest.approx((1.5 + 1) / 40)
    assert p_value(-2.0, random) == pytest.approx(1 - 1 / 40)
    assert p_value(0.7, random) == pytest.approx((3 + 1) / 40)


def test_no_map_means_anything_where_the_picture_is_not_needed() -> None:
    blind = toy(WEIGHTS, WEIGHTS, no_image=float(WEIGHTS.sum()) - 0.02)
    assert blind.finding.kind == "no picture needed"
    assert "No map means anything here" in blind.verdict
    assert "0.02 nats" in blind.verdict


def test_a_map_that_is_good_under_one_masking_only_is_called_that() -> None:
    def score(keep, baseline):
        return keep @ (WEIGHTS if baseline == "mean" else -WEIGHTS)

    found = examine(score, [WEIGHTS.reshape(4, 4)], [GRID], regions="patches")
    one = record(found, full=0, no_image=-5)
    assert one.finding.kind == "depends on the baseline"
    assert "Better than random under mean, not under blur and white" in one.verdict


def test_a_map_that_outlives_its_weights_is_named_in_the_verdict() -> None:
    found = examine(additive(WEIGHTS), [WEIGHTS.reshape(4, 4)], [GRID], regions="patches")
    same = record(found, full=0, no_image=-5, randomisation=(0.9, 0.8))
    assert "hardly changes with randomised weights (Spearman 0.85)" in same.verdict
    fine = record(found, full=0, no_image=-5, randomisation=(0.1, -0.1))
    assert "randomised" not in fine.verdict


def test_a_map_behind_a_baseline_is_said_to_be() -> None:
    found = judge(
        {"mean": 1}, ahead={"mean": 1.0}, beaten={"centre": False, "sink": True}, drop=3, needed=True
    )
    assert (
        found.text
        == "Better than random, and than sink, but not than centre (mean +1.00 nats against random)."
    )


def test_a_random_order_passes_the_bounds_five_times_in_a_hundred_whatever_the_distribution() -> None:
    rng = np.random.default_rng(4)
    for draws in (rng.uniform(-1, 1, size=(6000, 20)), rng.standard_t(2, size=(6000, 20))):
        bounds = [outlook(d[:19].tolist()) for d in draws]
        assert np.mean([d[19] > high for d, (_, high) in zip(draws, bounds)]) == pytest.approx(
            0.05, abs=0.012
        )
        assert np.mean([d[19] < low for d, (low, _) in zip(draws, bounds)]) == pytest.approx(0.05, abs=0.012)
    assert outlook([1.0] * 8) == (-np.inf, np.inf)
    assert outlook([1.0, -3.0] + [0.0] * 7) == (-3, 3)


def test_a_negative_verdict_says_how_close_it_was() -> None:
    one = toy(np.random.default_rng(11).normal(size=16), WEIGHTS)
    assert one.finding.kind == "no better than random"
    assert 0 < one.passed("mean") < 1
    assert f"ahead of {100 * one.passed('mean'):.0f}%" in one.verdict


# -- plausibility ------------------------------------------------------------------------------------


def test_pointing_and_iou_of_a_perfect_an_opposite_and_a_flat_map() -> None:
    boxes = [Region((0, 0, 32, 16))]  # two cells
    inside = np.zeros((4, 4))
    inside[0, :2] = 1
    perfect = plausibility.plausibility([inside], [GRID], boxes)
    assert (perfect.pointing, perfect.iou, perfect.chance) == (1, 1, 2 / 16)
    opposite = plausibility.plausibility([-inside], [GRID], boxes)
    assert (opposite.pointing, opposite.iou) == (0, 0)
    flat = plausibility.plausibility([np.zeros((4, 4))], [GRID], boxes)
    assert flat.pointing == pytest.approx(2 / 16)


def test_half_of_the_evidence_is_an_iou_of_a_third() -> None:
    values = np.zeros((4, 4))
    values[0, 1:3] = [2, 3]
    found = plausibility.plausibility([values], [GRID], [Region((0, 0, 32, 16))])
    assert found.iou == pytest.approx(1 / 3)
    assert found.pointing == 0


def test_plausibility_counts_all_pictures_together() -> None:
    other = PatchGrid(1, 4, 4, 30, (64, 64), (0, 0, 64, 64), 4)
    first, second = np.zeros((4, 4)), np.zeros((4, 4))
    first[0, 0], second[3, 3] = 1, 2
    found = plausibility.plausibility([first, second], [GRID, other], [Region((48, 48, 64, 64), image=1)])
    assert (found.pointing, found.iou) == (1, 1)


@pytest.mark.parametrize(
    ("regions", "says"),
    [([], "no box"), ([Region((0, 0, 5, 5), image=2)], "picture 2"), ([Region((90, 90, 99, 99))], "the box")],
)
def test_boxes_that_are_nowhere_are_refused(regions, says) -> None:
    with pytest.raises(InputError, match=says):
        plausibility.evidence([GRID], regions)


# -- settings and records ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"baselines": ["pink"]}, "baselines"),
        ({"baselines": "mean"}, "baselines"),
        ({"baselines": []}, "baselines"),
        ({"steps": 1}, "steps=1"),
        ({"n_random": 8}, "n_random=8"),
        ({"regions": (0, 3)}, "regions"),
        ({"regions": "superpixels"}, "regions"),
        ({"regions": (1, 1)}, "a single region"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(options, says) -> None:
    with pytest.raises(InputError, match=says):
        examine(additive(WEIGHTS), [WEIGHTS.reshape(4, 4)], [GRID], **{"regions": "patches", **options})


def test_the_same_seed_gives_the_same_curves() -> None:
    one, two, other = (toy(WEIGHTS, WEIGHTS, seed=s).curves for s in (5, 5, 6))
    assert one == two
    assert one != other


def test_a_record_survives_saving_and_shows_itself_escaped(tmp_path) -> None:
    found = examine(additive(WEIGHTS), [WEIGHTS.reshape(4, 4)], [GRID], regions="patches")
    seen = plausibility.Plausibility(1.0, 0.5, 0.1)
    before = record(
        found, full=1.5, no_image=-2.0, plausibility=seen, randomisation=(0.1,), notes=("<b>note",)
    )
    after = Faithfulness.load(before.save(tmp_path / "check.json"))
    assert after == before
    assert after.verdict == before.verdict
    assert "&lt;b&gt;note" in after._repr_html_()
    assert "<b>note" not in after._repr_html_()


def test_a_damaged_or_foreign_file_is_refused(tmp_path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match="No such file"):
        Faithfulness.load(path)
    path.write_text("{]")
    with pytest.raises(InputError, match="damaged"):
        Faithfulness.load(path)
    path.write_text('{"format": "other"}')
    with pytest.raises(InputError, match="another format"):
        Faithfulness.load(path)
    with pytest.raises(InputError, match="folder"):
        toy(WEIGHTS, WEIGHTS).save(tmp_path)


def test_an_unknown_masking_or_baseline_is_named() -> None:
    one = toy(WEIGHTS, WEIGHTS)
    with pytest.raises(InputError, match="black"):
        one.gap("black")
    with pytest.raises(InputError, match="edges"):
        one.gap("mean", "edges")


def test_records_load_and_show_without_torch(tmp_path) -> None:
    path = toy(WEIGHTS, WEIGHTS).save(tmp_path / "check.json")
    code = (
        "import sys\nfrom workbench.interpret.faithfulness import Faithfulness\n"
        f"record = Faithfulness.load({str(path)!r})\nrecord.verdict; record._repr_html_()\n"
        "print({'torch', 'transformers', 'captum'} & set(sys.modules) or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "light", done.stderr


# -- many samples ------------------------------------------------------------------------------------


def test_intervals_over_samples_find_what_a_single_answer_cannot_show() -> None:
    rng = np.random.default_rng(7)
    weak = [toy(w + 1.5 * rng.normal(size=16), w) for w in rng.exponential(size=(40, 16))]
    alone = [one.finding.kind for one in weak]
    assert alone.count("better than random") < 30
    together = summarise(weak)
    assert together.finding.kind == "better than random"
    assert together.verdict.startswith("Over 40 answers: better than random")
    assert together.ahead("mean").low > 0
    assert together.better.n == 40


def test_random_maps_are_no_better_than_random_over_many_samples() -> None:
    rng = np.random.default_rng(8)
    many = summarise([toy(rng.normal(size=16), w) for w in rng.exponential(size=(40, 16))])
    assert many.finding.kind == "no better than random"
    assert many.ahead("mean").low < 0 < many.ahead("mean").high


def test_a_summary_averages_curves_and_survives_saving(tmp_path) -> None:
    checks = [toy(WEIGHTS, WEIGHTS, seed=seed) for seed in (0, 1)]
    before = summarise(checks)
    mean = before.curves("mean", "random")
    assert mean.insertion[0] == 0
    assert mean.insertion[-1] == pytest.approx(WEIGHTS.sum())
    assert FaithfulnessSummary.load(before.save(tmp_path / "many.json")) == before
    assert "no check" not in before._repr_html_()
    assert {"ahead of random", "drop without pictures"} <= set(before.frame()["measured"])


def test_no_checks_and_mixed_methods_are_refused() -> None:
    with pytest.raises(InputError, match="no check"):
        summarise([])
    one = toy(WEIGHTS, WEIGHTS)
    with pytest.raises(InputError, match="one method"):
        summarise([one, replace(one, method="other")])


def test_the_bootstrap_interval_of_a_mean_covers_it_about_95_times_in_100() -> None:
    rng = np.random.default_rng(9)
    draws = rng.exponential(size=(400, 60))
    bounds = [bootstrap_mean(d, n_resamples=400, seed=i)[1:] for i, d in enumerate(draws)]
    assert 0.90 < np.mean([low <= 1 <= high for low, high in bounds]) < 0.98
    assert np.isnan(bootstrap_mean([])).all()
    assert bootstrap_mean([2.0])[0] == 2
    assert np.isnan(bootstrap_mean([2.0])[1])
    assert bootstrap_mean([1.0, np.nan, 3.0])[0] == 2


# -- randomised weights ------------------------------------------------------------------------------


def test_shuffled_weights_come_back_exactly_also_after_an_error() -> None:
    torch = pytest.importorskip("torch")
    from workbench.interpret.checking import randomised

    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.LayerNorm(7), torch.nn.Linear(7, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fail() -> None:
        with randomised(model, seed=0):
            inside.append(model[0].weight.clone())
            raise ZeroDivisionError

    inside: list = []
    pytest.raises(ZeroDivisionError, fail)
    assert not torch.equal(inside[0], before["0.weight"])
    assert sorted(inside[0].flatten().tolist()) == sorted(before["0.weight"].flatten().tolist())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_that_are_not_there_cannot_be_shuffled() -> None:
    torch = pytest.importorskip("torch")
    from workbench.interpret.checking import randomised

    with (
        pytest.raises(CapabilityError, match="quantized or offloaded"),
        randomised(torch.nn.Linear(2, 2, device="meta"), seed=0),
    ):
        pass


def test_similarity_is_spearmans_and_ties_share_their_rank() -> None:
    from scipy.stats import spearmanr

    from workbench.interpret.checking import similarity

    rng = np.random.default_rng(10)
    a, b = rng.integers(0, 4, size=(3, 5)).astype(float), rng.integers(0, 4, size=(3, 5)).astype(float)
    assert similarity([a], [b]) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert similarity([a], [2 * a + 1]) == pytest.approx(1)
    assert similarity([a], [np.zeros((3, 5))]) == 0
    with pytest.raises(InputError, match="same grids"):
        similarity([a], [a.T])
