"""Changing and watching the inside: patching curves, knock-outs, the thought step by step, paired maps"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ..answer import Answer
from ..interpret.effects import Knockout, Patching
from ..interpret.thought import ModePair, timeline
from ..stats import bootstrap_mean
from ..synth import Sample
from ..types import Box
from .attention import difference
from .overlay import ATTENTION, _picture, frames, grid_of, sheet_colours
from .spotlight import SPOTLIGHT
from .style import (
    FAINT,
    INK,
    SERIES,
    Figure,
    by_group,
    columns,
    panels,
    plain,
    record,
    titled,
    token_text,
    wrapped,
)
from .thinking import percent

__all__ = ["knockout", "knockout_matrix", "mode_pair", "patching", "thought"]


def patching(found: Patching | Mapping[str, Sequence[Patching]], *, width: float = 6.4) -> Figure:
    """How far the answer moves when a region is patched, layer by layer.

    Args:
        found: one patching, or several by group: then means with 95% intervals (bootstrap).
        width: of the figure, in inches.

    Raises:
        InputError: for none, or something else.
    """
    groups = by_group(found, Patching, "workbench.interpret.patch_region(vlm, answer, ...)")
    drawn, (axes,) = panels(1, 1, width=width, height=3.4)
    plain(axes, grid="y")
    for level in (0, 1):
        axes.axhline(level, color=FAINT, linewidth=1, linestyle=":")
    says = []
    for look, (name, many) in zip(SERIES, groups.items(), strict=False):
        table = pd.concat([one.table for one in many])
        layers = sorted(table["layer"].unique())
        rows = [bootstrap_mean(table[table["layer"] == layer]["moved"]) for layer in layers]
        mean, low, high = (np.array([row[i] for row in rows]) for i in range(3))
        axes.plot(
            layers, mean, color=look.colour, linestyle=look.line, marker=look.marker, label=name or None
        )
        if len(many) > 1:
            axes.fill_between(layers, low, high, color=look.colour, alpha=0.25, linewidth=0)
        says.append(_moved(name, layers, mean, low, high))
    axes.set_xlabel("layer that is patched (0: what the projector gives)", fontsize=9)
    axes.set_ylabel("answer moved (0: own, 1: other picture)", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if any(groups):
        axes.legend(fontsize=8, frameon=False)
    told = "; ".join(says)
    titled(drawn, told[0].upper() + told[1:])
    return drawn


def knockout(cut: Knockout, *, width: float = 8.0) -> Figure:
    """What each token of a reply lost when attention was cut, and what the model would write instead.

    Args:
        cut: from `workbench.interpret.knockout`.
        width: of the figure, in inches.

    Raises:
        InputError: for something else.
    """
    cut = record(cut, Knockout, "workbench.interpret.knockout(vlm, answer, ...)")
    rows = cut.frame()
    drawn, (axes,) = panels(1, 1, width=width, height=3.2)
    plain(axes, grid="y")
    said = [word.strip() or "·" for word in rows["said"]]
    changed = (rows["token"] != rows["said"]).to_numpy()
    places = np.arange(len(rows))
    for these, colour, hatch, name in (
        (~changed, SERIES[0].colour, "", "still the likeliest"),
        (changed, SERIES[1].colour, "//", "another token is likelier now (written above)"),
    ):
        if these.any():
            bars = axes.bar(places[these], rows["drop"][these], color=colour, hatch=hatch, label=name)
            for bar in bars:  # the hatch's colour, without a frame
                bar.set_edgecolor("white")
                bar.set_linewidth(0)
    top = max(float(rows["drop"].max()), 0.1)
    for place in places[changed]:
        axes.text(
            place, max(float(rows["drop"].iloc[place]), 0) + 0.02 * top, said[place], fontsize=8, ha="center",
            va="bottom", color=INK, parse_math=False,
        )  # fmt: skip
    axes.set_ylim(top=1.15 * top)
    if len(rows) <= 60:
        axes.set_xticks(places, [token_text(text, 14) for text in rows["token"]], rotation=90)
        for text in axes.get_xticklabels():
            text.set_parse_math(False)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("token of the reply", fontsize=9)
    axes.set_ylabel("log-probability lost (nats)", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    titled(
        drawn,
        f"{len(cut.targets)} positions without sight of {len(cut.sources)}: the reply loses {cut.drop:.1f} "
        f"nats, {int(changed.sum())} of {len(rows)} tokens would change",
    )
    return drawn


def knockout_matrix(table: pd.DataFrame, *, width: float = 5.6) -> Figure:
    """What hiding step ``j``'s evidence costs the word of step ``i``, over samples.

    Args:
        table: rows with ``hidden`` (whose evidence could not be seen), ``step`` (whose word was scored) and
            ``drop`` (nats); several rows a pair, one a sample.
        width: of the figure, in inches.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    rows = columns(table, ("hidden", "step", "drop"), "workbench.interpret.knockout over several samples")
    steps, hidden = sorted(rows["step"].unique()), sorted(rows["hidden"].unique())
    groups = {key: group["drop"].to_numpy() for key, group in rows.groupby(["hidden", "step"])}
    nothing: np.ndarray = np.array([])
    found = [[bootstrap_mean(groups.get((j, i), nothing)) for i in steps] for j in hidden]
    means = np.array([[cell[0] for cell in line] for line in found])
    drawn, (axes, bar) = panels(
        1, 2, width=width, height=1.7 + 0.62 * len(hidden), width_ratios=[width, 0.15]
    )
    top = float(np.nanmax(means))
    axes.imshow(means, cmap=sheet_colours(), vmin=0, vmax=top if top > 0 else 1, aspect="auto")
    for j, line in enumerate(found):
        for i, (mean, low, high) in enumerate(line):
            if np.isfinite(mean):
                spread = f"\n({_short(low)} to {_short(high)})" if np.isfinite(low) else ""
                ink = "white" if mean > 0.55 * top else INK
                axes.text(i, j, _short(mean) + spread, ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(len(steps)), [f"step {int(i) + 1}" for i in steps], fontsize=9)
    axes.set_yticks(range(len(hidden)), [f"step {int(j) + 1}" for j in hidden], fontsize=9)
    axes.set_xlabel("whose word is scored", fontsize=9)
    axes.set_ylabel("whose evidence is hidden", fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    drawn.colorbar(axes.images[0], cax=bar, label="log-probability lost (nats)")
    bar.tick_params(labelsize=8)
    own, other = (rows[(rows["hidden"] == rows["step"]) == same]["drop"] for same in (True, False))
    titled(
        drawn, f"A step's own evidence is worth {_mean(own)} nats to its word, another step's {_mean(other)}"
    )
    return drawn


def thought(
    frame: Answer | pd.DataFrame,
    answer: Answer | None = None,
    *,
    sample: Sample | None = None,
    image: int = 0,
    most: int = 12,
    width: float = 6.6,
) -> Figure:
    """The thought step by step: where each sentence looked, how much, and whether at its evidence.

    Args:
        frame: an answer that thought, asked with ``capture=True``; or its `workbench.interpret.timeline`.
        answer: of a timeline, the answer, for its picture.
        sample: of an answer, the drawn question, whose evidence is known step by step.
        image: the picture that the timeline is about.
        most: sentences to show, the first ones.
        width: of the figure, in inches.

    Raises:
        InputError: for a table without rows or a needed column, or a picture that is not there.
    """
    if isinstance(frame, Answer):
        answer, frame = frame, timeline(frame, image=image, sample=sample)
    answer = record(answer, Answer, "vlm.ask(images, question, mode='think', capture=True)")
    rows = columns(frame, ("sentence", "share", "box", "entropy"), "workbench.interpret.timeline(answer)")
    size = grid_of(answer, image).size
    shown, picture = rows.head(most), answer.images[image]
    tall = min(1.7, max(0.9, 1.3 * size[1] / size[0]))
    drawn, axes = panels(
        len(shown), 3, width=width, height=tall * len(shown) + 1.0, width_ratios=[1.3, width - 3.7, 2.2]
    )
    for place, row in enumerate(shown.itertuples()):
        small, text, bars = axes[3 * place : 3 * place + 3]
        _picture(small, picture)
        frames(small, getattr(row, "truth", ()), name="the step's evidence")
        _looked_at(small, row.box)
        _sentence(text, row, place)
        _bar(bars, row, float(rows["share"].max()), last=place == len(shown) - 1)
    handles, names = axes[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside lower left", fontsize=8, frameon=False, ncols=2)
    titled(drawn, _looked(rows) + (f" (the first {most} of {len(rows)} shown)" if len(rows) > most else ""))
    return drawn


def mode_pair(
    pair: ModePair, row: int | None = None, *, image: int = 0, title: str = "", **options: Any
) -> Figure:
    """What an answer token looked at after a thought and without one, and the difference.

    Args:
        pair: from `workbench.interpret.compare_thinking`.
        row: a row of ``pair.tokens``; None for the mean over each whole answer.
        image: which picture.
        title: a line above; "" for how much differs and where.
        options: ``layers``, ``heads``, ``sinks``, as for ``pair.maps``.

    Raises:
        InputError: as ``pair.maps``.
    """
    pair = record(pair, ModePair, "workbench.interpret.compare_thinking(vlm, images, question)")
    maps = pair.maps(row, image=image, **options)
    labels = ("thinking", "direct")
    return difference(
        maps.think, maps.direct, answer=pair.think, image=image, labels=labels, label=ATTENTION, title=title
    )


def _looked_at(axes: Axes, box: Box) -> None:
    """A closed line in the colour of all maps' outlines."""
    x1, y1, x2, y2 = box
    frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, linewidth=2, label="looked at")
    frame.set_edgecolor(SPOTLIGHT.lines[0])
    frame.set_path_effects([withStroke(linewidth=4, foreground="white")])
    axes.add_patch(frame)


def _sentence(axes: Axes, row: Any, place: int) -> None:
    axes.set_axis_off()
    hit = getattr(row, "hit", None)
    verdict = "" if hit is None else "\nlooks at its evidence" if hit else "\nlooks elsewhere"
    axes.text(
        0.0, 0.5, wrapped(f"{place + 1}. {row.sentence}", 38) + verdict, fontsize=9, va="center", color=INK,
        transform=axes.transAxes, parse_math=False,
    )  # fmt: skip


def _bar(axes: Axes, row: Any, highest: float, *, last: bool) -> None:
    axes.barh([0], [100 * row.share], color=SERIES[0].colour, height=0.4)
    axes.text(
        100 * row.share,
        0,
        f" {100 * row.share:.0f}%, {row.entropy:.1f} bits",
        va="center",
        fontsize=8,
        color=INK,
    )
    axes.set_xlim(0, 170 * highest if highest > 0 else 1)
    axes.set_ylim(-0.8, 0.8)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=8, labelbottom=last)
    if last:
        axes.set_xlabel("attention on the picture (%)", fontsize=9)


def _moved(name: str, layers: Sequence[int], mean: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    """How far a patch moves the answer, and from which layer on it comes too late."""
    top = int(np.nanargmax(mean))
    spread = f" ({low[top]:.2f} to {high[top]:.2f})" if np.isfinite(low[top]) else ""
    what = f"{name}: a patch moves the answer" if name else "A patch moves the answer"
    works = [layer for layer, value in zip(layers, mean, strict=True) if value >= mean[top] / 2]
    later = [layer for layer in layers if works and layer > works[-1]]
    late = f", and comes too late from layer {later[0]} on" if later else ""
    return f"{what} up to {mean[top]:.2f}{spread} of the way{late}"


def _short(value: float) -> str:
    return f"{value:.1f}".replace("-0.0", "0.0")


def _mean(values: Any) -> str:
    mean, low, high = bootstrap_mean(values)
    return _short(mean) + (f" ({_short(low)} to {_short(high)})" if np.isfinite(low) else "")


def _looked(rows: pd.DataFrame) -> str:
    share = f"{percent(float(rows['share'].mean()))} of the thought's attention is on the picture"
    known = rows[rows["hit"].notna()] if "hit" in rows else rows.iloc[:0]
    if known.empty:
        return share
    right, chance = int(known["hit"].sum()), float(known["chance"].mean())
    hits = (
        f"{right} of {len(known)} sentences look at their own step's evidence ({percent(chance)} by chance)"
    )
    return f"{hits}; {share}"
