"""Rules of modes, and taking replies apart."""

from __future__ import annotations

import pytest
import tiny_families

from workbench.errors import ModeError
from workbench.models.families import family_of
from workbench.models.families.prompt import detect_thinking, split_generation_prompt
from workbench.models.modes import AS_IS, ModeRule, check_mode, split_reply
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


@pytest.mark.parametrize(
    ("template", "thought", "able"),
    [
        (QUESTION + "{% endif %}", None, None),
        (None, None, None),
        (QUESTION + "<think>\n{% endif %}", THOUGHT, {Mode.AUTO, Mode.THINK}),
        (QUESTION + "◁think▷{% endif %}{# ◁/think▷ #}", ("◁think▷", "◁/think▷"), {Mode.AUTO, Mode.THINK}),
        (
            QUESTION + "{% if enable_thinking %}<think>{% else %}<think></think>{% endif %}{% endif %}",
            THOUGHT,
            set(Mode),
        ),
        (QUESTION + "{% if not enable_thinking %}/nothink{% endif %}{% endif %}", THOUGHT, set(Mode)),
        ("{% set enable_thinking = 1 %}</think>" + QUESTION + "{% endif %}", THOUGHT, {Mode.AUTO}),
    ],
)
def test_what_a_template_shows_about_thinking(tokenizer, template, thought, able):
    if template and "<think>\n" in template:
        template += "{# </think> #}"  # a template that opens a thought also closes those of earlier turns
    found = detect_thinking(Processor(tokenizer, template))
    if thought is None:
        assert found is None
        return
    assert found.thought == thought
    assert {mode for mode, rule in found.modes.items() if not rule.refused} == able


def test_kimi_checkpoints_are_told_apart_by_name():
    thinking = family_of("kimi_vl", "moonshotai/Kimi-VL-A3B-Thinking-2506")
    instruct = family_of("kimi_vl", "moonshotai/Kimi-VL-A3B-Instruct")
    with pytest.raises(ModeError, match="Kimi-VL-A3B-Instruct"):
        thinking.check_mode(Mode.NOTHINK)
    with pytest.raises(ModeError, match="Kimi-VL-A3B-Thinking-2506"):
        instruct.check_mode(Mode.THINK)
