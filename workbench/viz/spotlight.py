"""Strength on a picture: what is looked at keeps its colours, the rest fades, nothing is painted over.

Figures and widgets draw it alike: `lit` here and ``paint`` in ``ui/assets/draw.js`` are one formula over the
numbers of `SPOTLIGHT`.  A cell also has a name, the word or element under it, or its place in plain words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from ..synth.sample import Element
from ..types import Box, PatchGrid

__all__ = [
    "COLOURS",
    "DIVERGING",
    "SPOTLIGHT",
    "Spotlight",
    "cell_names",
    "is_dark",
    "lit",
    "most_on",
    "shade",
]

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Spotlight:
    """The numbers of the drawing; every pair is (for, against), the latter for values below zero.

    Args:
        gain, power: a cell of strength ``v`` shows ``min(1, gain * v) ** power`` of the picture's colours.
        rest: part of the lightness range that is left where nothing is looked at.
        tint: weight of the tint at strength one.
        multiply: tints on light pictures; dark letters stay dark.
        screen: tints on dark pictures; light letters stay light.
        lines: outlines of the cells at or above half of the strongest.
    """

    gain: float = 1.6
    power: float = 0.7
    rest: float = 0.55
    tint: float = 0.9
    multiply: tuple[RGB, RGB] = ((1.0, 0.80, 0.45), (0.60, 0.83, 1.0))
    screen: tuple[RGB, RGB] = ((0.55, 0.33, 0.05), (0.05, 0.28, 0.60))
    lines: tuple[str, str] = ("#c8640a", "#2a6fbb")


SPOTLIGHT = Spotlight()
LUMINANCE = np.array([0.299, 0.587, 0.114])


def is_dark(picture: Image.Image) -> bool:
    """Whether a picture is a dark one: the median of its lightness is below a half."""
    small = picture.convert("L")
    small.thumbnail((256, 256))
    return float(np.median(np.asarray(small))) < 127.5


def lit(pixels: np.ndarray, values: np.ndarray, *, dark: bool, strength: float = 1.0) -> np.ndarray:
    """A picture in the light of a map.

    Args:
        pixels: ``[..., 3]`` from 0 to 1.
        values: ``[...]`` from -1 to 1, the map over its maximum.
        dark: whether the whole picture is a dark one, see `is_dark`.
        strength: from 0, the bare picture, to 1.
    """
    grey = (pixels @ LUMINANCE)[..., None]
    rest = SPOTLIGHT.rest * grey if dark else 1 - SPOTLIGHT.rest * (1 - grey)
    amount = np.abs(values)[..., None]
    seen = rest + (pixels - rest) * np.minimum(1, SPOTLIGHT.gain * amount) ** SPOTLIGHT.power
    tints = np.array(SPOTLIGHT.screen if dark else SPOTLIGHT.multiply)[(values < 0).astype(int)]
    tinted = 1 - (1 - seen) * (1 - tints) if dark else seen * tints
    return pixels + strength * (seen + SPOTLIGHT.tint * amount * (tinted - seen) - pixels)


# The same hues where no picture lies below: on a sheet of heads, behind words, in a table.


def _stops(name: str, low: float, high: float) -> tuple[str, ...]:
    return tuple(to_hex(c) for c in matplotlib.colormaps[name](np.linspace(low, high, 9)))


COLOURS = _stops("Oranges", 0.08, 1.0)
"""From nothing to the strongest: light to dark, in grey too."""
DIVERGING = (*reversed(_stops("Blues", 0.08, 1.0)), "#f8f8f8", *COLOURS)
"""From the strongest against (blue) over nothing to the strongest for (orange)."""


def shade(values: np.ndarray, top: float, *, signed: bool) -> np.ndarray:
    """Colours ``[..., 4]`` of values between 0 (or ``-top``) and ``top``; nothing is transparent."""
    shares = np.clip(values / top, -1, 1) if top > 0 else np.zeros_like(values)
    stops = np.array([to_rgb(c) for c in (DIVERGING if signed else COLOURS)])
    at = ((shares + 1) / 2 if signed else np.clip(shares, 0, 1)) * (len(stops) - 1)
    rgb = np.stack([np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=-1)
    return np.concatenate([rgb, np.minimum(1, 4 * np.abs(shares))[..., None]], axis=-1)


PLACES = (
    *("at the top left", "at the top", "at the top right"),
    *("on the left", "in the middle", "on the right"),
    *("at the bottom left", "at the bottom", "at the bottom right"),
)


def cell_names(grid: PatchGrid, elements: Sequence[Element] = ()) -> list[str]:
    """What lies under each cell, row by row: "on “News”", "on the star", or a place, "at the top left".

    Args:
        grid: the cells.
        elements: what is known of the picture, each with its box in pixels (`Sample.elements`).
    """
    cells = [grid.box(row, col) for row in range(grid.rows) for col in range(grid.cols)]
    return [_element_name(cell, elements) or _place(cell, grid.size) for cell in cells]


def _element_name(cell: Box, elements: Sequence[Element]) -> str:
    """The element that has most of itself in a cell, so that a word wins over the window it stands in."""
    best, name = 0.0, ""
    for element in elements:
        common, own = _common(cell, element.box), _area(element.box)
        if own and max(common / own, common / _area(cell)) >= 0.15 and common / own > best:
            best = common / own
            name = f"on “{element.name}”" if element.name else f"on the {element.kind}"
    return name


def _place(cell: Box, size: tuple[int, int]) -> str:
    """Which ninth of the picture a cell's centre lies in."""
    x, y = ((cell[axis] + cell[axis + 2]) / 2 / size[axis] for axis in (0, 1))
    col, row = (min(2, max(0, int(3 * share))) for share in (x, y))
    return PLACES[3 * row + col]


def _common(a: Box, b: Box) -> float:
    return _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def most_on(values: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
    """The name under the strongest cell, and the sum of the values of all cells of that name.

    Args:
        values: ``[rows, cols]``; the strongest is the one farthest from zero.
        names: of its cells, see `cell_names`.
    """
    flat = np.asarray(values, dtype=float).ravel()
    name = names[int(np.argmax(np.abs(flat)))]
    return name, float(flat[[other == name for other in names]].sum())
