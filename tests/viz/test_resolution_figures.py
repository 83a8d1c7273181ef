"""Figures of the ways to feed a picture: what they draw, what their titles find, what they refuse"""

from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image

from workbench.ablate import microscope as module_or_function
from workbench.ablate.cost import Shape, cost_table
from workbench.ablate.microscope import Microscope, Reading
from workbench.ablate.resolution import FEEDINGS, feed
from workbench.bench.published import resolution
from workbench.errors import InputError
from workbench.viz import resolution as figures

SIZE = (1600, 1000)


@pytest.fixture(scope="module")
def record():
    plans = [feed(SIZE, 3096, method=method) for method in FEEDINGS]
    readings = [Reading(plan, 4.0 / min(1.0, *plan.density), max(plan.cell)) for plan in plans]
    return Microscope(SIZE, 3096, tuple(readings))


def title(drawn):
    return " ".join(drawn.get_suptitle().split())


def test_the_microscope_draws_every_crop_and_names_the_best(record):
    drawn = figures.microscope(Image.new("RGB", SIZE, "white"), record)
    drawn.canvas.draw()
    assert len(drawn.axes) == len(FEEDINGS)
    for panel, reading in zip(drawn.axes, record.readings, strict=True):
        assert len(panel.patches) == len(reading.feed.crops) + 1
        assert reading.label in panel.get_title(loc="left")
    best = min(record.readings, key=lambda r: r.smallest_text)
    assert best.label in title(drawn)


def test_the_room_s_name_is_the_function():
    assert callable(module_or_function)


def test_another_picture_than_the_record_s_is_refused(record):
    with pytest.raises(InputError, match="1600x1000"):
        figures.microscope(Image.new("RGB", (20, 20)), record)


def test_what_survives_is_counted_over_pictures(record):
    drawn = figures.survives({"screen": record, "again": record})
    drawn.canvas.draw()
    assert "2 of 2 pictures" in title(drawn)
    with pytest.raises(InputError):
        figures.survives({})


def test_costs_name_the_method_with_the_dearest_tower():
    shape = Shape(96, 256, 4, 16, 128, 384, 4, 8, 2, 300)
    table = cost_table(shape, [feed(SIZE, 3096, method=method) for method in FEEDINGS])
    drawn = figures.resolution_costs(table)
    drawn.canvas.draw()
    share = (table["tower_flops"] / table["prompt_flops"]).max()
    assert f"{share:.0%}" in title(drawn)


def test_the_published_comparison_says_where_the_best_stands_clear():
    drawn = figures.published_resolution(resolution())
    drawn.canvas.draw()
    assert "only on ScreenSpot_Pro" in title(drawn)
    level = resolution().assign(low=0.0, high=100.0)
    assert "nowhere" in title(figures.published_resolution(level))


@pytest.mark.parametrize("draw", [figures.resolution_costs, figures.published_resolution])
def test_a_table_without_its_columns_is_refused(draw):
    with pytest.raises(InputError, match="columns"):
        draw(pd.DataFrame({"method": ["a"]}))
