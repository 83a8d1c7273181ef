"""Thinking, seen: sentences, where each looked, and both modes side by side; on attention that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import workbench
from workbench.answer import Answer
from workbench.attention import make_attention
from workbench.errors import CapabilityError, InputError, ModeError
from workbench.interpret.thought import ModePair, compare_thinking, looked_at, sentences, step_boxes, timeline
from workbench.models.server import ServerVLM
from workbench.models.vlm import VLM
from workbench.types import Mode, PatchGrid, Region, Span


@pytest.fixture(scope="module")
def nano() -> VLM:
    return workbench.load()


@pytest.fixture(scope="module")
def pair(nano: VLM) -> ModePair:
    sample = workbench.synth.sample("gui_links", 1, seed=7)[0]
    return compare_thinking(nano, sample.images, question=sample.question)


def known(looks: list[tuple[int, int]], words: tuple[str, ...], thought: int) -> Answer:
    """An answer about a picture of 3 x 4 patches, ten pixels each; token i looks at patch ``looks[i]``.

    Half of each row is on that patch, a quarter on the picture's other patches, a quarter on the text.
    """
    rows, cols, before, after = 3, 4, 2, 2
    prompt, reply = before + rows * cols + after, len(looks)
    weights = np.zeros((1, 1, reply, prompt + reply - 1))
    for i, (row, col) in enumerate(looks):
        weights[..., i, before : before + rows * cols] = 0.25 / (rows * cols - 1)
        weights[..., i, before + row * cols + col] = 0.5
        weights[..., i, 0] = 0.25
    attention = make_attention(
        weights, grid=(rows, cols), before=before, after=after, reply=reply, thought=thought, words=words
    )
    return Answer(
        text=words[-1],
        thought="".join(words[:thought]) if thought else None,
        mode=Mode.THINK if thought else Mode.NOTHINK,
        p_think=0.9,
        prompt_tokens=prompt,
        image_tokens=rows * cols,
        thought_tokens=thought,
        answer_tokens=reply - thought,
        seconds=0.1,
        seconds_to_first_token=0.1,
        stopped="end",
        token_ids=tuple(range(prompt + reply)),
        spans=attention.spans,
        layout=attention.layout,
        question="Which?",
        images=(Image.new("RGB", (40, 30), "white"),),
        captured=attention,
    )


@pytest.fixture
def thinking() -> Answer:
    words = (" A", " is", " red", ".", " B", " is", " blue", ".", " ", " blue")
    return known([(0, 1)] * 4 + [(2, 3)] * 5 + [(1, 1)], words, thought=9)


def parts(*texts: str) -> list[str]:
    return ["".join(texts[at] for at in span) for span in sentences(texts, Span(0, len(texts)))]


@pytest.mark.parametrize(
    ("texts", "split"),
    [
        ((" A", " is", " 3", ".", "5", ".", " So", " B", "."), [" A is 3.5.", " So B."]),
        (("One", "!", " ", "Two", "?", " "), ["One!", " Two? "]),
        (("A", "\n", "B", "\n\n", "C"), ["A\n", "B\n\n", "C"]),
        (("1", ".", " Look", ".", "\n", "2", ".", " Read", "."), ["1. Look.", "\n2. Read."]),
        (('"Go', '."', " He", " went", "…"), ['"Go."', " He went…"]),
        (("第一", "。", "第二", "。"), ["第一。", "第二。"]),
        (("no end",), ["no end"]),
        ((" ", " "), ["  "]),
    ],
)
def test_sentences_end_where_one_reads_an_end(texts: tuple[str, ...], split: list[str]) -> None:
    assert parts(*texts) == split
    assert "".join(split) == "".join(texts)


def test_sentences_cover_the_span_and_nothing_else() -> None:
    texts = ["q", "?", " A", ".", " B", ".", "x"]
    assert sentences(texts, Span(2, 6)) == [Span(2, 4), Span(4, 6)]
    assert sentences(texts, Span(3, 3)) == []


def test_the_timeline_finds_what_was_put_there(thinking: Answer) -> None:
    table = timeline(thinking, sinks=False)
    assert list(table["sentence"]) == ["A is red.", "B is blue."]
    assert [(r.start, r.stop, r.tokens) for r in table.itertuples()] == [(16, 20, 4), (20, 25, 5)]
    assert list(table["peak"]) == [(0, 1), (2, 3)]
    assert list(table["box"]) == [(10, 0, 20, 10), (30, 20, 40, 30)]
    assert list(table["share"]) == pytest.approx([0.75, 0.75], abs=1e-6)
    p = np.array([2 / 3, *[1 / 33] * 11])
    assert list(table["entropy"]) == pytest.approx([-(p * np.log2(p)).sum()] * 2, abs=1e-5)
    assert "hit" not in table


def test_true_boxes_are_hit_or_missed(thinking: Answer) -> None:
    right = timeline(thinking, boxes=[(10, 0, 20, 10), Region((20, 20, 40, 30))], sinks=False)
    assert list(right["hit"]) == [True, True]
    assert list(right["inside"]) == pytest.approx([2 / 3, 2 / 3 + 1 / 33], abs=1e-5)
    assert list(right["chance"]) == pytest.approx([1 / 12, 2 / 12])
    assert list(timeline(thinking, boxes=[(30, 20, 40, 30), (10, 0, 20, 10)], sinks=False)["hit"]) == [
        False,
        False,
    ]
    several = timeline(thinking, boxes=[[(0, 20, 10, 30), (10, 0, 20, 10)], None], sinks=False)
    assert list(several["hit"]) == [True, None]
    assert np.isnan(several["inside"].iloc[1])


def test_a_thought_that_is_longer_than_the_truth_has_no_hit_behind_it(thinking: Answer) -> None:
    assert list(timeline(thinking, boxes=[(10, 0, 20, 10)], sinks=False)["hit"]) == [True, None]


def test_where_it_looked_is_one_piece_around_the_peak() -> None:
    grid = PatchGrid(0, 3, 4, 0, (38, 30), (0.0, 0.0, 40.0, 30.0), 4)
    map_ = np.array([[0.1, 0.4, 0.3, 0.0], [0.0, 0.0, 0.25, 0.0], [0.35, 0.0, 0.0, 0.1]])
    assert looked_at(map_, grid) == ((0, 1), (10.0, 0.0, 30.0, 20.0))  # the far corner is another piece
    assert looked_at(np.eye(3, 4)[::-1], grid)[1][:2] == (20.0, 0.0)
    assert looked_at(np.full((3, 4), 0.1), grid)[1] == (0.0, 0.0, 38, 30.0)  # cut at the picture's edge


@pytest.mark.parametrize("family", ["gui_links", "bar_walk", "chain", "arrows", "bar_value"])
def test_every_step_of_a_drawn_question_has_its_boxes(family: str) -> None:
    for sample in workbench.synth.sample(family, 12, seed=3):
        boxes = step_boxes(sample)
        assert len(boxes) == sample.steps
        assert {box for own in boxes for box in own} == set(sample.boxes)
    revisited = [s for s in workbench.synth.sample("bar_walk", 40, seed=3) if len(s.boxes) < s.steps]
    assert revisited
    for sample in revisited:
        starts = [part.split()[0] for part in sample.trace.split(". ")]
        own = step_boxes(sample)
        for i, start in enumerate(starts):
            assert own[i] == own[starts.index(start)]


def test_boxes_that_cannot_be_told_apart_by_step_are_refused() -> None:
    sample = workbench.synth.sample("gui_links", 1, seed=3)[0]
    with pytest.raises(InputError, match="one box a step"):
        step_boxes(replace(sample, boxes=sample.boxes[:1]))


def test_the_built_in_model_looks_at_each_steps_evidence_more_than_by_chance(nano: VLM) -> None:
    found = []
    for sample in workbench.synth.sample("gui_links", 8, seed=4):
        answer = nano.ask(sample.images, sample.question, mode="think", capture=True)
        table = timeline(answer, sample=sample, sinks=False)
        found += [r for r in table.itertuples() if r.hit is not None]
    hits, chance = np.mean([r.hit for r in found]), np.mean([r.chance for r in found])
    assert hits > 3 * chance
    assert np.mean([r.inside for r in found]) > chance


def test_one_question_in_both_modes(pair: ModePair) -> None:
    assert pair.think.thought is not None
    assert pair.direct.thought is None
    assert pair.same == (pair.think.text == pair.direct.text)
    maps = pair.maps(sinks=False)
    assert maps.think.shape == maps.direct.shape == (9, 7)
    np.testing.assert_allclose(maps.difference, maps.think - maps.direct)
    np.testing.assert_allclose(maps.think, pair.think.attention.map(pair.think.spans["answer"], sinks=False))
    shares = pair.shares()
    np.testing.assert_allclose(shares[["pictures", "prompt", "thought", "reply"]].sum(axis=1), 1, atol=1e-5)
    assert (shares[shares["mode"] == "direct"]["thought"] == 0).all()
    assert (shares[shares["mode"] == "think"]["thought"] > 0).all()
    assert list(pair.timeline()["step"]) == list(range(len(pair.timeline())))


def test_answer_tokens_are_aligned_where_they_are_equal() -> None:
    think = known([(0, 0)] * 5, (" A", ".", " the", " red", " one"), thought=2)
    direct = known([(1, 1)] * 3, (" a", " red", " one"), thought=0)
    ids = {" A": 1, ".": 2, " the": 3, " red": 4, " one": 5, " a": 6}

    def numbered(answer: Answer) -> Answer:
        reply = [ids[word] for word in answer.attention.texts[answer.prompt_tokens :]]
        return replace(answer, token_ids=(*answer.prompt_ids, *reply))

    made = ModePair(numbered(think), numbered(direct))
    assert made.tokens[["think", "direct", "same"]].to_numpy().tolist() == [
        [" the", " a", False], [" red", " red", True], [" one", " one", True]
    ]  # fmt: skip
    assert made.maps(1, sinks=False).think[0, 0] == pytest.approx(0.5)
    assert made.maps(1, sinks=False).difference[1, 1] == pytest.approx(0.25 / 11 - 0.5)
    longer = known([(1, 1)] * 2, (" red", " one"), thought=0)
    made = ModePair(numbered(think), numbered(longer))
    assert list(made.tokens["direct"]) == ["", " red", " one"]
    with pytest.raises(InputError, match="only one answer has"):
        made.maps(0)
    with pytest.raises(InputError, match="row=3"):
        made.maps(3)


def test_a_pair_is_saved_and_loaded(pair: ModePair, tmp_path) -> None:
    again = ModePair.load(pair.save(tmp_path / "pair"))
    pd.testing.assert_frame_equal(again.tokens, pair.tokens)
    pd.testing.assert_frame_equal(again.timeline(), pair.timeline())
    assert repr(again) == repr(pair)
    assert again._repr_html_() == pair._repr_html_()


def test_what_is_missing_or_out_of_range_is_named(nano: VLM, thinking: Answer, pair: ModePair) -> None:
    sample = workbench.synth.sample("gui_links", 1, seed=7)[0]
    direct = known([(0, 0)], (" a",), thought=0)
    for wrong, message in (
        (lambda: timeline(direct), "without a thought"),
        (lambda: timeline(replace(thinking, captured=None)), "capture=True"),
        (lambda: timeline(thinking, image=1), "image=1"),
        (lambda: timeline(thinking, layers=1), "layer=1"),
        (lambda: timeline(thinking, heads=[5]), "head=5"),
        (lambda: timeline(thinking, boxes=[(0, 0, 99, 9)]), "99"),
        (lambda: timeline(thinking, sample=sample), "another question"),
        (lambda: timeline(pair.think, sample=sample, boxes=[]), "both sample and boxes"),
        (lambda: timeline(pair.think, sample=replace(sample, image=1)), "image=1"),
        (lambda: ModePair(thinking, thinking), "with a thought"),
        (lambda: ModePair(direct, direct), "without a thought"),
        (lambda: ModePair(thinking, replace(direct, question="Why?")), "two questions"),
        (lambda: compare_thinking(nano, sample.images, question=sample.question, mode="auto"), "mode="),
        (
            lambda: compare_thinking(nano, sample.images, question=sample.question, max_tokens=1),
            "without a thought|empty",
        ),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
    far = ServerVLM.__new__(ServerVLM)
    far.name = "far"
    with pytest.raises(CapabilityError, match="not looked into"):
        compare_thinking(far, sample.images, question=sample.question)


def test_a_model_that_lacks_a_mode_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    from attribution_cases import tiny_families, tiny_vlm

    vlm = tiny_vlm("gemma3", tmp_path_factory)
    with pytest.raises(ModeError, match="not trained to think"):
        compare_thinking(vlm, tiny_families.picture(60, 60), question="What?")
