"""Reading a reply while it is being written: which token belongs to the thought, which to the answer.

One reader follows one reply.  It decodes piece by piece without ever showing half a character or a
delimiter, and counts the thought's tokens for the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..types import Piece

__all__ = ["IncrementalText", "ReplyReader"]

BROKEN = "\N{REPLACEMENT CHARACTER}"


class IncrementalText:
    """Decode a growing list of token ids; each call gives the text that is now certain.

    A character may be spread over several tokens: the last replacement character is held back
    until its bytes are complete.  Only a window of recent tokens is decoded again.

    Args:
        decode: token ids to text.
    """

    WINDOW, KEPT = 32, 8  # 8 tokens are at least 8 bytes: more than the longest UTF-8 character

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._shown = 0  # characters of the window's text that were given out

    def push(self, token: int) -> str:
        """Text that this token completes."""
        self._ids.append(token)
        text = self._decode(self._ids)
        certain = text[:-1] if text.endswith(BROKEN) else text
        new = certain[self._shown :]
        self._shown = max(self._shown, len(certain))
        if len(self._ids) > self.WINDOW:
            self._ids = self._ids[-self.KEPT :]
            text = self._decode(self._ids)
            self._shown = len(text) - text.endswith(BROKEN)
        return new

    def flush(self) -> str:
        """What was held back, when no more tokens will come."""
        text = self._decode(self._ids)[self._shown :]
        self._ids, self._shown = [], 0
        return text


class ReplyReader:
    """Sort a reply's tokens into thought and answer as they come.

    A delimiter of one token is recognised by its id; one of several tokens by its text, since its
    characters may be merged with their neighbours'.  Text is given out without the white space at
    the ends of thought and answer, so the pieces of a kind, joined, are the record's text.  A close
    that nothing opened is left out; only the record, made at the end, can tell that what came before
    it was a thought.

    Args:
        decode: token ids to text, special tokens left out.
        think_open, think_close: ids of the delimiters; empty for a family without thoughts.
        delimiters: their texts.
        opened: the prompt itself already opened the thought.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        *,
        think_open: Sequence[int] = (),
        think_close: Sequence[int] = (),
        delimiters: tuple[str, str] = ("", ""),
        opened: bool = False,
    ) -> None:
        self._open, self._close = list(think_open), list(think_close)
        self._delimiters = delimiters
        self._text = IncrementalText(decode)
        self._held = ""
        self._started = False
        self._closed = False
        self.state = "thought" if opened else "start" if think_open else "answer"
        self.thought_tokens = 0

    def push(self, token: int) -> list[Piece]:
        """Take the next token of the reply.

        Returns:
            The pieces that are now certain; mostly one, or none.
        """
        if self.state == "start" and len(self._open) == 1 and token == self._open[0]:
            self._switch("thought")
            return []
        if not self._closed and len(self._close) == 1 and token == self._close[0]:
            pieces = self._take(self._text.flush(), last=True)
            self._closed = True
            self._switch("answer")
            return pieces
        self.thought_tokens += self.state == "thought"
        return self._take(self._text.push(token))

    def finish(self) -> list[Piece]:
        """What was held back, when the reply has ended."""
        return self._take(self._text.flush(), last=True)

    def _take(self, text: str, *, last: bool = False) -> list[Piece]:
        if self.state == "start":
            return self._at_start(text, last=last)
        if self.state == "thought" and len(self._close) > 1 and not self._closed:
            return self._until_close(text, last=last)
        return self._give(text, last=last)

    def _at_start(self, text: str, *, last: bool) -> list[Piece]:
        """Nothing but white space so far: a thought may still open."""
        self._held += text
        begun = self._held.lstrip()
        opener = self._delimiters[0] if len(self._open) > 1 else ""
        if opener and begun.startswith(opener):
            self._switch("thought", keep_text=True)
            return self._take(begun[len(opener) :], last=last)
        if begun and (last or not opener.startswith(begun)):
            self._switch("answer", keep_text=True)
            return self._take(begun, last=last)
        return []

    def _until_close(self, text: str, *, last: bool) -> list[Piece]:
        """Give the thought out, but hold back what may become its closing delimiter."""
        closer = self._delimiters[1]
        text, self._held = self._held + text, ""
        before, found, after = text.partition(closer)
        if found:
            pieces = self._give(before, last=True)
            self._closed = True
            self._switch("answer", keep_text=True)
            return pieces + self._take(after, last=last)
        sizes = range(min(len(closer) - 1, len(text)), 0, -1)
        keep = 0 if last else next((n for n in sizes if text.endswith(closer[:n])), 0)
        pieces = self._give(text[: len(text) - keep], last=last)
        self._held += text[len(text) - keep :]
        return pieces

    def _give(self, text: str, *, last: bool = False) -> list[Piece]:
        text, self._held = self._held + text, ""
        if not self._started:
            text = text.lstrip()
        shown = text.rstrip()
        if not last:
            self._held = text[len(shown) :]
        self._started = self._started or bool(shown)
        return [Piece(shown, self.state)] if shown else []

    def _switch(self, state: str, *, keep_text: bool = False) -> None:
        self.state, self._held, self._started = state, "", False
        if not keep_text:
            self._text.flush()
