"""The edges of what goes into a scorer, pinned to values worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from workbench.bench import Score, by_category, hallusion, register_scorer, score
from workbench.bench.scorers.base import (
    _LONGEST_LIST,
    golds_of,
    options_of,
    reply_for,
    shown,
    without_thought,
)
from workbench.errors import InputError


@pytest.mark.parametrize(
    ("gold", "texts"),
    [
        ("['a', 'b']", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("[2, 3]", ("[2, 3]",)),
        ("['a', 3]", ("['a', 3]",)),
        ("['a'", ("['a'",)),
        ("['a'] ", ("a",)),
        (["a", "", " "], ("a",)),
        ([0], ("0",)),
        (0, ("0",)),
        (False, ("False",)),
        (np.array([1.0, 2.0]), ("1.0", "2.0")),
        (np.float64(2.5), ("2.5",)),
        ("", None),
        (" ", None),
        ([], None),
        (["", " "], None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_golds(gold: object, texts: tuple[str, ...] | None) -> None:
    if texts is None:
        with pytest.raises(InputError, match="right answer"):
            golds_of(gold)
    else:
        assert golds_of(gold) == texts


def test_a_list_one_character_longer_than_the_cap_is_one_answer() -> None:
    def listed(length: int) -> str:
        return json.dumps(["x" * (length - 4)])

    assert len(listed(_LONGEST_LIST)) == _LONGEST_LIST
    assert golds_of(listed(_LONGEST_LIST)) == ("x" * (_LONGEST_LIST - 4),)
    longer = listed(_LONGEST_LIST + 1)
    assert golds_of(longer) == (longer,)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>a</think>b", "b"),
        ("<think>a</think>b</think>c", "c"),
        ("before <think>a", "before"),
        ("<think>a", ""),
        ("</think>", ""),
        ("<nothink>b", "b"),
        (" b ", "b"),
    ],
)
def test_a_reply_without_its_thought(text: str, left: str) -> None:
    assert without_thought(text) == left
    assert reply_for("workbench", text) == left
    assert reply_for("vlmevalkit", text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>a</think>b", "b"),
        ("<think>a", "<think>a"),
        ("a</think>b", "b"),
        ("<analysis>x</analysis><think>a</think>b", "b"),
        ("x<think>a</think>y<think>b</think>z", "xyz"),
    ],
)
def test_blocks_as_lmms_eval_takes_them_out(text: str, left: str) -> None:
    assert reply_for("lmms-eval", text) == left


@pytest.mark.parametrize("prediction", [None, float("nan")])
@pytest.mark.parametrize("protocol", ["workbench", "vlmevalkit", "lmms-eval"])
def test_no_prediction_is_an_empty_reply(protocol: str, prediction: object) -> None:
    assert reply_for(protocol, prediction) == ""


def test_options_have_capital_letters() -> None:
    assert options_of(["x", 2, None]) == {"A": "x", "B": "2", "C": "None"}
    assert options_of({"A": None, "Z": 1}) == {"A": "", "Z": "1"}
    assert len(options_of(["x"] * 26)) == 26
    for bad in (["x"] * 27, {"a": "x"}, {"AB": "x"}, "A: x", 5):
        with pytest.raises(InputError):
            options_of(bad)


def test_a_shown_text_is_cut_at_its_limit_and_not_before() -> None:
    assert shown("x" * 60) == repr("x" * 60)
    assert shown("x" * 61) == repr("x" * 59 + "\N{HORIZONTAL ELLIPSIS}")
    assert shown("a\n  b") == "'a b'"


def test_hallusionbench_by_hand() -> None:
    rows = [  # category_subcategory_set_figure_question, value
        ("VD_chart_0_0_0", 1.0), ("VD_chart_0_0_1", 1.0),
        ("VD_chart_0_1_0", 1.0), ("VD_chart_0_1_1", 0.999),
        ("VD_chart_1_0_0", 0.0),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["item", "value"]).assign(run="r", mode="auto")
    found = hallusion(frame).iloc[0]
    assert found["aAcc"] == pytest.approx(3 / 5)
    assert found["fAcc"] == pytest.approx(1 / 3)  # figures 0_0 (right), 0_1 and 1_0
    assert found["qAcc"] == pytest.approx(1 / 3)  # pairs 0_0 (both figures right), 0_1 and 1_0
    assert (found["items"], found["figures"], found["questions"]) == (5, 3, 3)
    assert found["mean"] == pytest.approx((3 / 5 + 1 / 3 + 1 / 3) / 3)


def test_micro_and_macro_means_by_hand() -> None:
    frame = pd.DataFrame(
        {
            "run": "r",
            "benchmark": "b",
            "mode": "auto",
            "category": ["x", "x", "x", "y", "y"],
            "value": [1.0, 1.0, 0.0, 0.0, float("nan")],
        }
    )
    found = by_category(frame).iloc[0]
    assert found["micro"] == pytest.approx(2 / 4)
    assert found["macro"] == pytest.approx((2 / 3 + 0) / 2)
    assert (found["items"], found["categories"], found["not_scored"]) == (4, 2, 1)


@pytest.mark.parametrize(
    "name", ["ChartQA", "chartqa", "Chart_QA", "chart qa", "MMMU", "v*bench", "vstar", "mathv"]
)
def test_a_benchmark_of_ours_cannot_be_taken_in_another_spelling(name: str) -> None:
    with pytest.raises(InputError):
        register_scorer(name, lambda asked: Score(0.0, "mine", "mine"))
    assert score("ChartQA", "0.14", gold="0.14").why != "mine"


def test_a_scorer_that_gives_no_score_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    register_scorer("Sloppy bench", lambda asked: 1.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match=r"returned 1\.0.*Score"):
        score("Sloppy bench", "x", gold="x")
