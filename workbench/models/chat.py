"""A conversation with pictures, in several turns."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

from ..answer import Answer
from ..types import Turn

__all__ = ["Asks", "Chat"]


class Asks(Protocol):
    """Whatever can be asked: a model here, or one on a server."""

    name: str

    @property
    def ask(self) -> Callable[..., Answer]: ...


class Chat:
    """A conversation that remembers its turns.

    Only complete exchanges are remembered.  A question that raises an error, or whose reply was
    interrupted or has no answer (cut off within its thought), leaves the conversation as it was:
    ask again, or ask something else.

    Args:
        vlm: the model.
        options: what `ask` takes (mode, max_tokens, ...), for every turn that does not say otherwise.

    Example:
        >>> chat = vlm.chat(mode="nothink")                     # doctest: +SKIP
        >>> chat.ask("What is the total?", images="bill.png")   # doctest: +SKIP
        >>> chat.ask("And without the tip?")                    # doctest: +SKIP
    """

    def __init__(self, vlm: Asks, **options: Any) -> None:
        self._vlm, self._options = vlm, options
        self._answers: list[Answer] = []

    def ask(self, question: str, images: Any = None, **options: Any) -> Answer:
        """Ask the next question; new pictures come with it, earlier ones are still seen.

        Raises:
            WorkbenchError: as ``vlm.ask``; the conversation is then unchanged.
        """
        answer = self._vlm.ask(images, question, history=self.turns, **{**self._options, **options})
        if answer.stopped != "interrupted" and answer.text:
            self._answers.append(answer)
        elif answer.stopped != "interrupted":
            warnings.warn(
                f"The reply has no answer (it {_ENDS[answer.stopped]}); the conversation goes on without it.",
                UserWarning,
                stacklevel=2,
            )
        return answer

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The conversation so far, as `ask` takes it for ``history``."""
        return self._answers[-1].turns if self._answers else ()

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The replies so far."""
        return tuple(self._answers)

    def undo(self) -> Answer | None:
        """Forget the last exchange; returns its answer, or None if there was none."""
        return self._answers.pop() if self._answers else None

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<Chat with {self._vlm.name}: {len(self)} exchanges>"

    def __str__(self) -> str:
        return "\n\n".join(map(str, self._answers))

    def _repr_html_(self) -> str:
        return "<hr>".join(answer.html(answer.question_images) for answer in self._answers)


_ENDS = {
    "end": "ended without one",
    "budget": "ended without one",
    "length": "was cut off by max_tokens within the thought",
}
