"""From prompts and turns to token ids, keeping what a user typed apart from control tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from ...errors import InputError
from ...types import Turn

__all__ = ["IMAGE_MARK", "Picture", "PromptEncoder", "Text", "turn_pieces"]

IMAGE_MARK = "<image>"
"""Where a picture goes in a prompt. Not a token: prompts are split at it."""

# What the tokenizer's lstrip and rstrip flags remove: the Unicode property White_Space.
_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_SPACE += "\u2028\u2029\u202f\u205f\u3000"


class Text(NamedTuple):
    """A piece of a prompt: text in which control tokens have their meaning, or (``typed``) have not."""

    text: str
    typed: bool


class Picture(NamedTuple):
    """A piece of a prompt: a picture of ``rows`` by ``cols`` patches."""

    rows: int
    cols: int


class PromptEncoder:
    """Encodes prompts with one placeholder per image patch.

    Args:
        tokenizer: a fast tokenizer.
        image_token_id: the placeholder.
    """

    def __init__(self, tokenizer: Any, image_token_id: int) -> None:
        self.tokenizer = tokenizer
        self.image_token_id = image_token_id

    def prompt(self, text: str, grids: Sequence[tuple[int, int]], name: str = "the prompt") -> list[int]:
        """Ids of a prompt that is written with the chat template.

        It is split at ``<image>``, and each part is tokenized by itself, as the published
        processor does.

        Raises:
            InputError: if marks and grids differ in number, or the text holds the placeholder.
        """
        parts = text.split(IMAGE_MARK)
        if len(parts) - 1 != len(grids):
            raise InputError(
                f"{name} has {len(parts) - 1} {IMAGE_MARK} marks and {len(grids)} pictures",
                f"one {IMAGE_MARK} per picture",
                "pass images as one list per prompt",
            )
        placeholder = self.tokenizer.convert_ids_to_tokens(self.image_token_id)
        if placeholder in text:
            raise InputError(
                f"{name} contains {placeholder}, which stands for image patches", "text without it"
            )
        ids = self.control(parts[0])
        for part, (rows, cols) in zip(parts[1:], grids, strict=True):
            ids += [self.image_token_id] * (rows * cols) + self.control(part)
        return ids

    def control(self, text: str) -> list[int]:
        """Ids of text in which control tokens have their meaning."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def plain(self, text: str) -> list[int]:
        """Ids of text as characters: no control token comes out, whatever it says."""
        return list(self._plain_tokenizer.encode(text, add_special_tokens=False).ids)

    def pieces(self, pieces: Sequence[Text | Picture]) -> list[int]:
        """Ids of a prompt given in pieces.

        Where the typed text spells no control token, they equal those of the whole prompt.
        """
        pieces = _merged(pieces)
        ids: list[int] = []
        for i, piece in enumerate(pieces):
            if isinstance(piece, Picture):
                ids += [self.image_token_id] * (piece.rows * piece.cols)
            elif not piece.typed:
                ids += self.control(piece.text)
            else:
                before = pieces[i - 1] if i else None
                after = pieces[i + 1] if i + 1 < len(pieces) else None
                ids += self.plain(self._strip(piece.text, before, after))
        return ids

    def _strip(self, text: str, before: Text | Picture | None, after: Text | Picture | None) -> str:
        """Typed text without the spaces that the control tokens beside it take away."""
        added = self.tokenizer.added_tokens_decoder.values()
        if isinstance(before, Text):
            left = before.text.rstrip(_SPACE)
            text = text.lstrip(_SPACE) if any(t.rstrip and left.endswith(t.content) for t in added) else text
        if isinstance(after, Text):
            right = after.text.lstrip(_SPACE)
            text = (
                text.rstrip(_SPACE) if any(t.lstrip and right.startswith(t.content) for t in added) else text
            )
        return text

    @cached_property
    def _plain_tokenizer(self) -> Tokenizer:
        """The same vocabulary without the added tokens, so that their text is split like any other."""
        fields = json.loads(self.tokenizer.backend_tokenizer.to_str())
        fields |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        return Tokenizer.from_str(json.dumps(fields))


def turn_pieces(turn: Turn, grids: Iterator[tuple[int, int]]) -> list[Text | Picture]:
    """A turn as pieces; ``grids`` gives (rows, cols) of its pictures.

    A user's pictures stand before the text, each followed by a line break.  An assistant's turn has
    the two forms that the system prompt describes: ``<think> thought </think> text`` and
    ``<|dummy_84|> text``.

    Raises:
        InputError: for pictures in another turn than a user's.
    """
    if turn.role == "user":
        pictures = [piece for _ in turn.images for piece in (Picture(*next(grids)), Text("\n", True))]
        return [*pictures, Text(turn.text, True)]
    if turn.images:
        raise InputError(f"pictures in a turn of role {turn.role!r}", "pictures in a user's turn")
    if turn.thought is not None:
        thought = Text(f" {turn.thought.strip()} ", True)
        return [Text("<think>", False), thought, Text("</think>", False), Text(f" {turn.text}", True)]
    if turn.thinks is False:
        return [Text("<|dummy_84|>", False), Text(f" {turn.text}", True)]
    return [Text(turn.text, True)]


def _merged(pieces: Sequence[Text | Picture]) -> list[Text | Picture]:
    """Pieces without empty text, neighbours of one kind joined."""
    merged: list[Text | Picture] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, Text) and isinstance(last, Text) and last.typed == piece.typed:
            merged[-1] = Text(last.text + piece.text, piece.typed)
        elif isinstance(piece, Picture) or piece.text:
            merged.append(piece)
    return merged
