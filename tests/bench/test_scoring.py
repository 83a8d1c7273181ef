"""`score`: tables of tricky replies under the three protocols, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from workbench.bench import BENCHMARKS, PROTOCOLS, Score, score
from workbench.bench.scorers import canonical, recognise
from workbench.bench.scorers.base import reply_for, without_thought
from workbench.errors import InputError

OURS, KIT, LMMS = PROTOCOLS
OPTIONS = {"A": "cat", "B": "dog", "C": "dark red", "D": "red"}


def values(benchmark: str, reply: Any, gold: Any, **item: Any) -> tuple[float, float, float]:
    """The reply's value by our own protocol, by VLMEvalKit's and by lmms-eval's."""
    ours, kit, lmms = (
        score(benchmark, reply, gold=gold, protocol=protocol, **item).value for protocol in PROTOCOLS
    )
    return ours, kit, lmms


@pytest.mark.parametrize(
    ("reply", "gold", "expected"),
    [
        ("12", "12", (1, 1, 1)),
        ("12.5", "12", (1, 1, 1)),  # 4.2% off
        ("12.7", "12", (0, 0, 0)),
        ("-12", "12", (0, 0, 0)),
        ("977,633", "977633", (1, 0, 0)),  # thousands separators
        ("977633", "977,633", (1, 0, 0)),
        ("977,633", "977,633", (1, 1, 1)),
        ("14%", "0.14", (1, 1, 1)),
        ("14%", "14", (0, 0, 0)),  # % means a hundredth, for the paper's rule too
        ("14%", "14%", (1, 1, 1)),
        ("14 %", "0.14", (1, 1, 1)),
        ("$5", "5", (1, 0, 0)),
        ("0", "0", (1, 1, 1)),
        ("0.0", "0", (1, 0, 0)),  # gold 0: the harnesses compare texts
        ("0.001", "0", (0, 0, 0)),
        ("5", "0.0", (0, 0, 0)),
        ("The answer is 12.", "12", (1, 0, 0)),
        ("about 12", "12", (1, 0, 0)),
        ("between 10 and 12", "12", (0, 0, 0)),  # two numbers: no guess
        ("2011", "2010", (1, 1, 1)),  # within 5%, as the paper's rule has it
        ("Yes", "yes", (1, 1, 1)),
        ("Blue.", "blue", (1, 0, 0)),
        (" blue ", "blue", (1, 1, 1)),
        ("blue and red", "blue", (0, 0, 0)),
        ("Answer: Blue", "blue", (1, 0, 0)),
        ("nan", "12", (0, 0, 0)),
        ("inf", "12", (0, 0, 0)),
        ("1e400", "12", (0, 0, 0)),
        ("", "12", (0, 0, 0)),
        (None, "12", (0, 0, 0)),
        (math.nan, "12", (0, 0, 0)),
        (12, 12, (1, 1, 1)),
        ("12", ["11", "12"], (1, 1, 1)),
        ("12", "['11', '12']", (1, 1, 0)),  # lmms-eval compares with the text of the list
        ("\N{MINUS SIGN}3", "-3", (1, 0, 0)),
        ("**12**", "12", (1, 0, 0)),
    ],
)
def test_chartqa_is_right_within_five_percent(
    reply: Any, gold: Any, expected: tuple[float, float, float]
) -> None:
    assert values("ChartQA", reply, gold) == expected


@pytest.mark.parametrize(
    ("reply", "gold", "expected"),
    [
        ("Yes", "Yes", (1, 1, 1)),
        ("yes.", "1", (1, 1, 1)),
        ("No", "0", (1, 1, 1)),
        ("No, there is no doubt.", "No", (1, 1, 1)),
        ("Yes, there is no doubt.", "Yes", (1, 0, 1)),  # both words occur
        ("It is correct", "Yes", (0, 0, 0)),
        ("The eyes are closed", "No", (0, 0, 0)),  # lmms-eval reads "yes" in "eyes"
        ("The mouth is closed", "No", (0, 0, 1)),
        ("The answer is no", "No", (1, 1, 1)),
        ("", "No", (0, 0, 1)),
    ],
)
def test_hallusionbench_reads_yes_or_no(reply: str, gold: str, expected: tuple[float, float, float]) -> None:
    assert values("HallusionBench", reply, gold) == expected


@pytest.mark.parametrize(
    ("reply", "gold", "category", "expected"),
    [
        ("The sign says STOP.", ["stop"], "Scene Text-centric VQA", (1, 1, 1)),
        ("go\non", "go on", "Scene Text-centric VQA", (1, 1, 1)),
        ("go  on", "go on", "Scene Text-centric VQA", (1, 0, 0)),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}b", "ab", "Doc-oriented VQA", (1, 0, 1)),
        ("x ^ 2 + 1", "x^2+1", "Handwritten Mathematical Expression Recognition", (1, 1, 1)),
        ("X^2", "x^2", "Handwritten Mathematical Expression Recognition", (0, 0, 0)),
        ("X^2", "x^2", "Doc-oriented VQA", (1, 1, 1)),
        ("wrong", ["stop", "halt"], "", (0, 0, 0)),
        ("halt", "['stop', 'halt']", "", (1, 1, 1)),
        ("", "a", "", (0, 0, 0)),
    ],
)
def test_ocrbench_wants_a_gold_text_in_the_reply(
    reply: str, gold: Any, category: str, expected: tuple[float, float, float]
) -> None:
    assert values("OCRBench", reply, gold, category=category) == expected


def test_a_thought_that_holds_the_answer_does_not_count_for_the_reply() -> None:
    reply = "<think>It is 12, so the answer is B, yes.</think>I do not know."
    for benchmark, gold, item in (
        ("OCRBench", "12", {}),
        ("MMStar", "B", {"options": OPTIONS}),
        ("HallusionBench", "Yes", {}),
        ("ChartQA", "12", {}),
    ):
        assert score(benchmark, reply, gold=gold, **item).value == 0, benchmark
    # VLMEvalKit scores the thought too unless SPLIT_THINK is set; lmms-eval cuts closed blocks out
    assert score("OCRBench", reply, gold="12", protocol=KIT).value == 1
    assert score("OCRBench", reply, gold="12", protocol=LMMS).value == 0


def test_a_thought_that_never_ended_is_no_reply() -> None:
    cut = "<think>It is 12 and"
    assert score("OCRBench", cut, gold="12").value == 0
    assert score("OCRBench", cut, gold="12", protocol=LMMS).value == 1  # an unclosed block stays in place
    assert without_thought("so it is</think> 5") == "5"
    assert without_thought("<nothink>5") == "5"
    assert reply_for(LMMS, "a<think>b</think>c<think>d</think>e") == "ace"


@pytest.mark.timeout(120)  # quadratic work on 100,000 characters takes far longer
@pytest.mark.parametrize("piece", ["x=1 ", "1,", "A ", "<bbox>", "\\boxed{", "answer is "])
def test_answers_of_a_hundred_thousand_characters_are_scored(piece: str) -> None:
    reply = piece * (100_000 // len(piece))
    for benchmark in BENCHMARKS:
        gold, item = ("[10, 10, 20, 20]", {"image_size": (100, 100)}) if "Screen" in benchmark else ("A", {})
        gold = "Yes" if benchmark == "HallusionBench" else gold
        item = {"options": OPTIONS} if benchmark in ("AI2D", "MMMU", "MathVista") else item
        for protocol in PROTOCOLS:
            assert 0 <= score(benchmark, reply, gold=gold, protocol=protocol, **item).value <= 1


@pytest.mark.parametrize("gold", [None, math.nan, "", "  ", [], [""]])
def test_a_missing_gold_answer_is_an_error(gold: Any) -> None:
    for benchmark in BENCHMARKS:
        for protocol in PROTOCOLS:
            with pytest.raises(InputError, match="right answer"):
                score(benchmark, "A", gold=gold, protocol=protocol)


def test_an_unknown_benchmark_names_the_closest() -> None:
    with pytest.raises(InputError, match="did you mean ChartQA"):
        score("CharQA", "1", gold="1")
    with pytest.raises(InputError, match="one of AI2D, ChartQA"):
        score("zzz", "1", gold="1")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"protocol": "ours"}, "one of 'workbench', 'vlmevalkit', 'lmms-eval'"),
        ({"option": {}}, "keyword 'option'"),
        ({"options": "AB"}, "options="),
        ({"options": {"first": "x"}}, "option 'first'"),
        ({"precision": "two"}, "precision='two'"),
        ({"image_size": (0, 5)}, "positive"),
        ({"image_size": 5}, "image_size=5"),
    ],
)
def test_wrong_arguments_are_named(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        score("MathVista", "1", gold="1", **keywords)


@pytest.mark.parametrize("name", ["", "MME"])
def test_benchmarks_have_all_rules_and_known_names(name: str) -> None:
    assert set(BENCHMARKS) == {
        *("AI2D", "ChartQA", "HallusionBench", "MathVerse", "MathVision", "MathVista", "MMMU", "MMStar"),
        *("OCRBench", "ScreenSpot", "ScreenSpot_v2", "ScreenSpot_Pro", "V*Bench"),
    }
    assert all(set(protocol) == set(PROTOCOLS) for protocol in BENCHMARKS.values())
    with pytest.raises(InputError):
        canonical(name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("AI2D_TEST", "AI2D"),
        ("MathVerse_MINI", "MathVerse"),
        ("MMMU_VAL", "MMMU"),
        ("ScreenSpot-v2", "ScreenSpot_v2"),
        ("ScreenSpot-Pro", "ScreenSpot_Pro"),
        ("V*Bench", "V*Bench"),
        ("VStarBench", "V*Bench"),
        ("chartqa", "ChartQA"),
    ],
)
def test_the_published_tables_names_are_accepted(given: str, expected: str) -> None:
    assert canonical(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ChartQA_TEST", ("ChartQA", "TEST")),
        ("mathvista_testmini_cot", ("MathVista", "testmini_cot")),
        ("hallusion_bench_image", ("HallusionBench", "image")),
        ("screenspot_v2", ("ScreenSpot_v2", "")),
        ("ScreenSpot_Pro_CAD", ("ScreenSpot_Pro", "CAD")),
        ("vstar_bench", ("V*Bench", "")),
        ("MMMU_Pro_10c", None),  # another benchmark
        ("DocVQA_VAL", None),
    ],
)
def test_the_harnesses_names_are_recognised(given: str, expected: tuple[str, str] | None) -> None:
    assert recognise(given) == expected


def test_a_drawn_question_is_scored_by_its_own_rule() -> None:
    assert score("synth:chain@2", "7", gold="7", rule="number").value == 1
    assert score("drawn", "<think>8</think>7", gold="7", rule="number").value == 1
    box = {"boxes": [[10, 10, 20, 20]], "image_size": [100, 100], "rule": "point"}
    assert score("synth:gui_find@1", "[0.15, 0.15]", gold="[0.1, 0.1, 0.2, 0.2]", **box).value == 1
    with pytest.raises(InputError, match="without its rule"):
        score("drawn", "7", gold="7")


def test_infinity_is_no_answer() -> None:
    for protocol in PROTOCOLS:
        assert score("ChartQA", "inf", gold="5", protocol=protocol).value == 0


def test_a_score_is_true_when_it_is_right() -> None:
    assert Score(1.0, "a", "")
    assert not Score(0.25, None, "")
    assert float(Score(0.25, None, "")) == 0.25
