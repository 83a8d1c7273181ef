"""What a checkpoint's chat template says about thinking.

The template is rendered on a small conversation, with and without its switches, and the results are
compared: what a template does counts, not what its source looks like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...types import Mode, Turn
from ..modes import AS_IS, ModeRule
from .controls import chat_template_of
from .prompt import list_messages, render, string_messages, takes_parts

__all__ = ["DELIMITERS", "Thinking", "detect_thinking", "generation_prompt"]

DELIMITERS = (
    ("<think>", "</think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),
    ("<seed:think>", "</seed:think>"),
)
"""Known ways to write a thought, in the order in which a template is searched for them."""


def _probe(processor: Any) -> list[dict[str, Any]]:
    turns = [Turn("user", "x")]
    return list_messages(turns) if takes_parts(processor) else string_messages(turns, "")


@dataclass(frozen=True)
class Thinking:
    """How one checkpoint thinks: its delimiters and a rule for each mode."""

    thought: tuple[str, str]
    modes: dict[Mode, ModeRule]


def generation_prompt(processor: Any, **variables: Any) -> str:
    """What the chat template writes after the question for the model to go on from."""
    messages = _probe(processor)
    text = render(processor, messages, **variables)
    without = render(processor, messages, generation=False, **variables)
    return text[len(without) :] if text.startswith(without) else text


def detect_thinking(processor: Any) -> Thinking | None:
    """How a checkpoint thinks, as far as its chat template shows; None where it shows nothing."""
    template = chat_template_of(processor)
    if not template:
        return None
    pair = next((pair for pair in DELIMITERS if pair[1] in template), None)
    messages = _probe(processor)
    switched = [render(processor, messages, enable_thinking=value) for value in (True, False)]
    if switched[0] != switched[1]:
        on, off = ModeRule(template={"enable_thinking": True}), ModeRule(template={"enable_thinking": False})
        return Thinking(pair or DELIMITERS[0], {Mode.AUTO: AS_IS, Mode.THINK: on, Mode.NOTHINK: off})
    if pair and pair[0] in generation_prompt(processor):
        refused = ModeRule(refused="its template opens a thought in every reply")
        return Thinking(pair, {Mode.AUTO: AS_IS, Mode.THINK: AS_IS, Mode.NOTHINK: refused})
    return Thinking(pair, {Mode.AUTO: AS_IS}) if pair else None
