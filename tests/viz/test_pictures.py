"""Pictures with boxes and patches: in the pixels of the original picture, on the right picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from workbench import synth, viz
from workbench.answer import Answer
from workbench.errors import CapabilityError, InputError
from workbench.types import PatchGrid, Region, TokenLayout

WIDE, TALL = Image.new("RGB", (96, 48), "white"), Image.new("RGB", (48, 96), "grey")


def answer(*pictures: Image.Image, layout: bool = True) -> Answer:
    grids, start = [], 4
    for i, picture in enumerate(pictures):
        rows, cols = picture.height // 16, picture.width // 16
        grids.append(PatchGrid(i, rows, cols, start, picture.size, (0, 0, *picture.size), cols))
        start += rows * cols + 1
    return Answer(
        text="yes", thought=None, mode="nothink", p_think=0.1, prompt_tokens=start, image_tokens=36,
        thought_tokens=0, answer_tokens=1, seconds=0.1, seconds_to_first_token=0.1, stopped="end",
        layout=TokenLayout(start, tuple(grids)) if layout else None, images=pictures,
    )  # fmt: skip


def frames(axes) -> list[tuple[float, ...]]:
    """The boxes whose corners are drawn."""
    found = [[np.asarray(v)[~np.isnan(v)] for v in line.get_data()] for line in axes.lines]
    return [tuple(float(n) for n in (min(x), min(y), max(x), max(y))) for x, y in found]


def filled(axes) -> list[tuple[float, ...]]:
    return [(*p.get_xy(), p.get_x() + p.get_width(), p.get_y() + p.get_height()) for p in axes.patches]


def test_a_box_is_drawn_on_its_picture_in_its_pixels() -> None:
    drawn = viz.show([WIDE, TALL], boxes={"here": [(10, 20, 30, 40)], "there": [Region((1, 2, 3, 4), 1)]})
    assert frames(drawn.axes[0]) == [(10, 20, 30, 40)]
    assert frames(drawn.axes[1]) == [(1, 2, 3, 4)]
    assert drawn.axes[0].get_xlim() == (0, 96)
    assert drawn.axes[0].get_ylim() == (48, 0)
    assert [t.get_text() for t in drawn.axes[1].get_legend().get_texts()] == ["there"]


def test_no_picture_and_a_box_of_a_missing_picture_are_refused() -> None:
    with pytest.raises(InputError, match="no picture"):
        viz.show([])
    with pytest.raises(InputError, match="box of picture 2"):
        viz.show([WIDE, TALL], boxes={"here": [Region((1, 2, 3, 4), 2)]})


def test_a_sample_shows_its_question_its_answer_and_its_evidence() -> None:
    sample = synth.sample("shape_change", 1, seed=0)[0]
    drawn = viz.show_sample(sample)
    text = drawn._suptitle.get_text()
    assert sample.answer in text
    assert sample.question.split()[0] in text
    assert not frames(drawn.axes[0])
    assert frames(drawn.axes[1])[0] == pytest.approx(sample.boxes[0])


def test_each_patch_shows_its_position() -> None:
    drawn = viz.show_patches(answer(WIDE))
    texts = {t.get_text(): t.get_position() for t in drawn.axes[0].texts}
    assert list(texts) == [str(i) for i in range(4, 22)]
    assert texts["4"] == pytest.approx((0, 0), abs=2)
    assert texts["10"] == pytest.approx((0, 16), abs=2)  # the first patch of the second row
    assert "3 x 6 patches, tokens 4 to 21 of 23" in drawn._suptitle.get_text()


def test_marked_cells_are_the_only_ones_with_a_number() -> None:
    drawn = viz.show_patches(answer(WIDE, TALL), image=1, cells=[(5, 2)])
    assert [t.get_text() for t in drawn.axes[0].texts] == [str(23 + 17)]
    assert filled(drawn.axes[0]) == [(32, 80, 48, 96)]


def test_an_answer_without_a_layout_and_a_wrong_picture_or_cell_are_refused() -> None:
    with pytest.raises(CapabilityError, match="layout"):
        viz.show_patches(answer(WIDE, layout=False))
    with pytest.raises(InputError, match="image=1"):
        viz.show_patches(answer(WIDE), image=1)
    with pytest.raises(InputError, match="row=9"):
        viz.show_patches(answer(WIDE), cells=[(9, 0)])
