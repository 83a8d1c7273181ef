"""Figures of the inside say what the records hold: on records made by hand, without a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from workbench.answer import Answer
from workbench.attention import make_attention
from workbench.errors import InputError
from workbench.interpret.effects import Knockout, Patching
from workbench.interpret.lens_record import LogitLens
from workbench.interpret.thought import ModePair, timeline
from workbench.types import Mode, Region
from workbench.viz import inside, lens

WORDS = {0: " red", 1: " blue", 2: "<think>", 3: "$x_1$", 4: "a very long word indeed"}


def make_answer(
    *, thought: int = 5, words: tuple[str, ...] = (" A", ".", " B", ".", " ", " $x_1$")
) -> Answer:
    """A reply about a picture of 3 x 4 patches of ten pixels."""
    attention = make_attention(layers=2, heads=2, reply=len(words), thought=thought, words=words, seed=3)
    return Answer(
        text=words[-1].strip(),
        thought="".join(words[:thought]) if thought else None,
        mode=Mode.THINK if thought else Mode.NOTHINK,
        p_think=0.9,
        prompt_tokens=16,
        image_tokens=12,
        thought_tokens=thought,
        answer_tokens=len(words) - thought,
        seconds=0.1,
        seconds_to_first_token=0.1,
        stopped="end",
        token_ids=tuple(i % 5 for i in range(16 + len(words))),
        spans=attention.spans,
        layout=attention.layout,
        question="Which?",
        images=(Image.new("RGB", (40, 30), "black"),),
        captured=attention,
    )


def make_lens(odds: tuple[float, ...] = (0.5, -1.0, 2.0, 3.0), seed: int = 0) -> LogitLens:
    """Layers 0 to 3; every patch says " red" but for the first, which says " blue" from layer 2 on."""
    answer = make_answer()
    count, layers, rng = len(answer.token_ids), len(odds), np.random.default_rng(seed)
    ids = rng.integers(0, 5, (layers, count, 2))
    ids[:, 2:14] = (0, 1)
    ids[2:, 2] = (1, 0)
    probabilities = np.sort(rng.uniform(0, 0.5, (layers, count, 2)))[..., ::-1].astype(np.float32)
    decision = pd.DataFrame(
        {"layer": range(layers), "think": "<think>", "other": "<no>", "p_think": 0.5, "p_other": 0.1}
    ).assign(log_odds=odds)
    ranks = np.ones((layers, count), dtype=np.int32)
    ranks[2:] = 0
    return LogitLens(
        answer=answer,
        positions=np.arange(count),
        top_ids=ids.astype(np.int32),
        top_probabilities=probabilities,
        next_log_probabilities=np.log(rng.uniform(0.01, 1, (layers, count))).astype(np.float32),
        next_ranks=ranks,
        words=WORDS,
        decision=decision,
        model="by hand",
    )


def title(figure: Figure) -> str:
    return figure.get_suptitle().replace("\n", " ")


def words_on(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_the_sheet_writes_a_word_once_for_neighbours_that_say_it() -> None:
    read = make_lens()
    drawn = lens.lens_sheet(read, layers=[1, 2], least=0)
    first, second = drawn.axes[:2]
    assert words_on(first) == ["red"] * 3  # a word a row
    assert sorted(words_on(second)) == ["blue", "red", "red", "red"]
    assert (first.get_title(), second.get_title()) == ("layer 1", "layer 2")
    said = [read.says(layer).probabilities.mean() for layer in (1, 2)]
    assert f"{100 * said[0]:.0f}% at layer 1 and {100 * said[1]:.0f}% at layer 2" in title(drawn)
    assert words_on(lens.lens_sheet(read, layers=[1], least=0.99).axes[0]) == []


def test_the_sheet_takes_four_layers_of_many_and_all_of_few() -> None:
    names = [axes.get_title() for axes in lens.lens_sheet(make_lens()).axes[:4]]
    assert names == ["layer 0 (projector)", "layer 1", "layer 2", "layer 3 (last)"]
    many = make_lens(tuple(range(1, 42)))
    assert [a.get_title().split()[1] for a in lens.lens_sheet(many).axes[:4]] == ["0", "13", "27", "40"]


def test_a_small_patch_gets_no_unreadable_word() -> None:
    read = make_lens()
    grid = replace(read.answer.layout.images[0], size=(4000, 3000), region=(0.0, 0.0, 400.0, 300.0))
    layout = replace(read.answer.layout, images=(grid,))
    large = replace(read.answer, images=(Image.new("RGB", (4000, 3000)),), layout=layout)
    drawn = lens.lens_sheet(replace(read, answer=large), layers=[2], least=0)
    assert all(text.get_fontsize() >= 3 for text in drawn.axes[0].texts)


def test_the_table_shows_what_was_likeliest_where_each_token_was_written() -> None:
    read = make_lens()
    drawn = lens.lens_table(read)
    axes = drawn.axes[0]
    assert len(axes.texts) == 6 * 4
    table = read.written(16)
    assert words_on(axes)[:4] == [
        str(w).strip()[:11] + "…" if len(w) > 12 else w.strip() for w in table["says"]
    ]
    np.testing.assert_allclose(axes.images[0].get_array()[0], table["probability"])
    assert "6 of 6 tokens are the likeliest before the last layer" in title(drawn)
    assert "on the median from layer 2 of 3" in title(drawn)
    drawn.savefig("/dev/null", format="png")  # "$x_1$" is a word, not mathematics


def test_the_decision_of_one_question_and_of_groups() -> None:
    one = lens.decision(make_lens())
    assert list(one.axes[0].lines[1].get_ydata()) == [0.5, -1.0, 2.0, 3.0]
    assert "100% think, the sign of 95% stays from layer 2 on" in title(one)
    groups = {
        "steps": [make_lens((0.5, 1, 2, 3)), make_lens((0.5, 3, 4, 5))],
        "looks": [make_lens((0.5, 1, -1, -2))],
    }
    drawn = lens.decision(groups)
    means = [line for line in drawn.axes[0].lines if line.get_label() == "steps"]
    assert list(means[0].get_ydata()) == [0.5, 2, 3, 4]
    assert "steps: 100% think, the sign of 95% stays from layer 1 on" in title(drawn)
    assert "looks: 0% think, the sign of 95% stays from layer 2 on" in title(drawn)


def make_patching(moved: tuple[float, ...]) -> Patching:
    answer = make_answer()
    table = pd.DataFrame({"layer": range(len(moved)), "own": -1.0, "other": -2.0, "moved": moved})
    return Patching(answer, answer, Region((0, 0, 10, 10)), (2,), "reply", table, (-1.0, -5.0), (-5.0, -1.0))


def test_patching_says_how_far_and_from_where_on_it_is_too_late() -> None:
    drawn = inside.patching(make_patching((0.9, 1.0, 0.2, 0.0)))
    assert (
        title(drawn) == "A patch moves the answer up to 1.00 of the way, and comes too late from layer 2 on"
    )
    several = inside.patching({"links": [make_patching((1.0, 0.0)), make_patching((0.8, 0.0))]})
    assert "Links: a patch moves the answer up to 0.90 (0.80 to 1.00)" in title(several)
    assert list(several.axes[0].lines[2].get_ydata()) == pytest.approx([0.9, 0.0])
    never = inside.patching(make_patching((1.0, 1.0)))
    assert "too late" not in title(never)


def test_a_knock_out_shows_what_would_be_written_instead() -> None:
    after = np.array([0.0, -4.0, 0.5])
    said, words = (" a", " $y_2$", " c"), (" a", " b", " c")
    places = ((2, 3), (16, 17, 18), (0, 1), np.arange(17, 20))
    cut = Knockout(make_answer(), *places, np.zeros(3), after, said, words)
    drawn = inside.knockout(cut)
    axes = drawn.axes[0]
    assert words_on(axes) == ["$y_2$"]
    assert [patch.get_height() for patch in axes.patches] == [0.0, -0.5, 4.0]
    assert title(drawn) == (
        "3 positions without sight of 2: the reply loses 3.5 nats, 1 of 3 tokens would change"
    )
    drawn.savefig("/dev/null", format="png")


def test_the_matrix_holds_means_and_intervals_and_its_title_the_diagonal() -> None:
    rows = [(j, i, (4.0 if i == j else 0.0) + 0.1 * n) for j in (0, 1) for i in (0, 1) for n in (0, 1, 2)]
    drawn = inside.knockout_matrix(pd.DataFrame(rows, columns=["hidden", "step", "drop"]))
    np.testing.assert_allclose(drawn.axes[0].images[0].get_array(), [[4.1, 0.1], [0.1, 4.1]])
    assert words_on(drawn.axes[0])[0].startswith("4.1\n(")
    assert "own evidence is worth 4.1" in title(drawn)
    assert "another step's 0.1" in title(drawn)


def test_the_thought_is_drawn_sentence_by_sentence_with_its_boxes() -> None:
    answer = make_answer()
    table = timeline(answer, boxes=[(0, 0, 10, 10), None], sinks=False)
    drawn = inside.thought(table, answer)
    assert len(drawn.axes) == 3 * 2
    picture, text, bars = drawn.axes[:3]
    assert [line.get_label() for line in picture.lines] == ["the step's evidence"]
    assert [patch.get_label() for patch in picture.patches] == ["looked at"]
    assert "1. A." in words_on(text)[0]
    assert ("looks at its evidence" in words_on(text)[0]) == bool(table["hit"].iloc[0])
    assert bars.patches[0].get_width() == pytest.approx(100 * table["share"].iloc[0])
    assert "of 1 sentences look at their own step's evidence (8% by chance)" in title(drawn)
    assert "evidence" not in title(inside.thought(timeline(answer), answer))
    assert "(the first 1 of 2 shown)" in title(inside.thought(table, answer, most=1))


def test_paired_maps_are_drawn_on_one_scale_with_their_difference() -> None:
    pair = ModePair(make_answer(), make_answer(thought=0, words=(" $x_1$",)))
    drawn = inside.mode_pair(pair, 0)
    assert [axes.get_title() for axes in drawn.axes if axes.get_title()] == [
        "thinking", "direct", "thinking minus direct"
    ]  # fmt: skip


def test_what_cannot_be_drawn_is_named() -> None:
    read = make_lens()
    for wrong, message in (
        (lambda: lens.lens_sheet(read, layers=[9]), "layer=9"),
        (lambda: lens.lens_sheet(read, layers=[]), "layers="),
        (lambda: lens.lens_sheet(read, image=2), "image=2"),
        (lambda: lens.lens_table(read, tokens=[]), "no tokens"),
        (lambda: lens.lens_table(read, tokens=[99]), "position"),
        (lambda: lens.decision({}), "no record.*LogitLens"),
        (lambda: lens.decision({"a": []}), "group without a record"),
        (lambda: lens.decision(replace(read, decision=None)), "writes no thoughts"),
        (lambda: inside.patching({}), "no record.*Patching"),
        (lambda: inside.knockout_matrix([]), "hidden"),
        (lambda: inside.thought(pd.DataFrame({"a": [1]}), read.answer), "timeline"),
        (lambda: inside.thought(timeline(read.answer), read.answer, image=3), "image=3"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
