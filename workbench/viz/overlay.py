"""A map over the original picture: which patches, how strongly, legible on any picture and in grey."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, to_hex, to_rgb
from matplotlib.patheffects import AbstractPathEffect, withStroke
from PIL import Image

from ..errors import CapabilityError, InputError
from ..types import Box, PatchGrid, Region
from .findings import percent
from .pictures import _frame, _region
from .style import FAINT, INK, SERIES, Figure, panels, titled

if TYPE_CHECKING:
    from ..answer import Answer

__all__ = ["COLOURS", "DIVERGING", "FADE", "OPACITY", "draw_map", "grid_of", "overlay"]

FADE = 0.6
"""How much white is mixed into the picture below a map: its darkest pixel becomes a middle grey."""
OPACITY = 0.85
"""Opacity of the strongest patch; that of others goes with their value, so that the picture stays legible."""


def _palette(name: str, low: float, high: float, count: int) -> tuple[str, ...]:
    return tuple(to_hex(c) for c in matplotlib.colormaps[name](np.linspace(low, high, count)))


# Lightness falls all the way in the first and from the middle in the second, so both survive in grey.
COLOURS = _palette("magma_r", 0.12, 0.92, 17)
"""From nothing to the strongest: light to dark.  The widgets draw with the same colours."""
DIVERGING = _palette("PuOr", 0.04, 0.96, 17)
"""From the strongest against (orange) over nothing to the strongest for (purple)."""


def overlay(
    answer: Answer,
    map: Any,
    image: int = 0,
    *,
    grid: PatchGrid | None = None,
    boxes: Mapping[str, Iterable[Region | Box]] | None = None,
    peak: float | None = None,
    label: str = "share of the attention",
    title: str = "",
    height: float = 3.6,
) -> Figure:
    """A map of patches laid over the original picture, in the picture's own pixels.

    The picture is faded, so that dark and light ones show the same colours; more is darker, also
    in grey.  A line goes round the patches above half of the strongest (dashed: below minus half, in
    a signed map).  Patches that reach past the picture's edge, where a family pads it, are cut there.

    Args:
        answer: an answer with pictures and a layout.
        map: a value for each patch, ``[rows, cols]``; a map with negative values is drawn in two
            colours around zero.
        image: which picture of the conversation.
        grid: the patches that the map belongs to, where they are a crop's; else the picture's own.
        boxes: name -> regions or boxes (original pixels) to draw over it, for example the evidence.
        peak: the value of the darkest colour, the same for figures that are to be compared; None for the
            map's own largest.
        label: what the values are, for the colour bar.
        title: a line above; "" for what the map says.
        height: of the picture, in inches.

    Raises:
        CapabilityError: for an answer without a layout (a server gives none).
        InputError: for a picture that is not there, or a map that does not fit the grid.
    """
    grid = grid_of(answer, image, grid)
    values = checked_map(map, grid)
    picture = answer.images[grid.image]
    wide = height * min(2.2, max(0.7, picture.width / picture.height))
    drawn, (axes, bar) = panels(
        1, 2, width=max(wide + 1.0, 4.2), height=height + 0.7, width_ratios=[wide, 0.13]
    )
    top = draw_map(axes, picture, values, grid, peak=peak)
    named = {name: [_region(box) for box in found] for name, found in (boxes or {}).items()}
    for kind, (name, regions) in enumerate(named.items()):
        look = SERIES[(3 + kind) % len(SERIES)]
        for place, box in enumerate(r.box for r in regions if r.image == grid.image):
            frame = _frame(box, look.colour, "-", label=name if place == 0 else None)
            frame.set_path_effects([withStroke(linewidth=4, foreground="white")])
            axes.add_patch(frame)
    if axes.patches:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.04), fontsize=8, frameon=False, ncols=3)
    colour_bar(bar, top, signed=bool((values < 0).any()), label=label)
    titled(drawn, title or _finding(values, label))
    return drawn


def grid_of(answer: Answer, image: int, grid: PatchGrid | None = None) -> PatchGrid:
    """The patches of picture ``image``, or ``grid`` itself where one is given and belongs to the answer.

    Raises:
        CapabilityError: for an answer without a layout.
        InputError: for a picture or a grid that the answer does not have.
    """
    if answer.layout is None:
        raise CapabilityError("an answer without a layout", "one of a model that was loaded here")
    if grid is not None:
        if grid not in answer.layout.grids:
            raise InputError("a grid of another answer", "one of answer.layout.grids")
        return grid
    count = min(len(answer.layout.images), len(answer.images))
    if not 0 <= image < count:
        has = f"0 to {count - 1}" if count else "an answer about a picture"
        raise InputError(f"image={image!r}", has)
    return answer.layout.images[image]


def checked_map(map: Any, grid: PatchGrid) -> np.ndarray:
    """A map as floats ``[rows, cols]``.

    Raises:
        InputError: if it has another shape than the grid, or values that are not finite.
    """
    values = np.asarray(map, dtype=float)
    if values.shape != (grid.rows, grid.cols):
        raise InputError(
            f"a map of shape {values.shape}",
            f"({grid.rows}, {grid.cols}), the patches of picture {grid.image}",
            "take it from the same answer, with the same image=",
        )
    if not np.isfinite(values).all():
        raise InputError("a map with values that are not finite", "finite values")
    return values


def draw_map(
    axes: Axes, picture: Image.Image, values: np.ndarray, grid: PatchGrid, *, peak: float | None = None,
    scale: bool = True, signed: bool | None = None,
) -> float:  # fmt: skip
    """Draw a picture and a map over it into axes that span the picture's pixels.

    Args:
        axes: where to draw.
        picture: the original.
        values: ``[rows, cols]``.
        grid: where the values lie.
        peak: the value of the darkest colour; None for the largest.
        scale: whether to draw a bar of known length, in pixels.
        signed: whether to use two colours around zero; None where there are negative values.

    Returns:
        The value of the darkest colour.
    """
    signed = bool((values < 0).any()) if signed is None else signed
    top = float(np.abs(values).max()) if peak is None else float(peak)
    smooth = "antialiased" if max(picture.size) > 400 else "nearest"
    pixels = np.asarray(picture.convert("RGB"), dtype=float) / 255
    extent = (0, picture.width, picture.height, 0)
    axes.imshow(pixels * (1 - FADE) + FADE, extent=extent, interpolation=smooth)
    x1, y1, x2, y2 = grid.region
    axes.imshow(coloured(values, top, signed=signed), extent=(x1, x2, y2, y1), interpolation="nearest")
    if top > 0:
        _outline(axes, values >= top / 2, grid, "-")
        if signed:
            _outline(axes, values <= -top / 2, grid, (0, (3, 1.5)))
    if scale:
        _scale_bar(axes, picture.size)
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")
    return top


def coloured(values: np.ndarray, top: float, *, signed: bool) -> np.ndarray:
    """Colours with opacity, ``[..., 4]`` from 0 to 1, of values between 0 (or ``-top``) and ``top``."""
    shares = np.clip(values / top, -1, 1) if top > 0 else np.zeros_like(values)
    stops = np.array([to_rgb(c) for c in (DIVERGING if signed else COLOURS)])
    places = (shares + 1) / 2 if signed else np.clip(shares, 0, 1)
    at = places * (len(stops) - 1)
    rgb = np.stack([np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=-1)
    return np.concatenate([rgb, OPACITY * np.abs(shares)[..., None]], axis=-1)


def sheet_colours() -> ListedColormap:
    """The colours from nothing to the strongest on white, for maps without a picture below."""
    return ListedColormap([*np.linspace((1, 1, 1), to_rgb(COLOURS[0]), 16), *_ramp(240)], name="workbench")


def _ramp(count: int) -> np.ndarray:
    stops = np.array([to_rgb(c) for c in COLOURS])
    at = np.linspace(0, len(stops) - 1, count)
    return np.stack([np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=-1)


def colour_bar(axes: Axes, top: float, *, signed: bool, label: str) -> None:
    """The colours as they lie over a faded picture, from 0 (or ``-top``) to ``top``."""
    low = -top if signed else 0.0
    ramp = np.linspace(low, top, 256)[:, None]
    paint = coloured(ramp, top, signed=signed)
    paper = 1 - FADE / 4  # a faded middle grey
    rgb = paint[..., :3] * paint[..., 3:] + paper * (1 - paint[..., 3:])
    span = (low, top) if top > 0 else (0.0, 1.0)
    axes.imshow(rgb, extent=(0, 1, *span), origin="lower", aspect="auto")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:.3g}"))
    axes.tick_params(labelsize=8, colors=INK)
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.spines[:].set_color(FAINT)


def _outline(axes: Axes, inside: np.ndarray, grid: PatchGrid, line: Any) -> None:
    """A line between patches inside and patches not, dark on white so that it shows on anything."""
    x1, y1, x2, y2 = grid.region
    xs, ys = np.linspace(x1, x2, grid.cols + 1), np.linspace(y1, y2, grid.rows + 1)
    framed = np.pad(inside, 1)
    down, across = framed[1:, 1:-1] != framed[:-1, 1:-1], framed[1:-1, 1:] != framed[1:-1, :-1]
    edges = [[(xs[c], ys[r]), (xs[c + 1], ys[r])] for r, c in zip(*np.nonzero(down), strict=True)]
    edges += [[(xs[c], ys[r]), (xs[c], ys[r + 1])] for r, c in zip(*np.nonzero(across), strict=True)]
    for width, colour, style in ((2.8, "white", "-"), (1.3, INK, line)):
        axes.add_collection(
            LineCollection(edges, colors=colour, linewidths=width, linestyles=[style], capstyle="projecting")
        )


def _scale_bar(axes: Axes, size: tuple[int, int]) -> None:
    """A bar of a round number of original pixels, in the lower left corner."""
    width, height = size
    target = width / 4
    power = 10 ** np.floor(np.log10(target))
    length = max(step * power for step in (1, 2, 5) if step * power <= target)
    x, y = 0.03 * width, 0.96 * height
    halo: list[AbstractPathEffect] = [withStroke(linewidth=4, foreground="white")]
    (bar,) = axes.plot([x, x + length], [y, y], color=INK, linewidth=2, solid_capstyle="butt")
    bar.set_path_effects(halo)
    axes.text(
        x, y - 0.015 * height, f"{length:g} pixels", fontsize=7, color=INK, va="bottom",
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def _finding(values: np.ndarray, label: str) -> str:
    """What a map says: where it is strongest, and, for shares, how much of the whole it holds."""
    row, col = (int(i) for i in np.unravel_index(np.argmax(np.abs(values)), values.shape))
    strongest = f"strongest in row {row}, column {col}"
    if not values.any():
        return f"Nothing on this picture ({label})"
    if (values < 0).any() or values.sum() > 1.001:
        return f"{label.capitalize()}: {strongest} ({values[row, col]:+.3g})"
    return (
        f"{percent(float(values.sum()))} of the attention is on this picture, {strongest} "
        f"({100 * values[row, col]:.2g}%)"
    )
