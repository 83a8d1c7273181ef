"""The contract of a scorer: what `score`, runs, imports and reports rely on.

It runs on the workbench's own benchmarks and on every one that was registered with an example
(``register_scorer(..., example=...)``: a right reply and its item).
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from workbench.bench import BENCHMARKS, Score, score
from workbench.bench.scorers import EXAMPLES, canonical

CHOICE = {"prediction": "B", "gold": "B", "options": {"A": "cat", "B": "dog", "C": "car", "D": "bus"}}
BOX = {
    "prediction": "x=0.5, y=0.5",
    "gold": [40, 40, 60, 60],
    "image_size": (100, 100),
    "gold_format": "xyxy",
}
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("AI2D", "MMStar", "MMMU", "V*Bench", "MathVision", "MathVerse", "MathVista"), CHOICE),
    **dict.fromkeys(("ScreenSpot_v2", "ScreenSpot_Pro"), BOX),
    "ScreenSpot": {**BOX, "prediction": "[0.4, 0.4, 0.6, 0.6]"},
    "ChartQA": {"prediction": "14", "gold": "14"},
    "HallusionBench": {"prediction": "Yes", "gold": "Yes"},
    "OCRBench": {"prediction": "it says STOP", "gold": ["stop"]},
}
HOSTILE = (
    None,
    "",
    " ",
    "\n",
    "A" * 20_000,
    "\\boxed{" * 500,
    "\ud800",
    "\x00",
    "(((" * 2000,
    "1e999",
    "<think>",
)


def cases() -> list[tuple[str, str]]:
    """Every benchmark with an example, under each of its protocols."""
    BENCHMARKS.plugged()  # loads the plug-ins
    known = {**OWN, **EXAMPLES}
    return [(name, protocol) for name in BENCHMARKS if name in known for protocol in BENCHMARKS[name]]


@pytest.fixture(params=cases(), ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[str, str, dict[str, Any]]:
    """(benchmark, protocol, a right reply with its item)."""
    name, protocol = request.param
    return name, protocol, {**OWN, **EXAMPLES}[name]


def scored(case: tuple[str, str, dict[str, Any]], **other: Any) -> Score:
    """The score of the example, or of another reply to its item."""
    name, protocol, example = case
    item = {**example, **other}
    return score(name, item.pop("prediction"), protocol=protocol, **item)


def test_its_name_is_found() -> None:
    for name in BENCHMARKS:
        assert canonical(name) == name


def test_a_right_reply_is_right_and_says_why(case: tuple[str, str, dict[str, Any]]) -> None:
    if case[:2] == ("ScreenSpot", "vlmevalkit"):
        case = (*case[:2], BOX)  # it reads a point, where lmms-eval reads a box
    found = scored(case)
    assert isinstance(found, Score)
    assert found.value == 1
    assert found.parsed
    assert found.why


def test_no_reply_is_not_right(case: tuple[str, str, dict[str, Any]]) -> None:
    for nothing in ("", None):
        assert scored(case, prediction=nothing).value < 1


@pytest.mark.parametrize("reply", HOSTILE, ids=lambda reply: repr(reply)[:12])
def test_any_reply_has_a_value_of_0_to_1(case: tuple[str, str, dict[str, Any]], reply: str | None) -> None:
    found = scored(case, prediction=reply)
    assert 0 <= found.value <= 1
    assert not math.isnan(found.value)
    assert found.parsed is None or isinstance(found.parsed, str)
    assert scored(case, prediction=reply) == found, "the same reply has the same score"
