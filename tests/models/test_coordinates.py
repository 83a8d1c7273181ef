"""Boxes and points, as families write them and as pixels."""

from __future__ import annotations

import math
import random

import pytest

from workbench.errors import InputError
from workbench.models.coordinates import (
    CONVENTIONS,
    format_box,
    format_point,
    parse_box,
    parse_boxes,
    parse_point,
)
from workbench.models.families import family_of
from workbench.types import PatchGrid

SIZE = (400, 200)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_round_trip(convention):
    rng = random.Random(0)
    for _ in range(50):
        xs = sorted(rng.sample(range(SIZE[0]), 2))
        ys = sorted(rng.sample(range(SIZE[1]), 2))
        box = (xs[0], ys[0], xs[1], ys[1])
        text = f"It is at {format_box(box, convention, SIZE, resized=(448, 224))}."
        assert parse_box(text, convention, size=SIZE, resized=(448, 224)) == pytest.approx(box, abs=0.6)
        point = format_point(box[:2], convention, SIZE, resized=(448, 224))
        assert parse_point(point, convention, size=SIZE, resized=(448, 224)) == pytest.approx(
            box[:2], abs=0.6
        )


@pytest.mark.parametrize(
    ("text", "convention", "expected"),
    [
        ("[0.1000, 0.2000, 0.5000, 0.6000]", "relative", (40, 40, 200, 120)),
        ("bbox: (0.1,0.2,0.5,0.6) done", "relative", (40, 40, 200, 120)),
        ("0.1, 0.2, 0.5, 0.6", "relative", (40, 40, 200, 120)),
        ('[{"bbox_2d": [100, 200, 500, 600], "label": "circle 2"}]', "relative1000", (40, 40, 200, 120)),
        ("<box>[[100, 200, 500, 600]]</box>", "relative1000", (40, 40, 200, 120)),
        ("[500, 600, 100, 200]", "relative1000", (40, 40, 200, 120)),
        ("[80, 80, 400, 240]", "resized-pixels", (40, 40, 200, 120)),
        ("[40, 40, 200, 120]", "pixels", (40, 40, 200, 120)),
        ("[0.1, 0.2, 0.5, 0.6]", "none", (40, 40, 200, 120)),
        ("[100, 200, 500, 600]", "none", (40, 40, 200, 120)),
        ("first [0, 0, 1, 1], better [0.1, 0.2, 0.5, 0.6]", "relative", (40, 40, 200, 120)),
        ("[-0.5, 0.2, 0.5, 7]", "relative", (0, 40, 200, 200)),
    ],
)
def test_boxes_as_models_write_them(text, convention, expected):
    assert parse_box(text, convention, size=SIZE, resized=(800, 400)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no box",
        "[1, 2, 3]",
        "[0.1, 0.2, 0.5, 0.6, 0.7]",
        "[nan, 0, 1, 1]",
        "[inf, 0, 1, 1]",
        "[1e999, 0, 1, 1]",
        "[2, 2, 3, 3]",
        "[0.5, 0.5, 0.5, 0.5]",
        "[a, b, c, d]",
    ],
)
def test_what_is_no_box(text):
    assert parse_box(text, "relative", size=SIZE) is None
    assert parse_boxes(text, "relative", size=SIZE) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("click(x=1) at [0.5, 0.25]", (200, 50)),
        ("(0.5, 0.25)", (200, 50)),
        ("0.5, 0.25", (200, 50)),
        ("[0.4, 0.2, 0.6, 0.3]", (200, 50)),
        ("[1.5, 0.5]", None),
        ("nowhere", None),
    ],
)
def test_points(text, expected):
    assert parse_point(text, "relative", size=SIZE) == (
        expected if expected is None else pytest.approx(expected)
    )


def test_several_boxes():
    text = "[[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]"
    assert parse_boxes(text, "relative", size=SIZE) == [(0, 0, 200, 100), (200, 100, 400, 200)]


def test_hostile_text_is_read_in_time():
    for piece in ("[1,", "1 ", "[[[[", "1.1.1.1", "(1 , 2 ; "):
        assert parse_box(piece * 200_000, "relative", size=SIZE) is None or piece


def test_errors():
    with pytest.raises(InputError, match="convention='percent'"):
        parse_box("[1, 2, 3, 4]", "percent", size=SIZE)
    with pytest.raises(InputError, match="without its size"):
        parse_box("[1, 2, 3, 4]", "resized-pixels", size=SIZE)


def test_a_family_reads_its_own_coordinates():
    grid = PatchGrid(image=0, rows=8, cols=16, start=5, size=SIZE, region=(0, 0, 400, 200), row_stride=16)
    qwen = family_of("qwen2_5_vl")
    assert qwen.resized(grid) == (448, 224)
    assert qwen.parse_box("[44.8, 22.4, 224, 112]", grid) == pytest.approx((40, 20, 200, 100))
    assert qwen.parse_point("[224, 112]", grid) == pytest.approx((200, 100))
    assert family_of("phi4-siglip").parse_box("[0.1, 0.1, 0.5, 0.5]", grid) == pytest.approx(
        (40, 20, 200, 100)
    )
    assert family_of("qwen3_vl").parse_box("[100, 100, 500, 500]", grid) == pytest.approx((40, 20, 200, 100))
    assert family_of("gemma3").resized(grid) is None
    assert all(math.isfinite(n) for n in qwen.parse_box("[0, 0, 9999, 9999]", grid))
