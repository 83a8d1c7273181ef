"""Single heads: what each writes towards thinking, and what replacing each costs, estimated and exactly"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..interpret.effects import DecisionAttribution, HeadEffects
from .style import FAINT, INK, SERIES, Figure, panels, plain, record, titled

__all__ = ["decision_attribution", "head_effects"]

SIGNED = "PuOr_r"  # orange above zero, purple below: apart for colour-blind readers
WRITTEN = 120  # cells up to which the numbers are written in


def decision_attribution(found: DecisionAttribution, *, width: float = 6.4) -> Figure:
    """What each head and MLP writes towards thinking, layer by layer.

    Args:
        found: from `workbench.interpret.decision_attribution`.
        width: of the figure, in inches.

    Raises:
        InputError: for something else.
    """
    found = record(found, DecisionAttribution, "workbench.interpret.decision_attribution(vlm, answer)")
    values = np.column_stack([found.heads, found.mlp])
    layers, cols = values.shape
    drawn, (axes, bar) = panels(1, 2, width=width, height=1.7 + 0.34 * layers, width_ratios=[width, 0.15])
    _cells(axes, values, f"nats towards {found.think}", bar)
    if cols <= 24:
        axes.set_xticks(range(cols), [*(str(head) for head in range(cols - 1)), "MLP"], fontsize=9)
    axes.set_xlabel("head, and the MLP last", fontsize=9)
    first = found.frame().iloc[0]
    where = str(first.part) if first.layer < 0 else f"layer {first.layer} {first.part}".replace("mlp", "MLP")
    says = "thinks" if found.log_odds > 0 else "answers directly"
    mlps, most = f"{found.mlp.sum():+.1f}", f"{where} ({first.nats:+.1f})"
    titled(
        drawn,
        f"The model {says} (log-odds {found.log_odds:+.1f} nats): all heads write "
        f"{np.nansum(found.heads):+.1f}, the MLPs {mlps}; most comes from {most}",
    )
    return drawn


def head_effects(found: HeadEffects, *, width: float = 8.6) -> Figure:
    """What replacing each head costs: layer by head, and the estimate against the exact fall.

    Args:
        found: from `workbench.interpret.head_effects`.
        width: of the figure, in inches.

    Raises:
        InputError: for something else.
    """
    found = record(found, HeadEffects, "workbench.interpret.head_effects(vlm, answer)")
    drawn, (axes, bar, beside) = panels(1, 3, width=width, height=3.6, width_ratios=[4, 0.15, 3])
    _cells(axes, found.estimated, "estimated fall (nats)", bar)
    axes.set_xlabel("head", fontsize=9)
    plain(beside, grid="y")
    both = np.isfinite(found.exact) & np.isfinite(found.estimated)
    beside.scatter(found.estimated[both], found.exact[both], color=SERIES[0].colour, s=22, zorder=3)
    if both.any():
        ends = np.array([found.estimated[both], found.exact[both]])
        beside.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color=FAINT, linestyle=":")
    beside.set_xlabel("estimated from one gradient (nats)", fontsize=9)
    beside.set_ylabel("exact (nats)", fontsize=9)
    titled(drawn, _worth(found, int(both.sum())))
    return drawn


def _worth(found: HeadEffects, exact: int) -> str:
    """Which head is worth most, and how far the estimate can be followed."""
    by = "exact" if exact == found.exact.size else "estimated"
    first = found.frame().sort_values(by, ascending=False).iloc[0]
    worth = f"{first.estimated:.1f} nats by the estimate"
    if np.isfinite(first.exact):
        worth = f"{first.exact:.1f} nats, {first.estimated:.1f} by the estimate"
    r = (
        ""
        if np.isnan(found.agreement)
        else f"; the two agree with r {found.agreement:.2f} over {exact} heads"
    )
    head = f"layer {first.layer:.0f} head {first['head']:.0f}"
    return f"Heads replaced by {found.baseline}: {head} is worth most to the {found.target} ({worth}){r}"


def _cells(axes: Axes, values: np.ndarray, label: str, bar: Axes) -> None:
    """A sheet of signed numbers, a row for each layer; layers that have none stay white."""
    top = float(np.nanmax(np.abs(values))) or 1.0
    axes.imshow(values, cmap=SIGNED, vmin=-top, vmax=top, aspect="auto", origin="lower")
    if values.size <= WRITTEN:
        for (layer, col), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.6 * top else INK
                axes.text(col, layer, f"{value:.1f}", ha="center", va="center", fontsize=8, color=ink)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("layer", fontsize=9)
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(axes.images[0], cax=bar, label=label)
    bar.tick_params(labelsize=8)
