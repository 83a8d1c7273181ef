"""Insertion and deletion curves: what the answer's probability does as a map's patches come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from ..errors import InputError
from .style import INK, SERIES, Figure, columns, panels, plain, titled

__all__ = ["insertion_deletion"]


def insertion_deletion(curves: Any, *, title: str = "", width: float = 8.0) -> Figure:
    """Insertion and deletion curves of a map beside those of its baselines (Petsiuk et al. 2018).

    Args:
        curves: from ``attribution.check().points("mean")``: a row for each point, with the columns ``curve``
            ("insertion" or "deletion"), ``map`` (the name of the map or baseline), ``fraction`` (of the
            picture inserted or deleted, 0 to 1) and ``score``; ``low`` and ``high`` bound an interval
            where they are given.
        title: a line above; "" for the areas under the curves of the first map.
        width: of the figure, in inches.

    Raises:
        InputError: for a table without rows or without a column that is needed, or with another curve.
    """
    rows = columns(curves, ("curve", "map", "fraction", "score"), "attribution.check().points('mean')")
    kinds = [kind for kind in ("insertion", "deletion") if kind in set(rows["curve"])]
    if unknown := set(rows["curve"]) - set(kinds):
        raise InputError(f"the curve {sorted(unknown)[0]!r}", "'insertion' or 'deletion'")
    drawn, axes = panels(1, len(kinds), width=width, height=3.7, sharey=True)
    names = list(dict.fromkeys(rows["map"]))
    areas: dict[tuple[str, str], float] = {}
    for panel, kind in zip(axes, kinds, strict=True):
        plain(panel, grid="y")
        for number, name in enumerate(names):
            one = rows[(rows["curve"] == kind) & (rows["map"] == name)].sort_values("fraction")
            areas[kind, name] = _area(one["fraction"].to_numpy(float), one["score"].to_numpy(float))
            _curve(panel, one, number, str(name))
        panel.set_xlabel(f"of the picture {kind.replace('ion', 'ed')} (%)", fontsize=9)
        panel.set_title(kind, fontsize=9, color=INK)
    axes[0].set_ylabel("log-probability of the answer", fontsize=9)
    handles, shown = axes[0].get_legend_handles_labels()
    drawn.legend(
        handles, shown, loc="outside lower center", ncols=min(4, len(shown)), frameon=False, fontsize=9
    )
    titled(drawn, title or _areas(areas, kinds, names))
    return drawn


def _curve(axes: Axes, one: pd.DataFrame, number: int, name: str) -> None:
    look = SERIES[number % len(SERIES)]
    x = 100 * one["fraction"]
    axes.plot(
        x, one["score"], color=look.colour, linestyle=look.line, marker=look.marker, markersize=4, label=name,
        linewidth=2.2 if number == 0 else 1.3, zorder=4 - (number > 0),
    )  # fmt: skip
    if {"low", "high"} <= set(one.columns):
        axes.fill_between(x, one["low"], one["high"], color=(*to_rgb(look.colour), 0.15), linewidth=0)


def _area(x: np.ndarray, y: np.ndarray) -> float:
    """The area under a curve, by trapezoids."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def _areas(areas: Mapping[tuple[str, str], float], kinds: Sequence[str], names: Sequence[str]) -> str:
    parts = []
    for kind in kinds:
        others = [areas[kind, name] for name in names[1:]]
        own = areas[kind, names[0]]
        best = (max if kind == "insertion" else min)(others) if others else None
        against = "" if best is None else f" (best baseline {best:.3g})"
        parts.append(f"{kind} {own:.3g}{against}")
    return f"Area under the curve of {names[0]}: {', '.join(parts)}"
