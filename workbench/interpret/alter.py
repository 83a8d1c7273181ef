"""Altering a region of a picture: a grey patch, a blur, or the thing painted over with its surroundings"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from ..errors import InputError
from ..types import Box, Region

__all__ = ["HOW", "alter", "control_regions", "pixel_box", "read_region"]

HOW = ("mask", "blur", "remove")


def read_region(region: Region | Box, images: Sequence[Image.Image]) -> Region:
    """A region, checked against the pictures.

    Raises:
        InputError: for what is no box, one of a picture that is not there, or one that covers no pixel.
    """
    try:
        found = region if isinstance(region, Region) else Region(tuple(float(v) for v in region))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"region={region!r}", "a Region, or (x1, y1, x2, y2) in pixels") from None
    if len(found.box) != 4:
        raise InputError(f"region={region!r}", "a Region, or (x1, y1, x2, y2) in pixels")
    if not images:
        raise InputError("an answer about no picture", "an answer to a question with a picture")
    if not 0 <= found.image < len(images):
        raise InputError(f"a region of picture {found.image}", f"pictures 0 to {len(images) - 1}")
    pixel_box(found.box, images[found.image])
    return found


def pixel_box(box: Box, image: Image.Image) -> tuple[int, int, int, int]:
    """The box in whole pixels, cut at the picture's edges.

    Raises:
        InputError: if nothing is left.
    """
    x1, y1 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x2, y2 = min(image.width, int(np.ceil(box[2]))), min(image.height, int(np.ceil(box[3])))
    if x1 >= x2 or y1 >= y2:
        raise InputError(
            f"the box {box}", f"one that covers pixels of a picture of {image.width} x {image.height}"
        )
    return x1, y1, x2, y2


def alter(image: Image.Image, box: Box, how: str) -> Image.Image:
    """A copy of a picture with a box altered.

    Args:
        image: the picture.
        box: (x1, y1, x2, y2) in its pixels.
        how: ``"mask"`` (the picture's mean colour), ``"blur"`` (Gaussian, as wide as a quarter of the
            box's longer side) or ``"remove"`` (painted over from its edges inwards, as if it had not
            been there).

    Raises:
        InputError: for another ``how``, or a box outside the picture.
    """
    if how not in HOW:
        raise InputError(f"how={how!r}", f"one of {', '.join(map(repr, HOW))}")
    x1, y1, x2, y2 = pixel_box(box, image)
    out = image.copy()
    if how == "mask":
        mean = np.asarray(image, dtype=float).reshape(-1, 3).mean(axis=0).round().astype(int)
        out.paste(tuple(int(v) for v in mean), (x1, y1, x2, y2))
    elif how == "blur":
        soft = image.filter(ImageFilter.GaussianBlur(max(2.0, max(x2 - x1, y2 - y1) / 4)))
        out.paste(soft.crop((x1, y1, x2, y2)), (x1, y1))
    else:
        out.paste(_painted_over(np.asarray(image, dtype=float), (x1, y1, x2, y2)), (x1, y1))
    return out


def _painted_over(pixels: np.ndarray, box: tuple[int, int, int, int]) -> Image.Image:
    """What the pixels around a box suggest for its inside: each side's colour, weighted by its nearness."""
    x1, y1, x2, y2 = box
    height, width = pixels.shape[:2]
    row, col = np.arange(y1, y2)[:, None, None], np.arange(x1, x2)[None, :, None]
    total, weights = np.zeros((y2 - y1, x2 - x1, 3)), np.zeros((y2 - y1, x2 - x1, 1))
    # The median of each side: text or a line that crosses the edge does not bleed inwards.
    sides = [
        (x1 > 0, pixels[y1:y2, x1 - 1], col - x1 + 1),
        (x2 < width, pixels[y1:y2, min(x2, width - 1)], x2 - col),
        (y1 > 0, pixels[y1 - 1, x1:x2], row - y1 + 1),
        (y2 < height, pixels[min(y2, height - 1), x1:x2], y2 - row),
    ]
    for there, edge, distance in sides:
        if there:
            total, weights = total + np.median(edge, axis=0) / distance, weights + 1.0 / distance
    if not weights.any():  # the box is the whole picture
        total, weights = np.broadcast_to(np.median(pixels, axis=(0, 1)), total.shape), np.ones_like(weights)
    return Image.fromarray((total / weights).round().clip(0, 255).astype(np.uint8))


def control_regions(region: Region, image: Image.Image, count: int, *, seed: int) -> list[Region]:
    """Places of the same size elsewhere in the same picture, as far from the region as the picture allows.

    They are drawn at random among those that overlap the region least; where the region leaves no room,
    fewer come back, or none.

    Args:
        region: the region.
        image: its picture.
        count: how many.
        seed: of the places.
    """
    x1, y1, x2, y2 = pixel_box(region.box, image)
    width, height = x2 - x1, y2 - y1
    rng = np.random.default_rng(seed)
    xs = rng.integers(0, image.width - width + 1, size=400)
    ys = rng.integers(0, image.height - height + 1, size=400)
    across = np.clip(np.minimum(xs + width, x2) - np.maximum(xs, x1), 0, None)
    down = np.clip(np.minimum(ys + height, y2) - np.maximum(ys, y1), 0, None)
    free = np.flatnonzero(across * down == 0)[:count]
    return [
        Region((float(x), float(y), float(x + width), float(y + height)), region.image)
        for x, y in zip(xs[free], ys[free], strict=True)
    ]
