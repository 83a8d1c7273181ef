"""Regions: what is hidden together, where each number of the picture tensor lies, values as maps."""

from __future__ import annotations

import numpy as np
import pytest
from attribution_cases import MODELS, ask, record, tiny_vlm
from PIL import Image

from workbench.errors import InputError
from workbench.interpret.regions import make_regions
from workbench.interpret.scoring import Scorer
from workbench.types import Region


def test_patches_are_the_cells_of_all_pictures_in_order() -> None:
    answer = record((3, 4), (2, 2))
    regions = make_regions(answer, "patches")
    assert (len(regions), regions.kind) == (16, "patches")
    values = np.arange(16.0)
    first, second = regions.maps(values, answer.layout.images)
    np.testing.assert_array_equal(first, np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(second, np.arange(12, 16).reshape(2, 2))
    np.testing.assert_allclose(regions.pool((first, second), answer.layout.images), values)
    np.testing.assert_allclose(regions.sizes(answer.layout.images), 1.0)
    assert regions.images().tolist() == [0] * 12 + [1] * 4


def test_a_grid_divides_every_picture_alike() -> None:
    answer = record((4, 4), (2, 4))
    regions = make_regions(answer, (2, 2))
    assert len(regions) == 8
    first, second = regions.maps(np.arange(8.0), answer.layout.images)
    np.testing.assert_array_equal(first, np.kron([[0, 1], [2, 3]], np.ones((2, 2))))
    np.testing.assert_array_equal(second, [[4, 4, 5, 5], [6, 6, 7, 7]])


def test_a_cell_between_two_regions_shows_their_mean() -> None:
    answer = record((1, 2))
    (shown,) = make_regions(answer, (1, 4)).maps(np.array([1.0, 3.0, 0.0, 8.0]), answer.layout.images)
    np.testing.assert_allclose(shown, [[2.0, 4.0]])


def test_superpixels_cover_the_picture_and_are_the_same_every_time() -> None:
    answer = record((4, 4), size=(64, 48), seed=5)
    one, two = (make_regions(answer, "superpixels", superpixels=12) for _ in range(2))
    np.testing.assert_array_equal(one.labels[0], two.labels[0])
    assert set(np.unique(one.labels[0])) == set(range(len(one)))
    assert 4 <= len(one) <= 24
    np.testing.assert_allclose(one.sizes(answer.layout.images).sum(), 16)


def test_overlapping_boxes_hide_what_any_of_them_covers() -> None:
    answer = record((4, 4), size=(40, 40))
    regions = make_regions(answer, [(0, 0, 20, 20), Region((10, 10, 40, 40))])
    assert (len(regions), regions.atoms) == (2, 3)
    hidden = regions.hidden_atoms(np.array([[True, False], [False, True], [True, True], [False, False]]))
    x, y = np.array([5.0, 15.0, 30.0, 35.0]), np.array([5.0, 15.0, 30.0, 5.0])
    atoms = regions.atoms_at(0, x, y)  # the first box alone, both, the second alone, neither
    assert atoms[3] == -1
    assert hidden[:, atoms[:3]].tolist() == [[1, 1, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0]]
    (shown,) = regions.maps(np.array([2.0, 4.0]), answer.layout.images)
    assert [shown[0, 0], shown[1, 1], shown[3, 3], shown[0, 3]] == [2, 3, 4, 0]


def test_a_box_belongs_to_its_picture() -> None:
    answer = record((2, 2), (2, 2), size=(20, 20))
    regions = make_regions(answer, [Region((0, 0, 10, 10), image=1)])
    first, second = regions.maps(np.array([1.0]), answer.layout.images)
    assert not first.any()
    np.testing.assert_array_equal(second, [[1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ("stripes", "superpixels"),
        ((0, 3), "at least one row"),
        ((41, 3), "40x40 pixels"),
        ([], "no box"),
        ([(5, 5, 2, 9)], "x1 < x2"),
        ([(50, 50, 60, 60)], "40x40 pixels"),
        ([Region((0, 0, 5, 5), image=2)], "image in 0..0"),
        ([Region((0.6, 0.6, 0.9, 0.9))], "no pixel"),
        (3.5, "patches"),
        ([("a", "b", "c", "d")], "patches"),
    ],
)
def test_regions_that_cannot_be_are_refused(regions, words) -> None:
    with pytest.raises(InputError, match=words):
        make_regions(record((4, 4), size=(40, 40)), regions)


def test_an_answer_without_a_picture_has_no_regions() -> None:
    with pytest.raises(InputError, match="no picture"):
        make_regions(record())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("box", [(8, 8, 40, 24), (56, 40, 90, 70)])
def test_places_of_pixels_are_where_a_painted_box_changes_them(name, box, tmp_path_factory) -> None:
    """Nothing of the box reaches elements that lie 6 pixels outside it, and all inside it change."""
    answer = ask(vlm := tiny_vlm(name, tmp_path_factory))
    scorer = Scorer(vlm, answer, "reply")
    painted = answer.images[0].copy()
    painted.paste((255, 0, 255), box)
    lit = Image.new("RGB", painted.size)
    lit.paste((255, 255, 255), box)
    black, white = (scorer.prompt.process([p]).numpy() for p in (Image.new("RGB", lit.size), lit))
    changed, places = np.abs(white - black) > 0.05, scorer.pixel_map
    real = places.image == 0
    assert real.mean() > 0.3, "most of the tensor is measured"

    def inside(margin: float) -> np.ndarray:
        x1, y1, x2, y2 = box
        right = x2 + 99 if x2 == 90 else x2 - margin  # the picture's edge is no edge of the box
        below = y2 + 99 if y2 == 70 else y2 - margin
        return (places.x > x1 + margin) & (places.x < right) & (places.y > y1 + margin) & (places.y < below)

    assert changed[real & inside(6)].all(), "an element inside the box did not change"
    assert not changed[real & ~inside(-6)].any(), "an element outside the box changed"
    assert (real & inside(6)).sum() > 20


def test_a_label_image_divides_a_picture_as_it_says() -> None:
    answer = record((3, 4))
    labels = np.full((30, 40), -1)
    labels[:10, :20], labels[20:, 20:] = 7, 2
    regions = make_regions(answer, labels)
    assert (len(regions), regions.kind) == (2, "labels")
    (shown,) = regions.maps(np.array([1.0, 5.0]), answer.layout.images)
    np.testing.assert_array_equal(shown, [[5, 5, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]])
    two = make_regions(record((3, 4), (3, 4)), [labels, Image.fromarray(np.zeros((30, 40), np.uint8))])
    assert len(two) == 3
    assert two.images().tolist() == [0, 0, 1]


def test_masks_may_overlap_and_come_as_segment_anything_gives_them() -> None:
    answer = record((3, 4))
    masks = np.zeros((2, 30, 40), dtype=bool)
    masks[0, :, :20], masks[1, :, 10:] = True, True
    regions = make_regions(answer, masks)
    assert (len(regions), regions.atoms, regions.kind) == (2, 3, "masks")
    hidden = regions.hidden_atoms(np.array([[True, False], [False, True]]))
    assert hidden.sum(axis=1).tolist() == [2, 2]
    (shown,) = regions.maps(np.array([1.0, 3.0]), answer.layout.images)
    np.testing.assert_array_equal(shown, [[1, 2, 3, 3]] * 3)
    again = make_regions(answer, [{"segmentation": mask, "area": int(mask.sum())} for mask in masks])
    np.testing.assert_array_equal(again.labels[0], regions.labels[0])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((29, 40), dtype=int), "label images of shapes"),
        (np.full((30, 40), -1), "without a label"),
        (np.zeros((2, 30, 40), dtype=bool), "some of them empty"),
        (np.ones((2, 30, 41), dtype=bool), r"bool \[regions, 30, 40\]"),
        ([np.ones((30, 40), bool), np.ones((2, 2), bool)], "masks of shapes"),
        (np.ones((30, 40)), "label image, or masks"),
    ],
)
def test_labels_and_masks_that_do_not_fit_are_refused(given, says) -> None:
    with pytest.raises(InputError, match=says):
        make_regions(record((3, 4)), given)
