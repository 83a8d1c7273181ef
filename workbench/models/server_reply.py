"""What is sent to a server and how its reply is read, in the terms of the chat-completions protocol."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import exp
from typing import Any

from PIL import Image

from ..errors import InputError, ServerError
from ..types import Mode, Piece, Turn
from .families import FAMILIES, FamilySpec
from .modes import AS_IS, ModeRule
from .server_http import error_text

__all__ = ["ServedReply", "messages", "mode_fields", "served_family"]

DEFAULT_THOUGHT = ("<think>", "</think>")
# Texts that servers' tokenizers take for control tokens: they would end a turn or open a thought.
_CONTROL = re.compile(
    r"<\|[^<>|\s]{1,64}\|>|</?think>|</?s>|<(?:start|end)_of_(?:turn|image)>|<image(?:_soft_token)?>|<(?:bos|eos|pad)>"
    r"|\[/?(?:INST|THINK)\]|◁/?think▷|<end_of_utterance>"
)
_BY_NAME = (
    (r"phi-?4-?(reasoning-?)?vision|phi-?4-?rv", "phi4-rv"),
    (r"qwen-?3(\.\d)?-?vl", "qwen3-vl"),
    (r"qwen-?2(\.5)?-?vl", "qwen2.5-vl"),
    (r"gemma-?3", "gemma3"),
    (r"smolvlm", "smolvlm"),
    (r"llava-?onevision", "llava-onevision"),
    (r"internvl", "internvl"),
    (r"kimi-?vl", "kimi-vl"),
)
_SILENT = ModeRule(
    refused="nothing tells how this server's model switches its thinking",
    instead="it with family=: workbench.load(url, model=..., family='enable_thinking') for a model whose "
    "chat template has that switch, or with the name of one of the workbench's families",
)
UNKNOWN = FamilySpec(
    name="unknown",
    model_types=(),
    modes={Mode.AUTO: AS_IS, Mode.THINK: _SILENT, Mode.NOTHINK: _SILENT},
    thought=DEFAULT_THOUGHT,
)
SWITCH = FamilySpec(
    name="enable_thinking",
    model_types=(),
    modes={
        Mode.AUTO: AS_IS,
        Mode.THINK: ModeRule(template={"enable_thinking": True}),
        Mode.NOTHINK: ModeRule(template={"enable_thinking": False}),
    },
    thought=DEFAULT_THOUGHT,
)


def served_family(model: str, family: str | None = None) -> FamilySpec:
    """The family of a server's model: as given, or by the model's name.

    Raises:
        InputError: if no family has the given name.
    """
    known = {spec.name: spec for spec in (*FAMILIES, SWITCH)}
    if family is None:
        low = model.lower().replace("_", "-")
        family = next((name for pattern, name in _BY_NAME if re.search(pattern, low)), None)
        if family is None:
            return UNKNOWN
    if family not in known:
        raise InputError(f"family={family!r}", "one of " + ", ".join(map(repr, known)))
    spec = known[family]
    if family in ("qwen3-vl", "kimi-vl"):  # two checkpoints each, told apart by their names
        always = "thinking" in model.lower()
        spec = replace(spec, modes=_two_checkpoints(spec, model, always))
    return spec if spec.thought[0] else replace(spec, thought=DEFAULT_THOUGHT)


def _two_checkpoints(spec: FamilySpec, model: str, always: bool) -> dict[Mode, ModeRule]:
    lacking = Mode.NOTHINK if always else Mode.THINK
    words = ("thinking", "instruct") if always else ("instruct", "thinking")
    other = re.sub(words[0], words[1].capitalize(), model, flags=re.IGNORECASE)
    why = "a Thinking checkpoint always thinks first" if always else "an Instruct checkpoint answers directly"
    instead = other if other != model else f"the {words[1].capitalize()} checkpoint of {spec.name}"
    return {mode: ModeRule(refused=why, instead=instead) if mode is lacking else AS_IS for mode in Mode}


def mode_fields(spec: FamilySpec, mode: Mode, name: str) -> tuple[dict[str, Any], str]:
    """Fields of the request that ask for a mode, and the text that the reply is made to begin with.

    Raises:
        ModeError: if the model lacks the mode.
    """
    rule = spec.check_mode(mode, name)
    return ({"chat_template_kwargs": dict(rule.template)} if rule.template else {}), rule.forced


def messages(turns: Sequence[Turn], spec: FamilySpec, *, begun: str = "") -> list[dict[str, Any]]:
    """A conversation as the protocol takes it; pictures as PNG data addresses (nothing is lost).

    Args:
        turns: the conversation; the last turn is the question.
        spec: the model's family.
        begun: how the reply begins; it is sent as an unfinished assistant's message.

    Raises:
        InputError: if a text holds what the server would take for control tokens.
    """
    sent: list[dict[str, Any]] = []
    for turn in turns:
        for text in (turn.text, turn.thought or ""):
            refuse_control(text, spec)
        if turn.images:
            parts: list[dict[str, Any]] = [
                {"type": "image_url", "image_url": {"url": data_url(image)}} for image in turn.images
            ]
            sent.append({"role": turn.role, "content": [*parts, {"type": "text", "text": turn.text}]})
        else:
            sent.append({"role": turn.role, "content": _with_mode(turn, spec)})
    if begun:
        sent.append({"role": "assistant", "content": begun})
    return sent


def _with_mode(turn: Turn, spec: FamilySpec) -> str:
    """An earlier reply as its family keeps it in a conversation (Phi-4-RV keeps thought and mode)."""
    content = spec.messages([turn])[0]["content"] if turn.role == "assistant" else turn.text
    return content if isinstance(content, str) else turn.text


def refuse_control(text: str, spec: FamilySpec) -> None:
    """A server renders the conversation itself, so that control tokens cannot be made plain here.

    Raises:
        InputError: naming the first one.
    """
    found = _CONTROL.search(text)
    given = found.group() if found else next((mark for mark in spec.delimiters() if mark in text), None)
    if given is not None:
        raise InputError(
            f"the control token {given!r} in a text for a server, which would change the conversation",
            "plain text",
            "write it another way, or load the model here, where it stays text",
        )


def data_url(image: Image.Image) -> str:
    """A picture as a PNG data address."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


class ServedReply:
    """A reply, put together from a server's events.

    Servers give a thought in a field of its own (``reasoning_content`` or ``reasoning``) or inside the
    text between delimiters; both are understood, also where a delimiter is spread over events, and
    where only its close is seen because the prompt opened it.

    Args:
        thought: the family's delimiters.
        opened: the prompt, or what the reply was made to begin with, opened the thought.
        certain: whether that is certain; else a reply that ends without closing it was an answer.
    """

    def __init__(self, thought: tuple[str, str], *, opened: bool = False, certain: bool = False) -> None:
        self.finish: str | None = None
        self.usage: dict[str, Any] = {}
        self.first_tokens: dict[str, float] = {}
        self._open, self._close = thought
        self._state = "thought" if opened else "start"  # then "answer"
        self._supposed = opened and not certain  # until a close, or a field of its own, shows that it was one
        self._thought: str | None = "" if opened else None
        self._answer = self._held = ""
        self._apart = self._seen_first = False

    def take(self, event: Mapping[str, Any], url: str) -> list[Piece]:
        """Read one event; the pieces of text that it completes.

        Raises:
            ServerError: if the server reports an error, or the event is not of the protocol.
        """
        if "choices" not in event and (message := error_text(event)):
            raise ServerError(f"{url} reports: {message}", "a reply", "look at the server's log")
        choices = event.get("choices")
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise ServerError(f"{url} sent an event without choices", "chat completions", "check the address")
        if isinstance(event.get("usage"), dict):
            self.usage = dict(event["usage"])
        if not choices:  # the last event may hold nothing but the counts
            return []
        delta = choices[0].get("delta") or choices[0].get("message") or {}
        if not isinstance(delta, dict):
            raise ServerError(f"{url} sent a choice without text", "chat completions", "check the address")
        self._read_first_tokens(choices[0].get("logprobs"))
        self.finish = choices[0].get("finish_reason") or self.finish
        return list(self._pieces(delta))

    def end(self) -> list[Piece]:
        """The reply is complete: what was held back because it could have become a delimiter."""
        held, self._held = self._held, ""
        pieces = [self._add(held, self._state)] if held else []
        if self._supposed and self.finish == "stop":  # it never closed and yet ended: it was the answer
            self._answer, self._thought = self._thought or "", None
        return pieces

    def close_thought(self) -> list[Piece]:
        """From here on comes the answer, whatever came before; pieces as of `end`."""
        pieces, self._supposed = self.end(), False
        self._state, self._apart = "answer", False
        return pieces

    def written(self) -> str:
        """The reply so far as the model would have written it, to be gone on from."""
        if self._thought is None:
            return self._answer + self._held
        return self._open + self._thought + ("" if self.thinking else self._close) + self._answer + self._held

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._answer.strip()

    @property
    def thought(self) -> str | None:
        """The thought so far; None where none was opened."""
        return None if self._thought is None else self._thought.strip()

    @property
    def thinking(self) -> bool:
        """Whether the thought has not been closed yet."""
        return self._state == "thought" or (self._apart and not self._answer.strip())

    @property
    def p_think(self) -> float | None:
        """Probability that the first token opens a thought, from the likeliest first tokens.

        None where the server did not tell them, or where the opening is not among them although
        they leave more than 0.1 percent to others.
        """
        if not self.first_tokens or not self._open:
            return None
        if self._open in self.first_tokens:
            return self.first_tokens[self._open]
        return 0.0 if sum(self.first_tokens.values()) > 0.999 else None

    def _pieces(self, delta: Mapping[str, Any]) -> Iterator[Piece]:
        apart = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(apart, str) and apart:
            self._apart, self._supposed, self._state = True, False, "answer"
            yield self._add(apart, "thought")
        content = delta.get("content")
        if isinstance(content, list):  # some servers send parts
            content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
        if isinstance(content, str):
            yield from self._split(content)

    def _split(self, text: str) -> Iterator[Piece]:
        """Sort text into thought and answer, holding back what may become a delimiter."""
        self._held += text
        while self._held:
            if self._state == "start":
                bare = self._held.lstrip()
                if not bare or (len(bare) < len(self._open) and self._open.startswith(bare)):
                    return
                opens = bool(self._open) and bare.startswith(self._open)
                self._state = "thought" if opens else "answer"
                if opens:
                    self._thought, self._held = "", bare[len(self._open) :]
            elif self._supposed and not self._thought and self._may_open_again():
                return
            elif self._close and (self._state == "thought" or self._thought is None):
                at = self._held.find(self._close)
                if at < 0:
                    kept = _overlap(self._held, self._close)
                    certain, self._held = (
                        self._held[: len(self._held) - kept],
                        self._held[len(self._held) - kept :],
                    )
                    if certain:
                        yield self._add(certain, self._state)
                    return
                if self._state == "answer":  # the prompt had opened the thought
                    self._thought, self._answer = self._answer, ""
                before, self._held = self._held[:at], self._held[at + len(self._close) :]
                self._state, self._supposed = "answer", False
                yield self._add(before, "thought")
            else:
                certain, self._held = self._held, ""
                yield self._add(certain, "answer")

    def _may_open_again(self) -> bool:
        """A thought that was taken for opened begins with its delimiter after all: leave that out.

        Returns:
            Whether more text is needed to tell.
        """
        bare = self._held.lstrip()
        if self._open and bare.startswith(self._open):
            self._held, self._supposed = bare[len(self._open) :], False
        return not self._held or not bare or (len(bare) < len(self._open) and self._open.startswith(bare))

    def _add(self, text: str, kind: str) -> Piece:
        if kind == "thought":
            self._thought = (self._thought or "") + text
        else:
            self._answer += text
        return Piece(text, "thought" if kind == "thought" else "answer")

    def _read_first_tokens(self, logprobs: Any) -> None:
        """Keep the likeliest first tokens with their probabilities."""
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        if (
            self._seen_first
            or not isinstance(content, list)
            or not content
            or not isinstance(content[0], dict)
        ):
            return
        self._seen_first = True
        for entry in content[0].get("top_logprobs") or [content[0]]:
            token, value = entry.get("token"), entry.get("logprob")
            if isinstance(token, str) and isinstance(value, (int, float)) and value <= 0:
                self.first_tokens[token] = exp(value)


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``mark``."""
    return next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if mark.startswith(text[-n:])), 0)
