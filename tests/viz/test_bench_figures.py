"""Figures of benchmark results: what they draw is what the tables say, and the titles are computed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.bench import published, statistics
from workbench.errors import InputError
from workbench.viz import bench as drawn_tables
from workbench.viz import bench as figures


def rows(gain: float = 0.3, n: int = 120) -> list[dict]:
    """Two benchmarks in three modes: thinking helps on the first and changes nothing on the second."""
    rng, found = np.random.default_rng(0), []
    for name, more in (("Maths", gain), ("Signs", 0.0)):
        for i in range(n):
            p = float(np.clip(0.5 + (0.3 if more else -0.3) + rng.normal(0, 0.15), 0, 1))
            right = {"think": rng.random() < 0.5 + more, "nothink": rng.random() < 0.5}
            right["auto"] = right["think" if p >= 0.5 else "nothink"]
            for mode, value in right.items():
                thinks = mode == "think" or (mode == "auto" and p >= 0.5)
                found.append(
                    {
                        "benchmark": name, "item": str(i), "mode": mode, "value": float(value),
                        "model": "nano", "thought": "so" if thinks else None,
                        "tokens": 90.0 if thinks else 3.0, "seconds": 2.0 if thinks else 0.5, "p_think": p,
                    }
                )  # fmt: skip
    return found


def title(drawn) -> str:
    return drawn._suptitle.get_text().replace("\n", " ")


def test_a_forest_has_a_marker_for_each_score_at_its_place() -> None:
    table = statistics.scores(rows())
    axes = figures.forest(table).axes[0]
    points = sorted(x for line in axes.lines if len(line.get_xdata()) == 2 for x in line.get_xdata())
    assert points == pytest.approx(sorted(100 * table["value"]))
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Maths", "Signs"]
    half = 50 * (table["high"] - table["low"]).max()
    assert f"{half:.1f} points either way" in title(figures.forest(table))


def test_a_forest_takes_printed_scores_in_points() -> None:
    table = published.scores().query("entry == 'gemma-3-12b-it'")
    axes = figures.forest(table, series="entry").axes[0]
    assert max(axes.lines[0].get_xdata()) == pytest.approx(80.4)
    with pytest.raises(InputError, match="series='size'"):
        figures.forest(table, series="size")


def test_differences_are_filled_only_where_they_are_found() -> None:
    table = statistics.compare(rows(), mode=("think", "nothink"))
    drawn = figures.differences(table, first="thinking", second="direct")
    assert title(drawn) == "thinking is better than direct on 1 of 2, worse on 0; 1 cannot be told"
    faces = {
        line.get_marker(): line.get_markerfacecolor()
        for line in drawn.axes[0].lines
        if line.get_marker() in "oD"
    }
    assert faces["D"] == "white"
    assert faces["o"] != "white"


def test_the_lens_draws_what_thinking_helps_and_hurts() -> None:
    table = statistics.mode_lens(rows())
    drawn = figures.mode_lens(table)
    widths = [bar.get_width() for bar in drawn.axes[0].patches]
    assert widths[:2] == pytest.approx((100 * table["helps"] / table["n"]).tolist())
    assert widths[2:] == pytest.approx((-100 * table["hurts"] / table["n"]).tolist())
    gap = 100 * (table["oracle"] - table["auto"]).max()
    said = (
        f"Thinking helps on 1 of 2, hurts on 0; choosing each item's better mode would gain up to {gap:.0f} "
    )
    assert title(drawn) == f"{said}points over auto"


def test_a_count_of_none_hurt_stands_clear_of_the_names_of_the_rows() -> None:
    drawn = figures.mode_lens(statistics.mode_lens(rows()).assign(hurts=0))
    drawn.draw_without_rendering()
    left = drawn.axes[0]
    edge = left.get_window_extent().x0
    zeros = [text for text in left.texts if text.get_text() == "0" and text.get_ha() == "right"]
    assert len(zeros) == 2
    assert all(text.get_window_extent().x0 > edge for text in zeros)


def test_a_legend_is_not_wider_than_its_figure() -> None:
    one = [row for row in rows() if row["benchmark"] == rows()[0]["benchmark"]]
    drawn = figures.router(statistics.router_curve(one), statistics.router_gain(one))
    drawn.draw_without_rendering()
    legend = drawn.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= drawn.bbox.x1


def test_a_lens_without_auto_is_drawn_too() -> None:
    table = statistics.mode_lens([row for row in rows() if row["mode"] != "auto"])
    assert table["auto"].isna().all()
    drawn = figures.mode_lens(table)
    drawn.draw_without_rendering()
    assert "over auto" not in title(drawn)


def test_the_front_says_how_sure_its_points_are() -> None:
    table = statistics.pareto(rows(), n_resamples=300)
    drawn = figures.pareto(table)
    texts = [t.get_text() for t in drawn.axes[0].texts]
    assert len(texts) == 3
    assert any(t.startswith("direct\non the front in 100%") for t in texts)
    assert drawn.axes[0].get_xscale() == "log"
    assert "direct" in title(drawn)
    free = table.assign(cost=0.0)
    assert figures.pareto(free).axes[0].get_xscale() == "linear"


def test_the_router_goes_from_never_to_always() -> None:
    curve, gain = statistics.router_curve(rows()), statistics.router_gain(rows())
    drawn = figures.router(curve, gain)
    line = drawn.axes[0].lines[0]
    assert (min(line.get_xdata()), max(line.get_xdata())) == (0, 100)
    assert [axes.get_title() for axes in drawn.axes] == ["Maths", "Signs"]
    assert "On held-out items" in title(drawn)
    assert "held-out" not in title(figures.router(curve))


def test_ranks_of_our_model_are_told_apart() -> None:
    table = published.rank_stability(n_resamples=1000)
    drawn = drawn_tables.rank_stability(table)
    loose = int((table["rank_low"] < table["rank_high"]).sum())
    assert title(drawn).startswith(f"{loose} of 15 ranks are not certain")
    assert {line.get_marker() for line in drawn.axes[0].lines} >= {"s", "o"}


def test_the_reversal_is_in_the_title_only_where_there_is_one() -> None:
    table = published.four_of_ten()
    assert title(drawn_tables.four_of_ten(table)).startswith("Kimi-VL-A3B-Thinking is surely")
    assert title(drawn_tables.four_of_ten(table.assign(reversed=False))).startswith("No entry is surely")


def test_the_chosen_four_are_marked_among_all_choices() -> None:
    table = published.subsets()
    drawn = drawn_tables.benchmark_subsets(table)
    above = int((table["over_others"] > table.loc[table["chosen"], "over_others"].item()).sum())
    assert title(drawn).startswith(f"Of 210 ways to choose 4 benchmarks, {above} are more favourable")
    assert sum(bar.get_height() for bar in drawn.axes[0].patches) == 210


def test_margins_count_what_exceeds_its_error() -> None:
    table = published.modes()
    sure = sum(int((table[f"over_{m}"].abs() > table[f"over_{m}_error"]).sum()) for m in ("think", "nothink"))
    assert title(drawn_tables.mode_margins(table)).startswith(f"{sure} of 20 differences")


@pytest.mark.parametrize(
    "draw",
    [
        figures.forest, figures.differences, figures.mode_lens, figures.pareto, figures.router,
        figures.rank_stability, figures.four_of_ten, figures.benchmark_subsets, figures.mode_margins,
    ],
)  # fmt: skip
def test_a_table_that_is_something_else_is_refused(draw) -> None:
    with pytest.raises(InputError, match="make it with workbench.bench"):
        draw([{"colour": "red", "value": math.nan}])
