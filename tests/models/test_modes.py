"""Rules of modes, and taking replies apart."""

from __future__ import annotations

import pytest
import tiny_families

from workbench.errors import InputError, ModeError
from workbench.models.families import family_named, family_of
from workbench.models.families.prompt import split_generation_prompt
from workbench.models.families.thinking import check_thought, generation_prompt, read_thinking
from workbench.models.modes import AS_IS, ModeRule, Modes, check_mode, split_reply
from workbench.types import Mode, Span

THOUGHT = ("<think>", "</think>")


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_families.tokenizer(
        ["<pad>", "<end>", "<direct>"], ["<think>", "</think>"], eos_token="<end>", pad_token="<pad>"
    )


@pytest.fixture(scope="module")
def spelled():
    """A tokenizer that writes the delimiters in several tokens."""
    return tiny_families.tokenizer(["<pad>", "<end>"], eos_token="<end>", pad_token="<pad>")


def split(tokenizer, text, **more):
    ids = tokenizer.encode(text, add_special_tokens=False)
    reply = split_reply(ids, tokenizer, thought=THOUGHT, markers=["<direct>"], **more)

    def cut(span: Span) -> str:
        return tokenizer.decode(ids[span.start : span.stop])

    return reply.thought, reply.answer, cut(reply.thought_span), cut(reply.answer_span), reply.closed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red<end>", (None, "red", "", "red", True)),
        ("<think>is it<end>", ("is it", "", "is it", "", False)),
        ("<think>is it</think>red<end><pad><pad>", ("is it", "red", "is it", "red", True)),
        ("<think> is it </think> red", ("is it", "red", " is it ", " red", True)),
        ("<direct>red<end>", (None, "red", "", "red", True)),
        ("is it</think>red", ("is it", "red", "is it", "red", True)),
        ("<think>\n\n</think>\n\nred", (None, "red", "", "\n\nred", True)),
        ("<think></think>red", (None, "red", "", "red", True)),
        ("<think>", ("", "", "", "", False)),
        ("<think>a</think>b<think>c</think>d", ("a", "b<think>c</think>d", "a", "b<think>c</think>d", True)),
        (
            "the tag <think> is one</think>",
            (None, "the tag <think> is one</think>", "", "the tag <think> is one</think>", True),
        ),
        ("", (None, "", "", "", True)),
        ("<end>", (None, "", "", "", True)),
    ],
)
def test_split(tokenizer, text, expected):
    assert split(tokenizer, text) == expected


def test_split_of_a_thought_that_the_prompt_opened(tokenizer):
    assert split(tokenizer, "is it</think>red", opened=True)[:2] == ("is it", "red")
    assert split(tokenizer, "is it", opened=True) == ("is it", "", "is it", "", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>is it</think>red<end>", ("is it", "red", "is it", "red", True)),
        ("<think>\nis it\n</think>\n\nred", ("is it", "red", "\nis it\n", "\n\nred", True)),
        ("<think>is it", ("is it", "", "is it", "", False)),
        ("a <b> is it", (None, "a <b> is it", "", "a <b> is it", True)),
    ],
)
def test_split_with_delimiters_of_several_tokens(spelled, text, expected):
    assert len(spelled.encode("<think>")) > 1
    assert split(spelled, text) == expected


def test_split_of_a_long_reply_with_spelled_delimiters(spelled):
    thought = "what is the red value " * 300
    found = split(spelled, f"<think>{thought}</think>red")
    assert found[:2] == (thought.strip(), "red")
    assert found[2] == thought


def test_a_model_without_thoughts_answers_only(tokenizer):
    ids = tokenizer.encode("<think>a</think>b", add_special_tokens=False)
    reply = split_reply(ids, tokenizer, thought=("", ""))
    assert (reply.thought, len(reply.answer_span)) == (None, len(ids))


def test_mode_rules():
    modes = {Mode.AUTO: AS_IS, Mode.THINK: ModeRule(refused="it cannot", instead="another/Model")}
    assert check_mode(modes, Mode.AUTO, "this") is AS_IS
    with pytest.raises(
        ModeError, match=r"mode='think' with this: it cannot. Expected: one of 'auto'.*another/Model"
    ):
        check_mode(modes, Mode.THINK, "this")
    with pytest.raises(ModeError, match="no such mode"):
        check_mode(modes, Mode.NOTHINK, "this")


def test_unknown_mode():
    with pytest.raises(ModeError, match="mode='fast'.*'auto', 'think', 'nothink'"):
        Mode.of("fast")


@pytest.mark.parametrize(
    ("text", "without", "expected"),
    [
        ("Q A:", "Q ", ("Q A:", "")),
        ("Q A:<think>\n", "Q ", ("Q A:", "<think>\n")),
        ("Q A:<think>\n\n</think>\n\n", "Q ", ("Q A:", "<think>\n\n</think>\n\n")),
        ("<think> Q A:", "<think> Q ", ("<think> Q A:", "")),
        ("Q A:</think>", "Q ", ("Q A:", "</think>")),
        ("Q A:<think>", "other", ("Q A:<think>", "")),
    ],
)
def test_generation_prompt_is_cut_before_the_thought(text, without, expected):
    assert split_generation_prompt(text, without, THOUGHT) == expected


class Processor:
    """As much of a processor as detection needs."""

    def __init__(self, tokenizer, template):
        self.tokenizer, self.chat_template = tokenizer, template


QUESTION = "{% for m in messages %}{{ m['content'][0]['text'] }}{% endfor %}{% if add_generation_prompt %}A:"


OPENED = "{# </think> #}"  # a template that opens a thought also closes those of earlier turns
BOTH = {Mode.AUTO, Mode.THINK}


def asked(switch: str) -> str:
    return QUESTION + switch + "{% endif %}"


@pytest.mark.parametrize(
    ("template", "shown", "able"),
    [
        (asked(""), "vocabulary", BOTH),
        (None, "vocabulary", BOTH),
        (asked("<think>\n") + OPENED, "opened", BOTH),
        (asked("{% if enable_thinking %}<think>{% else %}<think></think>{% endif %}"), "switch", set(Mode)),
        (asked("{% if not enable_thinking %}/nothink{% endif %}"), "switch", set(Mode)),
        (
            asked("{% if thinking is defined and not thinking %}<think></think>{% endif %}"),
            "switch",
            set(Mode),
        ),
        (asked("{% if thinking_mode == 'off' %}<think></think>{% endif %}"), "switch", set(Mode)),
        (asked("{% if no_think %}<think></think>{% endif %}"), "switch", set(Mode)),
        (asked("{% if reasoning_effort in ('low', 'high') %}<think>{% endif %}"), "switch", set(Mode)),
        (
            asked("{% set enable_thinking = 1 %}{% if enable_thinking %}<think>{% endif %}") + OPENED,
            "opened",
            BOTH,
        ),
        (asked("{% if add_vision_id %}Picture 1:{% endif %}") + OPENED, "named", BOTH),
        ("{% set enable_thinking = 1 %}</think>" + asked(""), "named", BOTH),
    ],
)
def test_what_a_checkpoint_shows_about_thinking(tokenizer, template, shown, able):
    found = read_thinking(Processor(tokenizer, template))
    assert found.shown == shown
    assert found.thought == THOUGHT
    assert {mode for mode, rule in found.modes.items() if not rule.refused} == able
    if found.modes[Mode.THINK].forced:
        assert found.modes[Mode.THINK].forced == "<think>"
    prompts = {
        mode: generation_prompt(Processor(tokenizer, template), **rule.template) + rule.forced
        for mode, rule in found.modes.items()
        if template and mode in able
    }
    if template:  # a thought is really opened, and where it can be switched off, it is not
        assert "<think>" in prompts[Mode.THINK]
        assert prompts[Mode.THINK] != prompts.get(Mode.NOTHINK)


def test_what_shows_nothing_and_what_cannot_be_forced(spelled):
    assert read_thinking(Processor(spelled, asked(""))) is None
    assert read_thinking(Processor(spelled, None)) is None
    found = read_thinking(Processor(spelled, asked("") + OPENED))
    assert "'<think>' is no token" in found.modes[Mode.THINK].refused
    found = read_thinking(Processor(spelled, asked("◁think▷") + "{# ◁/think▷ #}"))
    assert (found.shown, found.thought) == ("opened", ("◁think▷", "◁/think▷"))
    switched = read_thinking(Processor(spelled, asked("{% if thinking %}/think{% endif %}")))
    assert switched.modes[Mode.THINK].template == {"thinking": True}
    assert not switched.modes[Mode.THINK].forced


def test_the_modes_say_how_they_are_reached(tokenizer):
    template = asked("{% if thinking is defined and not thinking %}<think></think>{% endif %}")
    modes = Modes(read_thinking(Processor(tokenizer, template)).modes)
    assert modes == tuple(Mode)
    assert modes.how("auto") == "the template's default, which is thinking on"
    assert modes.how("think") == (
        "the template's thinking=True, and the reply is made to begin with '<think>'"
    )
    assert modes.how("nothink") == "the template's thinking=False"
    silent = Modes(read_thinking(Processor(tokenizer, asked(""))).modes)
    assert silent == (Mode.AUTO, Mode.THINK)
    assert "nothink: not available: nothing in its chat template keeps it from thinking" in repr(silent)
    assert Modes({Mode.AUTO: AS_IS}).how("think") == "not available: it has no such mode"


def test_what_the_user_says_counts(tokenizer):
    words = ("<reasoning>", "</reasoning>")
    found = read_thinking(Processor(tokenizer, asked("")), thought=words, template={"style": "short"})
    assert (found.shown, found.thought) == ("given", words)
    assert found.modes[Mode.THINK].refused
    assert found.modes[Mode.AUTO].template == {"style": "short"}
    with pytest.raises(InputError, match="thought='<think>'"):
        check_thought("<think>", None)
    with pytest.raises(InputError, match="template=.*by name"):
        check_thought(None, {"a b": 1})


@pytest.mark.parametrize("name", ["qwen2.5-vl", "internvl", "smolvlm"])
def test_every_family_reads_its_checkpoint(tokenizer, name):
    """The same class with a thinking template is a thinking checkpoint (MiMo-VL, InternVL3.5, ...)."""
    switch = asked("{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}")
    spec = family_named(name).for_processor(Processor(tokenizer, switch))
    assert (spec.thought, Modes(spec.modes)) == (THOUGHT, tuple(Mode))
    assert spec.check_mode(Mode.NOTHINK).template == {"enable_thinking": False}
    silent = family_named(name).for_processor(Processor(tokenizer, asked("")))
    assert silent.thought == THOUGHT
    with pytest.raises(ModeError, match="keeps it from thinking"):
        silent.check_mode(Mode.NOTHINK)
    assert silent.for_processor(Processor(tokenizer, switch)) is silent  # made precise once


def test_kimi_checkpoints_are_told_apart_by_name():
    thinking = family_of("kimi_vl", "moonshotai/Kimi-VL-A3B-Thinking-2506")
    instruct = family_of("kimi_vl", "moonshotai/Kimi-VL-A3B-Instruct")
    with pytest.raises(ModeError, match="Kimi-VL-A3B-Instruct"):
        thinking.check_mode(Mode.NOTHINK)
    with pytest.raises(ModeError, match="Kimi-VL-A3B-Thinking-2506"):
        instruct.check_mode(Mode.THINK)
