"""What a model replied, as a record that needs no model.

An `Answer` is saved as a folder: ``answer.json`` with text and numbers, and beside it one safetensors file
with the token ids and the images (PNG bytes); attention, where it was kept, lies in a second one.  The JSON
names the tensor files by their content's hash and is put in place last: a crash at any moment leaves the old
answer or the new one, never a mixture.  An answer loads and shows itself without torch and without the model.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from .attention import Attention
from .errors import ArgumentError, InputError
from .files import local_path, own_folder, read_bytes, read_json, temporary, write_bytes, write_json
from .html import framed
from .images import open_image
from .names import Named, later
from .records import build, plain, with_format, without_format
from .sentences import sentence_spans
from .types import Mode, Span, TokenLayout, Turn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Answer", "STOPPED"]


WITHHELD = frozenset(("content_filter", "refusal", "tool_calls"))
"""Ends of a reply in which a server put something else in the place of an answer."""

STOPPED = ("end", "length", "budget", "interrupted", *sorted(WITHHELD))


@dataclass(frozen=True)
class Answer(Named):
    """One reply of a model, with what it was asked and what it cost.

    Args:
        text: the answer, without the thought.
        thought: the thought; None where there is none.
        mode: the mode it was asked in.
        p_think: probability, at the first position of the reply and before any mode was forced,
            that the model opens a thought; None for a family without thoughts, a server, or where a
            thought was given.
        prompt_tokens: tokens of the prompt, pictures included.
        image_tokens: tokens of the prompt that stand for patches of a picture.
        thought_tokens, answer_tokens: tokens of the two spans (no delimiters, no end token).  These
            counts are None where a server does not tell them.
        seconds: from the call to the last token; in a batch, the batch's time.
        seconds_to_first_token: from the call to the first token; None if none came.
        stopped: ``"end"`` (the model ended it), ``"length"`` (max_tokens ran out), ``"budget"``
            (the thought was closed at thinking_budget, and the answer then ended by itself),
            ``"interrupted"``; or, of a server only, what it put in the place of an answer:
            ``"content_filter"``, ``"refusal"`` or ``"tool_calls"``.
        token_ids: the prompt's ids, then the reply's with its delimiters and end token. Empty for a server.
        spans: ``{"thought": Span, "answer": Span}`` over ``token_ids``; an absent one is empty.
        layout: where the pictures' patches stand in ``token_ids``; None for a server.
        question: what was asked last.
        images: all pictures of the conversation in order, upright RGB: ``layout.images[i]`` lies on
            ``images[i]``.
        history: the turns before the question; their pictures are the first of ``images``.
        model: name of the model.
        source: where it was loaded from.
        settings: max_tokens, thinking_budget, temperature, seed; and thought and thought_done where the
            thought, or its beginning, was given.
        created: UTC time of the reply, ISO 8601.
        captured: what `attention` gives; None where it was not kept.
    """

    text: str
    thought: str | None
    mode: Mode
    p_think: float | None
    prompt_tokens: int  # None from a server that does not tell; such an answer has no token ids either
    image_tokens: int | None
    thought_tokens: int | None
    answer_tokens: int | None
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
    def reply_tokens(self) -> int | None:
        """Tokens of thought and answer together; None where a server does not tell them."""
        if self.thought_tokens is None or self.answer_tokens is None:
            return None
        return self.thought_tokens + self.answer_tokens

    @property
    def sentences(self) -> tuple[Span, ...]:
        """The thought's sentences, as spans of its characters: ``answer.thought[span.start : span.stop]``.

        Empty for an answer without a thought.  `workbench.interpret.timeline` has them as tokens.
        """
        return tuple(sentence_spans(self.thought or ""))

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
        thinks: bool | None = self.thought is not None
        if self.mode is Mode.AUTO and not thinks:  # a token before the answer told that it is a direct one
            thinks = False if self.spans["answer"].start > self.prompt_tokens > 0 else None
        return (
            *self.history,
            Turn("user", self.question, self.question_images),
            Turn("assistant", self.text, thought=self.thought, thinks=thinks),
        )

    def plot(self, tokens: int | Span | None = None, **options: Any) -> Figure:
        """The images, with what the reply looked at where its attention was kept.

        Args:
            tokens: a token or span of the reply; None for the answer without its thought.
            options: as for `workbench.viz.overlay`, or, without attention, `workbench.viz.show_answer`.

        Raises:
            InputError: for an answer about no image, or tokens of an answer made without ``capture=True``.
        """
        if inside := {"layer", "layers", "head", "heads"}.intersection(options):
            raise ArgumentError(
                f"answer.plot(..., {min(inside)}=...)",
                "options of workbench.viz.overlay",
                "answer.attention.plot(layers=[1], heads=[0]) shows layers and heads",
            )
        if self.captured is None and tokens is None:
            return later("viz", "show_answer")(self, **options)
        return later("viz", "overlay")(self, tokens, **options)

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path`` (made if needed), replacing an answer that is there.

        Returns:
            The folder.

        Raises:
            InputError: if ``path`` is a file, or a folder that holds something else.
        """
        return save_answer(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Answer:
        """Load what `save` wrote; ``path`` is the folder.

        Raises:
            InputError: if it is not there, damaged, or of a format that this version does not know.
        """
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
        prompt, images = _known(self.prompt_tokens), _known(self.image_tokens)
        facts.append(f"{prompt} prompt tokens ({images} of pictures)")
        facts.append(f"{_known(self.thought_tokens)} thought + {_known(self.answer_tokens)} answer tokens")
        facts.append(f"{self.seconds:.2f} s")
        facts.append(_STOPPED_WORDS[self.stopped])
        return ", ".join(facts)

    @framed
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
    "content_filter": "withheld by the server's content filter",
    "refusal": "refused by the server's model",
    "tool_calls": "a tool call instead of an answer",
}


def _known(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(text: str) -> str:
    return f'<span style="white-space:pre-wrap">{escape(text)}</span>'


def _folded(answer: Answer) -> str:
    if answer.thought is None:
        return ""
    return (
        f'<details class="workbench-thought"><summary style="cursor:pointer">Thought '
        f"({_known(answer.thought_tokens)} tokens)</summary>"
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


FORMAT, NAME = "workbench.answer", "answer.json"


def save_answer(answer: Answer, path: str | Path) -> Path:
    """Write an answer into a folder; see `Answer.save`."""
    folder = own_folder(path, NAME, "a new folder, or one with a saved answer")
    tensors = {"token_ids": np.asarray(answer.token_ids, dtype=np.int64)}
    for number, image in enumerate(answer.images):
        tensors[f"image_{number}"] = np.frombuffer(_png(image), dtype=np.uint8)
    data = save_tensors(tensors)
    name = f"answer-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    attention = None if answer.captured is None else _save_attention(answer.captured, folder)
    write_bytes(folder / name, data)
    saved = _to_saved(answer, name, attention)
    write_json(folder / NAME, with_format(plain(saved), FORMAT))
    for old in (*folder.glob("answer-*.safetensors"), *folder.glob("attention-*.safetensors")):
        if old.name not in (name, attention):
            old.unlink(missing_ok=True)
    return folder


def _save_attention(attention: Attention, folder: Path) -> str:
    """Write a record of attention under its content's hash; returns the file's name."""
    beside = attention.save(temporary(folder / "attention"))
    try:
        with beside.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = f"attention-{digest[:16]}.safetensors"
        os.replace(beside, folder / name)
    finally:
        beside.unlink(missing_ok=True)
    return name


def load_answer(path: str | Path) -> Answer:
    """Read an answer back; see `Answer.load`."""
    where = f"path={str(path)!r}"
    folder = local_path(path)
    folder = folder.parent if folder.name == NAME else folder
    document = read_json(folder / NAME, expect=dict)
    saved = build(_Saved, without_format(document, FORMAT, where), where, complete=True)
    for name in (saved.tensors, saved.attention or ".safetensors"):
        if name != os.path.basename(name) or not name.endswith(".safetensors"):
            raise InputError(f"{where} names the file {name!r}", "a safetensors file in the same folder")
    try:
        tensors = load_tensors(read_bytes(folder / saved.tensors))
        captured = None if saved.attention is None else Attention.load(folder / saved.attention)
        return replace(_consistent(_from_saved(saved, tensors)), captured=captured)
    except InputError as error:
        raise InputError(f"{where}: {error.given}", error.expected, error.fix) from None
    except (SafetensorError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{where} is damaged: {type(error).__name__}: {error}",
            "a folder that Answer.save wrote",
            "save the answer again",
        ) from None


@dataclass(frozen=True)
class _SavedTurn:
    """A turn as it lies on disk: its images are the next ones in the file of tensors."""

    role: str
    text: str
    thought: str | None
    thinks: bool | None
    images: int


@dataclass(frozen=True)
class _Saved:
    """What ``answer.json`` holds."""

    tensors: str
    text: str
    thought: str | None
    mode: Mode
    p_think: float | None
    prompt_tokens: int | None
    image_tokens: int | None
    thought_tokens: int | None
    answer_tokens: int | None
    seconds: float
    seconds_to_first_token: float | None
    stopped: str
    spans: dict[str, tuple[int, int]]
    layout: TokenLayout | None
    question: str
    history: tuple[_SavedTurn, ...]
    model: str
    source: str
    settings: dict[str, Any]
    created: str
    attention: str | None = None


_ELSEWHERE = {"tensors", "attention", "history", "spans", "settings"}
"""Fields of `_Saved` that are not an `Answer`'s own, or in another form."""


def _to_saved(answer: Answer, tensors: str, attention: str | None) -> _Saved:
    own = {f.name: getattr(answer, f.name) for f in fields(_Saved) if f.name not in _ELSEWHERE}
    return _Saved(
        **own,
        tensors=tensors,
        attention=attention,
        spans={name: (span.start, span.stop) for name, span in answer.spans.items()},
        settings=dict(answer.settings),
        history=tuple(
            _SavedTurn(turn.role, turn.text, turn.thought, turn.thinks, len(turn.images))
            for turn in answer.history
        ),
    )


def _from_saved(saved: _Saved, tensors: Mapping[str, np.ndarray]) -> Answer:
    own = {f.name: getattr(saved, f.name) for f in fields(_Saved) if f.name not in _ELSEWHERE}
    count = sum(name.startswith("image_") for name in tensors)
    images = tuple(open_image(tensors[f"image_{number}"].tobytes()) for number in range(count))
    return Answer(
        **own,
        spans={name: Span(*span) for name, span in saved.spans.items()},
        settings=saved.settings,
        history=_history(saved.history, images),
        token_ids=tuple(int(number) for number in tensors["token_ids"]),
        images=images,
    )


def _consistent(answer: Answer) -> Answer:
    """The answer, if its spans and its layout lie within its tokens.

    Raises:
        InputError: if they do not: a later step would ask for memory or positions that do not exist.
    """
    length = len(answer.token_ids)
    if length and not 0 <= (-1 if answer.prompt_tokens is None else answer.prompt_tokens) <= length:
        raise InputError(f"a prompt of {answer.prompt_tokens} tokens", f"at most {length}, as there are")
    for name, span in answer.spans.items():
        if not 0 <= span.start <= span.stop <= length:
            raise InputError(f"span {name!r} is {span.start} to {span.stop}", f"positions of {length} tokens")
    for grid in answer.layout.grids if answer.layout is not None else ():
        inside = grid.start >= 0 and grid.stop <= length and 0 <= grid.image < len(answer.images)
        if not (inside and grid.rows > 0 and 0 < grid.cols <= grid.row_stride):
            raise InputError(
                f"a grid of {grid.rows} x {grid.cols} tokens from {grid.start} on image {grid.image}",
                f"one within {length} tokens and {len(answer.images)} images",
            )
    return answer


def _history(turns: Sequence[_SavedTurn], images: tuple[Image.Image, ...]) -> tuple[Turn, ...]:
    """Give the turns their images back: they are the first ones, in order."""
    history, at = [], 0
    for turn in turns:
        shown = images[at : at + turn.images]
        history.append(Turn(turn.role, turn.text, images=shown, thought=turn.thought, thinks=turn.thinks))
        at += turn.images
    return tuple(history)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
