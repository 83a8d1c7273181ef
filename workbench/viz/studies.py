"""Recorded studies in pictures: every run a dot, and the mean of each kind with its interval"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ablate.findings import interval
from .style import INK, MODES, SERIES, Figure, Look, columns, panels, plain, titled

__all__ = ["kinds", "steps"]

MADE_BY = "workbench.ablate.findings.per_run(...)"


def steps(values: Any, x: str, value: str, *, line: str, label: str, title: str, panel: str = "") -> Figure:
    """A quantity that grows: each run a dot, a line through the means, bars for their 95% interval.

    Args:
        values: from `per_run`.
        x: column of the quantity.
        value: column of what was measured, a share.
        line: column that tells the lines apart, such as "mode".
        label: of the x axis, with its unit.
        title: the finding.
        panel: column that tells the panels apart; none draws one.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    needed = [name for name in (x, value, line, panel) if name]
    found = columns(values, needed, MADE_BY)
    names = list(dict.fromkeys(found[panel])) if panel else [""]
    drawn, axes = panels(1, len(names), width=2.2 + 2.6 * len(names), height=3.4, sharey=True)
    for place, name in zip(axes, names):
        rows = found[found[panel] == name] if panel else found
        for number, kind in enumerate(dict.fromkeys(rows[line])):
            look = _look(str(kind), number)
            one = rows[rows[line] == kind].sort_values(x)
            groups = [(at, _shares(group[value])) for at, group in one.groupby(x)]
            place.plot(one[x], one[value], linestyle="", marker=".", color=look.colour, alpha=0.5)
            _bars(place, [at for at, _ in groups], [made for _, made in groups], look)
        place.set_xlabel(label)
        place.set_title(str(name), fontsize=10, color=INK)
        plain(place, grid="y")
    _share(axes[0], value)
    handles, texts = axes[0].get_legend_handles_labels()
    drawn.legend(handles, texts, loc="outside right center", frameon=False, fontsize=9)
    titled(drawn, title)
    return drawn


def kinds(values: Any, kind: str, value: str, *, panel: str, title: str, order: Sequence[Any] = ()) -> Figure:
    """Kinds of runs below each other, a panel each for another column: dots, mean and 95% interval.

    Args:
        values: from `per_run`.
        kind: column of the kinds.
        value: column of what was measured, a share.
        panel: column that tells the panels apart, such as "domain".
        title: the finding.
        order: of the kinds; that of the table by default.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    found = columns(values, [kind, value, panel], MADE_BY)
    names = list(order) or list(dict.fromkeys(found[kind]))
    parts = list(dict.fromkeys(found[panel]))
    height = 1.2 + 0.34 * len(names)
    drawn, axes = panels(1, len(parts), width=2.0 + 2.6 * len(parts), height=height, sharex=True, sharey=True)
    for number, (place, part) in enumerate(zip(axes, parts)):
        look = SERIES[number % len(SERIES)]
        for at, name in enumerate(names):
            runs = found[(found[panel] == part) & (found[kind] == name)][value]
            if runs.empty:
                continue
            mean, low, high = _shares(runs)
            place.plot(runs, [-at] * len(runs), linestyle="", marker=".", color=look.colour, alpha=0.5)
            spread = [[mean - low], [high - mean]] if np.isfinite(low) else None
            place.errorbar(
                [mean], [-at], xerr=spread, color=look.colour, marker=look.marker, markersize=6,
                markeredgecolor=INK, markeredgewidth=0.5, elinewidth=1.6,
            )  # fmt: skip
        place.set_title(str(part), fontsize=10, color=INK)
        place.xaxis.set_major_formatter("{x:.0%}")
        place.set_xlabel(value)
        plain(place)
    axes[0].set_yticks([-at for at in range(len(names))], [str(name) for name in names], fontsize=9)
    titled(drawn, title)
    return drawn


def _shares(runs: Any) -> tuple[float, float, float]:
    """Mean of some shares and its interval, which is drawn only as far as shares go."""
    mean, low, high = interval(runs)
    return (mean, max(0.0, low), min(1.0, high)) if np.isfinite(low) else (mean, low, high)


def _look(name: str, number: int) -> Look:
    return MODES.get(name) or replace(SERIES[number % len(SERIES)], label=name)


def _bars(place: Any, at: list[Any], made: list[tuple[float, float, float]], look: Look) -> None:
    mean, low, high = (np.array(part) for part in zip(*made))
    spread = np.where(np.isfinite([mean - low, high - mean]), [mean - low, high - mean], 0)
    place.errorbar(
        at, mean, yerr=spread, label=look.label, color=look.colour, marker=look.marker,
        linestyle=look.line, markersize=6, linewidth=1.6, elinewidth=1.2,
    )  # fmt: skip


def _share(axes: Any, value: str) -> None:
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel(value)
