"""Grounding: places in three conventions, gold boxes in two forms, and what the harnesses make of them."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.bench import PROTOCOLS, score
from workbench.bench.scorers.grounding import places_in
from workbench.errors import InputError

OURS, KIT, LMMS = PROTOCOLS
SIZE = (2000, 1000)
# the target: x 400 to 600, y 500 to 600; its middle is (500, 550), or (0.25, 0.55), or (250, 550) thousandths
CORNERS, SIDES = [400, 500, 600, 600], [400, 500, 200, 100]


def value(
    reply: str, gold: Any = CORNERS, *, protocol: str = OURS, name: str = "ScreenSpot_v2", **item: Any
) -> float:
    item = {"image_size": SIZE, "gold_format": "xyxy", **item}
    return score(name, reply, gold=gold, protocol=protocol, **item).value


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("[0.25, 0.55]", True),
        ("(0.25, 0.55)", True),
        ("(25%, 55%)", True),
        ("[0.20, 0.50, 0.30, 0.60]", True),  # a box: its middle counts
        ("[[0.2, 0.5], [0.3, 0.6]]", True),
        ("<|box_start|>(200,500),(300,600)<|box_end|>", True),  # thousandths
        ("[250, 550]", True),
        ("[500, 550]", True),  # pixels
        ("[480, 540, 520, 560]", True),
        ("[1250, 550]", False),  # above 1000: pixels, and outside
        ("[1200, 500, 1300, 600]", False),
        ("[0.5, 0.55]", False),
        ("x=0.25, y=0.55", True),
        ("pyautogui.click(x=0.25, y=0.55)", True),
        ('{"x": 500, "y": 550}', True),
        ('[{"bbox_2d": [480, 540, 520, 560], "label": "OK"}]', True),
        ('<point x="25%" y="55%">', True),
        ("I first thought [0.9, 0.9], but it is [0.25, 0.55].", True),  # the last place counts
        ("0.25, 0.55", True),
        ("click at 500 550", True),
        ("[0, 0]", False),
        ("the button at the top", False),
        ("[0.25]", False),
        ("[0.25, 0.55, 0.7]", False),
        ("", False),
    ],
)
def test_a_place_is_read_in_three_conventions(reply: str, right: bool) -> None:
    assert value(reply) == float(right), score(
        "ScreenSpot_v2", reply, gold=CORNERS, image_size=SIZE, gold_format="xyxy"
    )


@pytest.mark.parametrize(
    ("reply", "coordinates", "right"),
    [
        ("[500, 550]", "pixels", True),
        ("[500, 550]", "relative1000", False),
        ("[250, 550]", "relative1000", True),
        ("[250, 550]", "pixels", False),
        ("[0.25, 0.55]", "relative", True),
        ("[1, 1]", "pixels", False),
    ],
)
def test_a_declared_convention_leaves_no_doubt(reply: str, coordinates: str, right: bool) -> None:
    found = score(
        "ScreenSpot_Pro", reply, gold=CORNERS, image_size=SIZE, gold_format="xyxy", coordinates=coordinates
    )
    assert found.value == float(right)
    assert "could also be" not in found.why


def test_an_undeclared_convention_is_named_in_the_score() -> None:
    found = score("ScreenSpot_v2", "[500, 550]", gold=CORNERS, image_size=SIZE, gold_format="xyxy")
    assert "read as pixels; could also be relative1000" in found.why


@pytest.mark.parametrize(
    ("name", "gold", "given", "right"),
    [
        ("ScreenSpot_v2", SIDES, {"gold_format": "xywh"}, True),
        ("ScreenSpot_v2", SIDES, {"gold_format": ""}, True),  # its published file has sides
        ("ScreenSpot_Pro", CORNERS, {"gold_format": ""}, True),  # and this one corners
        ("ScreenSpot", [0.2, 0.5, 0.3, 0.6], {"gold_format": ""}, True),
        ("ScreenSpot", "[0.2, 0.5, 0.3, 0.6]", {"gold_format": "", "image_size": None}, True),
        ("ScreenSpot_v2", [0.2, 0.5, 0.1, 0.1], {"gold_format": "xywh"}, True),
        ("ScreenSpot_v2", "(400, 500, 600, 600)", {}, True),
    ],
)
def test_gold_boxes_have_corners_or_sides(name: str, gold: Any, given: dict[str, Any], right: bool) -> None:
    assert value("[0.25, 0.55]", gold, name=name, **given) == float(right)
    assert value("[0.75, 0.55]", gold, name=name, **given) == float(not right)


@pytest.mark.parametrize("name", ["ScreenSpot", "ScreenSpot_v2", "ScreenSpot_Pro"])
def test_nothing_parsed_is_wrong_even_where_the_target_is_the_corner(name: str) -> None:
    corner = [0, 0, 40, 20]
    assert value("I cannot see it", corner, name=name) == 0
    assert value("I cannot see it", corner, name=name, protocol=KIT) == 1  # a click at (0, 0)
    assert value("I cannot see it", corner, name=name, protocol=LMMS) == float(name == "ScreenSpot")


@pytest.mark.parametrize(
    ("reply", "kit", "lmms"),
    [
        ("x=0.25, y=0.55", 1, 1),
        ("x=500, y=550", 1, 1),
        ("x=0.25, y=0.55.", 0, 1),  # the full stop belongs to VLMEvalKit's number
        ("[0.25, 0.55]", 0, 1),  # VLMEvalKit reads x=, y= only
        ("[0.25, 0.55] or [0.9, 0.9]", 0, 1),  # the first for lmms-eval, the last for us
        ("[0.20, 0.50, 0.30, 0.60]", 0, 1),  # the first corner, which lies on the edge
        ("[0.10, 0.50, 0.40, 0.60]", 0, 0),  # the first corner, outside
        ("<bbox>0.10, 0.50, 0.40, 0.60</bbox>", 0, 1),  # in tags the middle
        ("[250, 550]", 0, 0),  # thousandths are pixels to both
        ("25% 55%", 0, 1),
    ],
)
def test_the_harnesses_read_places_in_their_own_way(reply: str, kit: int, lmms: int) -> None:
    assert value(reply, name="ScreenSpot_Pro", protocol=KIT) == kit
    assert value(reply, name="ScreenSpot_Pro", protocol=LMMS) == lmms


def test_vlmevalkits_boxes_with_sides_end_one_pixel_early() -> None:
    edge = "x=600, y=600"
    assert value(edge, SIDES, gold_format="xywh") == 1
    assert value(edge, SIDES, gold_format="xywh", protocol=KIT) == 0
    assert value(edge, CORNERS, name="ScreenSpot_Pro", protocol=KIT) == 1


def test_lmms_eval_takes_wide_boxes_with_sides_for_corners() -> None:
    wide = [100, 100, 300, 200]  # x, y, width, height: it reaches to (400, 300)
    assert value("[350, 250]", wide, gold_format="xywh", coordinates="pixels") == 1
    assert (
        value("[350, 250]", wide, gold_format="xywh", protocol=LMMS) == 0
    )  # read as corners (100, 100), (300, 200)


def test_lmms_evals_screenspot_wants_a_box() -> None:
    gold = [0.2, 0.5, 0.3, 0.6]
    assert value("[0.2, 0.5, 0.3, 0.6]", gold, name="ScreenSpot", protocol=LMMS) == 1
    assert value("[200, 500, 300, 600]", gold, name="ScreenSpot", protocol=LMMS) == 1  # thousandths
    assert value("[0.25, 0.55]", gold, name="ScreenSpot", protocol=LMMS) == 0


@pytest.mark.parametrize(
    ("gold", "item", "message"),
    [
        ([400, 500, 200, 100], {}, "gold_format='xywh'"),
        ([400, 500, 600], {}, "four numbers"),
        ("a box", {}, "four numbers"),
        ([400, 500, 600, float("nan")], {}, "four finite numbers"),
        (CORNERS, {"image_size": None}, "without the picture's size"),
        (CORNERS, {"gold_format": "cxcywh"}, "'xyxy' or 'xywh'"),
        (CORNERS, {"coordinates": "inches"}, "relative1000"),
    ],
)
def test_impossible_gold_boxes_are_refused(gold: Any, item: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        value("[0.25, 0.55]", gold, name="ScreenSpot_Pro", **item)


def test_places_are_found_in_order() -> None:
    assert list(places_in("from [1, 2] to (3 4), then [5,6,7,8]")) == [(1, 2), (3, 4), (5, 6, 7, 8)]
    assert list(places_in("(1,2),(3,4)")) == [(1, 2, 3, 4)]
    assert list(places_in("in 2024, at 3 o'clock")) == []
