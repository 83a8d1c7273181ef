"""Keep what a person typed from becoming a control token.

A tokenizer turns ``<|im_end|>`` into one control token wherever it stands, also inside a question.
So every control string in a person's text is hidden behind a stand-in token while the template
is rendered and tokenized, and is replaced afterwards by the ids of the same characters as plain
text.  Text without any control string goes through untouched, with exactly the official ids.
"""

from __future__ import annotations

import copy
import functools
import re
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken

from ...errors import InputError

__all__ = ["Shield", "chat_template_of", "control_strings"]

_MARK = "\ue0f7"
"""A private-use character that frames stand-ins; text that has it is hidden too."""

_PROCESSOR_TOKENS = (
    "image_token", "video_token", "audio_token", "boi_token", "eoi_token", "fake_image_token",
    "global_image_token", "start_image_token", "end_image_token", "vision_start_token", "vision_end_token",
)  # fmt: skip

# Tokenizers that people gave us are never changed: stand-ins go into one copy of each.
_copies: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_stand_ins: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()


def chat_template_of(processor: Any) -> str | None:
    """The chat template of a processor or of its tokenizer; the default one of several."""
    template = getattr(processor, "chat_template", None)
    template = template or getattr(processor.tokenizer, "chat_template", None)
    return template.get("default") if isinstance(template, dict) else template


def control_strings(processor: Any, extra: Iterable[str] = ()) -> list[str]:
    """Texts that would change a conversation's structure if they were taken as tokens.

    These are the special tokens, the added tokens that the chat template writes (white space aside,
    which some vocabularies carry as added tokens), the processor's placeholders and ``extra``.
    """
    tokenizer = processor.tokenizer
    template = chat_template_of(processor) or ""
    found = {*extra, *tokenizer.all_special_tokens}
    found.update(str(getattr(processor, name, None) or "") for name in _PROCESSOR_TOKENS)
    for token in tokenizer.added_tokens_decoder.values():
        # Letters alone ("user") are words of a template, whatever the vocabulary calls them.
        if token.special or (token.content in template and not token.content.isalnum()):
            found.add(token.content)
    return sorted((text for text in found if text.strip()), key=lambda text: (-len(text), text))


class Shield:
    """Hides the control strings of one batch of conversations, and tells their plain ids.

    Args:
        processor: the model's processor.
        controls: what `control_strings` gave.
    """

    def __init__(self, processor: Any, controls: Sequence[str]) -> None:
        self._processor = processor
        self._pattern = re.compile("|".join(map(re.escape, (*controls, _MARK))))
        added = processor.tokenizer.get_added_vocab()
        self._ids = {added[text] for text in controls if text in added}
        self._tokenizer = processor.tokenizer
        self.expansions: dict[int, list[int]] = {}

    def hide(self, text: str) -> str:
        """The text with each control string replaced by its stand-in."""
        return self._pattern.sub(self._stand_in, text)

    def _stand_in(self, match: re.Match[str]) -> str:
        control = match.group()
        if self._tokenizer is self._processor.tokenizer:
            self._tokenizer = _guarded_copy(self._tokenizer)
        known = _stand_ins[self._tokenizer]
        if control not in known:
            name = f"{_MARK}{len(known)}{_MARK}"
            self._tokenizer.add_tokens(
                [AddedToken(name, normalized=False, special=True)], special_tokens=True
            )
            known[control] = name
        name = known[control]
        self.expansions[self._tokenizer.convert_tokens_to_ids(name)] = self.plain_ids(control)
        return name

    def processor(self) -> Any:
        """The processor; where something was hidden, a copy that knows each stand-in as one token."""
        if self._tokenizer is self._processor.tokenizer:
            return self._processor
        shielded = copy.copy(self._processor)
        for name in list(vars(shielded)):
            # What a processor made of its tokenizer and kept would go on using the other one.
            if isinstance(getattr(type(shielded), name, None), functools.cached_property):
                delattr(shielded, name)
        shielded.tokenizer = self._tokenizer
        return shielded

    def plain_ids(self, text: str) -> list[int]:
        """A control string as ids of ordinary text.

        Raises:
            InputError: if the tokenizer has no other way to write it.
        """
        tokenizer = self._processor.tokenizer
        # Cut inside the string: no piece is the control token any more.  One cut is enough unless
        # the rest happens to be another control string.
        for pieces in ((text[0], text[1:]), tuple(text)):
            ids = [i for piece in pieces if piece for i in tokenizer.encode(piece, add_special_tokens=False)]
            if not self._ids.intersection(ids):
                return ids
        raise InputError(
            f"the text contains {text!r}, a control token of this model that it cannot read as plain text",
            "a question without control tokens",
            "remove it from the text",
        )

    def structure(self, prompt: str) -> list[int]:
        """The control tokens of a rendered prompt, in order."""
        ids = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return [i for i in ids if i in self._ids]


def _guarded_copy(tokenizer: Any) -> Any:
    """A copy of the tokenizer that may learn stand-ins, made once."""
    if tokenizer not in _copies:
        guarded = copy.deepcopy(tokenizer)
        _copies[tokenizer], _stand_ins[guarded] = guarded, {}
    return _copies[tokenizer]
