"""How a family expresses a thinking mode, and how a reply is split into thought and answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ModeError
from ..types import Mode, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["AS_IS", "ModeRule", "Modes", "Reply", "check_mode", "split_reply"]


@dataclass(frozen=True)
class ModeRule:
    """One way to ask for one mode.

    Args:
        forced: control tokens that are put first in the reply, as text ("<think>").
        template: arguments for the chat template ({"enable_thinking": False}).
        refused: why this model cannot do the mode; empty when it can.
        instead: checkpoint (or family) that can, for the error message.
        words: how the mode is reached; made from the rest where it is empty.
    """

    forced: str = ""
    template: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""
    instead: str = ""
    words: str = ""

    def __str__(self) -> str:
        if self.refused:
            return f"not available: {self.refused}"
        switches = ", ".join(f"{name}={value!r}" for name, value in self.template.items())
        ways = [f"the template's {switches}"] if switches else []
        ways += [f"the reply is made to begin with {self.forced!r}"] if self.forced else []
        return self.words or " and ".join(ways) or "the model replies so without being told"


AS_IS = ModeRule()
"""The model replies in this mode without being told."""


class Modes(tuple[Mode, ...]):
    """The thinking modes that a model has; shows how each is reached, and why the others are not.

    Args:
        rules: how each mode is reached, or why it cannot be.
    """

    rules: Mapping[Mode, ModeRule]

    def __new__(cls, rules: Mapping[Mode, ModeRule]) -> Modes:
        made = super().__new__(cls, (mode for mode in Mode if mode in rules and not rules[mode].refused))
        made.rules = rules
        return made

    def how(self, mode: str | Mode) -> str:
        """How a mode is reached, or why it cannot be, in words."""
        rule = self.rules.get(Mode.of(mode))
        return "not available: it has no such mode" if rule is None else str(rule)

    def __repr__(self) -> str:
        return "\n".join(f"{mode.value}: {self.how(mode)}" for mode in Mode)


def check_mode(modes: Mapping[Mode, ModeRule], mode: Mode, model: str) -> ModeRule:
    """The rule for a mode.

    Raises:
        ModeError: if this model lacks the mode; the message names one that has it.
    """
    rule = modes.get(mode) or ModeRule(refused="it has no such mode")
    if rule.refused:
        can = ", ".join(repr(m.value) for m in Mode if m in modes and not modes[m].refused)
        fix = f"load {rule.instead}" if rule.instead else "use one of the modes above"
        raise ModeError(f"mode={mode.value!r} with {model}: {rule.refused}", f"one of {can}", fix)
    return rule


@dataclass(frozen=True)
class Reply:
    """A reply, taken apart.

    Spans count from the first token of the reply and leave out delimiters, forced mode tokens and
    end tokens.  ``thought`` is None (and its span empty) where the reply has no thought.
    ``closed`` is False for a thought that was cut off before its end.
    """

    thought: str | None
    answer: str
    thought_span: Span
    answer_span: Span
    closed: bool = True


def _find(ids: Sequence[int], part: Sequence[int], start: int = 0) -> int:
    """Index of the first occurrence of ``part``, or -1."""
    if not part:
        return -1
    part = list(part)
    for at in range(start, len(ids) - len(part) + 1):
        if list(ids[at : at + len(part)]) == part:
            return at
    return -1


def _first_prefix(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], start: int, text: str) -> int:
    """Length of the shortest prefix of ``ids`` whose text from ``start`` on contains ``text``; -1 if none.

    A delimiter of several tokens may be merged with its neighbours, so that its own ids never
    appear: then only the decoded text shows where it ends.
    """

    def has(stop: int) -> bool:
        return text in tokenizer.decode(list(ids[start:stop]), skip_special_tokens=False)

    low, high = start, len(ids)
    if not has(high):
        return -1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if has(middle) else (middle + 1, high)
    return low


def _delimiter(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], start: int, text: str
) -> tuple[int, int] | None:
    """(first position, position after) of a delimiter in the reply, or None."""
    token = tokenizer.convert_tokens_to_ids(text) if text else None
    if isinstance(token, int) and token != tokenizer.unk_token_id:
        at = _find(ids, [token], start)
        return None if at < 0 else (at, at + 1)
    stop = _first_prefix(tokenizer, ids, start, text) if text else -1
    if stop < 0:
        return None
    first = stop - 1
    while first > start and text not in tokenizer.decode(list(ids[first:stop]), skip_special_tokens=False):
        first -= 1
    return first, stop


def split_reply(
    reply_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
    *,
    thought: tuple[str, str],
    markers: Sequence[str] = (),
    opened: bool = False,
) -> Reply:
    """Take a reply apart into thought and answer.

    A thought that never closes (cut off by the length limit) takes the rest of the reply, and the
    answer is empty.  A close with no open before it ends a thought that began with the reply.

    Args:
        reply_ids: the reply's token ids, forced ones included, padding and end token or not.
        tokenizer: the model's tokenizer.
        thought: the texts that open and close a thought; ("", "") for a model that has none.
        markers: tokens that only announce a mode ("<|dummy_84|>"); left out of the answer.
        opened: the prompt itself already opened the thought.
    """
    ids = [int(i) for i in reply_ids]
    end = len(ids)
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id, *tokenizer.all_special_ids}
    while end and ids[end - 1] in ends:
        end -= 1
    body = ids[:end]
    opening = None if opened else _delimiter(tokenizer, body, 0, thought[0])
    closing = _delimiter(tokenizer, body, opening[1] if opening else 0, thought[1])
    if opening and tokenizer.decode(body[: opening[0]], skip_special_tokens=True).strip():
        opening = closing = None  # a delimiter that the answer merely quotes
    start = 0
    marker_ids = {tokenizer.convert_tokens_to_ids(m) for m in markers} - {None, tokenizer.unk_token_id}
    if not opening and not closing and not opened:
        while start < end and body[start] in marker_ids:
            start += 1
        return Reply(None, _text(tokenizer, body[start:]), Span(0, 0), Span(start, end))
    first = opening[1] if opening else 0
    if closing is None:
        return Reply(_text(tokenizer, body[first:]), "", Span(first, end), Span(end, end), closed=False)
    start = closing[1]
    while start < end and body[start] in marker_ids:
        start += 1
    answer = _text(tokenizer, body[start:])
    # "<think></think>" is how templates write that there is no thought.
    if not (text := _text(tokenizer, body[first : closing[0]])):
        return Reply(None, answer, Span(0, 0), Span(start, end))
    return Reply(text, answer, Span(first, closing[0]), Span(start, end))


def _text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=True).strip()
