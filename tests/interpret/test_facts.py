"""Facts of a sentence: found, replaced, checked against a drawing."""

from __future__ import annotations

import random

import pytest

from workbench import synth
from workbench.interpret.facts import Vocabulary, check_sentence, in_other_words, says
from workbench.sentences import sentence_spans

TRUTHS = (
    "Mail links to Music.",
    "Music links to Files.",
    "There are 3 red stars.",
    "The sign is left of 12.50.",
)
WORDS = Vocabulary.of(TRUTHS)


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("Music links to Files.", ["Music", "Files"]),
        ("The red star is left of 12.50.", ["red", "star", "left", "12.50"]),
        ("So look on the page.", []),
        ("It is on.", ["on"]),
        ("Then Green is up.", ["Green", "up"]),
        ("3 stars", ["3", "stars"]),
    ],
)
def test_facts_are_numbers_colours_shapes_directions_and_names(sentence: str, facts: list[str]) -> None:
    found = WORDS.facts(sentence)
    assert [fact.word for fact in found] == facts
    assert [sentence[fact.start : fact.stop] for fact in found] == facts


@pytest.mark.parametrize(
    ("sentence", "question", "changed"),
    [
        ("Music links to Files.", "Start at Mail.", {"Music links to Music."}),
        ("Music links to Files.", "Is it Files?", {"Files links to Files."}),
        ("It is 12.50 there.", "", {f"It is 12.{n} there." for n in (47, 48, 49, 51, 52, 53)}),
        ("The switch is off.", "", {"The switch is on."}),
        ("Left is taller.", "", {"Left is shorter."}),
    ],
)
def test_one_fact_becomes_another_of_its_kind(sentence: str, question: str, changed: set[str]) -> None:
    made = [WORDS.mistake(sentence, question, random.Random(seed)) for seed in range(20)]
    assert None not in made
    assert {one[0] for one in made if one} <= changed
    assert all(" becomes " in one[1] for one in made if one)


def test_what_is_used_afterwards_is_changed_first() -> None:
    words = Vocabulary.of(["D and E says 3.", "It is F or G."])
    made = words.mistake("E says 3, so F.", "After D comes E, then F.", random.Random(0), then="F says 2.")
    assert made is not None
    assert made[1].startswith("F becomes ")
    red = words.mistake(
        "The red star is left of the green star.",
        "left of the green star?",
        random.Random(0),
        then="red star",
    )
    assert red is not None
    assert red[1].startswith("red becomes ")


def test_where_nothing_can_be_replaced_nothing_is() -> None:
    assert WORDS.mistake("So then it is.", "", random.Random(0)) is None
    assert Vocabulary().mistake("This is Paris.", "", random.Random(0)) is None, "no other name is known"


@pytest.mark.parametrize(
    ("sentence", "true"),
    [
        ("Mail links to Music.", True),
        ("Mail  links to\nMusic.", True),
        ("Mail links to Files.", False),
        ("News links to Mail.", False),
        ("There are 4 blue crosses.", False),
        ("Let me think.", None),
        ("Mail is nice.", None),
    ],
)
def test_sentences_are_checked_against_what_is_true(sentence: str, true: bool | None) -> None:
    assert check_sentence(sentence, TRUTHS) is true


@pytest.mark.parametrize("family", sorted(synth.FAMILIES))
def test_every_drawn_trace_is_true_and_false_with_a_mistake(family: str) -> None:
    for sample in synth.sample(family, 3, seed=11):
        words = Vocabulary.of([*sample.truths, *(f"is {e.name}" for e in sample.elements if e.name)])
        spans = sentence_spans(sample.trace)
        for sentence in (sample.trace[span.start : span.stop] for span in spans):
            assert check_sentence(sentence, sample.truths) is True
            wrong = words.mistake(sentence, sample.question, random.Random(0))
            assert wrong is not None
            assert check_sentence(wrong[0], sample.truths) is False
        other = in_other_words(sample.trace)
        assert other != sample.trace
        assert says(other, sample.answer)


def test_an_answer_is_said_where_its_words_are() -> None:
    assert says("The star was grey and is now pink.", "pink star")
    assert not says("The star is grey.", "pink star")
    assert not says("anything", "")
    assert not says("It is 12.", "1")
