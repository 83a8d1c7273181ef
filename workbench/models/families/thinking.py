"""How a checkpoint thinks, read from its own chat template and vocabulary.

The template's variables are found by Jinja's own analysis; it is rendered with each of them on and off, and
the results are compared: what a template does counts, not what its source looks like, nor the model's type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...types import Mode, Turn
from ..modes import ModeRule
from .prompt import chat_template_of, check_template, list_messages, render, string_messages, takes_parts

if TYPE_CHECKING:
    from transformers import ProcessorMixin

__all__ = ["DELIMITERS", "Thinking", "check_thought", "generation_prompt", "read_thinking"]

DELIMITERS = (
    ("<think>", "</think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""Known ways to write a thought, in the order in which a checkpoint is searched for them."""
_SWITCH = re.compile(r"think|reason", re.IGNORECASE)  # names of variables that may switch thoughts
_INVERTED = re.compile(r"(^|_)(no|non|not|disable|skip|without)(_|think|reason)", re.IGNORECASE)
_OFF = re.compile(r"none|off|no|false|disabled?|direct|(no|non|not)[-_ ]?think(ing)?|minimal", re.IGNORECASE)


@dataclass(frozen=True)
class Thinking:
    """How one checkpoint thinks.

    Args:
        thought: texts that open and close a thought.
        modes: how each mode is reached, or why it cannot be.
        shown: what tells: "switch" (a variable of the template), "opened" (the template opens every
            reply's thought), "named" (the template names the delimiters), "vocabulary" (only the
            tokenizer has them) or "given" (by the user).
    """

    thought: tuple[str, str]
    modes: dict[Mode, ModeRule]
    shown: str


def read_thinking(
    processor: ProcessorMixin,
    *,
    thought: tuple[str, str] | None = None,
    template: Mapping[str, Any] | None = None,
) -> Thinking | None:
    """How a checkpoint thinks, as far as it shows; None where it shows nothing.

    Args:
        processor: the checkpoint's processor.
        thought: the delimiters, where the user knows them.
        template: variables that the chat template gets in every mode.
    """
    source = chat_template_of(processor) or ""
    check_template(source)
    given = dict(template or {})
    named = next((pair for pair in DELIMITERS if pair[1] in source), None)
    known = next((pair for pair in DELIMITERS if _single(processor, pair)), None)
    pair = thought or named or known
    forced = pair[0] if pair and _single(processor, pair) else ""
    if source and (switch := _switch(processor, source, given)) is not None:
        return Thinking(pair or DELIMITERS[0], _switched(processor, switch, forced, given), "switch")
    if pair is None:
        return None
    shown = "given" if thought else "named" if named else "vocabulary"
    auto = ModeRule(template=given, words="the model decides: nothing in its template switches thoughts")
    no_think = ModeRule(refused="nothing in its chat template keeps it from thinking")
    if source and pair[0] in generation_prompt(processor, **given):
        opens = ModeRule(template=given, words="its template opens a thought in every reply")
        refused = ModeRule(refused="its template opens a thought in every reply")
        return Thinking(pair, {Mode.AUTO: opens, Mode.THINK: opens, Mode.NOTHINK: refused}, "opened")
    think = ModeRule(forced=forced, template=given, words=f"the reply is made to begin with {forced!r}")
    if not forced:
        think = ModeRule(refused=f"{pair[0]!r} is no token of its vocabulary, so that it cannot be forced")
    return Thinking(pair, {Mode.AUTO: auto, Mode.THINK: think, Mode.NOTHINK: no_think}, shown)


def check_thought(thought: Any, template: Any) -> None:
    """Refuse what cannot say how a model thinks.

    Raises:
        InputError: for delimiters that are no two texts, or variables that are no dictionary.
    """
    if thought is not None:
        texts = isinstance(thought, (tuple, list)) and all(isinstance(t, str) and t.strip() for t in thought)
        if not texts or len(thought) != 2:
            raise InputError(f"thought={thought!r}", "the texts that open and close a thought", _EXAMPLE)
    if template is not None and not (isinstance(template, Mapping) and all(map(_word, template))):
        raise InputError(
            f"template={template!r}",
            "variables of the chat template by name",
            "pass, for example, template={'enable_thinking': True}",
        )


_EXAMPLE = "pass, for example, thought=('<think>', '</think>')"


def generation_prompt(processor: ProcessorMixin, **variables: Any) -> str:
    """What the chat template writes after the question for the model to go on from."""
    messages = _probe(processor)
    text = render(processor, messages, **variables)
    without = render(processor, messages, generation=False, **variables)
    return text[len(without) :] if text.startswith(without) else text


# -- inside ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Switch:
    """A variable of a template, and its values for a thought and for none."""

    name: str
    on: Any
    off: Any


def _switch(processor: ProcessorMixin, source: str, given: Mapping[str, Any]) -> _Switch | None:
    """The variable that switches thoughts: its two values give different prompts."""
    for name, values in sorted(_variables(source).items()):
        for on, off in values:
            switch = _Switch(name, on, off)
            prompts = [_rendered(processor, {**given, name: value}) for value in (on, off)]
            if None not in prompts and prompts[0] != prompts[1]:
                return switch
    return None


def _variables(source: str) -> dict[str, list[tuple[Any, Any]]]:
    """Variables of a template that may switch thoughts, each with the pairs of values to try."""
    import jinja2
    import jinja2.meta

    plain = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", source)  # a tag of Transformers
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
    try:
        tree = environment.parse(plain)
    except jinja2.TemplateError:
        return {}
    found: dict[str, list[tuple[Any, Any]]] = {}
    for name in jinja2.meta.find_undeclared_variables(environment.parse(plain)):  # folds what it looks at
        if not _SWITCH.search(name):
            continue
        words = list(_compared(tree, name))
        off = next((word for word in words if _OFF.fullmatch(word)), None)
        on = next((word for word in words if word != off), None)
        found[name] = [(on or True, off or False)] if words else []
        found[name].append((False, True) if _INVERTED.search(name) else (True, False))
    return found


def _compared(tree: Any, name: str) -> Iterator[str]:
    """Texts that a template compares a variable with."""
    from jinja2 import nodes

    for compare in tree.find_all(nodes.Compare):
        sides = [compare.expr, *(operand.expr for operand in compare.ops)]
        if any(isinstance(side, nodes.Name) and side.name == name for side in sides):
            yield from (
                word.value
                for side in sides
                for word in [side, *getattr(side, "items", [])]
                if isinstance(word, nodes.Const) and isinstance(word.value, str)
            )


def _switched(
    processor: ProcessorMixin, switch: _Switch, forced: str, given: Mapping[str, Any]
) -> dict[Mode, ModeRule]:
    """The rules of a checkpoint whose template has a switch."""
    name = switch.name
    default, on, off = (
        _rendered(processor, {**given, **more}) for more in ({}, {name: switch.on}, {name: switch.off})
    )
    like = "on" if default == on else "off" if default == off else "neither on nor off"
    auto = ModeRule(template=given, words=f"the template's default, which is {name} {like}")
    think = ModeRule(template={**given, name: switch.on}, words=f"the template's {name}={switch.on!r}")
    if forced and forced not in generation_prompt(processor, **think.template):
        how = f"{think.words}, and the reply is made to begin with {forced!r}"
        think = replace(think, forced=forced, words=how)
    elif like == "on" and not forced:
        think = replace(think, words=f"{think.words}, its default; whether it thinks is the model's choice")
    direct = ModeRule(template={**given, name: switch.off}, words=f"the template's {name}={switch.off!r}")
    return {Mode.AUTO: auto, Mode.THINK: think, Mode.NOTHINK: direct}


def _rendered(processor: ProcessorMixin, variables: Mapping[str, Any]) -> str | None:
    """The prompt of a small conversation; None where the template does not take these values."""
    try:
        return render(processor, _probe(processor), **variables)
    except InputError:
        return None


def _single(processor: ProcessorMixin, pair: tuple[str, str]) -> bool:
    """Whether both delimiters are tokens of their own, added to the vocabulary."""
    added = processor.tokenizer.get_added_vocab()
    return all(text in added for text in pair)


def _probe(processor: ProcessorMixin) -> list[dict[str, Any]]:
    turns = [Turn("user", "x")]
    return list_messages(turns) if takes_parts(processor) else string_messages(turns, "")


def _word(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier()
