"""Figures of recorded runs draw every run, and the mean with its interval."""

from __future__ import annotations

import pandas as pd
import pytest

from workbench.ablate.studies import interval
from workbench.errors import InputError
from workbench.viz import ablate as figures
from workbench.viz.style import MODES

VALUES = pd.DataFrame(
    [
        {"share": share, "mode": mode, "domain": domain, "accuracy": 0.2 + 0.5 * share + 0.01 * seed}
        for share in (0.0, 0.5, 1.0)
        for mode in ("think", "nothink")
        for domain in ("maths", "general")
        for seed in range(3)
    ]
)


def test_lines_go_through_the_means_and_every_run_is_a_dot() -> None:
    drawn = figures.runs_by_amount(
        VALUES, "share", value="accuracy", line="mode", label="share", title="It rises", panel="domain"
    )
    assert [axes.get_title() for axes in drawn.axes] == ["maths", "general"]
    dots = [line for line in drawn.axes[0].lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [9, 9]
    line = drawn.axes[0].containers[0][0]
    assert line.get_ydata() == pytest.approx([0.21, 0.46, 0.71])
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["thinking", "direct"]
    assert "It rises" in drawn._suptitle.get_text()


def test_lines_stand_beside_one_another_and_keep_to_their_amount() -> None:
    drawn = figures.runs_by_amount(VALUES, "share", value="accuracy", line="mode", label="share", title="x")
    first, second = (bars[0].get_xdata() for bars in drawn.axes[0].containers)
    assert (second - first > 0.02).all()
    assert abs((first + second) / 2 - [0.0, 0.5, 1.0]).max() < 1e-9
    assert (second - first < 0.25).all(), "nearer to its own amount than to the next"


def test_panels_of_one_quantity_have_one_colour_and_modes_their_own() -> None:
    drawn = figures.runs_by_kind(VALUES, "share", value="accuracy", panel="domain", title="x")
    assert len({axes.containers[0][0].get_color() for axes in drawn.axes}) == 1
    drawn = figures.runs_by_kind(VALUES, "share", value="accuracy", panel="mode", title="x")
    assert [axes.get_title() for axes in drawn.axes] == ["thinking", "direct"]
    assert [axes.containers[0][0].get_color() for axes in drawn.axes] == [
        MODES["think"].colour,
        MODES["nothink"].colour,
    ]


def test_kinds_stand_below_each_other_with_their_interval() -> None:
    drawn = figures.runs_by_kind(
        VALUES, "share", value="accuracy", panel="domain", title="x", order=[1.0, 0.0]
    )
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == ["1.0", "0.0"]
    low = drawn.axes[0].containers[0][2][0].get_segments()[0][0][0]
    runs = VALUES[(VALUES["share"] == 1.0) & (VALUES["domain"] == "maths")]["accuracy"]
    assert low == pytest.approx(interval(runs)[1])


def test_an_interval_is_drawn_only_as_far_as_shares_go() -> None:
    wide = pd.DataFrame({"share": 0.0, "domain": "maths", "accuracy": [0.02, 0.5, 0.98]})
    assert interval(wide["accuracy"])[1] < 0 < 1 < interval(wide["accuracy"])[2]
    drawn = figures.runs_by_kind(wide, "share", value="accuracy", panel="domain", title="x")
    (low, _), (high, _) = drawn.axes[0].containers[0][2][0].get_segments()[0]
    assert (low, high) == pytest.approx((0, 1))
    drawn = figures.runs_by_amount(wide, "share", value="accuracy", line="domain", label="share", title="x")
    (_, low), (_, high) = drawn.axes[0].containers[0][2][0].get_segments()[0]
    assert (low, high) == pytest.approx((0, 1))


def test_a_single_run_has_no_bar() -> None:
    one = VALUES.drop_duplicates(["share", "domain"])
    assert figures.runs_by_kind(one, "share", value="accuracy", panel="domain", title="x").axes
    assert figures.runs_by_amount(
        one, "share", value="accuracy", line="domain", label="share", title="x"
    ).axes
    with pytest.raises(InputError, match="'mode'"):
        figures.runs_by_amount(
            one.drop(columns="mode"), "share", value="accuracy", line="mode", label="x", title="x"
        )
