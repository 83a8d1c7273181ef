"""Can a map be trusted? Insertion and deletion curves, checks, counterfactuals, the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ..errors import InputError
from ..interpret.attribution import Attribution
from ..interpret.counterfactual import DONE, Counterfactual
from ..interpret.faithfulness import MAP, RANDOM, Faithfulness, FaithfulnessSummary
from ..interpret.standings import REFERENCES
from ..types import Box, Region
from .overlay import _picture, draw_map, frames, grid_of
from .style import FAINT, INK, MODES, SERIES, Figure, Look, columns, panels, plain, record, titled, wrapped

__all__ = ["checks", "curves", "counterfactual", "leaderboard", "maps"]


# The map dark and thick; what it is held against lighter, and each with a line of its own.
LOOKS = {
    MAP: Look("the map", "#004488", "o"),
    RANDOM: Look("random orders", "#999999", ""),
    "centre": Look("centre prior", "#DDAA33", "s", "--"),
    "sink": Look("attention sinks", "#BB5566", "^", "-."),
}
BASELINE_WORDS = {"mean": "hidden: mean colour", "blur": "hidden: blurred", "white": "hidden: white"}


def curves(check: Faithfulness | FaithfulnessSummary) -> Figure:
    """Insertion and deletion curves under each baseline, the map beside its references.

    Of one check: the band is the range of the random orders and their reverses.  Of many: all curves are
    means over the answers, and random orders have no band.

    Args:
        check: from `attribution.check()` or `check`.

    Raises:
        InputError: for something else.
    """
    if not isinstance(check, FaithfulnessSummary):
        check = record(check, Faithfulness, "attribution.check()")
    baselines = check.baselines
    drawn, axes = panels(
        2, len(baselines), width=2.6 * len(baselines) + 0.6, height=5.2, sharex=True, sharey="row"
    )
    for column, baseline in enumerate(baselines):
        for row, kind in enumerate(("insertion", "deletion")):
            panel = axes[row * len(baselines) + column]
            _curves(panel, check, baseline, kind)
            if row == 0:
                panel.set_title(BASELINE_WORDS.get(baseline, baseline), fontsize=9, color=INK)
            else:
                panel.set_xlabel("regions deleted (%)" if row else "", fontsize=9)
            if column == 0:
                panel.set_ylabel(f"{kind}\nlog-probability (nats)", fontsize=9)
    for panel in axes[: len(baselines)]:
        panel.set_xlabel("regions inserted (%)", fontsize=9)
    _legend(drawn, axes[0])
    titled(drawn, f"{check.method}: {check.verdict}")
    return drawn


def checks(summaries: FaithfulnessSummary | Sequence[FaithfulnessSummary]) -> Figure:
    """How far each method's maps are ahead of random orders, by baseline, with intervals over samples.

    Args:
        summaries: one per method, from `check`.

    Raises:
        InputError: for none, or something else.
    """
    several = summaries if isinstance(summaries, Sequence) else [summaries]
    summaries = [record(one, FaithfulnessSummary, "workbench.interpret.check([...])") for one in several]
    if not summaries:
        raise InputError("no summary", "at least one", "make it with workbench.interpret.check([...])")
    baselines = summaries[0].baselines
    drawn, (axes,) = panels(1, 1, width=7.2, height=1.5 + 0.42 * len(summaries))
    for place, one in enumerate(summaries):
        for number, baseline in enumerate(baselines):
            look, found = SERIES[number], one.ahead(baseline)
            y = place + 0.2 * (number - (len(baselines) - 1) / 2)
            interval(
                axes,
                y,
                found.mean,
                found.low,
                found.high,
                look,
                BASELINE_WORDS[baseline] if place == 0 else None,
            )
    axes.axvline(0, color=FAINT, linewidth=1)
    axes.set_yticks(range(len(summaries)), [one.method for one in summaries])
    axes.invert_yaxis()
    plain(axes)
    axes.set_xlabel("ahead of random orders (AUC gap in nats), with 95% interval over answers")
    _legend(drawn, axes)
    good = [one.method for one in summaries if one.finding.kind == "better than random"]
    named = f": {', '.join(good)}" if 0 < len(good) < len(summaries) else ""
    count = f"{len(good)} of {len(summaries)} methods are better than random under all baselines{named}"
    titled(drawn, f"Over {len(summaries[0].items)} answers, {count}")
    return drawn


def maps(
    attributions: Attribution | Sequence[Attribution],
    *,
    found: Sequence[Faithfulness] = (),
    boxes: Sequence[Region | Box] = (),
    image: int = 0,
    height: float = 2.4,
) -> Figure:
    """Several methods' maps of one answer side by side, each scaled to its own largest value, which is named.

    Orange is evidence for the target, blue against it.

    Args:
        attributions: of the same answer.
        found: their checks, whose verdicts are written below.
        boxes: the true evidence, to be outlined.
        image: which picture of the conversation.
        height: of a picture, in inches.

    Raises:
        InputError: for no map, something else, maps of several answers, or a picture that is not there.
    """
    several = attributions if isinstance(attributions, Sequence) else [attributions]
    attributions = [record(one, Attribution, "workbench.interpret.attribute(vlm, answer)") for one in several]
    answers = {(one.answer.token_ids, one.answer.text, one.answer.layout) for one in attributions}
    if len(answers) != 1:
        raise InputError(f"{len(attributions)} maps, or maps of several answers", "maps of one answer")
    grid, picture = grid_of(attributions[0].answer, image), attributions[0].answer.images[image]
    wide = height * min(2.2, max(0.75, picture.width / picture.height))
    columns = min(len(attributions), max(1, int(10 / wide)))
    rows = -(-len(attributions) // columns)
    width = max(columns * wide + 0.4, 4.5)
    drawn, axes = panels(rows, columns, width=width, height=rows * (height + 0.7) + 0.4)
    for panel in axes[len(attributions) :]:
        panel.set_visible(False)
    regions = [box if isinstance(box, Region) else Region(box) for box in boxes]
    for number, (panel, one) in enumerate(zip(axes, attributions, strict=False)):
        top = draw_map(panel, picture, one.maps[image], grid, scale=number == 0, signed=True)
        frames(panel, [r.box for r in regions if r.image == image])
        panel.set_title(one.method, fontsize=9, color=INK)
        below = [found[number].finding.kind] if number < len(found) else []
        told = "\n".join([*below, f"strongest: {top:.2g}"])
        panel.set_xlabel(told, fontsize=8, color=INK, labelpad=14)  # below the bar of known length
    label = attributions[0].target.label
    good = sum(one.finding.kind == "better than random" for one in found)
    finding = f": {good} of {len(found)} maps are better than random" if found else ""
    titled(drawn, f"Evidence for {label}{finding}")
    return drawn


def counterfactual(found: Counterfactual, *, height: float = 2.8) -> Figure:
    """The picture with its map and the region, the altered picture, and what each answer was.

    Args:
        found: from `workbench.interpret.counterfactual`.
        height: of a picture, in inches.

    Raises:
        InputError: for something else.
    """
    found = record(found, Counterfactual, "workbench.interpret.counterfactual(vlm, answer, region=...)")
    number = found.region.image
    pictures = [("as it is", found.before), *([("the map", found.before)] if found.maps else [])]
    pictures.append((DONE.get(found.baseline, "hidden"), found.after))
    first = found.before.images[number]
    height = min(height, 3.4 * first.height / first.width)
    wide = height * max(0.8, first.width / first.height)
    title = f"{found.before.question}\n{found.verdict}"
    width = max(len(pictures) * wide + 2.0, 6.0)
    lines = len(wrapped(title, int(10 * width)).split("\n"))
    drawn, axes = panels(1, len(pictures) + 1, width=width, height=height + 0.9 + 0.22 * lines,
                         width_ratios=[*[wide] * len(pictures), 1.6])  # fmt: skip
    for panel, (name, answer) in zip(axes, pictures, strict=False):
        if name == "the map":
            layout = answer.layout
            assert layout is not None, "an answer that was scored has a layout"
            draw_map(panel, answer.images[number], found.maps[number], layout.images[number], scale=False)
        else:
            _picture(panel, answer.images[number])
        frames(panel, [found.region.box])
        says = found.method if name == "the map" else wrapped(f"“{answer.text.strip()}”", 24)
        panel.set_title(name, fontsize=9, color=INK)
        panel.set_xlabel(says, fontsize=10, color=INK)
    _losses(axes[-1], found)
    titled(drawn, title)
    return drawn


def interval(
    axes: Axes, y: float, mean: float, low: float, high: float, look: Look, label: str | None = None
) -> None:
    """A point with its interval, on a line of a forest plot."""
    axes.plot([low, high], [y, y], color=look.colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    axes.plot(
        [mean], [y], color=look.colour, marker=look.marker, markersize=5, linestyle="", label=label, zorder=3
    )


def _curves(panel: Axes, check: Faithfulness | FaithfulnessSummary, baseline: str, kind: str) -> None:
    if isinstance(check, Faithfulness):
        own = check.curves[baseline]
        random = [c for name, c in own.items() if name.startswith(RANDOM)]
        shown = {name: c for name, c in own.items() if not name.startswith(RANDOM)}
    else:
        random = [check.curves(baseline, RANDOM)]
        shown = {name: check.curves(baseline, name) for name in (MAP, *check.references)}
    share = 100 * np.array(random[0].share)
    heights = np.concatenate([curve.both_ways(kind) for curve in random])
    look = LOOKS[RANDOM]
    if len(heights) > 2:
        panel.fill_between(share, heights.min(0), heights.max(0), color=look.colour, alpha=0.25, linewidth=0,
                           label="range of random orders")  # fmt: skip
    panel.plot(share, heights.mean(0), color=look.colour, linewidth=2, label=look.label)
    for name, curve in reversed(shown.items()):
        one, thick = LOOKS[name], name == MAP
        (line,) = panel.plot(
            share, getattr(curve, kind), color=one.colour, linestyle=one.line, label=one.label
        )
        line.set(marker=one.marker, markersize=4.0 if thick else 3.5, linewidth=2.2 if thick else 1.3)
    plain(panel, grid="y")


def _legend(drawn: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _losses(axes: Axes, found: Counterfactual) -> None:
    """What the first answer loses: by the region, and by the controls."""
    axes.axhline(0, color=FAINT, linewidth=0.8)
    if found.control_losses:
        spread = np.linspace(-0.15, 0.15, len(found.control_losses)) + 1
        axes.plot(spread, found.control_losses, linestyle="", marker="s", markersize=4, color="#888888")
    axes.plot([0], [found.loss], linestyle="", marker="o", markersize=8, color=LOOKS[MAP].colour)
    axes.set_xlim(-0.5, 1.5)
    axes.set_xticks([0, 1], ["the\nregion", "other\nplaces"])
    axes.set_ylabel("log-probability lost (nats)", fontsize=8)
    plain(axes, grid="y")


NEEDED = (
    *("mode", "method", "gap", "gap_low", "gap_high", "pointing", "pointing_low", "pointing_high"),
    *("chance", "seconds", "verdict"),
)


def leaderboard(table: pd.DataFrame) -> Figure:
    """Each method's faithfulness, plausibility and seconds, with 95% intervals over questions.

    Args:
        table: `workbench.interpret.read_leaderboard().table`, or the leaderboard itself.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    rows = columns(getattr(table, "table", table), NEEDED, "workbench.interpret.read_leaderboard()")
    names = _ranked(rows)
    drawn, axes = panels(
        1, 3, width=9.6, height=1.9 + 0.34 * len(names), sharey=True, width_ratios=[3, 2.2, 1.6]
    )
    modes = [mode for mode in MODES if mode in set(rows["mode"])]
    for number, mode in enumerate(modes):
        own = rows[rows["mode"] == mode].set_index("method")
        shift = 0.22 * (number - (len(modes) - 1) / 2)
        for place, name in enumerate(names):
            if name in own.index:
                _row(axes, own.loc[name], place + shift, mode, labelled=place == 0)
        axes[1].axvline(100 * own["chance"].mean(), color=MODES[mode].colour, linewidth=1, linestyle=":")
    axes[0].axvline(0, color=FAINT, linewidth=1)
    axes[0].set_yticks(range(len(names)), [f"{n} (reference)" if n in REFERENCES else n for n in names])
    axes[0].invert_yaxis()
    axes[0].set_xlabel("faithfulness: insertion minus\ndeletion AUC (nats)", fontsize=9)
    axes[1].set_xlabel("points at the true evidence\n(% of right answers; dotted: chance)", fontsize=9)
    axes[1].set_xlim(-2, 102)
    axes[2].set_xscale("log")
    axes[2].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[2].set_xlabel("seconds a map", fontsize=9)
    for panel in axes:
        plain(panel)
    handles, labels = axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    titled(drawn, _title(rows))
    return drawn


def _ranked(rows: pd.DataFrame) -> list[str]:
    """Methods by their faithfulness over the modes, the best first; references in their place among them."""
    return rows.groupby("method")["gap"].mean().sort_values(ascending=False).index.tolist()


def _row(axes: list[Axes], one: pd.Series, y: float, mode: str, *, labelled: bool) -> None:
    look = MODES[mode]
    interval(axes[0], y, one.gap, one.gap_low, one.gap_high, look, look.label if labelled else None)
    if pd.notna(one.pointing):
        interval(axes[1], y, 100 * one.pointing, 100 * one.pointing_low, 100 * one.pointing_high, look)
    if one.seconds > 0:
        axes[2].plot([one.seconds], [y], color=look.colour, marker=look.marker, markersize=5, linestyle="")


def _title(rows: pd.DataFrame) -> str:
    parts = []
    for mode, own in rows.groupby("mode", sort=False):
        real = own[~own["method"].isin(REFERENCES)].sort_values("gap", ascending=False)
        if real.empty:
            continue
        good = real["verdict"].str.startswith("better than random") & ~real["verdict"].str.endswith("only")
        name = MODES[str(mode)].label if mode in MODES else str(mode)
        parts.append(
            f"{name}: {good.sum()} of {len(real)} better than random, first {real['method'].iloc[0]}"
        )
    return "; ".join(parts).capitalize() if parts else "Baselines of attribution"
