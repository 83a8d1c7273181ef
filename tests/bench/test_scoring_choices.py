"""Choices, numbers and formulas: tables of tricky replies under the three protocols."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.bench import PROTOCOLS, score
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
    ("reply", "expected"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("[B]", "B"),
        ("**B**", "B"),
        ("(b) dog", "B"),
        ("B. dog", "B"),
        ("B) dog", "B"),
        ("B. dog\n(A) would be wrong.", "B"),
        ("\\boxed{B}", "B"),
        ("\\boxed{\\text{B}}", "B"),
        ("<answer>B</answer>", "B"),
        ("The answer is (B).", "B"),
        ("The correct option is B because A is too small.", "B"),
        ("Answer: B", "B"),
        ("**Answer:** B", "B"),
        ("(A) is wrong, so it must be (B)", "B"),
        ("It is not A. It is not C. So B.", "B"),
        ("It is not A. B", "B"),
        ("A cat is not what I see; **B**.", "B"),
        ("I see a cat and a bus\nB", "B"),
        ("dog", "B"),
        ("The dog.", "B"),
        ("It shows a dog", "B"),
        ("The answer is dog", "B"),
        ("a dogg", "B"),  # one slip of the pen
        ("the colour is dark red", "C"),  # the longer option, not "red"
        ("the colour is red", "D"),
        ("A cat sat there", "A"),  # by its text, not by the article
        ("A big animal that I know", None),
        ("I think so", None),
        ("none of these", None),
        ("", None),
        ("The reply is D", "D"),
        ("catalogue", None),  # an option only as a whole word
        ("E", None),
    ],
)
def test_a_choice_is_read_as_people_write_it(reply: str, expected: str | None) -> None:
    for benchmark in ("AI2D", "MMStar", "V*Bench", "MMMU"):
        found = score(benchmark, reply, gold="B", options=OPTIONS)
        assert found.parsed == expected, (benchmark, found)
        assert found.value == float(expected == "B")


def test_without_options_a_letter_is_still_read() -> None:
    assert score("V*Bench", "(C)", gold="C").value == 1
    assert score("AI2D", "The answer is D.", gold="D").value == 1
    assert score("AI2D", "The dog", gold="D").value == 0


def test_the_gold_answer_may_be_a_letter_or_an_options_text() -> None:
    assert score("AI2D", "B", gold="dog", options=OPTIONS).value == 1
    assert score("AI2D", "B", gold="(B)", options=OPTIONS).value == 1
    assert score("AI2D", "B", gold="b", options=["cat", "dog"]).value == 1
    with pytest.raises(InputError, match="gold='bird'"):
        score("AI2D", "B", gold="bird", options=OPTIONS)


@pytest.mark.parametrize(
    ("benchmark", "reply", "expected"),
    [
        ("AI2D", "B", (1, 1, 1)),
        ("AI2D", "(B)", (1, 1, 1)),
        ("AI2D", "B. dog", (1, 1, 1)),
        ("AI2D", "The answer is B", (1, 1, 0)),  # lmms-eval's AI2D wants the bare letter
        ("AI2D", "dog", (1, 1, 0)),
        ("MMStar", "A dog", (1, 0, 0)),  # the article counts as option A in both harnesses
        ("MMStar", "The answer is B", (1, 1, 1)),
        ("MMStar", "B is right, and nothing else here is the right one at all", (1, 0, 1)),
        ("V*Bench", "The answer is Absolutely B", (1, 1, 0)),  # "A" of a word, in capitals
        ("V*Bench", "the dog", (1, 1, 0)),
        ("MMMU", "dog", (1, 1, 0.25)),  # up to five words lmms-eval looks for no option text, and guesses
        ("MMMU", "I am sure that it must be a dog", (1, 1, 1)),
        ("MMMU", "I am quite sure that it must be a dog", (1, 0, 1)),  # too long for VLMEvalKit
        ("MMMU", "(A) no, (B)", (1, 0, 1)),
        ("MMMU", "no idea", (0, 0, 0.25)),
    ],
)
def test_harnesses_differ_on_choices(
    benchmark: str, reply: str, expected: tuple[float, float, float]
) -> None:
    assert values(benchmark, reply, "B", options=OPTIONS) == expected


def test_where_a_harness_guesses_the_value_is_the_guesses_expectation() -> None:
    found = score("MMMU", "no idea", gold="B", protocol=LMMS, options=OPTIONS)
    assert (found.value, found.parsed) == (0.25, None)
    assert "guess" in found.why


@pytest.mark.parametrize(
    ("reply", "gold", "expected"),
    [
        ("12.5", "12.5", (1, 1, 0)),  # an open question: see mmmu_lmms_eval
        ("The result is 12.50", "12.5", (1, 1, 0)),  # VLMEvalKit: the gold text is contained
        ("\\frac{25}{2}", "12.5", (1, 0, 0)),
        ("yes", "no", (0, 0, 0)),
        ("12", ["12", "twelve"], (1, 1, 0)),
    ],
)
def test_open_questions_of_mmmu(reply: str, gold: Any, expected: tuple[float, float, float]) -> None:
    assert values("MMMU", reply, gold) == expected


@pytest.mark.parametrize(
    ("reply", "gold", "item", "expected"),
    [
        ("7", "7", {"answer_type": "integer"}, (1, 1, 1)),
        ("The answer is 7", "7", {"answer_type": "integer"}, (1, 1, 1)),  # a judge's place is taken by us
        ("7.9", "7", {"answer_type": "integer"}, (0, 0, 1)),  # lmms-eval cuts off the decimals
        ("1.449", "1.45", {"answer_type": "float", "precision": 2}, (1, 0, 1)),
        ("1.5", "1.50", {"answer_type": "float", "precision": 2}, (1, 1, 0)),  # compared as text
        ("1.6", "1.5", {"answer_type": "float", "precision": 1}, (0, 0, 0)),
        ("0.6", "0.6", {"answer_type": "float", "precision": 1.0}, (1, 1, 1)),
        ("$1.45", "1.45", {"answer_type": "float", "precision": 2}, (1, 1, 1)),
        ("x is 3/4", "0.75", {"answer_type": "float", "precision": 2}, (0, 0, 0)),
        ("\\boxed{3/4}", "0.75", {"answer_type": "float", "precision": 2}, (1, 1, 1)),
        ("[2007, 2008]", "[2007, 2008]", {"answer_type": "list"}, (1, 1, 1)),
        ("between [2007,2008] then", "[2007, 2008]", {"answer_type": "list"}, (1, 0, 0)),
        ("no", "No", {"answer_type": "text"}, (1, 1, 0)),
        ("(B)", "dog", {"options": OPTIONS}, (1, 1, 1)),
        ("a dogg", "dog", {"options": OPTIONS}, (1, 1, 1)),
        ("a doog", "dog", {"options": OPTIONS}, (1, 1, 1)),  # the nearest option; any judge reads it
        ("purple elephants", "dog", {"options": OPTIONS}, (0, 0, 0)),
    ],
)
def test_mathvista_compares_at_the_items_precision(
    reply: str, gold: str, item: dict[str, Any], expected: tuple[float, float, float]
) -> None:
    assert values("MathVista", reply, gold, **item) == expected


@pytest.mark.parametrize(
    ("reply", "gold", "right"),
    [
        ("\\boxed{\\frac{3}{4}}", "0.75", True),
        ("\\boxed{\\frac34}", "3/4", True),
        ("The answer is $2\\sqrt{2}$.", "\\sqrt{8}", True),
        ("x = 5", "5", True),
        ("5", "x=5", True),
        ("So the angle is $30^\\circ$", "30", True),
        ("\\boxed{60\\text{ cm}}", "60", True),
        ("3\\pi", "9.42477796076938", True),
        ("1,000", "1000", True),
        ("\\boxed{(-2, 1)}", "(-2,1]", False),
        ("\\boxed{(-2, 1]}", "(-2,1]", True),
        ("\\boxed{f(x) = -x^2 - 2x + 1}", "f(x)=-x^2-2x+1", True),
        ("5 or 6", "5", False),
        ("2^{100000}", "5", False),
        ("(" * 5000 + "1", "1", False),
        ("B", "B", True),
        ("\\boxed{B}", "B", True),
    ],
)
def test_formulas_are_compared_by_form_or_by_value(reply: str, gold: str, right: bool) -> None:
    for benchmark in ("MathVision", "MathVerse"):
        assert score(benchmark, reply, gold=gold).value == float(right), score(benchmark, reply, gold=gold)


def test_where_a_harness_would_ask_a_judge_the_score_says_so() -> None:
    assert score("MathVerse", "5", gold="5", protocol=KIT).judged
    assert score("MathVerse", "5", gold="5", protocol=LMMS).judged
    assert not score("MathVerse", "5", gold="5").judged
