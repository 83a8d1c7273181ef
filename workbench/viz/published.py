"""The published tables in pictures: certain ranks, what an average of four hides, margins of the modes"""

from __future__ import annotations

from typing import Any

import numpy as np

from .style import INK, MODES, Figure, columns, panels, plain, titled

__all__ = ["four", "margins", "ranks", "subsets"]

PUBLISHED = "workbench.bench.published"
OURS, OTHERS = "#BB5566", "#555555"


def ranks(table: Any, *, highlight: str = "Phi-4-reasoning-vision") -> Figure:
    """Each entry's rank by mean score, with the ranks that 95% of simulated draws give it.

    Args:
        table: from ``published.rank_stability``.
        highlight: entries whose name starts like this are told apart.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    needed = ("entry", "score", "error", "rank", "rank_low", "rank_high")
    found = columns(table, needed, f"{PUBLISHED}.rank_stability()")
    drawn, (axes,) = panels(1, 1, width=7.8, height=1.4 + 0.31 * len(found))
    places = -np.arange(len(found))
    ours = found["entry"].str.startswith(highlight).to_numpy()
    for which, colour, marker in ((ours, OURS, "s"), (~ours, OTHERS, "o")):
        one = found[which]
        spread = [one["rank"] - one["rank_low"], one["rank_high"] - one["rank"]]
        axes.errorbar(
            one["rank"], places[which], xerr=np.clip(spread, 0, None), linestyle="", marker=marker,
            markersize=6, color=colour, markeredgecolor=INK, markeredgewidth=0.5, elinewidth=3, zorder=3,
        )  # fmt: skip
    labels = [
        f"{e}  {s:.1f} ± {1.96 * x:.1f}" for e, s, x in zip(found["entry"], found["score"], found["error"])
    ]
    axes.set_yticks(places, labels, fontsize=9)
    axes.tick_params(axis="y", length=0)
    plain(axes)
    axes.set_xlim(0.4, len(found) + 0.6)
    axes.set_xticks(range(1, len(found) + 1))
    axes.set_xlabel("rank by mean score (bars: 95% of draws of the sampling error)")
    loose = int((found["rank_low"] < found["rank_high"]).sum())
    first = int((found["rank_low"] == 1).sum())
    titled(drawn, f"{loose} of {len(found)} ranks are not certain; {first} entries may be the first")
    return drawn


def four(table: Any, *, highlight: str = "Phi-4-reasoning-vision-15B auto") -> Figure:
    """Ranks by the article's four benchmarks beside those by all ten, a line an entry.

    Args:
        table: from ``published.four_of_ten``.
        highlight: the entry that the others are compared with.

    Raises:
        InputError: as `ranks`.
    """
    needed = ("entry", "four", "ten", "rank_four", "rank_ten", "reversed")
    found = columns(table, needed, f"{PUBLISHED}.four_of_ten()")
    drawn, (axes,) = panels(1, 1, width=8.6, height=1.2 + 0.33 * len(found))
    for row in found.to_dict("records"):
        ours, turned = row["entry"] == highlight, row["reversed"]
        colour = OURS if ours else "#004488" if turned else "#aaaaaa"
        line = "-" if ours else "--" if turned else "-"
        axes.plot(
            [0, 1], [row["rank_four"], row["rank_ten"]], color=colour, linestyle=line, marker="o",
            linewidth=2.2 if ours or turned else 1.1, markersize=5, zorder=3 if ours or turned else 2,
        )  # fmt: skip
        weight = "bold" if ours or turned else "normal"
        words: dict[str, Any] = {"fontsize": 8.5, "va": "center", "color": INK, "fontweight": weight}
        axes.text(-0.03, row["rank_four"], f"{row['entry']}  {row['four']:.1f}", ha="right", **words)
        axes.text(1.03, row["rank_ten"], f"{row['ten']:.1f}  {row['entry']}", ha="left", **words)
    axes.set_xlim(-0.9, 1.9)
    axes.set_ylim(len(found) + 0.6, 0.4)
    axes.set_xticks([0, 1], ["mean of four (%)", "mean of ten (%)"])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    changed = found.loc[found["reversed"], "entry"].tolist()
    text = f"by the four and on the other by the ten{', both beyond the error' if changed else ''}"
    titled(drawn, f"{', '.join(changed) or 'No entry'} is surely on one side of {highlight} {text}")
    return drawn


def subsets(table: Any) -> Figure:
    """How an entry stands by every choice of some benchmarks, and where the article's choice lies.

    Args:
        table: from ``published.subsets``.

    Raises:
        InputError: as `ranks`.
    """
    found = columns(table, ("over_others", "chosen", "benchmarks"), f"{PUBLISHED}.subsets()")
    drawn, (axes,) = panels(1, 1, width=7.2, height=3.4)
    axes.hist(found["over_others"], bins=24, color="#9fb4cc", edgecolor="white")
    size = len(found["benchmarks"].iloc[0])
    text = f"{len(found)} ways to choose {size} benchmarks"
    chosen = found[found["chosen"]]
    if len(chosen):
        value = float(chosen["over_others"].iloc[0])
        higher = int((found["over_others"] > value).sum())
        axes.axvline(value, color=OURS, linewidth=2)
        top = axes.get_ylim()[1]
        axes.annotate(
            "the article's four", (value, top), (-5, -4), textcoords="offset points", ha="right", va="top",
            color=OURS, fontsize=9, fontweight="bold",
        )  # fmt: skip
        text = f"Of {text}, {higher} are more favourable than the article's"
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("above the mean of the compared entries (points)")
    axes.set_ylabel("choices of benchmarks")
    plain(axes, grid="y")
    titled(drawn, text)
    return drawn


def margins(table: Any) -> Figure:
    """Auto against each forced mode by benchmark, with the unpaired 95% error.

    Args:
        table: from ``published.modes``.

    Raises:
        InputError: as `ranks`.
    """
    needed = ("benchmark", "over_think", "over_think_error", "over_nothink", "over_nothink_error")
    found = columns(table, needed, f"{PUBLISHED}.modes()")
    drawn, (axes,) = panels(1, 1, width=7.6, height=1.8 + 0.36 * len(found))
    sure = 0
    for shift, forced in ((0.15, "think"), (-0.15, "nothink")):
        value, error = found[f"over_{forced}"], found[f"over_{forced}_error"]
        sure += int((value.abs() > error).sum())
        look = MODES[forced]
        axes.errorbar(
            value, -np.arange(len(found)) + shift, xerr=error, linestyle="", marker=look.marker, markersize=6,
            color=look.colour, markeredgecolor=INK, markeredgewidth=0.5, elinewidth=1.6,
            label=f"auto minus forced {'thinking' if forced == 'think' else 'direct answers'}", zorder=3,
        )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_yticks(-np.arange(len(found)), found["benchmark"])
    axes.tick_params(axis="y", length=0)
    plain(axes)
    axes.set_xlabel("difference (points), with unpaired 95% error: too long rather than too short")
    drawn.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    titled(drawn, f"{sure} of {2 * len(found)} differences between auto and a forced mode exceed their error")
    return drawn
