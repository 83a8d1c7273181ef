"""Attention in figures: layers and heads on one sheet, a reply over time or as text, two maps compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from PIL import Image

from ..answer import Answer
from ..attention import Attention
from ..attention.select import Tokens
from ..errors import InputError
from ..interpret.attribution import Attribution
from ..names import verb
from ..synth.sample import Element
from ..types import PatchGrid
from .overlay import colour_bar, draw_map, grid_of, sheet_colours
from .spotlight import cell_names, is_dark, most_on, shade
from .style import FAINT, INK, SERIES, Figure, columns, named, panels, plain, record, titled, token_text
from .thinking import percent

__all__ = ["difference", "sheet", "timeline", "token_strip"]


@verb("image")
def sheet(
    attention: Attention | Answer,
    token: Tokens | None = None,
    *,
    image: int = 0,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    sinks: bool = True,
    width: float = 8.0,
) -> Figure:
    """One small map for each layer (down) and head (across), all on one scale.

    The scale is that of the root of the share, so that faint heads show.

    Args:
        attention: of an answer, or the answer itself.
        token: a token of the reply, or a span, as ``attention.map`` takes it; None for the answer without
            its thought.
        image: which picture.
        layers, heads: which; None for all.
        sinks: whether sinks stay in.
        width: of the figure, in inches.

    Raises:
        InputError: for something else, or as ``attention.map``.
    """
    attention = _captured(attention)
    token = attention.spans.get("answer", attention.tokens) if token is None else token
    chosen = list(attention.layers) if layers is None else list(layers)
    across = list(range(attention.n_heads)) if heads is None else list(heads)
    maps = [
        attention.map(token, image=image, layers=[layer], heads=across, reduce="none", sinks=sinks).mean(
            axis=2
        )
        for layer in chosen
    ]
    return draw_sheet(np.concatenate(maps), layers=chosen, heads=across, width=width)


def _captured(given: Attention | Answer) -> Attention:
    """The attention of an answer, or what is it already."""
    made_by = "vlm.ask(images, question, capture=True).attention"
    return record(given.attention if isinstance(given, Answer) else given, Attention, made_by)


def draw_sheet(
    maps: np.ndarray, *, layers: Sequence[int], heads: Sequence[int], width: float = 8.0
) -> Figure:
    """The sheet itself, from maps ``[layers, heads, rows, cols]``; see `sheet`."""
    rows, cols = maps.shape[2:]
    gap_y, gap_x = max(1, rows // 8), max(1, cols // 8)
    cell_y, cell_x = rows + gap_y, cols + gap_x
    page = np.full((len(layers) * cell_y - gap_y, len(heads) * cell_x - gap_x), np.nan)
    for i in range(len(layers)):
        for j in range(len(heads)):
            page[i * cell_y : i * cell_y + rows, j * cell_x : j * cell_x + cols] = maps[i, j]
    inner = width - 1.5
    drawn, (axes, bar) = panels(
        1, 2, width=width, height=min(14.0, max(2.6, inner * page.shape[0] / page.shape[1] + 0.9)),
        width_ratios=[inner, 0.15],
    )  # fmt: skip
    top = float(maps.max())
    norm = PowerNorm(0.5, 0, top or 1.0)
    axes.imshow(page, cmap=sheet_colours(), norm=norm, interpolation="nearest")
    every = max(1, -(-len(heads) // 24))
    axes.set_xticks(
        [j * cell_x + cols / 2 - 0.5 for j in range(0, len(heads), every)], map(str, heads[::every])
    )
    every = max(1, -(-len(layers) // 40))
    axes.set_yticks(
        [i * cell_y + rows / 2 - 0.5 for i in range(0, len(layers), every)], map(str, layers[::every])
    )
    axes.set_xlabel("head", fontsize=9)
    axes.set_ylabel("layer", fontsize=9)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    drawn.colorbar(axes.images[0], cax=bar, label="share of the attention (root scale)")
    bar.tick_params(labelsize=8)
    shares = maps.sum(axis=(2, 3))
    i, j = (int(n) for n in np.unravel_index(np.argmax(shares), shares.shape))
    titled(
        drawn,
        f"Head {heads[j]} of layer {layers[i]} looks at the picture most, {percent(shares[i, j])} of its "
        f"attention; the median head puts {percent(float(np.median(shares)))} there",
    )
    return drawn


def timeline(
    frame: pd.DataFrame | Attention | Answer, *, image: int = 0, title: str = "", width: float = 8.0
) -> Figure:
    """How much each token of the reply looked at the picture, how widely, and how much went to sinks.

    Args:
        frame: an answer, its attention, or a table from ``attention.over_time(image=...)``.
        image: which picture, where it is no table.
        title: a line above; "" for what the table says.
        width: of the figure, in inches.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    if isinstance(frame, (Attention, Answer)):
        frame = _captured(frame).over_time(image)
    rows = columns(frame, ("share", "entropy", "sink_share"), "answer.attention.over_time(image=0)")
    drawn, axes = panels(3, 1, width=width, height=5.2, sharex=True)
    x = np.arange(len(rows))
    thought = (rows["part"] == "thought").to_numpy() if "part" in rows else np.zeros(len(rows), dtype=bool)
    shown = (
        ("share", 100, "on the picture (%)"),
        ("entropy", 1, "entropy (bits)"),
        ("sink_share", 100, "on sinks (%)"),
    )
    for panel, look, (name, scale, label) in zip(axes, SERIES, shown, strict=False):
        plain(panel, grid="y")
        panel.plot(
            x, scale * rows[name], color=look.colour, linestyle=look.line, marker=look.marker, markersize=4,
            markeredgecolor=INK, markeredgewidth=0.4,
        )  # fmt: skip
        panel.set_ylabel(label, fontsize=9)
        highest = scale * float(rows[name].max())
        panel.set_ylim(0, 1.1 * highest if highest > 0 else 1)
        for start, stop in _runs(thought):
            panel.axvspan(start - 0.5, stop - 0.5, color="#eeeeee", zorder=0)
    if thought.any():
        start, stop = _runs(thought)[0]
        axes[0].text(start - 0.4, axes[0].get_ylim()[1], "thought", fontsize=8, color=FAINT, va="top")
    _name_tokens(axes[-1], rows)
    titled(drawn, title or _over_time(rows, thought))
    return drawn


def _runs(inside: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _name_tokens(axes: Axes, rows: pd.DataFrame) -> None:
    """The tokens' texts along the axis while they are few enough to be read; else their numbers."""
    axes.set_xlabel("token of the reply", fontsize=9)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    if "text" in rows and len(rows) <= 60:
        names = [token_text(str(text), 14) for text in rows["text"]]
        axes.set_xticks(range(len(rows)), names, rotation=90, fontsize=8)
        for text in axes.get_xticklabels():
            text.set_parse_math(False)


def _over_time(rows: pd.DataFrame, thought: np.ndarray) -> str:
    if thought.any() and not thought.all():
        during, after = (100 * rows["share"][where].mean() for where in (thought, ~thought))
        return (
            f"On average {during:.0f}% of a thought token's attention is on the picture, "
            f"{after:.0f}% of the others'"
        )
    return f"On average {100 * rows['share'].mean():.0f}% of a token's attention is on the picture"


def difference(
    map_a: Attribution | ArrayLike,
    map_b: Attribution | ArrayLike,
    *,
    answer: Answer | None = None,
    image: int = 0,
    elements: Sequence[Element] = (),
    labels: tuple[str, str] = ("first", "second"),
    label: str | None = None,
    title: str = "",
    height: float = 3.0,
) -> Figure:
    """Two maps on one scale, and the first minus the second in two colours.

    Args:
        map_a, map_b: maps of the same patches, ``[rows, cols]``; or attributions of one answer.
        answer: whose picture to draw them on; None for an attribution's own, and the patches alone where
            there is none.
        image: which picture.
        elements: what is known to be on the picture (``sample.elements``), so that the title can name it.
        labels: names of the two maps.
        label: what the values are; None for what an attribution says, "value" for arrays.
        title: a line above; "" for how much differs and where.
        height: of a map, in inches.

    Raises:
        InputError: if the maps differ in shape, do not fit the answer, or are not finite.
    """
    if isinstance(map_a, Attribution):
        answer = map_a.answer if answer is None else answer
        label = map_a.unit if label is None else label
    a, b = (
        np.asarray(one.map(image) if isinstance(one, Attribution) else one, dtype=float)
        for one in (map_a, map_b)
    )
    if a.ndim != 2 or a.shape != b.shape:
        raise InputError(
            f"maps of shapes {a.shape} and {b.shape}", "two maps [rows, cols] of the same patches"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("a map with values that are not finite", "finite values")
    grid, picture = _ground(answer, image, a.shape)
    wide = height * min(2.2, max(0.6, picture.width / picture.height))
    drawn, axes = panels(
        1, 5, width=max(3 * wide + 1.8, 6.5), height=height + 0.9, width_ratios=[wide, wide, 0.1, wide, 0.1]
    )
    top = float(max(np.abs(a).max(), np.abs(b).max()))
    for panel, values, name in ((axes[0], a, labels[0]), (axes[1], b, labels[1])):
        draw_map(panel, picture, values, grid, peak=top, scale=answer is not None)
        panel.set_title(name, fontsize=9, color=INK, parse_math=False)
    signed = bool((a < 0).any() or (b < 0).any())
    dark = is_dark(picture)
    colour_bar(axes[2], top, signed=signed, label=label or "value", dark=dark)
    most = draw_map(axes[3], picture, a - b, grid, scale=False, signed=True)
    axes[3].set_title(f"{labels[0]} minus {labels[1]}", fontsize=9, color=INK, parse_math=False)
    colour_bar(axes[4], most, signed=True, label="difference", dark=dark)
    titled(drawn, title or _differs(a, b, labels, cell_names(grid, elements)))
    return drawn


def _ground(answer: Answer | None, image: int, shape: tuple[int, ...]) -> tuple[PatchGrid, Any]:
    """Where maps of this shape lie, and the picture below them: a white one where there is no answer."""

    if answer is not None:
        grid = grid_of(answer, image)
        if (grid.rows, grid.cols) != shape:
            raise InputError(
                f"maps of shape {shape}", f"({grid.rows}, {grid.cols}), the patches of picture {image}"
            )
        return grid, answer.images[image]
    rows, cols = shape
    size = (16 * cols, 16 * rows)
    return PatchGrid(0, rows, cols, 0, size, (0.0, 0.0, float(size[0]), float(size[1])), cols), Image.new(
        "RGB", size, "white"
    )


def _differs(a: np.ndarray, b: np.ndarray, labels: tuple[str, str], names: Sequence[str]) -> str:
    """What each of two maps is strongest on, and, where both are shares, how much lies elsewhere."""
    first, second = (most_on(values, names)[0] for values in (a, b))
    said = (
        f"both {labels[0]} and {labels[1]} are strongest {first}"
        if first == second
        else f"{labels[0]} is strongest {first}, {labels[1]} {second}"
    )
    if (a < 0).any() or (b < 0).any() or not a.sum() or not b.sum():
        return said[0].upper() + said[1:]
    moved = 0.5 * float(np.abs(a / a.sum() - b / b.sum()).sum())
    return f"{said[0].upper()}{said[1:]}: {percent(moved)} of the map lies elsewhere"


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
    texts = reply_texts(record(answer, Answer, "vlm.ask(images, question, capture=True)"), tokens)
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
    grounds = shade(np.nan_to_num(numbers), top, signed=False)
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
        shown = named(text).replace("\n", "↵").replace("\t", " ")[:per_line] or "·"
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
