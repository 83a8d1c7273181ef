"""Conversations: turns, pictures, and a history that interruptions and errors leave whole."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from scripted import CLOSE, DIRECT, END, PICTURE, THINK, ids, replies, thinker, tiny

from workbench import synth
from workbench.errors import InputError, OutOfMemoryError
from workbench.models import load
from workbench.types import Turn


@pytest.fixture(scope="module")
def vlm():
    return tiny()


@pytest.fixture
def chat(vlm):
    with replies(vlm, thinker(ids(vlm, " red"), ids(vlm, " purple"))):
        chat = vlm.chat(max_tokens=40)
        chat.ask("What is it?", PICTURE)
    return chat


@pytest.fixture
def talks(vlm):
    with replies(vlm, thinker(ids(vlm, " blue"), ids(vlm, " green"))):
        yield


def test_a_conversation_with_pictures_in_several_turns(vlm, chat, talks):
    answer = chat.ask("And this?", Image.new("RGB", (64, 32)), mode="nothink")
    third = chat.ask("Are they the same?")
    assert [t.role for t in chat.turns] == ["user", "assistant"] * 3
    assert [len(t.images) for t in chat.turns] == [1, 0, 1, 0, 0, 0]
    assert [g.size for g in third.layout.images] == [(100, 100), (64, 32)]
    assert len(chat) == len(chat.answers) == 3
    assert answer.mode.value == "nothink"
    for text in ("What is it?", "purple", "And this?", "green"):
        assert text in str(chat)
        assert text in chat._repr_html_()
    assert chat._repr_html_().count("<img") == 2, "each picture is shown with its own question"


def test_the_prompt_holds_the_whole_conversation(vlm, chat, talks):
    second = chat.ask("And then?")
    prompt = list(second.prompt_ids)
    first = chat.answers[0]
    assert prompt[: first.prompt_tokens] == list(first.prompt_ids)
    history = prompt[first.prompt_tokens :]
    assert history[0] == THINK
    assert CLOSE in history
    assert vlm.tokenizer.decode(history).count("And then?") == 1


def test_direct_turns_are_remembered_as_direct(vlm, talks):
    chat = vlm.chat(mode="nothink", max_tokens=40)
    first = chat.ask("What?")
    second = chat.ask("And?")
    assert list(second.prompt_ids)[first.prompt_tokens] == DIRECT


def test_undo_and_clear(chat, talks):
    before = chat.turns
    chat.ask("And?")
    assert chat.undo().question == "And?"
    assert chat.turns == before
    chat.clear()
    assert chat.turns == ()
    assert chat.undo() is None
    assert len(chat) == 0


def test_an_error_leaves_the_conversation_as_it_was(vlm, chat):
    before = chat.turns
    with pytest.raises(InputError):
        chat.ask("")
    with pytest.raises(InputError):
        chat.ask("And this?", "nowhere.png")

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = vlm.model.register_forward_pre_hook(full)
    with pytest.raises(OutOfMemoryError):
        chat.ask("And?")
    handle.remove()
    assert chat.turns == before
    assert chat.ask("And?", max_tokens=2)


def test_an_interruption_leaves_the_conversation_as_it_was(vlm, chat):
    before = chat.turns

    def interrupts(prompt, done):
        if len(done) == 3:
            raise_in_main()
        return thinker([100], [101], ends=False)(prompt, done)

    with replies(vlm, interrupts):
        answer = chat.ask("And?", max_tokens=20_000)
    assert answer.stopped == "interrupted"
    assert answer.text or answer.thought
    assert chat.turns == before
    with replies(vlm, thinker([100], [101, END])):
        assert chat.ask("Again?").history == before


def test_a_reply_cut_off_within_its_thought_is_not_remembered(vlm, chat):
    before = chat.turns
    with (
        replies(vlm, thinker([100] * 50, [101])),
        pytest.warns(UserWarning, match="cut off by max_tokens within the thought"),
    ):
        answer = chat.ask("Why?", max_tokens=5)
    assert (answer.stopped, answer.text) == ("length", "")
    assert chat.turns == before


def raise_in_main():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("mode", ["auto", "think", "nothink"])
@pytest.mark.parametrize("family", ["chain", "read_sign", "shape_count"])
def test_the_history_of_an_answer_begins_with_what_the_model_wrote(family, mode):
    nano = load("nano", device="cpu", progress=False)
    for sample in synth.sample(family, 2, seed=3):
        answer = nano.ask(sample.images, sample.question, mode=mode)
        longer = nano.encode([*answer.turns, Turn("user", "And then?")]).prompt_ids[0]
        assert answer.stopped == "end"
        assert tuple(longer[: len(answer.token_ids)]) == answer.token_ids
