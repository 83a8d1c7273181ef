"""`rescore`: the same responses under another protocol, the items that flip, and scores of groups."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from workbench.bench import Results, by_category, hallusion, rescore
from workbench.errors import InputError


def row(item: str, response: str | None, gold: Any, **more: Any) -> dict[str, Any]:
    base = {
        "benchmark": "ChartQA",
        "item": item,
        "mode": "auto",
        "model": "m",
        "response": response,
        "gold": gold,
    }
    return {**base, **more}


def test_the_items_that_flip_are_listed_with_both_reasons_and_their_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (7, 5)).save(tmp_path / "a.png")
    rows = [row("1", "12", "12"), row("2", "977,633", "977633", images="a.png"), row("3", "no", "yes")]
    ours = rescore(Results.of(rows, folder=tmp_path), "workbench")
    assert list(ours.frame()["value"]) == [1, 1, 0]
    kit = rescore(ours, "vlmevalkit")
    assert kit.protocol == "vlmevalkit"
    assert list(kit.flips["item"]) == ["2"]
    assert repr(kit).endswith("1 flips)")
    flip = kit.flips.iloc[0]
    assert (flip["protocol_before"], flip["before"], flip["protocol_after"], flip["after"]) == (
        *("workbench", 1.0),
        *("vlmevalkit", 0.0),
    )
    assert flip["why_before"] != flip["why_after"]
    assert kit.images(flip)[0].size == (7, 5)
    assert list(ours.frame()["value"]) == [1, 1, 0]  # the given results stay as they were


def test_the_first_scoring_lists_every_row_as_new() -> None:
    again = rescore(Results.of([row("1", "12", "12")]), "workbench")
    assert math.isnan(again.flips["before"].iloc[0])
    assert len(rescore(again, "workbench").flips) == 0


def test_what_cannot_be_scored_is_counted_and_stays() -> None:
    rows = [
        row("1", None, "12"),
        row("2", "12", None),
        row("3", "12", "12", benchmark="Sudoku"),
        row("4", "", "12"),
        row("5", "[1, 2]", "[10, 10, 20, 20]", benchmark="ScreenSpot_v2"),
    ]
    again = rescore(Results.of(rows), "workbench")
    assert len(again) == 5
    assert list(again.frame()["value"].isna()) == [True, True, True, False, True]
    text = "\n".join(again.warnings)
    for reason in (
        "1 rows: no response",
        "1 rows: no gold answer",
        "no scorer for Sudoku",
        "without the picture's size",
    ):
        assert reason in text
    assert "not scored: 4 of 5" in text


def test_a_pictures_size_is_read_where_a_box_needs_it(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    rows = [row("1", "[0.5, 0.5]", [90, 40, 110, 60], benchmark="ScreenSpot_Pro", images="a.png")]
    assert rescore(Results.of(rows, folder=tmp_path)).frame()["value"][0] == 1


def test_details_reach_the_scorer_and_doubts_are_counted() -> None:
    options = {"A": "cat", "B": "dog"}
    rows = [
        row("1", "a dog", "B", benchmark="MMStar", details={"options": options, "note": "kept"}),
        row("2", "5", "5", benchmark="MathVerse"),
        row(
            "3", "[50, 50]", [40, 40, 60, 60], benchmark="ScreenSpot_Pro", details={"image_size": [100, 100]}
        ),
        row("4", "7", "7", benchmark="mine", details={"scorer": "drawn", "rule": "number"}),
    ]
    again = rescore(Results.of(rows), "lmms-eval")
    assert list(again.frame()["value"]) == [0, 1, 1, 1]
    assert again.frame()["details"][0]["note"] == "kept"
    assert any(w.startswith("judge: in 1 rows") for w in again.warnings)
    assert any(w.startswith("coordinates: 1 replies") for w in rescore(Results.of(rows)).warnings)


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(InputError, match="protocol='best'"):
        rescore(Results.of([]), "best")


def pair_rows(values: dict[str, float], prefix: str = "") -> pd.DataFrame:
    rows = [
        row(prefix + item, "yes", "Yes", benchmark="HallusionBench", value=v) for item, v in values.items()
    ]
    return Results.of(rows).frame()


@pytest.mark.parametrize("prefix", ["", "17_"])
def test_hallusionbench_has_three_accuracies(prefix: str) -> None:
    # two figures of one set, two questions on each: the second question fails on the second figure
    frame = pair_rows(
        {"VD_chart_0_0_0": 1, "VD_chart_0_0_1": 1, "VD_chart_0_1_0": 1, "VD_chart_0_1_1": 0}, prefix
    )
    found = hallusion(frame).iloc[0]
    assert (found["aAcc"], found["fAcc"], found["qAcc"]) == (0.75, 0.5, 0.5)
    assert (found["items"], found["figures"], found["questions"]) == (4, 2, 2)
    assert found["mean"] == pytest.approx((0.75 + 0.5 + 0.5) / 3)


def test_hallusionbench_needs_its_ids_and_its_scores() -> None:
    with pytest.raises(InputError, match="HallusionBench item '5'"):
        hallusion(pair_rows({"5": 1}))
    with pytest.raises(InputError, match="1 of 1 rows are not scored"):
        hallusion(pair_rows({"VD_chart_0_0_0": math.nan}))


def test_micro_and_macro_means_differ_where_categories_do() -> None:
    values = [("a", 1.0), ("a", 1.0), ("a", 1.0), ("b", 0.0), ("b", math.nan)]
    rows = [row(str(i), "x", "x", category=c, value=v) for i, (c, v) in enumerate(values)]
    found = by_category(Results.of(rows).frame()).iloc[0]
    assert (found["micro"], found["macro"]) == (0.75, 0.5)
    assert (found["items"], found["categories"], found["not_scored"]) == (4, 2, 1)
