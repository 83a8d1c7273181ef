"""Where each number of a model's picture tensor comes from, and pictures with parts hidden.

The map is measured, not assumed: pictures that hold sine waves go through the model's own processor,
and their phases at each element tell its place in the original picture.  So it holds for every
family: patches in rows, merged patches, tiles and thumbnails, padded and cropped pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter

from ..errors import InputError
from .regions import Regions

__all__ = ["FILLS", "PixelMap", "fill_picture"]

FILLS = ("mean", "blur", "white")
"""What a hidden region shows: its picture's mean colour, the picture blurred, or white."""

_WAVES = (2.0, 1 / 8)  # periods, in sides of the picture; the second refines the first


def fill_picture(picture: Image.Image, fill: str) -> Image.Image:
    """A whole picture of what hidden regions show.

    Raises:
        InputError: if there is no such fill.
    """
    if fill == "mean":
        mean = np.asarray(picture, dtype=np.float64).mean(axis=(0, 1))
        return Image.new("RGB", picture.size, tuple(int(v) for v in mean.round()))
    if fill == "blur":
        return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 8))
    if fill == "white":
        return Image.new("RGB", picture.size, (255, 255, 255))
    raise InputError(f"fill={fill!r}", f"one of {', '.join(map(repr, FILLS))}")


@dataclass(frozen=True, eq=False)
class PixelMap:
    """The place of each element of ``pixel_values``, which has any shape.

    Args:
        image: number of the picture; -1 for padding.
        x, y: place in that picture, in original pixels.
    """

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def measure(
        cls, process: Callable[[Sequence[Image.Image]], torch.Tensor], sizes: Sequence[tuple[int, int]]
    ) -> PixelMap:
        """Measure it.

        Args:
            process: pictures of the given sizes to the model's ``pixel_values``.
            sizes: (width, height) of each picture.
        """

        def read(pictures: Sequence[Image.Image]) -> np.ndarray:
            return process(pictures).float().numpy()

        black = read([Image.new("RGB", size) for size in sizes])
        white = read([Image.new("RGB", size, (255, 255, 255)) for size in sizes])
        span = white - black
        scale = np.where(span == 0, 1, span)
        x, y = (_places(lambda p: (read(p) - black) / scale, sizes, axis) for axis in (0, 1))
        owner = np.full(black.shape, -1, dtype=np.int16)
        for number in range(len(sizes)):
            lit = [Image.new("RGB", s, (255, 255, 255) if i == number else 0) for i, s in enumerate(sizes)]
            owner[np.abs(read(lit) - black) > np.abs(span) / 2] = number
        width, height = (np.array([size[axis] for size in sizes] + [1])[owner] for axis in (0, 1))
        return cls(owner, (x * width).astype(np.float32), (y * height).astype(np.float32))

    def atoms(self, regions: Regions) -> np.ndarray:
        """The atom of each element; -1 outside every region."""
        found = np.full(self.image.shape, -1, dtype=np.int64)
        for number in range(len(regions.labels)):
            ours = self.image == number
            found[ours] = regions.atoms_at(number, self.x[ours], self.y[ours])
        return found


def _places(
    read: Callable[[Sequence[Image.Image]], np.ndarray], sizes: Sequence[tuple[int, int]], axis: int
) -> np.ndarray:
    """Place of each element along one axis, as a share of its picture's side.

    A resizing filter weakens a wave but hardly moves its phase.
    """
    place = np.zeros(0)
    for wave in _WAVES:
        # Half a period over the side for the first wave: its phase is the place itself, unambiguously.
        cosine, sine = (
            2 * read([_wave(size, axis, wave, shift) for size in sizes]) - 1 for shift in (0.0, np.pi / 2)
        )
        phase = np.arctan2(sine, cosine) / (2 * np.pi)
        if wave == _WAVES[0]:
            place = np.where(phase < -0.25, phase + 1, phase) * wave
        else:
            turns = place / wave - phase
            place = (phase + np.round(turns)) * wave
    return np.clip(place, 0.0, np.nextafter(1.0, 0.0, dtype=np.float64))


def _wave(size: tuple[int, int], axis: int, period: float, shift: float) -> Image.Image:
    """A grey picture ``(1 + cos(2 pi place / period - shift)) / 2`` along one axis."""
    places = (np.arange(size[axis]) + 0.5) / size[axis]
    values = np.round((1 + np.cos(2 * np.pi * places / period - shift)) / 2 * 255).astype(np.uint8)
    row = values[None, :] if axis == 0 else values[:, None]
    return Image.fromarray(np.broadcast_to(row, (size[1], size[0])).copy()).convert("RGB")
