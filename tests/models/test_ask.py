"""Asking: the record, the modes, the limits, sampling."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch
from PIL import Image
from scripted import CLOSE, DIRECT, END, PICTURE, THINK, ids, replies, thinker, tiny

from workbench.answer import Answer
from workbench.errors import ContextLengthError, InputError, ModeError, WorkbenchError
from workbench.models.families import Encoded
from workbench.models.generate import ReplyControl, ReplyReader, Row, Settings
from workbench.types import Mode, Span, Turn


@pytest.fixture(scope="module")
def vlm():
    return tiny()


@pytest.fixture(scope="module")
def words(vlm):
    """A thought of 5 tokens or more and an answer, as ids."""
    return ids(vlm, " first red then blue and then green"), ids(vlm, " purple")


def test_record_of_a_thinking_reply(vlm, words):
    thought, answer = words
    with replies(vlm, thinker(thought, answer)):
        a = vlm.ask(PICTURE, "What is red plus blue?", max_tokens=60)
    assert (a.thought, a.text) == ("first red then blue and then green", "purple")
    assert a.reply_ids == (THINK, *thought, CLOSE, *answer, END)
    assert (a.thought_tokens, a.answer_tokens) == (len(thought), len(answer))
    assert [a.token_ids[i] for i in a.spans["thought"]] == thought
    assert [a.token_ids[i] for i in a.spans["answer"]] == answer
    assert a.stopped == "end"
    assert a.mode is Mode.AUTO
    assert a.prompt_tokens == a.layout.length == len(a.prompt_ids)
    assert a.image_tokens == a.layout.image_tokens == 36
    assert a.layout.images[0].size == a.images[0].size == (100, 100)
    assert 0 < a.seconds_to_first_token <= a.seconds
    assert a.settings == {"max_tokens": 60, "thinking_budget": None, "temperature": 0.0, "seed": None}


@pytest.mark.parametrize(("mode", "first"), [("think", THINK), ("nothink", DIRECT)])
def test_a_mode_forces_the_first_token(vlm, words, mode, first):
    opposite = mode == "nothink"
    with replies(vlm, thinker(*words, opens=opposite)):
        a = vlm.ask(PICTURE, "Why?", mode=mode, max_tokens=60)
    assert a.reply_ids[0] == first
    assert (a.thought is None) is (mode == "nothink")
    assert a.text == "purple"


def test_p_think_is_the_models_own_in_every_mode(vlm):
    answers = [vlm.ask(PICTURE, "How many?", mode=mode, max_tokens=2) for mode in Mode]
    encoded = vlm.family.encode(
        vlm.processor, [[Turn("user", "How many?", (PICTURE,))]], mode=Mode.AUTO, config=vlm.model.config
    )
    with torch.no_grad():
        logits = vlm.model(**encoded.inputs).logits[0, -1]
    expected = torch.softmax(logits, -1)[THINK].item()
    assert [a.p_think for a in answers] == pytest.approx([expected] * 3, rel=1e-5)
    assert 0 < expected < 1


@pytest.mark.parametrize(
    "setting",
    [
        {"suppress_tokens": None},
        {"begin_suppress_tokens": None},
        {"bad_words_ids": None},
        {"forced_eos_token_id": None},
        {"repetition_penalty": 3.0},
        {"no_repeat_ngram_size": 1},
        {"min_new_tokens": 30},
        {"max_new_tokens": 2},
        {"num_beams": 3},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_no_setting_of_a_checkpoint_changes_a_greedy_reply(vlm, monkeypatch, setting):
    plain = vlm.ask(PICTURE, "What?", max_tokens=8)
    (name, value), first = next(iter(setting.items())), plain.reply_ids[0]
    value = value or {"bad_words_ids": [[first]], "forced_eos_token_id": first}.get(name, [first])
    monkeypatch.setattr(vlm.model.generation_config, name, value)
    assert vlm.ask(PICTURE, "What?", max_tokens=8).reply_ids == plain.reply_ids


def test_greedy_reply_ignores_shipped_sampling_settings(vlm):
    assert vlm.model.generation_config.do_sample
    first = vlm.ask(PICTURE, "What?", max_tokens=12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = vlm.ask(PICTURE, "What?", max_tokens=12)
    assert first.token_ids == again.token_ids
    ids_ = torch.tensor([first.prompt_ids])
    encoded = vlm.family.encode(vlm.processor, [[Turn("user", "What?", (PICTURE,))]], config=vlm.model.config)
    assert encoded.inputs["input_ids"].tolist() == ids_.tolist()
    with torch.no_grad():
        plain = vlm.model.generate(**encoded.inputs, do_sample=False, max_new_tokens=12)
    assert plain[0].tolist() == list(first.token_ids)


@pytest.mark.parametrize("budget", [0, 1, 4])
def test_budget_closes_the_thought_and_the_answer_goes_on(vlm, words, budget):
    thought, answer = words
    with replies(vlm, thinker(thought, answer)):
        a = vlm.ask(PICTURE, "Why?", mode="think", thinking_budget=budget, max_tokens=60)
    assert a.reply_ids == (THINK, *thought[:budget], CLOSE, *answer, END)
    assert a.thought_tokens == budget
    assert a.text == "purple"
    assert a.stopped == "budget"


def test_budget_that_is_not_reached_changes_nothing(vlm, words):
    thought, answer = words
    with replies(vlm, thinker(thought, answer)):
        a = vlm.ask(PICTURE, "Why?", mode="think", thinking_budget=len(thought), max_tokens=60)
    assert a.reply_ids == (THINK, *thought, CLOSE, *answer, END)
    assert a.stopped == "end", "the model closed the thought itself, just in time"


def test_no_second_thought_after_a_forced_close(vlm, words):
    def again(prompt, done):
        return THINK if not done or done[-1] == CLOSE else thinker(*words)(prompt, done)

    with replies(vlm, again):
        a = vlm.ask(PICTURE, "Why?", thinking_budget=2, max_tokens=60)
    assert a.reply_ids.count(THINK) == 1
    assert a.stopped == "budget"


@pytest.mark.parametrize("limit", [1, 4, 9])
def test_length_counts_every_token_of_the_reply(vlm, words, limit):
    with replies(vlm, thinker(*words, ends=False)):
        a = vlm.ask(PICTURE, "Why?", max_tokens=limit)
    assert len(a.reply_ids) == limit
    assert a.stopped == "length"


def test_length_wins_over_budget(vlm, words):
    with replies(vlm, thinker(*words, ends=False)):
        a = vlm.ask(PICTURE, "Why?", thinking_budget=2, max_tokens=6)
    assert a.stopped == "length"


def test_sampling_repeats_with_its_seed_and_leaves_the_users_random_state(vlm):
    ask = lambda seed: vlm.ask(PICTURE, "What?", temperature=1.5, seed=seed, max_tokens=16)  # noqa: E731
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = ask(1), ask(1), ask(2)
    assert first.token_ids == second.token_ids
    assert first.token_ids != other.token_ids
    assert torch.equal(torch.get_rng_state(), before)
    drawn = ask(None)
    assert isinstance(drawn.settings["seed"], int)
    assert ask(drawn.settings["seed"]).token_ids == drawn.token_ids


def test_sampling_follows_the_distribution():
    scores = torch.full((1, 50), -1e9)
    scores[0, [10, 11]] = torch.tensor([0.8, 0.2]).log()
    encoded = Encoded({}, [], [[1]])
    for temperature, expected in ((1.0, 0.8), (0.5, 0.64 / 0.68), (2.0, 0.8**0.5 / (0.8**0.5 + 0.2**0.5))):
        row = Row(ReplyReader(str), 10_000, torch.Generator().manual_seed(0))
        settings = Settings(temperature=temperature, seed=0)
        control = ReplyControl(encoded, [row], settings, eos={0}, stop=threading.Event())
        drawn = [int(control.choose(scores).argmax()) for _ in range(2000)]
        assert set(drawn) == {10, 11}
        error = (expected * (1 - expected) / 2000) ** 0.5
        assert drawn.count(10) / 2000 == pytest.approx(expected, abs=4 * error)


def test_several_pictures_and_none(vlm):
    both = vlm.ask([PICTURE, Image.new("RGB", (64, 32), "red")], "Which?", max_tokens=3)
    assert [(g.rows, g.cols) for g in both.layout.images] == [(6, 6), (2, 4)]
    assert len(both.images) == 2
    none = vlm.ask(None, "Which?", max_tokens=3)
    assert (none.image_tokens, none.images, none.layout.images) == (0, (), ())


def test_history_brings_its_pictures_and_order(vlm, words):
    with replies(vlm, thinker(*words)):
        first = vlm.ask(PICTURE, "What?", max_tokens=60)
        second = vlm.ask(Image.new("RGB", (64, 32)), "And this?", history=first.turns, max_tokens=60)
    assert [image.size for image in second.images] == [(100, 100), (64, 32)]
    assert [g.size for g in second.layout.images] == [(100, 100), (64, 32)]
    assert [t.role for t in second.turns] == ["user", "assistant", "user", "assistant"]
    assert second.history[1].thought == first.thought
    assert [len(t.images) for t in second.turns] == [1, 0, 1, 0]


def test_the_default_length_is_what_the_context_leaves(vlm, monkeypatch):
    monkeypatch.setattr(vlm.model.config.text_config, "max_position_embeddings", 930)
    a = vlm.ask(PICTURE, "What?")
    assert a.prompt_tokens + a.settings["max_tokens"] == 930
    assert a.stopped in ("length", "end")
    assert len(a.reply_ids) <= a.settings["max_tokens"]


def test_a_context_that_does_not_fit_is_refused_with_numbers(vlm, monkeypatch):
    monkeypatch.setattr(vlm.model.config.text_config, "max_position_embeddings", 930)
    prompt = vlm.ask(PICTURE, "What?", max_tokens=1).prompt_tokens
    with pytest.raises(ContextLengthError, match=f"{prompt} tokens .36 of them.*max_tokens=500.*930"):
        vlm.ask(PICTURE, "What?", max_tokens=500)
    with pytest.raises(ContextLengthError, match="930"):
        vlm.ask(PICTURE, "What? " * 100)
    monkeypatch.undo()
    monkeypatch.setattr(vlm.model.config, "tokenizer_model_max_length", 900)
    with pytest.raises(ContextLengthError, match="at most 900 tokens in a prompt"):
        vlm.ask(PICTURE, "What?", max_tokens=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": ""}, "empty question"),
        ({"question": " \n"}, "empty question"),
        ({"question": None}, "question of type NoneType"),
        ({"question": "half \ud83d"}, "half a character at position 5"),
        ({"images": []}, "holds no picture"),
        ({"images": "nowhere.png"}, "nowhere.png"),
        ({"images": 7}, "picture is a int"),
        ({"images": [PICTURE, b"no picture"]}, "picture 2 of 2"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"max_tokens": 2.5}, "max_tokens=2.5"),
        ({"thinking_budget": -1}, "thinking_budget=-1"),
        ({"temperature": -0.1}, "temperature=-0.1"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"seed": "x"}, "seed='x'"),
        ({"history": ["hello"]}, "history"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(vlm, change, message):
    with pytest.raises(InputError, match=message):
        vlm.ask(**{"images": PICTURE, "question": "What?", **change})


def test_unknown_and_missing_modes(vlm, monkeypatch):
    with pytest.raises(ModeError, match="mode='fast'.*'auto', 'think', 'nothink'"):
        vlm.ask(PICTURE, "What?", mode="fast")
    modes = {Mode.AUTO: vlm.family.modes[Mode.AUTO]}
    monkeypatch.setattr(vlm, "family", type(vlm.family)(**{**vars(vlm.family), "modes": modes}))
    with pytest.raises(ModeError, match="think"):
        vlm.ask(PICTURE, "What?", mode="think")
    assert vlm.modes == (Mode.AUTO,)


def test_too_many_pictures_for_the_family(vlm, monkeypatch):
    monkeypatch.setattr(vlm, "family", type(vlm.family)(**{**vars(vlm.family), "max_images": 1}))
    with pytest.raises(InputError, match="2 pictures.*at most 1"):
        vlm.ask([PICTURE, PICTURE], "Which?")


CONTROLS = (
    "<|im_end|>",
    "<|im_start|>",
    "<|im_sep|>",
    "<think>",
    "</think>",
    "<|dummy_84|>",
    "<image>",
    "<|dummy_80|>",
)


@pytest.mark.parametrize("control", CONTROLS)
def test_control_tokens_in_a_question_leave_the_structure_alone(vlm, control):
    plain = vlm.ask(PICTURE, "Read this please", max_tokens=1)
    special = set(vlm.tokenizer.convert_tokens_to_ids([c for c in CONTROLS if c != "<image>"]))
    try:
        a = vlm.ask(PICTURE, f"Read {control} please", max_tokens=1)
    except InputError as error:
        assert control in str(error)  # noqa: PT017 - refusing it by name is the other right answer
        return
    count = lambda answer: [i for i in answer.prompt_ids if i in special]  # noqa: E731
    assert count(a) == count(plain)
    assert len(a.layout.images) == 1
    assert a.question == f"Read {control} please"


def test_the_model_stays_usable_after_an_error(vlm):
    before = vlm.ask(PICTURE, "What?", max_tokens=4)

    def breaks(*_):
        raise KeyError("broken inside")

    handle = vlm.model.register_forward_pre_hook(breaks)
    with pytest.raises(KeyError, match="broken inside"):
        vlm.ask(PICTURE, "What?", max_tokens=4)
    handle.remove()
    assert vlm.ask(PICTURE, "What?", max_tokens=4).token_ids == before.token_ids


def test_compare_modes(vlm, words):
    with replies(vlm, thinker(*words)):
        table = vlm.compare_modes(PICTURE, "Why <b>?", max_tokens=60)
    assert list(table.answers) == ["auto", "think", "nothink"]
    assert table["think"].thought
    frame = table.frame()
    assert frame["mode"].tolist() == ["auto", "think", "nothink"]
    assert frame["thought_tokens"].tolist() == [len(words[0]), len(words[0]), 0]
    assert "purple" in table._repr_html_()
    assert "purple" in str(table)


def test_compare_modes_says_which_mode_is_missing(vlm, monkeypatch):
    rules = dict(vlm.family.modes)
    del rules[Mode.THINK]
    monkeypatch.setattr(vlm, "family", type(vlm.family)(**{**vars(vlm.family), "modes": rules}))
    table = vlm.compare_modes(PICTURE, "Why?", max_tokens=2)
    assert list(table.answers) == ["auto", "nothink"]
    assert "not available" in table._repr_html_()
    assert len(table.frame()) == 2


def test_answers_of_a_model_survive_saving(vlm, words, tmp_path):
    with replies(vlm, thinker(*words)):
        a = vlm.ask([PICTURE, PICTURE], "What?", max_tokens=60)
        b = vlm.ask(PICTURE, "And?", history=a.turns, max_tokens=60)
    assert Answer.load(b.save(tmp_path / "b")) == b


def test_handle_shows_itself_and_unloads():
    vlm = tiny(attention="eager")
    assert "phi4-rv" in repr(vlm)
    assert "308,960" in vlm._repr_html_()
    answer = vlm.ask(None, "Hello", max_tokens=2)
    vlm.unload()
    assert not vlm.loaded
    for use in (lambda: vlm.model, lambda: vlm.processor, lambda: vlm.ask(None, "Hello")):
        with pytest.raises(WorkbenchError, match=r"was unloaded.*workbench\.load\("):
            use()
    assert "unloaded" in repr(vlm)
    assert answer.spans["thought"] == Span(answer.prompt_tokens, answer.prompt_tokens)
    vlm.unload()
    again = tiny(attention="eager")
    assert again is not vlm
    assert again.ask(None, "Hello", max_tokens=2).token_ids == answer.token_ids


def test_unloading_frees_the_weights():
    import weakref

    vlm = tiny(attention="eager")
    weight = weakref.ref(next(vlm.model.parameters()))
    vlm.ask(None, "Hello", max_tokens=2)
    vlm.unload()
    assert weight() is None


def test_a_guessed_option_is_told_the_word_that_was_meant(vlm):
    for call in (
        lambda: vlm.ask(None, "a", max_new_tokens=3),
        lambda: vlm.stream(None, "a", max_new_tokens=3),
        lambda: vlm.ask_many(None, ["a"], max_new_tokens=3),
        lambda: vlm.chat(max_new_tokens=3),
        lambda: vlm.compare_modes(None, "a", max_new_tokens=3),
    ):
        with pytest.raises(InputError, match=r"max_new_tokens: did you mean max_tokens\?"):
            call()
    with pytest.raises(AttributeError, match=r"vlm\.ask\(images, question\)"):
        vlm.generate  # noqa: B018


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-6])
def test_a_tiny_temperature_is_greedy(vlm, temperature):
    greedy = vlm.ask(PICTURE, "What?", max_tokens=6)
    assert (
        vlm.ask(PICTURE, "What?", max_tokens=6, temperature=temperature, seed=1).token_ids == greedy.token_ids
    )
