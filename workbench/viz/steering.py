"""Steering and probes: thinking, its length and accuracy by strength; how well a line tells sets apart"""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from ..interpret.directions import Probe, Steering
from .overlay import sheet_colours
from .style import FAINT, INK, SERIES, Figure, panels, plain, record, titled
from .thinking import percent

__all__ = ["probe", "steering"]


def steering(found: Steering, *, width: float = 9.0) -> Figure:
    """How often and how long a model thinks, and what it gets right, against the strength of a push.

    Args:
        found: from `workbench.interpret.steering_sweep`.
        width: of the figure, in inches.

    Raises:
        InputError: for something else.
    """
    found = record(found, Steering, "workbench.interpret.steering_sweep(vlm, direction, samples=...)")
    table = found.frame()
    drawn, axes = panels(1, 3, width=width, height=3.2)
    for panel, look, (column, scale, label) in zip(
        axes,
        SERIES,
        (
            ("thinks", 100, "thinks (%)"),
            ("thought_tokens", 1, "length of the thought (tokens)"),
            ("right", 100, "accuracy (%)"),
        ),
        strict=False,
    ):
        plain(panel, grid="y")
        middle, low, high = (scale * table[column + end].to_numpy(float) for end in ("", "_low", "_high"))
        panel.axvline(0, color=FAINT, linewidth=1, linestyle=":")
        panel.plot(table["strength"], middle, color=look.colour, marker=look.marker, linestyle=look.line)
        if np.isfinite(low).all():
            panel.fill_between(table["strength"], low, high, color=look.colour, alpha=0.2, linewidth=0)
        panel.set_ylabel(label, fontsize=9)
        panel.set_xlabel("strength (1: the whole difference)", fontsize=9)
        panel.set_ylim(bottom=0, top=104 if scale == 100 else None)
    axes[0].plot(
        table["strength"], 100 * table["p_think"], color=INK, linestyle=":", linewidth=1, label="mean p_think"
    )
    axes[0].legend(fontsize=8, frameon=False)
    titled(drawn, _steered(found))
    return drawn


def _steered(found: Steering) -> str:
    """From the weakest to the strongest push: how often it thinks, and what it gets right."""
    ends = (found.strengths[0], found.strengths[-1])
    thinks, right = ([percent(found.at(end, column)[0]) for end in ends] for column in ("thinks", "right"))
    layers = f"layer {found.layers[0]}" if len(found.layers) == 1 else f"{len(found.layers)} layers"
    return (
        f"Pushed at {layers} by {ends[0]:g} and {ends[1]:g}, the model thinks on {thinks[0]} and {thinks[1]} "
        f"of the questions and is right on {right[0]} and {right[1]}"
    )


def probe(found: Probe, *, width: float = 6.4) -> Figure:
    """How well a linear probe tells two sets of answers apart, layer by layer, beside shuffled labels.

    Along a thought it is a sheet of accuracies, a row for each layer and a column for each place.

    Args:
        found: from `workbench.interpret.probe`.
        width: of the figure, in inches.

    Raises:
        InputError: for something else.
    """
    found = record(found, Probe, "workbench.interpret.probe(vlm, positive=..., negative=...)")
    drawn = _sheet(found, width) if len(found.points) > 1 else _by_layer(found, width)
    point, layer = found.best
    where = f"at layer {layer}"
    if found.place == "thought":
        where += f", {percent(found.points[point])} into the thought"
    best, chance = found.interval(point, layer), float(found.shuffled.max(axis=(1, 2)).mean())
    tells = "tells" if found.p <= 0.05 else "cannot be said to tell"
    titled(
        drawn,
        f"A linear probe {tells} the two sets apart: right on "
        f"{percent(best.value)} ({percent(best.low)} to {percent(best.high)}) {where}, shuffled labels on "
        f"{percent(chance)} at their best, p {found.p:.2g}",
    )
    return drawn


def _by_layer(found: Probe, width: float) -> Figure:
    table = found.frame()
    drawn, (axes,) = panels(1, 1, width=width, height=3.4)
    plain(axes, grid="y")
    for look, (column, low, high, label) in zip(
        SERIES,
        (
            ("accuracy", "low", "high", "the two sets (95% interval)"),
            ("shuffled", "shuffled", "shuffled_high", "shuffled labels (mean, to 95%)"),
        ),
        strict=False,
    ):
        axes.plot(
            table["layer"], 100 * table[column], color=look.colour, marker=look.marker, linestyle=look.line,
            label=label,
        )  # fmt: skip
        axes.fill_between(
            table["layer"], 100 * table[low], 100 * table[high], color=look.colour, alpha=0.2, linewidth=0
        )
    axes.axhline(50, color=FAINT, linewidth=1, linestyle=":")
    axes.set_xlabel("layer (0: the embeddings)", fontsize=9)
    axes.set_ylabel("accuracy on unseen questions (%)", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 104)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return drawn


def _sheet(found: Probe, width: float) -> Figure:
    accuracy = found.accuracy.T  # [layers + 1, points]
    layers, points = accuracy.shape
    drawn, (axes, bar) = panels(1, 2, width=width, height=1.6 + 0.36 * layers, width_ratios=[width, 0.15])
    axes.imshow(accuracy, cmap=sheet_colours(), vmin=0.5, vmax=1, aspect="auto", origin="lower")
    if layers <= 16:
        for (layer, point), value in np.ndenumerate(accuracy):
            ink = "white" if value > 0.78 else INK
            axes.text(point, layer, percent(float(value)), ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(points), [percent(point) for point in found.points], fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("place in the thought", fontsize=9)
    axes.set_ylabel("layer (0: the embeddings)", fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    drawn.colorbar(axes.images[0], cax=bar, label="accuracy on unseen questions")
    bar.tick_params(labelsize=8)
    return drawn
