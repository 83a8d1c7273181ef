"""The figures about thinking: every number stands where it belongs, and the title says what they say."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from workbench import viz
from workbench.errors import InputError
from workbench.stats import wilson
from workbench.synth import FAMILIES
from workbench.train.evaluate import Scored, summarise
from workbench.viz.style import MODES, Figure


def title(drawn: Figure) -> str:
    return drawn._suptitle.get_text().replace("\n", " ")


def series(drawn: Figure, label: str, panel: int = 0) -> tuple[list[float], list[float]]:
    """x and y of the markers of one series."""
    axes = drawn.axes[panel]
    found = [c for c in axes.containers if c.get_label() == label]
    assert len(found) == 1, [c.get_label() for c in axes.containers]
    x, y = found[0].lines[0].get_data()
    return list(map(float, x)), list(map(float, y))


def row(family: str, mode: str, right: int, n: int, **more: object) -> dict[str, object]:
    low, high = wilson(right, n)
    return {
        "family": family,
        "mode": mode,
        "n": n,
        "right": right,
        "accuracy": right / n,
        "low": low,
        "high": high,
        **more,
    }


def test_every_accuracy_is_drawn_at_its_family(scored: list[Scored]) -> None:
    table = summarise(scored)
    drawn = viz.accuracy(table)
    names = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
    assert names == ["chain", "arrows", "bar_value", "read_sign"]
    places = dict(zip(names, drawn.axes[0].get_yticks(), strict=True))
    for mode, look in MODES.items():
        one = table[table["mode"] == mode]
        x, y = series(drawn, look.label)
        assert x == pytest.approx(list(100 * one["accuracy"]))
        assert y == pytest.approx([places[f] for f in one["family"]], abs=0.3)


def test_the_title_of_accuracy_follows_the_numbers() -> None:
    helps = [row("chain", "nothink", 20, 100), row("chain", "think", 90, 100)]
    assert re.search(r"adds 70 points \(5\d to 7\d\) on several-step questions", title(viz.accuracy(helps)))
    hurts = [row("chain", "nothink", 90, 100), row("chain", "think", 20, 100)]
    assert "costs 70 points" in title(viz.accuracy(hurts))
    same = [row("read_sign", "nothink", 95, 100), row("read_sign", "think", 96, 100)]
    assert title(viz.accuracy(same)) == "Thinking makes no measurable difference on one-look questions"
    both = [*same, row("chain", "nothink", 50, 100), row("chain", "think", 52, 100)]
    assert title(viz.accuracy(both)).endswith("difference on several-step or on one-look questions")


def test_a_model_cards_rows_are_drawn_too(scored: list[Scored]) -> None:
    rows = (
        summarise(scored, by=("family", "domain", "several_steps", "mode")).round(4).to_dict(orient="records")
    )
    assert title(viz.accuracy(rows)) == title(viz.accuracy(summarise(scored)))


def test_families_that_synth_does_not_know_need_to_be_told_apart() -> None:
    rows = [row("documents", "nothink", 5, 10), row("documents", "think", 9, 10)]
    with pytest.raises(InputError, match="several_steps"):
        viz.accuracy(rows)
    assert viz.accuracy([{**one, "several_steps": True} for one in rows])


def test_costs_are_drawn_with_their_own_intervals(scored: list[Scored]) -> None:
    table = viz.costs(scored)
    drawn = viz.cost(table)
    think = table[table["mode"] == "think"]
    assert series(drawn, "thinking")[0] == pytest.approx(list(think["tokens"]))
    assert series(drawn, "thinking", panel=1)[0] == pytest.approx(list(think["seconds"]))
    means = table.groupby("mode")["tokens"].mean()
    assert f"{means['think'] / means['nothink']:.1f} times the tokens" in title(drawn)


def test_a_summary_has_no_interval_of_its_costs_and_gets_none(scored: list[Scored]) -> None:
    drawn = viz.cost(summarise(scored))
    assert not any(container.has_xerr for container in drawn.axes[0].containers)


def test_the_choice_shows_the_share_of_thoughts_and_p_think(scored: list[Scored]) -> None:
    drawn = viz.choice(summarise(scored))
    assert series(drawn, "opened a thought, with 95% interval")[0] == [100, 100, 0, 0]
    line = next(line for line in drawn.axes[0].lines if line.get_label().startswith("mean p_think"))
    assert list(line.get_xdata()) == pytest.approx([90, 90, 10, 10])
    assert "100% of the several-step questions and 0% of the one-look questions" in title(drawn)


def test_families_that_are_always_or_never_thought_about_are_one_row() -> None:
    kinds = {
        "chain": 1.0,
        "arrows": 1.0,
        "gui_links": 1.0,
        "bar_value": 0.0,
        "read_sign": 0.0,
        "gui_find": 0.0,
    }
    table = pd.DataFrame([row(name, "auto", 10, 20, thinks=k, p_think=k) for name, k in kinds.items()])
    names = ["all 3 families, multi-step", "all 3 families, single-step"]
    drawn = viz.choice(table)
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == names
    assert series(drawn, "opened a thought, with 95% interval")[0] == [100, 0]
    low = drawn.axes[0].containers[0].lines[2][0].get_segments()[0][0][0]
    assert low == pytest.approx(100 * wilson(60, 60)[0]), "of all their questions"
    table.loc[0, "thinks"] = 0.5
    names = [text.get_text() for text in viz.choice(table).axes[0].get_yticklabels()]
    assert names == ["chain", "arrows", "gui_links", "all 3 families"]


def test_the_choice_needs_auto(scored: list[Scored]) -> None:
    with pytest.raises(InputError, match="auto"):
        viz.choice(summarise([s for s in scored if str(s.answer.mode) == "think"]))


def budgets(**right: int) -> pd.DataFrame:
    levels = {"zero": 0, "eight": 8, "thirty": 32, "none": None}
    return pd.DataFrame([row("chain", "think", k, 100, budget=levels[name]) for name, k in right.items()])


def test_the_budget_without_a_limit_comes_last_and_the_title_says_what_is_enough() -> None:
    drawn = viz.budget(budgets(none=97, thirty=96, eight=40, zero=20))
    ticks = [text.get_text() for text in drawn.axes[0].get_xticklabels()]
    assert ticks == ["0", "8", "32", "no limit"]
    assert series(drawn, "chain")[1] == pytest.approx([20, 40, 96, 97])
    assert "32 tokens are enough" in title(drawn)
    assert "no smaller budget reaches that" in title(viz.budget(budgets(none=97, eight=40)))


def test_steps_are_drawn_by_family_and_mode(scored: list[Scored]) -> None:
    several = [s for s in scored if FAMILIES[s.sample.family].several_steps]
    table = summarise(several, by=("family", "steps", "mode"))
    drawn = viz.steps(table)
    assert [axes.get_title() for axes in drawn.axes] == list(
        table.sort_values("steps", kind="stable")["family"].unique()
    )
    for panel, axes in enumerate(drawn.axes):
        one = table[(table["family"] == axes.get_title()) & (table["mode"] == "think")].sort_values("steps")
        x, y = series(drawn, "thinking", panel)
        assert np.round(x).tolist() == one["steps"].tolist()
        assert y == pytest.approx(list(100 * one["accuracy"]))


def test_the_title_of_steps_compares_only_what_all_families_have() -> None:
    rows = [row("chain", "nothink", k, 100, steps=s) for s, k in ((2, 90), (3, 60), (5, 10))]
    rows += [row("arrows", "nothink", k, 100, steps=s) for s, k in ((3, 40), (5, 10), (6, 5))]
    assert title(viz.steps(rows)) == "At 3 and at 5 steps the model is right: answered directly, 50% and 10%"
