"""Placing grids on hand-made prompts."""

from __future__ import annotations

import pytest

from workbench.models.layout import Block, Misfit, image_positions, place, whole
from workbench.types import TokenLayout

I = 9  # noqa: E741  (the image token)


def test_one_picture():
    layout = place([1, 2, *[I] * 6, 3], {I}, sizes=[(60, 40)], blocks=[[Block(2, 3, whole((60, 40)))]])
    (grid,) = layout.images
    assert (layout.length, layout.image_tokens, layout.tiles) == (9, 6, ())
    assert [grid.position(r, c) for r in range(2) for c in range(3)] == [2, 3, 4, 5, 6, 7]
    assert layout.box(6) == (20.0, 20.0, 40.0, 40.0)
    assert layout.box(1) is None
    assert layout.box(8) is None


def test_newline_tokens_are_no_cells():
    fine = Block(2, 2, whole((10, 10)), overview=False, newline=1)
    layout = place([I] * 7, {I}, sizes=[(10, 10)], blocks=[[Block(1, 1, whole((10, 10))), fine]])
    (grid,) = layout.tiles
    assert [grid.position(r, c) for r in range(2) for c in range(2)] == [1, 2, 4, 5]
    assert [layout.locate(p) is None for p in range(7)] == [False, False, False, True, False, False, True]
    assert grid.row_stride == 3


def test_trailing_tokens_belong_to_no_cell():
    blocks = [Block(1, 2, whole((10, 10)), trailing=1)]
    layout = place([I, I, I, 5, I, I, I], {I}, sizes=[(10, 10)] * 2, blocks=[blocks, blocks])
    assert [g.start for g in layout.images] == [0, 4]
    assert layout.locate(2) is None
    assert layout.locate(6) is None


def test_tiles_and_overview_of_two_pictures():
    left = Block(1, 2, (0, 0, 5, 10), overview=False)
    right = Block(1, 2, (5, 0, 10, 10), overview=False)
    over = Block(1, 2, whole((10, 10)))
    ids = [7, I, I, 7, I, I, 8, I, I, 1, I, I]
    layout = place(ids, {I}, sizes=[(10, 10), (10, 10)], blocks=[[left, right, over], [over]])
    assert [(g.image, g.start) for g in layout.images] == [(0, 7), (1, 10)]
    assert [(g.image, g.start) for g in layout.tiles] == [(0, 1), (0, 4)]
    assert [g.start for g in layout.grids] == [1, 4, 7, 10]
    assert layout.box(5) == (7.5, 0.0, 10.0, 10.0)


def test_a_region_may_reach_past_the_picture():
    layout = place([I] * 4, {I}, sizes=[(10, 20)], blocks=[[Block(2, 2, (-5.0, 0.0, 15.0, 20.0))]])
    assert layout.box(0) == (-5.0, 0.0, 5.0, 10.0)
    assert layout.images[0].at(7, 15) == (1, 1)


def test_text_only():
    assert place([1, 2], {I}, sizes=[], blocks=[]) == TokenLayout(2)


@pytest.mark.parametrize("ids", [[I] * 5, [I] * 7, []])
def test_another_number_of_tokens_is_a_bug(ids):
    with pytest.raises(Misfit, match=f"{len(ids)} image tokens in the prompt, 6 on the grids"):
        place(ids, {I}, sizes=[(6, 4)], blocks=[[Block(2, 3, whole((6, 4)))]])


def test_a_torn_grid_is_a_bug():
    with pytest.raises(Misfit, match="not in one piece"):
        place([I, I, 1, I, I], {I}, sizes=[(6, 4)], blocks=[[Block(2, 2, whole((6, 4)))]])


def test_positions():
    assert image_positions([1, I, 2, 8, I], {I, 8}) == [1, 3, 4]


def test_layout_survives_json():
    layout = place(
        [I] * 7,
        {I},
        sizes=[(10, 10)],
        blocks=[[Block(1, 1, (0.0, 0.0, 9.5, 10.0)), Block(2, 2, whole((10, 10)), False, 1)]],
    )
    assert TokenLayout.from_dict(layout.to_dict()) == layout
