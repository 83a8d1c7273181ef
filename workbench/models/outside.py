"""Whether a picture lies outside the drawn world of the built-in model, told in a warning of its own.

Two things are looked at: whether the picture is far larger than any that the model was trained on, and
whether it has the even grounds and sharp edges of a drawing (six numbers, weighed by a logistic regression
that ``tools/measure_outside.py`` fits and measures; ``data/outside`` holds both).  It takes milliseconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from ..errors import warn
from ..files import data_path, read_json
from ..records import build
from .ladder import PLACES, ladder

__all__ = [
    "Boundary",
    "OutsideWorldWarning",
    "boundary",
    "features",
    "is_large",
    "outside",
    "unwarned",
    "warn_outside",
    "why_outside",
]

PATCH, TILE = 16, 8

#: Patches to which a picture is shrunk before it is looked at: those of the largest drawing.
LOOKED_AT = 256

#: A picture of more than this many times the patches that a model takes is shrunk too much: drawings were
#: measured up to one and a half times their size.
SHRUNK = 1.5**2


class OutsideWorldWarning(UserWarning):
    """The built-in model was asked about a picture unlike all that it was trained on."""


@dataclass(frozen=True)
class Boundary:
    """Where the drawn world ends: ``weights @ (features - mean) / scale`` above ``threshold`` is outside."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    threshold: float

    def score(self, found: np.ndarray) -> float:
        """How far outside features ``[6]`` lie; above 0 is outside."""
        standard = (found - np.array(self.mean)) / np.array(self.scale)
        return float(standard @ np.array(self.weights) - self.threshold)


@cache
def boundary() -> Boundary:
    """The boundary that was measured."""
    return build(Boundary, read_json(data_path("outside", "outside.json"))["boundary"], "data/outside")


def features(image: Image.Image) -> np.ndarray:
    """Six numbers that tell drawings from photographs and scans: float ``[6]``.

    The share of tiles in the colour of the ground; how busy the busiest tenth of tiles is; the shares of
    neighbouring pixels that differ not at all, a little, and much; and that of neighbouring tiles that are
    nearly alike.
    """
    pixels = np.asarray(_fitted(image), dtype=np.float32)
    rows, cols = (length // TILE for length in pixels.shape[:2])
    tiles = pixels[: rows * TILE, : cols * TILE].reshape(rows, TILE, cols, TILE, 3).swapaxes(1, 2)
    colours = tiles.mean((2, 3))
    flat, coarse = colours.reshape(-1, 3), np.round(colours.reshape(-1, 3) / 12).astype(int)
    _, group, count = np.unique(coarse, axis=0, return_inverse=True, return_counts=True)
    ground = np.median(flat[group.ravel() == count.argmax()], axis=0)
    busy = tiles.reshape(rows * cols, -1, 3).std(1).mean(-1)
    steps = _steps(pixels.mean(-1, keepdims=True))
    shades = _steps(colours)
    return np.array(
        [
            (np.abs(flat - ground).max(1) <= 8).mean(),
            np.log1p(np.quantile(busy, 0.9)),
            (steps <= 1).mean(),
            ((steps > 1) & (steps <= 6)).mean(),
            ((steps > 20) & (steps <= 60)).mean(),
            ((shades > 2.5) & (shades <= 8)).mean(),
        ]
    )


def _fitted(image: Image.Image) -> Image.Image:
    """The picture with as many patches as are looked at, at most, and two tiles a side, at least."""
    shrink = min(1.0, (LOOKED_AT * PATCH**2 / (image.width * image.height)) ** 0.5)
    width, height = (max(2 * TILE, round(length * shrink)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _steps(values: np.ndarray) -> np.ndarray:
    """How much neighbours, beside and below, of ``[rows, cols, channels]`` differ at most: ``[pairs]``."""
    across, down = (np.abs(np.diff(values, axis=axis)).max(-1).ravel() for axis in (1, 0))
    return np.concatenate([across, down])


def outside(image: Image.Image, *, most_patches: int) -> str:
    """Why a picture is none of the drawn world: "photograph", "large", or "" where nothing speaks against it.

    Args:
        image: as it is asked about.
        most_patches: to which the model shrinks a picture.
    """
    if boundary().score(features(image)) > 0:
        return "photograph"
    return "large" if is_large(image, most_patches=most_patches) else ""


def is_large(image: Image.Image, *, most_patches: int) -> bool:
    """Whether a picture is shrunk more than any drawing that the model was measured on."""
    return image.width * image.height > SHRUNK * most_patches * PATCH**2


#: What is wrong with a kind of picture.
_WHY = {
    "large": "This picture is much larger than all that the built-in model was trained on. It is shrunk to "
    "{patches} patches of 16 pixels, on which small text can hardly be read.",
    "photograph": "This picture looks like a photograph or a scan. The built-in model knows nothing but the "
    "drawings of workbench.synth; what it says about anything else means nothing.",
}


def why_outside(image: Image.Image, *, most_patches: int) -> str:
    """What is wrong with a picture for the built-in model, in words; "" where nothing is.

    Args:
        image: as it is asked about.
        most_patches: to which the model shrinks a picture.
    """
    kind = outside(image, most_patches=most_patches)
    return _WHY[kind].format(patches=most_patches) if kind else ""


def warn_outside(images: Iterable[Image.Image], *, most_patches: int, told: set[str]) -> None:
    """Warn of each kind of picture outside the drawn world once, and say what to load instead.

    Args:
        images: that are asked about.
        most_patches: to which the model shrinks a picture.
        told: kinds that the user was warned of; those found are added.
    """
    for image in images:
        if len(told) == len(_WHY):
            return
        kind = outside(image, most_patches=most_patches)
        if kind and kind not in told:
            told.add(kind)
            calls = "\n".join(f"  {p.name}: {ladder().best(p, n=1)[0].call}" for p in PLACES)
            text = f"{_WHY[kind].format(patches=most_patches)} Load instead, on\n{calls}"
            warn(text, OutsideWorldWarning)


@contextlib.contextmanager
def unwarned(told: set[str]) -> Iterator[None]:
    """Within this context no kind of picture is warned of; none of them counts as told afterwards.

    Args:
        told: kinds that the user was warned of.
    """
    before = set(told)
    told |= set(_WHY)
    try:
        yield
    finally:
        told.intersection_update(before)
