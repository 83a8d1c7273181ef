"""What hidden states say: words over the picture by layer, the reply by layer, and the choice to think"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ..attention.record import tag_name
from ..errors import InputError
from ..interpret.lens_record import LogitLens, Says
from ..names import verb
from ..stats import bootstrap_mean
from .overlay import _picture, colour_bar, sheet_colours
from .spotlight import shade
from .style import FAINT, INK, SERIES, Figure, by_group, panels, plain, record, titled, token_text
from .thinking import percent

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["decision", "lens_sheet", "lens_table"]

LENS = "workbench.interpret.logit_lens(vlm, answer)"
MOST = 60  # words on one picture
PALE = 0.86  # how much white lies over the picture below words
SHORT = 12  # characters of a word that are shown


@verb()
def lens_sheet(
    lens: LogitLens,
    *,
    layers: Sequence[int] | None = None,
    image: int = 0,
    least: float = 0.05,
    height: float = 3.4,
) -> Figure:
    """What each patch of a picture says at some layers, where it lies on the paled picture.

    The colour is the probability of the patch's most likely word; the word itself stands on the patches
    whose probability is at least ``least``, once for neighbours in a row that say the same, strongest first.

    Args:
        lens: from `workbench.interpret.logit_lens`.
        layers: which; None for four from the first to the last.
        image: which picture.
        least: probability from which on a word is written.
        height: of a picture, in inches.

    Raises:
        InputError: for a layer or picture that is not there, or patches that were not read.
    """
    lens = record(lens, LogitLens, LENS)
    chosen = _spread(lens.layers) if layers is None else list(layers)
    if not chosen:
        raise InputError("layers=[]", f"layers 0 to {lens.layers}")
    said = [lens.says(layer, image=image) for layer in chosen]
    picture = lens.answer.images[image]
    wide = height * min(2.2, max(0.6, picture.width / picture.height))
    drawn, axes = panels(
        1,
        len(chosen) + 1,
        width=wide * len(chosen) + 1.1,
        height=height + 0.8,
        width_ratios=[*[wide] * len(chosen), 0.13],
    )
    for panel, layer, one in zip(axes, chosen, said, strict=False):
        _words(panel, picture, one, least, wide)
        panel.set_title(_layer_name(layer, lens.layers), fontsize=9, color=INK)
    colour_bar(axes[-1], 1.0, signed=False, label="probability of the likeliest word")
    means = [float(one.probabilities.mean()) for one in said]
    titled(
        drawn,
        f"What the patches say: their likeliest words have a probability of {percent(means[0])} at layer "
        f"{chosen[0]} and {percent(means[-1])} at layer {chosen[-1]}, on average",
    )
    return drawn


def lens_table(lens: LogitLens, *, tokens: Sequence[int] | None = None, width: float = 8.0) -> Figure:
    """The reply by layer: what was likeliest where each token was written, and how likely that token was.

    Args:
        lens: from `workbench.interpret.logit_lens`.
        tokens: positions in ``answer.token_ids``; None for the reply's first thirty.
        width: of the figure, in inches.

    Raises:
        InputError: for a token whose position before it was not read, or for none.
    """
    lens = record(lens, LogitLens, LENS)
    reply = range(lens.answer.prompt_tokens, len(lens.answer.token_ids))
    chosen = list(reply[:30]) if tokens is None else list(tokens)
    if not chosen:
        raise InputError("no tokens", "at least one position of the reply")
    tables = [lens.written(token) for token in chosen]
    values = np.array([table["probability"] for table in tables])  # [tokens, layers]
    drawn, (axes, bar) = panels(
        1, 2, width=width, height=1.4 + 0.24 * len(chosen), width_ratios=[width, 0.15]
    )
    axes.imshow(values, cmap=sheet_colours(), vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for row, table in enumerate(tables):
        for column, word in enumerate(table["says"]):
            ink = "white" if values[row, column] > 0.55 else INK
            axes.text(
                column,
                row,
                token_text(word, SHORT),
                fontsize=7.5,
                ha="center",
                va="center",
                color=ink,
                parse_math=False,
            )
    names = [token_text(lens.words[lens.answer.token_ids[token]], SHORT) for token in chosen]
    axes.set_yticks(range(len(chosen)), names, fontsize=8)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_xticks(range(lens.layers + 1), map(str, range(lens.layers + 1)), fontsize=8)
    axes.set_xlabel("layer (words: the likeliest next token)", fontsize=9)
    axes.set_ylabel("token that was written", fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    drawn.colorbar(axes.images[0], cax=bar, label="probability of the written token")
    bar.tick_params(labelsize=8)
    titled(drawn, _written(np.array([table["rank"] for table in tables])))
    return drawn


def decision(lenses: LogitLens | Mapping[str, Sequence[LogitLens]], *, width: float = 6.4) -> Figure:
    """Where a model decides whether to think: the log-odds of opening a thought, layer by layer.

    Args:
        lenses: one lens, or several by group ("multi-step": [...]): then lines are means with 95%
            intervals over questions (bootstrap), and each question is a faint line.
        width: of the figure, in inches.

    Raises:
        InputError: for no lens, or one of a family that writes no thoughts.
    """
    groups = by_group(lenses, LogitLens, LENS)
    drawn, (axes,) = panels(1, 1, width=width, height=3.6)
    plain(axes, grid="y")
    axes.axhline(0, color=FAINT, linewidth=1)
    ends = {}
    for look, (name, members) in zip(SERIES, groups.items(), strict=False):
        odds = np.array([_odds(lens) for lens in members])  # [questions, layers]
        layers = np.arange(odds.shape[1])
        if len(members) > 1:
            axes.plot(layers, odds.T, color=look.colour, alpha=0.15, linewidth=0.8)
        found = [bootstrap_mean(column) for column in odds.T]
        mean = np.array([m for m, _, _ in found])
        axes.plot(
            layers, mean, color=look.colour, linestyle=look.line, marker=look.marker, label=name or None
        )
        if len(members) > 1:
            low, high = (np.array([f[i] for f in found]) for i in (1, 2))
            axes.fill_between(layers, low, high, color=look.colour, alpha=0.25, linewidth=0)
        ends[name] = odds
    first = next(iter(groups.values()))[0]
    assert first.decision is not None, "checked in _odds"
    think, other = first.decision["think"].iloc[0], first.decision["other"].iloc[0]
    axes.set_ylabel("log-odds of thinking (nats)", fontsize=9)
    other = "an answer at once" if tag_name(other) else token_text(other, SHORT)
    for align, word in (("bottom", f"above: {think}"), ("top", f"below: {other}")):
        axes.text(
            0.99, 0, word, transform=axes.get_yaxis_transform(), ha="right", va=align, fontsize=8,
            color=FAINT, parse_math=False,
        )  # fmt: skip
    axes.set_xlabel("layer (0: embeddings)", fontsize=9)
    axes.set_xticks(range(first.layers + 1) if first.layers <= 16 else axes.get_xticks())
    axes.set_xlim(-0.2, first.layers + 0.2)
    if any(groups):
        axes.legend(fontsize=8, frameon=False)
    titled(drawn, _decided(ends))
    return drawn


def _words(axes: Axes, picture: Image.Image, said: Says, least: float, wide: float) -> None:
    """Probabilities as colours, and the likely words; the picture is paled, lest its own words be read."""
    _picture(axes, picture)
    axes.axhspan(0, picture.height, facecolor="white", alpha=PALE)
    x1, y1, x2, y2 = said.grid.region
    axes.imshow(
        shade(said.probabilities, 1.0, signed=False), extent=(x1, x2, y2, y1), interpolation="nearest"
    )
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    points = 72 * wide / picture.width  # of a pixel of the picture, on the page
    runs = sorted(_runs(said), key=lambda run: -run[3])
    for row, start, stop, _ in [run for run in runs if run[3] >= least][:MOST]:
        x1, y1, _, y2 = said.grid.box(row, start)
        x2 = said.grid.box(row, stop - 1)[2]
        word = token_text(said.words[row, start], SHORT)
        fits = 1.7 * points * (x2 - x1) / max(3, len(word))
        size = min(9.0, 0.62 * points * (y2 - y1), fits)
        if size < 3.0:
            continue
        axes.text(
            (x1 + x2) / 2, (y1 + y2) / 2, word, fontsize=size, ha="center", va="center", color=INK,
            parse_math=False, clip_on=True, path_effects=[withStroke(linewidth=1.4, foreground="white")],
        )  # fmt: skip


def _runs(said: Says) -> Iterator[tuple[int, int, int, float]]:
    """(row, first column, one past the last, largest probability) of neighbours that say the same word."""
    for row, words in enumerate(said.words):
        start = 0
        for col in range(1, len(words) + 1):
            if col == len(words) or words[col] != words[start]:
                yield row, start, col, float(said.probabilities[row, start:col].max())
                start = col


def _spread(last: int) -> list[int]:
    return sorted({round(last * share) for share in (0, 1 / 3, 2 / 3, 1)})


def _layer_name(layer: int, last: int) -> str:
    return f"layer {layer}" + (" (projector)" if layer == 0 else " (last)" if layer == last else "")


def _odds(lens: LogitLens) -> np.ndarray:
    if lens.decision is None:
        raise InputError(f"a lens on {lens.model}, which writes no thoughts", "a model that can think")
    return lens.decision["log_odds"].to_numpy()


def _written(ranks: np.ndarray) -> str:
    """From which layer on the written token was the likeliest; ``ranks`` ``[tokens, layers]``."""
    first = [int(np.flatnonzero(row != 0)[-1]) + 1 if (row != 0).any() else 0 for row in ranks]
    last = ranks.shape[1] - 1
    early = sum(layer < last for layer in first)
    return (
        f"{early} of {len(first)} tokens are the likeliest before the last layer and stay so; "
        f"on the median from layer {int(np.median(first))} of {last}"
    )


def _decided(odds: Mapping[str, np.ndarray]) -> str:
    """From which layer on all questions of a group have the sign that they end with."""
    parts = []
    for name, found in odds.items():
        right = np.sign(found) == np.sign(found[:, -1:])
        settled = np.array([np.flatnonzero(~row)[-1] + 1 if (~row).any() else 0 for row in right])
        layer = max(1, int(np.ceil(np.quantile(settled, 0.95))))  # layer 0 knows nothing of the question
        thinks = percent(float((found[:, -1] > 0).mean()))
        what = f"{name}: " if name else ""
        parts.append(f"{what}{thinks} think, the sign of 95% stays from layer {layer} on")
    return "Thinking or not? " + "; ".join(parts)
