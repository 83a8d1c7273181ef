"""Natural, verbose and foreign replies: our rules read them; a harness's own string steps come first."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.bench import score

OPTIONS = {"A": "red", "B": "dark red"}


def value(benchmark: str, reply: str, gold: Any, protocol: str = "workbench", **item: Any) -> float:
    return score(benchmark, reply, gold=gold, protocol=protocol, **item).value


@pytest.mark.parametrize(
    ("reply", "gold", "right"),
    [
        ("In 2015, the value was 38.", "38", True),
        ("In 2015, it was about 38 million", "38", True),
        ("The bar for 2015 shows 38%.", "0.38", True),
        ("In 2015 or 2016, it was 40", "38", False),
        ("Yes, it does.", "Yes", True),
        ("No, it doesn't.", "Yes", False),
        ("It is Germany", "Germany", True),
        ("It is Germany.", "Italy", False),
        ("The largest one was the Blue.", "blue", True),
        ("Blue - the second bar", "blue", True),
        ("It is not Germany", "Germany", False),
        ("blue and red", "blue", False),
        ("between 10 and 12", "12", False),
        ("\uff13\uff18", "38", True),
    ],
)
def test_a_sentence_about_a_chart_says_its_answer(reply: str, gold: str, right: bool) -> None:
    assert value("ChartQA", reply, gold) == float(right)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("\uff21", "A"),
        ("\uff08\uff22\uff09", "B"),
        ("\u9009\u9879A\u4e0d\u5bf9\uff0c\u5e94\u8be5\u9009B\u3002", "B"),  # A is not right, choose B
        ("\u7b54\u6848\u662fA", "A"),
        ("\u7b54\u6848\uff1aB", "B"),
        ("\uc815\ub2f5\uc740 B", "B"),
        ("\u6b63\u89e3\u306fA\u3067\u3059", "A"),
    ],
)
def test_letters_in_other_scripts_are_read(reply: str, letter: str) -> None:
    found = score("MMStar", reply, gold="A", options=OPTIONS)
    assert (found.parsed, found.value) == (letter, float(letter == "A"))


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [("\u662f", "Yes"), ("\u662f\u7684\u3002", "Yes"), ("\u4e0d\u662f", "No"), ("\u5426", "No")],
)
def test_yes_and_no_in_chinese_are_read(reply: str, meaning: str) -> None:
    assert score("HallusionBench", reply, gold="Yes").parsed == meaning


def test_molmos_points_are_percent_of_the_picture() -> None:
    item = {"gold": [400, 500, 600, 600], "image_size": (2000, 1000), "gold_format": "xyxy"}
    assert score("ScreenSpot_v2", '<point x="25.0" y="55.0" alt="OK">OK</point>', **item).value == 1
    assert score("ScreenSpot_v2", '<points x1="25.0" y1="55.0" alt="OK">OK</points>', **item).value == 1
    assert score("ScreenSpot_v2", '<point x="500" y="550">', **item).value == 1  # above 100: pixels
    assert score("ScreenSpot_v2", '<point x="55.0" y="25.0">', **item).value == 0


def test_an_option_may_hold_brackets() -> None:
    from workbench.bench.tasks.field import vstar

    text = "Where?\n(A) on the left (behind the car)\n(B) on the right\n"
    row = {"text": text, "category": "c", "question_id": 1, "label": "A", "image": "x.jpg"}
    assert vstar(row)["scoring"]["options"] == {"A": "on the left (behind the car)", "B": "on the right"}


def test_the_version_of_mathverse_whose_text_is_in_the_picture_has_its_options() -> None:
    from workbench.bench.tasks.field import mathverse

    row = {
        "sample_index": "5", "problem_index": "1", "problem_version": "Vision Only", "image": None,
        "question": "", "question_for_eval": "How big?\nChoices:\nA:30\u00b0\nB:60\u00b0", "answer": "B",
        "question_type": "multi-choice", "query_wo": "Answer directly.",
    }  # fmt: skip
    item = mathverse(row)
    assert item["scoring"]["options"] == {"A": "30\u00b0", "B": "60\u00b0"}
    for reply in ("60\u00b0", "B"):
        assert value("MathVerse", reply, "B", options=item["scoring"]["options"]) == 1


NATURAL = [
    ("The answer is 3 cm.", "3", {"answer_type": "integer"}),
    ("There are 7 apples in total.", "7", {"answer_type": "integer"}),
    ("The value of x is 8\u00b0.", "8", {"answer_type": "integer"}),
    ("So we get 12.", "12", {"answer_type": "integer"}),
    ("It costs $1.50 in total.", "1.5", {"answer_type": "float", "precision": 1}),
    ("The length is 2.5 m", "2.5", {"answer_type": "float", "precision": 1}),
    ("It must be the second one: dark red.", "dark red", {"options": OPTIONS}),
    ("I would choose option (B), as it is darker than the other colour.", "dark red", {"options": OPTIONS}),
]


@pytest.mark.parametrize("protocol", ["vlmevalkit", "lmms-eval"])
@pytest.mark.parametrize(("reply", "gold", "item"), NATURAL)
def test_where_a_harness_asks_a_judge_our_extraction_is_no_weaker(
    reply: str, gold: str, item: dict[str, Any], protocol: str
) -> None:
    found = score("MathVista", reply, gold=gold, protocol=protocol, **item)
    assert found.value == 1


@pytest.mark.parametrize(
    ("reply", "gold", "options", "right"),
    [  # as mathvision_process_results of lmms-eval 0.7.3 itself says
        ("**B**", "B", ["red", "dark red"], False),
        ("red", "A", ["red", "blue"], True),
        ("dark red", "B", ["red", "dark red"], False),  # spaces of the reply are dropped, of the option not
        ("\\boxed{\\frac12}", "0.5", [], False),
        ("\\boxed{\\frac{1}{2}}", "0.5", [], True),
        ("14 units", "14", [], True),
        ("The answer is 14 km.", "14", [], True),
        ("14%", "14", [], False),
        ("\\boxed{14\\%}", "14", [], True),
        ("$14$", "14", [], True),
        ("3/4", "0.75", [], True),
        ("90\u00b0", "90", [], False),
        ("\\boxed{90^\\circ}", "90", [], True),
        ("1,000", "1000", [], True),
        ("The area is 12 cm", "12", [], False),
        ("\\boxed{\\text{B}}", "B", ["1", "2"], True),
        ("2", "B", ["1", "2"], True),
        ("The correct answer is B", "B", ["1", "2"], True),
        ("\\boxed{(1, 2)}", "(1,2)", [], True),
        ("1/3", "0.333", [], True),
        ("\\boxed{2\\sqrt3}", "2\\sqrt{3}", [], True),
        ("", "3", [], False),
    ],
)
def test_mathvision_by_lmms_eval_follows_its_string_steps(
    reply: str, gold: str, options: list[str], right: bool
) -> None:
    named = {"options": dict(zip("ABCDE", options))} if options else {}
    assert value("MathVision", reply, gold, "lmms-eval", **named) == float(right)


def test_mmstar_by_lmms_eval_knows_its_phrases_in_other_languages() -> None:
    for phrase in ("\uc815\ub2f5\uc740", "\u7b54\u6848\u662f", "\u7b54\u3048\u306f"):
        reply = f"x (B) \u2026 {phrase} C\uc785\ub2c8\ub2e4"
        assert score("MMStar", reply, gold="C", protocol="lmms-eval").parsed == "C"


def test_a_list_as_gold_is_one_text_where_the_harness_takes_it_so() -> None:
    assert value("ChartQA", "blue", "['blue', 'red']") == 1
    assert value("ChartQA", "blue", "['blue', 'red']", "vlmevalkit") == 1
    assert value("ChartQA", "blue", "['blue', 'red']", "lmms-eval") == 0
    assert value("ChartQA", "['blue', 'red']", "['blue', 'red']", "lmms-eval") == 1


@pytest.mark.parametrize(
    ("benchmark", "inside", "gold", "item"),
    [
        ("ChartQA", "38", "38", {}),
        ("ChartQA", "Germany", "Germany", {}),
        ("MMStar", "B", "B", {"options": OPTIONS}),
        ("MMStar", "dark red", "B", {"options": OPTIONS}),
        ("MathVision", "\\boxed{\\frac{1}{2}}", "0.5", {}),
        ("MathVista", "14", "14", {"answer_type": "integer"}),
        ("HallusionBench", "Yes", "Yes", {}),
    ],
)
@pytest.mark.parametrize("end", ["<|end_of_box|>", ""])  # "": cut at max_tokens, or the end token dropped
def test_an_answer_in_glms_box_is_the_answer(
    benchmark: str, inside: str, gold: str, item: dict[str, Any], end: str
) -> None:
    reply = f"In 2015, A was 12, and no more.\n<|begin_of_box|>{inside}{end}"
    assert value(benchmark, reply, gold, **item) == 1
    assert value(benchmark, reply, "A" if gold == "B" else "No" if gold == "Yes" else "7", **item) == 0
