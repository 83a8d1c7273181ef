"""What a model replied, as a record that needs no model.

An `Answer` is saved as a folder: ``answer.json`` with text and numbers, and beside it one
safetensors file with the token ids and the pictures (PNG bytes).  It loads and shows itself on a
machine that has neither torch nor the model.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from .errors import InputError
from .types import Mode, Span, TokenLayout, Turn

if TYPE_CHECKING:
    from .attention import Attention

__all__ = ["STOPPED", "Answer"]

STOPPED = ("end", "length", "budget", "interrupted")


@dataclass(frozen=True)
class Answer:
    """One reply of a model, with what it was asked and what it cost.

    Args:
        text: the answer, without the thought.
        thought: the thought; None where there is none.
        mode: the mode it was asked in.
        p_think: probability, at the first position of the reply and before any mode was forced,
            that the model opens a thought; None for a family without thoughts, or a server.
        prompt_tokens: tokens of the prompt, pictures included.
        image_tokens: tokens of the prompt that stand for patches of a picture.
        thought_tokens, answer_tokens: tokens of the two spans (no delimiters, no end token).
        seconds: from the call to the last token; in a batch, the batch's time.
        seconds_to_first_token: from the call to the first token; None if none came.
        stopped: ``"end"`` (the model ended it), ``"length"`` (max_tokens ran out), ``"budget"``
            (the thought was closed at thinking_budget, and the answer then ended by itself) or
            ``"interrupted"``.
        token_ids: the prompt's ids, then the reply's with its delimiters and end token. Empty for a server.
        spans: ``{"thought": Span, "answer": Span}`` over ``token_ids``; an absent one is empty.
        layout: where the pictures' patches stand in ``token_ids``; None for a server.
        question: what was asked last.
        images: all pictures of the conversation in order, upright RGB: ``layout.images[i]`` lies on
            ``images[i]``.
        history: the turns before the question; their pictures are the first of ``images``.
        model: name of the model.
        source: where it was loaded from.
        settings: max_tokens, thinking_budget, temperature, seed.
        created: UTC time of the reply, ISO 8601.
        captured: what `attention` gives; None where it was not kept.
    """

    text: str
    thought: str | None
    mode: Mode
    p_think: float | None
    prompt_tokens: int
    image_tokens: int
    thought_tokens: int
    answer_tokens: int
    seconds: float
    seconds_to_first_token: float | None
    stopped: str
    token_ids: tuple[int, ...] = ()
    spans: Mapping[str, Span] = field(
        default_factory=lambda: {"thought": Span(0, 0), "answer": Span(0, 0)}, hash=False
    )
    layout: TokenLayout | None = None
    question: str = ""
    images: tuple[Image.Image, ...] = field(default=(), hash=False)
    history: tuple[Turn, ...] = field(default=(), hash=False)
    model: str = ""
    source: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    created: str = ""
    captured: Attention | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", Mode.of(self.mode))
        if self.stopped not in STOPPED:
            raise InputError(f"stopped={self.stopped!r}", f"one of {', '.join(map(repr, STOPPED))}")

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """Token ids of the prompt."""
        return self.token_ids[: self.prompt_tokens]

    @property
    def reply_ids(self) -> tuple[int, ...]:
        """Token ids of the reply, with delimiters and end token."""
        return self.token_ids[self.prompt_tokens :]

    @property
    def attention(self) -> Attention:
        """What each token of the reply looked at; asked for with ``capture=True``.

        Raises:
            InputError: if it was not kept.
        """
        if self.captured is None:
            raise InputError(
                "an answer made without capture" if self.reply_ids else "an answer that holds no token",
                "an answer whose attention was kept",
                "ask again with capture=True: vlm.ask(images, question, capture=True)",
            )
        return self.captured

    @property
    def question_images(self) -> tuple[Image.Image, ...]:
        """The pictures that came with the question itself."""
        return self.images[sum(len(turn.images) for turn in self.history) :]

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The conversation with this reply as its last turn; pass it on as ``history``."""
        thinks = None if self.mode is Mode.AUTO and self.thought is None else self.thought is not None
        return (
            *self.history,
            Turn("user", self.question, self.question_images),
            Turn("assistant", self.text, thought=self.thought, thinks=thinks),
        )

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path`` (made if needed), replacing an answer that is there.

        Returns:
            The folder.

        Raises:
            InputError: if ``path`` is a file, or a folder that holds something else.
        """
        from .answer_file import save_answer

        return save_answer(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Answer:
        """Load what `save` wrote; ``path`` is the folder.

        Raises:
            InputError: if it is not there, damaged, or of a format that this version does not know.
        """
        from .answer_file import load_answer

        return load_answer(path)

    def __repr__(self) -> str:
        return f"Answer({_short(self.text)!r}, {self._facts()})"

    def __str__(self) -> str:
        lines = [f"Question: {self.question}"] if self.question else []
        if self.thought is not None:
            lines.append(f"Thought:  {self.thought}")
        lines += [f"Answer:   {self.text}", f"({self._facts()})"]
        return "\n".join(lines)

    def _facts(self) -> str:
        facts = [f"mode {self.mode}"]
        if self.p_think is not None:
            facts.append(f"p_think {self.p_think:.2f}")
        facts.append(f"{self.prompt_tokens} prompt tokens ({self.image_tokens} of pictures)")
        facts.append(f"{self.thought_tokens} thought + {self.answer_tokens} answer tokens")
        facts.append(f"{self.seconds:.2f} s")
        facts.append(_STOPPED_WORDS[self.stopped])
        return ", ".join(facts)

    def _repr_html_(self) -> str:
        return self.html(self.images)

    def html(self, images: Sequence[Image.Image] = ()) -> str:
        """The answer for a notebook: the thought folded away, everything escaped.

        Args:
            images: pictures to show small above it.
        """
        pictures = f"<div>{''.join(map(_thumbnail, images))}</div>" if images else ""
        question = f'<div style="opacity:.75">{_text(self.question)}</div>' if self.question else ""
        facts = f"{self.model} · {self._facts()}" if self.model else self._facts()
        return (
            '<div class="workbench-answer" style="max-width:60em;line-height:1.45">'
            f"{pictures}{question}{_folded(self)}"
            f'<div class="workbench-text" style="font-size:1.08em;margin:.35em 0">{_text(self.text)}</div>'
            f'<div style="opacity:.6;font-size:.85em">{escape(facts)}</div></div>'
        )


_STOPPED_WORDS = {
    "end": "ended by itself",
    "length": "cut off at max_tokens",
    "budget": "thought closed at its budget",
    "interrupted": "interrupted",
}


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(text: str) -> str:
    return f'<span style="white-space:pre-wrap">{escape(text)}</span>'


def _folded(answer: Answer) -> str:
    if answer.thought is None:
        return ""
    return (
        f'<details class="workbench-thought"><summary style="cursor:pointer">Thought '
        f"({answer.thought_tokens} tokens)</summary>"
        '<div style="border-left:3px solid;padding-left:.7em;opacity:.8">'
        f"{_text(answer.thought)}</div></details>"
    )


def _thumbnail(image: Image.Image, side: int = 160) -> str:
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    title = f"{image.width} x {image.height} pixels"
    return (
        f'<img alt="picture, {title}" title="{title}" src="data:image/png;base64,{data}" '
        'style="margin:0 .4em .4em 0;display:inline-block">'
    )


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain HTML table; every cell is escaped."""
    head = "".join(f'<th style="text-align:left">{escape(cell)}</th>' for cell in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{_text(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
