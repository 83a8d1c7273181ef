"""Figures of checks, counterfactuals and the leaderboard say what the records hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from workbench.answer import Answer
from workbench.errors import InputError
from workbench.interpret.attribution import Attribution
from workbench.interpret.counterfactual import Counterfactual
from workbench.interpret.faithfulness import Faithfulness, examine, summarise
from workbench.interpret.targets import Target
from workbench.types import PatchGrid, Region, TokenLayout
from workbench.viz import faithfulness as figures

GRID = PatchGrid(0, 3, 4, 2, (64, 48), (0, 0, 64, 48), 4)
WEIGHTS = np.random.default_rng(0).exponential(size=12)


def checked(values: np.ndarray = WEIGHTS, method: str = "occlusion") -> Faithfulness:
    found = examine(lambda keep, baseline: keep @ WEIGHTS, [values.reshape(3, 4)], [GRID], regions="patches")
    return Faithfulness(
        method=method, target="it", model="toy", regions=12, curves=found, full=1.0, no_image=-4.0
    )  # fmt: skip


def answered(text: str, picture: Image.Image) -> Answer:
    return Answer(
        text=text, thought=None, mode="nothink", p_think=None, prompt_tokens=14, image_tokens=12,
        thought_tokens=0, answer_tokens=1, seconds=0.1, seconds_to_first_token=0.1, stopped="end",
        layout=TokenLayout(14, (GRID,)), images=(picture,), question="What is it?",
    )  # fmt: skip


def proven(maps: tuple[np.ndarray, ...] = (), losses: tuple[float, ...] = (0.1, 0.2)) -> Counterfactual:
    picture = Image.new("RGB", (64, 48), "white")
    return Counterfactual(
        before=answered("a cat", picture), after=answered("a dog", picture), region=Region((16, 16, 32, 32)),
        baseline="mean", loss=3.0, control_losses=losses, maps=maps, method="occlusion" if maps else "",
    )  # fmt: skip


def title(drawn) -> str:
    return " ".join(drawn._suptitle.get_text().split())


def test_curves_are_drawn_for_each_masking_with_the_verdict_above() -> None:
    check = checked()
    drawn = figures.curves(check)
    assert len(drawn.axes) == 6
    assert title(drawn) == f"occlusion: {check.verdict}"
    lines = {line.get_label(): line for line in drawn.axes[0].get_lines()}
    assert np.allclose(lines["the map"].get_ydata(), check.curves["mean"]["map"].insertion)
    assert np.allclose(lines["the map"].get_xdata(), 100 * np.array(check.curves["mean"]["map"].share))
    random = check.points("mean").query("curve == 'insertion' and map == 'random'")
    assert np.allclose(lines["random orders"].get_ydata(), random["score"])


def test_the_middle_of_random_curves_counts_each_order_with_its_reverse() -> None:
    points = checked().points("mean").query("map == 'random'")
    insertion, deletion = (
        points[points["curve"] == kind]["score"].to_numpy() for kind in ("insertion", "deletion")
    )
    assert np.allclose(insertion, deletion[::-1])


def test_curves_of_many_answers_are_means() -> None:
    one, other = checked(), checked(-WEIGHTS)
    many = summarise([one, other])
    drawn = figures.curves(many)
    lines = {line.get_label(): line for line in drawn.axes[0].get_lines()}
    both = [np.array(c.curves["mean"]["map"].insertion) for c in (one, other)]
    assert np.allclose(lines["the map"].get_ydata(), np.mean(both, axis=0))
    assert "Over 2 answers" in title(drawn)


def test_checks_place_every_method_and_baseline() -> None:
    good = summarise([checked() for _ in range(3)])
    bad = summarise([checked(-WEIGHTS, "tam") for _ in range(3)])
    drawn = figures.checks([good, bad])
    assert "1 of 2 methods are better than random under all baselines: occlusion" in title(drawn)
    points = [
        line.get_xdata()[0] for line in drawn.axes[0].get_lines() if line.get_marker() not in ("None", "")
    ]
    assert points[:3] == pytest.approx([good.ahead(baseline).mean for baseline in good.baselines])
    with pytest.raises(InputError, match="no summary"):
        figures.checks([])


def test_a_proof_shows_both_answers_the_region_and_what_was_lost() -> None:
    drawn = figures.counterfactual(proven((np.arange(12.0).reshape(3, 4),)))
    assert [panel.get_title() for panel in drawn.axes[:3]] == ["as it is", "the map", "masked"]
    assert [panel.get_xlabel() for panel in drawn.axes[:3]] == ["“a cat”", "occlusion", "“a dog”"]
    x, y = drawn.axes[2].lines[0].get_data()
    assert (np.nanmin(x), np.nanmin(y), np.nanmax(x), np.nanmax(y)) == (16, 16, 32, 32)
    heights = [line.get_ydata() for line in drawn.axes[3].get_lines()]
    assert [0.1, 0.2] in [list(y) for y in heights]
    assert "Hiding the region changes the answer" in title(drawn)


def test_a_proof_without_a_map_or_controls_is_drawn_too() -> None:
    drawn = figures.counterfactual(proven(losses=()))
    assert [panel.get_title() for panel in drawn.axes[:2]] == ["as it is", "masked"]


def table() -> pd.DataFrame:
    rows = []
    for mode in ("nothink", "think"):
        for rank, (method, verdict) in enumerate(
            [("occlusion", "better than random and centre"), ("tam", "better than random under blur only"),
             ("centre", "no better than random")]
        ):  # fmt: skip
            gap = 2.0 - rank
            rows.append({
                "mode": mode, "method": method, "gap": gap, "gap_low": gap - 0.5, "gap_high": gap + 0.5,
                "pointing": 0.5, "pointing_low": 0.4, "pointing_high": 0.6, "chance": 0.1,
                "seconds": 0.1 * rank, "verdict": verdict,
            })  # fmt: skip
    return pd.DataFrame(rows)


def test_the_leaderboard_ranks_methods_marks_baselines_and_counts_honestly() -> None:
    drawn = figures.leaderboard(table())
    assert [t.get_text() for t in drawn.axes[0].get_yticklabels()] == [
        "occlusion",
        "tam",
        "centre (reference)",
    ]
    assert "1 of 2 better than random, first occlusion" in title(drawn)
    with pytest.raises(InputError, match="'gap'"):
        figures.leaderboard(table().drop(columns="gap"))


def test_maps_of_one_answer_stand_side_by_side_with_their_verdicts() -> None:
    answer = answered("a cat", Image.new("RGB", (64, 48), "white"))
    target = Target("answer", "“a cat”", ())
    made = [
        Attribution(answer, name, target, (WEIGHTS.reshape(3, 4) * k,))
        for name, k in (("one", 1), ("two", -2))
    ]
    drawn = figures.maps(made, found=[checked(), checked(-WEIGHTS)], boxes=[(0, 0, 16, 16)])
    assert [panel.get_title() for panel in drawn.axes] == ["one", "two"]
    assert drawn.axes[1].get_xlabel() == f"worse than random\nstrongest: {2 * WEIGHTS.max():.2g}"
    assert title(drawn) == "Evidence for “a cat”: 1 of 2 maps are better than random"
    with pytest.raises(InputError, match="maps of one answer"):
        figures.maps([])
    other = Attribution(answered("b", answer.images[0]), "x", target, made[0].maps)
    with pytest.raises(InputError, match="maps of one answer"):
        figures.maps([made[0], other])
