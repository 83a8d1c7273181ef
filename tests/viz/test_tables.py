"""The tables behind the figures: counts add up, intervals hold what they should."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workbench import synth
from workbench.errors import InputError
from workbench.stats import wilson
from workbench.train.evaluate import Scored, summarise
from workbench.types import Mode
from workbench.viz.thinking import confusion, costs, difference, gains


def test_costs_are_the_means_with_an_interval_around_them(scored: list[Scored]) -> None:
    table = costs(scored).set_index(["family", "mode"])
    chain = [s.answer for s in scored if s.sample.family == "chain" and s.answer.mode is Mode.THINK]
    row = table.loc[("chain", "think")]
    assert row.tokens == pytest.approx(sum(a.thought_tokens + a.answer_tokens for a in chain) / 20)
    assert row.seconds == pytest.approx(sum(a.seconds for a in chain) / 20)
    assert row.n == 20
    assert bool(row.several_steps)
    assert row.tokens_low < row.tokens < row.tokens_high
    constant = table.loc[("chain", "nothink")]
    assert constant.tokens_low == constant.tokens == constant.tokens_high == 2


def test_costs_are_the_same_each_time(scored: list[Scored]) -> None:
    assert costs(scored).equals(costs(scored))


def test_costs_of_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="no replies"):
        costs([])


def test_the_confusion_counts_every_question_once(make_reply: Callable[..., Scored]) -> None:
    one, two, three = synth.sample("chain", 3, seed=2)
    scored = []
    for sample, direct, thinking, thinks in (
        (one, False, True, True),
        (two, False, True, False),
        (three, True, False, False),
    ):
        scored.append(make_reply(sample, Mode.NOTHINK, right=direct, thinks=False))
        scored.append(make_reply(sample, Mode.THINK, right=thinking, thinks=True))
        scored.append(make_reply(sample, Mode.AUTO, right=True, thinks=thinks))
    table = confusion(scored)
    assert table.to_numpy().sum() == 3
    assert table.loc["helps"].tolist() == [1, 1]
    assert table.loc["hurts"].tolist() == [0, 1]


def test_a_question_that_lacks_a_mode_is_refused(scored: list[Scored]) -> None:
    with pytest.raises(InputError, match="not asked in mode auto"):
        confusion([s for s in scored if s.answer.mode is not Mode.AUTO])


def test_newcombes_interval_is_the_published_one() -> None:
    # Newcombe 1998, example (a): 56/70 against 48/80 gives 0.2000, 0.0524 to 0.3339
    found = difference((56 / 70, *wilson(56, 70)), (48 / 80, *wilson(48, 80)))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_gains_say_only_what_the_interval_allows(scored: list[Scored]) -> None:
    table = gains(summarise(scored)).set_index("family")
    assert table.loc["chain", "says"] == "helps"
    assert table.loc["bar_value", "says"] == "no difference seen"
    assert table["gain"].is_monotonic_decreasing
    assert (table["low"] <= table["gain"]).all()
    assert (table["gain"] <= table["high"]).all()
    swapped = summarise(scored).replace({"mode": {"think": "nothink", "nothink": "think"}})
    assert gains(swapped).set_index("family").loc["chain", "says"] == "hurts"


def test_gains_need_both_modes(scored: list[Scored]) -> None:
    table = summarise(scored)
    with pytest.raises(InputError, match="without both modes"):
        gains(table[table["mode"] != "think"])
