"""The microscope says what survives a resize, by criteria that can be checked"""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from workbench.ablate.microscope import RIGHT, microscope, read_back, readable_height
from workbench.ablate.resolution import FEEDINGS
from workbench.errors import InputError


@pytest.fixture(scope="module")
def page():
    picture = Image.new("RGB", (1600, 1200), "white")
    return picture, microscope(picture, budget=3096)


def test_every_method_is_looked_at_once(page):
    _, record = page
    assert [r.method for r in record.readings] == list(FEEDINGS)
    table = record.frame()
    assert (table["tokens"] <= 3096).all()
    assert table["effective"].between(0, 1).all()


def test_fewer_pixels_mean_taller_text(page):
    _, record = page
    ordered = sorted(record.readings, key=lambda r: r.effective)
    heights = [r.smallest_text for r in ordered]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] > 1.5 * heights[-1]


def test_letters_are_read_at_the_height_found_and_not_at_two_thirds_of_it():
    height = readable_height(1.0, 1.0)
    assert read_back((height, height), seed=1) >= RIGHT - 0.04
    assert read_back((height * 2 / 3, height * 2 / 3), seed=1) < RIGHT - 0.04


def test_half_the_pixels_a_side_need_twice_the_height():
    assert readable_height(0.5, 0.5) == pytest.approx(2 * readable_height(1.0, 1.0))
    assert readable_height(3.0, 3.0) == readable_height(1.0, 1.0)
    assert readable_height(1.0, 0.5) >= readable_height(1.0, 1.0)


def test_two_targets_of_the_smallest_size_never_share_a_token(page):
    _, record = page
    for reading in record.readings:
        block = reading.feed.blocks[-1]
        cell = (block.region[2] - block.region[0]) / block.cols
        side = reading.smallest_target
        assert side >= cell - 1e-6
        for step in range(20):
            x = step * cell / 20
            assert int(x / cell) != int((x + side + 1e-6) / cell)


def test_a_method_is_found_by_its_published_label(page):
    assert page[1]["Multi-crop"].method == "multi_crop"
    with pytest.raises(InputError, match="method"):
        microscope(page[0], methods=["multi_crop"])["dynamic_s2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ["fovea"]}, "method='fovea'"),
        ({"methods": []}, "methods"),
        ({"budget": 3, "methods": ["dynamic_resolution"]}, "at least 16 tokens"),
        ({"budget": 100, "methods": ["multi_crop"], "tile": 24}, "at least 576 tokens"),
    ],
)
def test_bad_options_are_refused(page, options, words):
    with pytest.raises(InputError, match=words):
        microscope(page[0], **options)


def test_an_empty_picture_is_refused():
    with pytest.raises(InputError):
        microscope(Image.new("RGB", (0, 0)))


def test_plans_need_no_torch():
    code = (
        "import sys; from workbench.ablate.microscope import microscope;"
        "from workbench.ablate.resolution import feed; feed((900, 700), 3096, method='multi_crop_s2');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
