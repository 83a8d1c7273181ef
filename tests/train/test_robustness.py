"""Each row of the robustness table changes what it says, and boxes move along."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest

from workbench import synth
from workbench.errors import InputError
from workbench.synth import World
from workbench.train.evaluate import PERTURBATIONS, ROBUSTNESS_SEED, apart, main, robustness


class Parrot:
    """Replies what it is told to, and remembers in which mode it was asked."""

    def __init__(self, reply: str) -> None:
        self.reply, self.modes, self.questions = reply, [], []

    def ask_many(self, images, questions, *, mode, **_):
        self.modes.append(mode)
        self.questions += questions
        return [SimpleNamespace(text=self.reply) for _ in questions]


class Thinker(Parrot):
    """Thinks about questions that follow arrows or links, and about nothing else."""

    def ask_many(self, images, questions, *, mode, **_):
        self.questions += questions
        return [self.ask(None, question, mode=mode) for question in questions]

    def ask(self, images, question, *, mode):
        thought = "so" if mode == "auto" and "follow" in question.lower() else None
        facts = {
            "mode": mode,
            "thought": thought,
            "p_think": float(thought is not None),
            "reply_tokens": 1,
            "seconds": 0.25,
        }
        return SimpleNamespace(text=self.reply, **facts)


def test_the_card_tells_when_the_model_thinks_about_wordings_that_it_never_met() -> None:
    first, second = Thinker("none"), Thinker("none")
    told = apart(second, World(2), n=2)
    assert told["direct_seconds"] == 0.25
    assert told["unseen_words"] == {"n": 2, "accuracy": 0.0}
    thinks = told["auto_held_out"]
    assert thinks["n"] == 2
    assert 0 <= thinks["one"] < 0.1 < thinks["several"] < 1, "words that follow a word are asked for, too"
    assert apart(first, World(1), n=2) == {"direct_seconds": 0.25}


@pytest.mark.parametrize("name", ["moved 1 to 7 px", "border of 8 px"])
def test_moved_boxes_hold_what_they_held(name: str) -> None:
    for sample in synth.sample("gui_find", 6, seed=1):
        changed = PERTURBATIONS[name](sample, random.Random(3))
        assert changed.boxes != sample.boxes
        before, after = (s.images[0].crop(s.boxes[0]) for s in (sample, changed))
        assert np.array_equal(np.asarray(before), np.asarray(after))


@pytest.mark.parametrize("name", ["scaled 0.75 to 1", "scaled 1 to 1.5", "rotated 3 degrees"])
def test_scaled_and_turned_boxes_hold_the_same_thing(name: str) -> None:
    for sample in synth.sample("shape_colour", 6, seed=1):
        changed = PERTURBATIONS[name](sample, random.Random(3))
        middles = [
            s.images[0].getpixel((round((b[0] + b[2]) / 2), round((b[1] + b[3]) / 2)))
            for s in (sample, changed)
            for b in s.boxes
        ]
        assert max(abs(a - b) for a, b in zip(*middles, strict=True)) < 25


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_row_changes_the_picture_or_the_question(name: str) -> None:
    table = robustness(Parrot("none"), ["read_sign"], n=2, rows=["as drawn"])
    assert table["accuracy"].tolist() == [0.0]
    change = PERTURBATIONS[name]
    sample = synth.sample("bar_value", 1, seed=1)[0]
    changed = change(sample, random.Random(0))
    drawn = bool(change.held_out)
    same = sample.images[0].tobytes() == changed.images[0].tobytes() and sample.question == changed.question
    assert same == (drawn or name == "as drawn")


def test_the_table_has_a_row_a_perturbation_and_asks_in_the_natural_mode() -> None:
    answers = [s.answer for s in synth.sample("chain", 20, seed=ROBUSTNESS_SEED)]
    parrot = Parrot(max(answers, key=answers.count))
    table = robustness(
        parrot, ["chain", "shape_colour"], n=20, rows=["as drawn", "grey", "held-out wordings", "lower case"]
    )
    assert table["perturbation"].tolist() == ["as drawn", "grey", "held-out wordings", "lower case"]
    assert set(parrot.modes) == {"think", "nothink"}
    assert table["n"].tolist() == [40, 20, 40, 40], "nothing that asks for a colour is asked in grey"
    assert table["points"][0] == 0
    assert all(table["low"] <= table["accuracy"])
    assert table["chain"].tolist() == [answers.count(parrot.reply) / 20] * 4
    assert any(q == q.lower() for q in parrot.questions)


def test_a_thought_is_true_when_every_sentence_is() -> None:
    sample = synth.sample("gui_links", 1, seed=2)[0]
    assert sample.true(sample.trace)
    assert not sample.true("")
    first, *others = sample.trace.split(". ")
    assert not sample.true(". ".join([first.replace("links to", "links from"), *others]))


def test_a_place_in_a_thought_is_true_where_it_would_be_right_as_an_answer() -> None:
    sample = synth.sample("gui_find", 1, seed=2)[0]
    (width, height), (x1, y1, x2, y2) = sample.images[0].size, sample.boxes[0]
    name = sample.trace.partition(" is at ")[0]

    def thought(left: float, right: float) -> str:
        box = [left / width, y1 / height, right / width, y2 / height]
        return f"{name} is at [{', '.join(f'{v:.4f}' for v in box)}]."

    assert thought(x1, x2) == sample.trace
    middle = (x1 + x2) / 2
    for told, true in ((thought(x1 + 5, x2), True), (thought(0, x1), False), (thought(x1, middle), True)):
        assert sample.true(told) is true is sample.correct(told)
    assert not sample.true(thought(x1, x2).replace(name, "The picture"))
    assert not sample.true(f"{name} is at [0.1.2, 0.5, 0.5, 0.5].")
    assert not sample.true(f"{name} is at {middle}.")


def test_bad_requests_name_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="moved 1 to 7 px"):
        robustness(Parrot("1"), ["chain"], n=1, rows=["shaken"])
    with pytest.raises(InputError, match="bar_value"):
        robustness(Parrot("1"), ["chains"], n=1, rows=["as drawn"])
    assert main(["--help"]) == 0
    assert "--card" in capsys.readouterr().out
    assert main(["--model", "nowhere/at/all"]) != 0
    told = capsys.readouterr().err
    assert "nowhere/at/all" in told
    assert "Traceback" not in told
