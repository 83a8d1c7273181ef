"""The league of attribution methods: faithfulness, plausibility and cost, by method and mode"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ..interpret.league_table import BASELINES
from .faithfulness import interval
from .style import FAINT, MODES, Figure, columns, panels, plain, titled

__all__ = ["league"]

NEEDED = (
    *("mode", "method", "gap", "gap_low", "gap_high", "pointing", "pointing_low", "pointing_high"),
    *("chance", "seconds", "verdict"),
)


def league(table: Any) -> Figure:
    """Each method's faithfulness, plausibility and seconds, with 95% intervals over questions.

    Args:
        table: `workbench.interpret.read_league().table`, or such a league itself.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    rows = columns(getattr(table, "table", table), NEEDED, "workbench.interpret.read_league()")
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
    axes[0].set_yticks(range(len(names)), [f"{n} (baseline)" if n in BASELINES else n for n in names])
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
    """Methods by their faithfulness over the modes, the best first; baselines in their place among them."""
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
        real = own[~own["method"].isin(BASELINES)].sort_values("gap", ascending=False)
        if real.empty:
            continue
        good = real["verdict"].str.startswith("better than random") & ~real["verdict"].str.endswith("only")
        name = MODES[str(mode)].label if mode in MODES else str(mode)
        parts.append(
            f"{name}: {good.sum()} of {len(real)} better than random, first {real['method'].iloc[0]}"
        )
    return "; ".join(parts).capitalize() if parts else "Baselines of attribution"
