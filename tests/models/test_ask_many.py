"""Many questions at once: each reply as if asked alone, per-row ends, order, memory, interruption."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from PIL import Image
from scripted import CLOSE, END, PICTURE, THINK, replies, thinker, tiny

from workbench.errors import InputError, OutOfMemoryError
from workbench.models.asking import pair

RED, WIDE = Image.new("RGB", (48, 48), "red"), Image.new("RGB", (160, 32), "green")
IMAGES = [PICTURE, None, RED, [PICTURE, WIDE], WIDE]
QUESTIONS = [
    "What?",
    "Who are you, in one word, please?",
    "Which colour?",
    "What changed?",
    "How wide is it?",
]


@pytest.fixture(scope="module")
def vlm():
    return tiny()


def many(vlm, images=IMAGES, questions=QUESTIONS, **options):
    return vlm.ask_many(images, questions, progress=False, **{"max_tokens": 10, **options})


@pytest.mark.parametrize("mode", ["auto", "think", "nothink"])
@pytest.mark.parametrize("batch_size", [2, 5])
def test_a_batch_gives_the_replies_of_single_runs(vlm, mode, batch_size):
    together = many(vlm, mode=mode, batch_size=batch_size)
    for image, question, answer in zip(IMAGES, QUESTIONS, together, strict=True):
        alone = vlm.ask(image, question, mode=mode, max_tokens=10)
        assert answer.token_ids == alone.token_ids
        assert answer.layout == alone.layout
        assert answer.spans == alone.spans
        assert answer.p_think == pytest.approx(alone.p_think, rel=1e-3)
        assert (answer.question, answer.text, answer.stopped) == (question, alone.text, alone.stopped)


def test_sampled_batches_repeat_as_single_runs(vlm):
    together = many(vlm, temperature=1.0, seed=7, batch_size=3)
    assert [a.settings["seed"] for a in together] == [7, 8, 9, 10, 11]
    for image, question, answer in zip(IMAGES, QUESTIONS, together, strict=True):
        alone = vlm.ask(image, question, **answer.settings)
        assert alone.reply_ids == answer.reply_ids
    twice = many(vlm, None, ["What?"] * 4, temperature=1.5)
    assert len({a.reply_ids for a in twice}) > 1, "the same question is sampled anew"


def test_every_row_ends_on_its_own(vlm):
    """Thoughts of different lengths, one over its budget, one cut off, one direct; padding is not counted."""
    thoughts = {"case aaa": 2, "case bbb": 9, "case ccc": 4, "case ddd": 0}

    def script(prompt, done):
        text = vlm.tokenizer.decode(prompt)
        case, count = next((case, count) for case, count in thoughts.items() if case in text)
        return thinker([100] * count, [101] * (40 if "c" in case[4:] else 2), opens=count > 0)(prompt, done)

    questions = list(thoughts)
    with replies(vlm, script):
        a, b, c, d = many(vlm, None, questions, thinking_budget=5, max_tokens=20, batch_size=4)
    assert a.reply_ids == (THINK, 100, 100, CLOSE, 101, 101, END)
    assert b.reply_ids == (THINK, *[100] * 5, CLOSE, 101, 101, END)
    assert len(c.reply_ids) == 20
    assert d.thought is None
    assert [x.stopped for x in (a, b, c, d)] == ["end", "budget", "length", "end"]
    assert [x.thought_tokens for x in (a, b, c, d)] == [2, 5, 4, 0]
    assert [x.answer_tokens for x in (a, b, c, d)] == [2, 2, 14, 2]
    assert a.seconds <= c.seconds


def test_what_is_given_once_counts_for_all(vlm):
    assert pair("x.png", ["a", "b"]) == [("x.png", "a"), ("x.png", "b")]
    assert pair(["x.png", None], "a") == [("x.png", "a"), (None, "a")]
    assert pair(None, "a") == [(None, "a")]
    assert pair([], []) == []
    assert many(vlm, [], []) == []
    with pytest.raises(InputError, match="2 entries of images and 3 questions"):
        pair([None, None], ["a", "b", "c"])
    answers = many(vlm, RED, ["One?", "Two?"], max_tokens=1)
    assert answers[0].images[0] is answers[1].images[0], "opened once"


def test_nothing_is_asked_if_a_question_cannot_be_used(vlm):
    ran = []
    handle = vlm.model.register_forward_pre_hook(lambda *_: ran.append(1) and None)
    with pytest.raises(InputError, match="nowhere.png") as caught:
        many(vlm, [RED, "nowhere.png"], "What?", batch_size=1)
    assert "question 1" in caught.value.__notes__[0]
    with pytest.raises(InputError, match="empty question"):
        many(vlm, RED, ["What?", " "], batch_size=1)
    with pytest.raises(InputError, match="batch_size=0"):
        many(vlm, batch_size=0)
    handle.remove()
    assert ran == []


def test_a_question_that_does_not_fit_keeps_the_answers_before_it(vlm, monkeypatch):
    monkeypatch.setattr(vlm.model.config.text_config, "max_position_embeddings", 950)
    with pytest.raises(InputError, match="950") as caught:
        many(vlm, None, ["One?", "Two?", "Three?", "Four? " * 40], batch_size=2)
    assert [a.question for a in caught.value.answers] == ["One?", "Two?"]
    assert "question 3" in caught.value.__notes__[0]


def test_a_batch_that_runs_out_of_memory_is_halved_and_goes_on(vlm):
    sizes = []

    def full(module, args, kwargs):
        if kwargs["input_ids"].shape[1] > 1:
            sizes.append(len(kwargs["input_ids"]))
            if len(kwargs["input_ids"]) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")

    expected = [a.token_ids for a in many(vlm)]
    handle = vlm.model.register_forward_pre_hook(full, with_kwargs=True)
    answers = many(vlm, batch_size=5)
    handle.remove()
    assert sizes == [5, 2, 1, 1, 1, 1, 1], "halved, and it stays small"
    assert [a.token_ids for a in answers] == expected


def test_a_single_question_without_room_keeps_the_answers_before_it(vlm):
    def full(module, args, kwargs):
        if kwargs["input_ids"].shape[1] > 950:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = vlm.model.register_forward_pre_hook(full, with_kwargs=True)
    with pytest.raises(OutOfMemoryError, match="would fit") as caught:
        many(vlm, [None, [PICTURE, PICTURE, PICTURE]], "What?", batch_size=2)
    handle.remove()
    assert len(caught.value.answers) == 1


def test_ctrl_c_returns_one_record_per_question(vlm):
    script = thinker([100] * 3, [101] * 2, ends=False)
    prefills = []

    def interrupts(prompt, done):
        if not done:
            prefills.append(1)
        if len(prefills) == 3 and len(done) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return (
            script(prompt, done) if len(prefills) == 3 else (script(prompt, done) if len(done) < 6 else END)
        )

    with replies(vlm, interrupts):
        answers = many(vlm, None, ["One?", "Two?", "Three?", "Four?"], batch_size=1, max_tokens=20_000)
    assert [a.question for a in answers] == ["One?", "Two?", "Three?", "Four?"]
    assert [a.stopped for a in answers] == ["end", "end", "interrupted", "interrupted"]
    assert len(answers[2].reply_ids) >= 4
    assert answers[3].token_ids == ()
    assert vlm.ask(None, "What?", max_tokens=2).stopped == "length"


def test_a_progress_bar(vlm, capsys):
    vlm.ask_many(None, ["One?", "Two?"], max_tokens=1)
    assert "2/2" in capsys.readouterr().err
