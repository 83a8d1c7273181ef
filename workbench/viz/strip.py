"""A reply as running text, each token on a ground that shows its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..errors import InputError
from .overlay import colour_bar, coloured
from .style import INK, Figure, panels, titled

if TYPE_CHECKING:
    from ..answer import Answer

__all__ = ["token_strip"]

FONT, LETTER, LINE = 10, 0.602 * 10 / 72, 0.29  # points; inches of a monospaced letter, and of a line


def token_strip(
    answer: Answer,
    values: Any,
    *,
    tokens: Sequence[str] | None = None,
    label: str = "share of the attention",
    title: str = "",
    width: float = 8.0,
) -> Figure:
    """The reply's tokens as running text, each on a ground that shows its value; darker is more.

    Args:
        answer: whose reply it is.
        values: a number for each token of the reply (``answer.reply_ids``), none negative; None or
            NaN for a token without one.
        tokens: the tokens' texts, where the answer was made without ``capture=True``.
        label: what the values are, for the colour bar.
        title: a line above; "" for what the values say.
        width: of the figure, in inches.

    Raises:
        InputError: for another number of values than the reply has tokens, or negative ones.
    """
    texts = reply_texts(answer, tokens)
    numbers = np.array([np.nan if v is None else float(v) for v in values], dtype=float)
    if len(numbers) != len(texts):
        raise InputError(f"{len(numbers)} values", f"{len(texts)}, one for each token of the reply")
    if (numbers < 0).any():
        raise InputError(f"the value {np.nanmin(numbers):g}", "values that are not negative")
    places, lines = _flow(texts, int((width - 1.2) / LETTER), _breaks(answer))
    lines = max(lines, 5)  # room for the colour bar and its name
    drawn, (axes, bar) = panels(
        1, 2, width=width, height=0.6 + LINE * lines, width_ratios=[width - 1.2, 0.13]
    )
    top = float(np.nanmax(numbers)) if np.isfinite(numbers).any() else 0.0
    grounds = coloured(np.nan_to_num(numbers), top, signed=False)
    for (line, start, text), ground, number in zip(places, grounds, numbers, strict=True):
        colour = (*ground[:3], 0.0 if np.isnan(number) else ground[3])
        _token(axes, line, start, text, colour)
    axes.set_xlim(0, int((width - 1.2) / LETTER))
    axes.set_ylim(lines, 0)
    axes.set_axis_off()
    colour_bar(bar, top, signed=False, label=label)
    if not title and top > 0:
        most = int(np.nanargmax(numbers))
        where = f"most at “{texts[most].strip()}” ({top:.2g})"
        title = f"{label.capitalize()}: {where}, {np.nanmean(numbers):.2g} on average"
    titled(drawn, title or label.capitalize())
    return drawn


def reply_texts(answer: Answer, tokens: Sequence[str] | None) -> list[str]:
    """Texts of the reply's tokens: those given, or those that the attention record holds."""
    if tokens is None:
        tokens = answer.attention.texts[answer.prompt_tokens :]
    if len(tokens) != len(answer.reply_ids):
        raise InputError(f"{len(tokens)} tokens", f"{len(answer.reply_ids)}, those of the reply")
    return list(tokens)


def _breaks(answer: Answer) -> set[int]:
    """Reply tokens before which a new line begins: where the answer begins after a thought."""
    start = answer.spans["answer"].start - answer.prompt_tokens
    return {start} if answer.spans["thought"] and start > 0 else set()


def _flow(texts: Sequence[str], per_line: int, breaks: set[int]) -> tuple[list[tuple[int, int, str]], int]:
    """(line, column, shown text) of each token in lines of ``per_line`` letters, and the number of lines."""
    line, at, places = 0, 0, []
    for number, text in enumerate(texts):
        shown = text.replace("\n", "↵").replace("\t", " ")[:per_line] or "·"
        if at and (at + len(shown) > per_line or number in breaks):
            line, at = line + 1, 0
        places.append((line, at, shown))
        at += len(shown)
        if text.endswith("\n"):
            line, at = line + 1, 0
    return places, line + (at > 0)


def _token(axes: Axes, line: int, start: int, text: str, ground: tuple[float, ...]) -> None:
    frame = Rectangle(
        (start + 0.04, line + 0.06),
        len(text) - 0.08,
        0.88,
        facecolor=ground,
        edgecolor="#cccccc",
        linewidth=0.4,
    )
    axes.add_patch(frame)
    r, g, b = (c * ground[3] + 1 - ground[3] for c in ground[:3])
    ink = "white" if 0.299 * r + 0.587 * g + 0.114 * b < 0.5 else INK
    for place, letter in enumerate(
        text
    ):  # letter by letter: a font whose letters differ in width stays inside
        if not letter.isspace():
            axes.text(
                start + place + 0.5, line + 0.53, letter, fontsize=FONT, family="monospace", color=ink,
                ha="center", va="center", parse_math=False,
            )  # fmt: skip
