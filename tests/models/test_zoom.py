"""Zoom: the window that stands out, the pixels under it, and a question asked with them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import workbench
from workbench.answer import Answer
from workbench.attention import GENERIC, make_attention
from workbench.errors import InputError
from workbench.models import zoom
from workbench.models.vlm import VLM

sys.path.append(str(Path(__file__).parents[1] / "interpret"))

from attribution_cases import record, tiny_families, tiny_vlm  # noqa: E402


@pytest.fixture(scope="module")
def nano() -> VLM:
    return workbench.load()


@pytest.fixture(scope="module")
def sample() -> workbench.synth.Sample:
    return workbench.synth.sample("gui_find", 1, seed=3)[0]


def test_the_window_is_the_brightest_part_of_a_map() -> None:
    values = np.full((12, 16), 0.1)
    values[3:6, 8:12] = 2.0
    sharpness, rows, cols = zoom.best_window(values)
    assert (rows, cols) == (slice(3, 6), slice(8, 12))
    inside = values[3:6, 8:12].sum()
    shifted = [
        values[3 + dy : 6 + dy, 8 + dx : 12 + dx].sum() for dy in (-2, 0, 2) for dx in (-2, 0, 2) if dy or dx
    ]
    assert sharpness == pytest.approx(inside - np.mean(shifted))


def test_a_broad_finding_gets_a_larger_window_and_an_even_map_none_that_stands_out() -> None:
    values = np.full((12, 16), 0.1)
    values[3:9, 4:12] = 2.0
    _, rows, cols = zoom.best_window(values)
    assert (rows, cols) == (slice(3, 9), slice(4, 12))
    assert zoom.best_window(np.ones((12, 16)))[0] == pytest.approx(0)
    assert zoom.best_window(np.ones((1, 1)))[1:] == (slice(0, 1), slice(0, 1))


def looked(values: np.ndarray) -> tuple[Answer, Answer]:
    """An answer whose relative attention is a map made by hand, and the generic one."""
    rows, cols = values.shape
    both = []
    for cells in (values, np.ones_like(values)):
        weights = np.zeros((1, 1, 2, rows * cols + 2))
        weights[..., 1 : 1 + rows * cols] = cells.ravel()
        attention = make_attention(weights, grid=(rows, cols), size=(160, 120), before=1, after=0, reply=2)
        both.append(replace(record((rows, cols), size=(160, 120)), captured=attention))
    return both[0], both[1]


def test_crops_lie_where_the_question_looks_and_do_not_repeat() -> None:
    values = np.full((12, 16), 0.1)
    values[3:6, 8:12], values[9:12, 0:4] = 2.0, 1.0
    one, two = zoom.find_crops(*looked(values), 2)
    assert one == zoom.Crop(0, (80, 30, 120, 60))
    x1, y1, x2, y2 = two.box
    assert (x1, y2) == (0, 120)
    assert x2 >= 40
    assert y1 <= 90  # the other bright part, in the corner
    assert x2 <= 80  # and nothing of the first


def test_asking_with_zoom_is_asking_with_the_crop_beside_the_whole(nano: VLM, sample, tmp_path) -> None:
    zoomed = nano.ask(sample.images, sample.question, mode="nothink", max_tokens=40, zoom=True)
    ((image, *box),) = zoomed.settings["zoom"]
    assert image == 0
    assert len(zoomed.images) == 2
    crop = sample.images[0].crop(tuple(box))
    assert crop.size == zoomed.images[1].size
    same = nano.ask([*sample.images, crop], sample.question, mode="nothink", max_tokens=40)
    assert zoomed.token_ids == same.token_ids
    look = {"mode": "nothink", "max_tokens": 8, "capture": True}
    own, generic = (nano.ask(sample.images, asked, **look) for asked in (sample.question, GENERIC))
    values = own.attention.relative(generic.attention)
    _, rows, cols = zoom.best_window(values)
    x1, y1, *_ = own.layout.images[0].box(rows.start, cols.start)
    assert tuple(box[:2]) == (int(x1), int(y1))
    assert Answer.load(zoomed.save(tmp_path / "zoomed")).settings["zoom"] == zoomed.settings["zoom"]


def test_several_crops_and_a_model_of_another_family(tmp_path_factory: pytest.TempPathFactory) -> None:
    vlm = tiny_vlm("qwen2.5-vl", tmp_path_factory)
    picture = tiny_families.picture(180, 140, seed=2)
    zoomed = vlm.ask(picture, "What is this?", max_tokens=3, zoom=np.int64(2))
    assert 1 <= len(zoomed.settings["zoom"]) <= 2
    assert len(zoomed.images) == 1 + len(zoomed.settings["zoom"])
    assert "zoom" not in vlm.ask(picture, "What is this?", max_tokens=3, zoom=False).settings


def test_what_cannot_be_zoomed_is_named(nano: VLM, sample) -> None:
    for wrong, message in (
        (lambda: nano.ask(None, "What is this?", zoom=True), "without an image"),
        (lambda: nano.ask(sample.images, "What?", zoom=9), "zoom=9"),
        (lambda: nano.ask(sample.images, "What?", zoom=-1), "zoom=-1"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
