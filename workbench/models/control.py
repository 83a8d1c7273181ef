"""Our hand on every step of a reply: what is read, forced, sampled, noted and ended.

Everything is kept per row, so that a row of a batch gives the reply that it would give alone, and a
run that is interrupted has lost nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ..errors import InputError
from ..types import Piece
from .families import Encoded
from .reader import ReplyReader

__all__ = ["DEFAULT_MAX_TOKENS", "Interrupted", "OnPieces", "ReplyControl", "Row", "Settings"]

OnPieces = Callable[[int, list[Piece]], None]
DEFAULT_MAX_TOKENS = 4096
"""Length limit of a reply that asks for none, in tokens; the model's reported settings."""


class Interrupted(Exception):
    """Leaves ``generate`` at once; what was written is kept by the rows."""


@dataclass(frozen=True)
class Settings:
    """How a reply is made.

    Args:
        max_tokens: most tokens of a reply, thought and delimiters included; None for
            `DEFAULT_MAX_TOKENS`, or what the model's context leaves where that is less.
        thinking_budget: tokens after which a thought is closed; None for no limit.
        temperature: 0 is greedy; otherwise scores are divided by it and sampled, nothing cut away.
        seed: for sampling; each reply has its own random generator, seeded with it.
    """

    max_tokens: int | None = None
    thinking_budget: int | None = None
    temperature: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _check_integer("max_tokens", self.max_tokens, least=1)
        if self.thinking_budget is not None:
            _check_integer("thinking_budget", self.thinking_budget, least=0)
        if self.seed is not None:
            _check_integer("seed", self.seed, least=0)
        if isinstance(self.temperature, bool) or not isinstance(self.temperature, (int, float)):
            raise InputError(f"temperature={self.temperature!r}", "a number from 0 (greedy) up")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature={self.temperature!r}", "a number from 0 (greedy) up")

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def _check_integer(name: str, value: Any, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise InputError(f"{name}={value!r}", f"a whole number, at least {least}")


@dataclass
class Row:
    """One reply in the making.

    Args:
        reader: sorts the tokens into thought and answer.
        max_tokens: most tokens of this reply.
        random: its generator, where it is sampled.
        ids: the reply so far, with delimiters and end token.
        stopped: why it ended; ``"interrupted"`` until it did.
        p_think: see `Answer`.
        first_at, last_at: `time.perf_counter` of the first and the last token.
    """

    reader: ReplyReader
    max_tokens: int
    random: torch.Generator | None = None
    ids: list[int] = field(default_factory=list)
    stopped: str = "interrupted"
    p_think: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    closing: list[int] | None = None  # what is still to be forced of a close; None: not closed by us
    done: bool = False


class ReplyControl:
    """Choose, force, note and end, for every row of a batch.

    Args:
        encoded: the prompts.
        rows: one per prompt.
        settings: how to reply.
        eos: ids that end a reply.
        stop: when set, generation ends within a step.
        on_pieces: called with the row's number and its new pieces, in the generating thread.
    """

    def __init__(
        self,
        encoded: Encoded,
        rows: Sequence[Row],
        settings: Settings,
        *,
        eos: set[int],
        stop: threading.Event,
        on_pieces: OnPieces | None = None,
    ) -> None:
        self.encoded, self.rows, self.settings = encoded, rows, settings
        self.eos, self.stop, self.on_pieces = eos, stop, on_pieces

    def choose(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores [batch, vocabulary] whose largest entry of a row is the token to take."""
        if self.stop.is_set():
            raise Interrupted
        if self.encoded.think_open and not any(row.ids for row in self.rows):
            opening = torch.softmax(scores.float(), dim=-1)[:, self.encoded.think_open[0]]
            for row, probability in zip(self.rows, opening.tolist(), strict=True):
                row.p_think = probability
        scores = scores.clone()
        for number, row in enumerate(self.rows):
            token = None if row.done else self._token(row, scores[number])
            if token is not None:
                scores[number] = -torch.inf
                scores[number, token] = 0.0
        return scores

    def note(self, tokens: Sequence[int]) -> list[bool]:
        """Take one new token per row; says which rows are done."""
        now = time.perf_counter()
        for number, row in enumerate(self.rows):
            if row.done:
                continue
            token = tokens[number]
            row.ids.append(token)
            row.first_at, row.last_at = row.first_at or now, now
            pieces = [] if token in self.eos else row.reader.push(token)
            if token in self.eos:
                row.stopped = "end" if row.closing is None else "budget"
            elif len(row.ids) >= row.max_tokens:
                row.stopped = "length"
            row.done = row.stopped != "interrupted"
            self._show(number, pieces + (row.reader.finish() if row.done else []))
        if self.stop.is_set():
            raise Interrupted
        return [row.done for row in self.rows]

    def finish(self) -> None:
        """Show what interrupted rows still held back."""
        for number, row in enumerate(self.rows):
            if not row.done:
                self._show(number, row.reader.finish())

    def _show(self, number: int, pieces: list[Piece]) -> None:
        if pieces and self.on_pieces is not None:
            self.on_pieces(number, pieces)

    def _token(self, row: Row, scores: torch.Tensor) -> int | None:
        """The token that is not simply the largest score; None where it is."""
        if len(row.ids) < len(self.encoded.forced):
            return self.encoded.forced[len(row.ids)]
        if row.closing:
            return row.closing.pop(0)
        if row.closing is not None and len(self.encoded.think_open) == 1:
            scores[self.encoded.think_open[0]] = -torch.inf  # the answer was forced: no second thought
        token = self._sampled(row, scores) if self.settings.temperature > 0 else None
        if row.closing is None and self._over_budget(row):
            taken = int(scores.argmax()) if token is None else token
            if [taken] != self.encoded.think_close:  # else the model closes it by itself
                row.closing = list(self.encoded.think_close)
                return row.closing.pop(0)
        return token

    def _over_budget(self, row: Row) -> bool:
        budget = self.settings.thinking_budget
        return budget is not None and row.reader.state == "thought" and row.reader.thought_tokens >= budget

    def _sampled(self, row: Row, scores: torch.Tensor) -> int:
        """Draw on the CPU from the row's own generator: the caller's random state stays as it is."""
        chances = torch.softmax(scores.double().cpu() / self.settings.temperature, dim=-1)
        return int(torch.multinomial(chances, 1, generator=row.random))
