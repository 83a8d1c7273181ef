"""Targets: whole answers, spans, tokens and contrasts, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attribution_cases import record

from workbench.errors import CapabilityError, InputError
from workbench.interpret.targets import Contrast, Scored, Target, check_answer, make_target
from workbench.types import Span


class Letters:
    """A tokenizer of one token a letter."""

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [ord(letter) for letter in text]


def test_no_target_is_the_answer_without_its_thought() -> None:
    answer = record((2, 2), reply=4)
    answer = replace(answer, spans={"thought": Span(5, 6), "answer": Span(7, 9)})
    target = make_target(answer)
    assert (target.kind, target.span) == ("answer", Span(7, 9))
    assert target.sequences == (Scored(answer.token_ids, Span(7, 9)),)
    assert make_target(answer, "thought").span == Span(5, 6)
    assert make_target(answer, "reply").span == Span(5, 9)


def test_a_span_and_a_token_are_positions_of_the_reply() -> None:
    answer = record((2, 2))
    assert make_target(answer, Span(6, 8)).span == Span(6, 8)
    assert make_target(answer, 7).span == Span(7, 8)


def test_a_contrast_takes_the_other_answer_off() -> None:
    answer = record((2, 2))
    other = replace(answer, token_ids=(*answer.prompt_ids, 7, 8, 9), text="blue")
    target = make_target(answer, other)
    assert [(s.span, s.weight) for s in target.sequences] == [(Span(5, 7), 1.0), (Span(5, 7), -1.0)]
    assert target.sequences[1].ids == other.token_ids
    assert target == make_target(answer, (answer, other)) == make_target(answer, Contrast(other))
    assert "rather than" in target.label


def test_a_contrast_with_a_text_begins_where_the_answer_begins() -> None:
    answer = replace(record((2, 2), reply=4), spans={"thought": Span(5, 6), "answer": Span(7, 8)})
    target = make_target(answer, Contrast("no"), tokenizer=Letters())
    assert target.sequences[1] == Scored((*answer.token_ids[:7], 110, 111), Span(7, 9), -1.0)


def test_a_target_survives_json_and_is_taken_as_it_is() -> None:
    answer = record((2, 2))
    target = make_target(answer, 6)
    assert Target.from_dict(target.to_dict()) == target
    assert make_target(answer, target) is target
    with pytest.raises(InputError, match="another answer"):
        make_target(replace(answer, token_ids=(*answer.token_ids, 1)), target)


@pytest.mark.parametrize("target", [4, 8, -1, Span(4, 6), Span(6, 9), Span(6, 6), Span(7, 6)])
def test_positions_outside_the_reply_are_refused(target) -> None:
    with pytest.raises(InputError, match="5 to 7"):
        make_target(record((2, 2)), target)


@pytest.mark.parametrize("target", ["blue", 1.5, True, ("a", "b"), [6]])
def test_what_is_no_target_is_refused(target) -> None:
    with pytest.raises(InputError, match="None .thought and answer."):
        make_target(record((2, 2)), target)


def test_an_empty_part_says_which_parts_there_are() -> None:
    answer = record((2, 2))
    with pytest.raises(InputError, match="the thought is empty.*target='answer'"):
        make_target(answer, "thought")
    cut = replace(answer, spans={"thought": Span(5, 8), "answer": Span(8, 8)}, stopped="length")
    with pytest.raises(InputError, match="the answer is empty .the reply stopped: length.*target='thought'"):
        make_target(cut)


def test_contrasts_without_a_difference_are_refused() -> None:
    answer = record((2, 2))
    with pytest.raises(InputError, match="with itself"):
        make_target(answer, answer)
    with pytest.raises(InputError, match="another prompt"):
        make_target(answer, replace(answer, token_ids=(1, *answer.token_ids[1:])))
    with pytest.raises(InputError, match="empty text"):
        make_target(answer, Contrast(""), tokenizer=Letters())
    other = replace(answer, token_ids=(*answer.prompt_ids, 7, 8, 9))
    with pytest.raises(InputError, match="swap"):
        make_target(answer, (other, answer))


def test_answers_that_hold_nothing_are_refused() -> None:
    answer = record((2, 2))
    with pytest.raises(InputError, match="empty answer"):
        check_answer(replace(answer, token_ids=answer.prompt_ids, text=""))
    with pytest.raises(InputError, match="empty answer"):
        check_answer(replace(answer, token_ids=(), prompt_tokens=0, text=""))
    with pytest.raises(CapabilityError, match="server"):
        check_answer(replace(answer, token_ids=(), prompt_tokens=0))
    with pytest.raises(InputError, match="type str"):
        check_answer("an answer")


def test_thought_and_answer_are_the_default_target() -> None:
    answer = record((2, 2), reply=6)
    start = answer.prompt_tokens
    spans = {"thought": Span(start + 1, start + 3), "answer": Span(start + 4, start + 5)}
    thinking = replace(answer, thought="blue", spans=spans)
    found = make_target(thinking)
    assert (found.kind, found.span) == ("whole", Span(start + 1, start + 5))
    assert found.label == "thought and answer “red <b>”"
    assert make_target(thinking, "answer").span == spans["answer"]
    assert make_target(answer).kind == "answer"
    cut = replace(thinking, text="", spans={**spans, "answer": Span(start + 3, start + 3)})
    assert (make_target(cut).span, make_target(cut).label) == (spans["thought"], "the thought")
