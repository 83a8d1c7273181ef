"""Zoom: crop an image where the model looks for its answer, and ask with the crop beside the whole

Visual cropping by relative attention, after Zhang et al. 2025 (arXiv 2502.17422).  A small thing that few
tokens show gets more of them, for the price of two short looks and the crop's own tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, SupportsIndex

import numpy as np
from PIL import Image

from ..answer import Answer
from ..attention import GENERIC
from ..errors import InputError
from ..types import Mode, PatchGrid

__all__ = ["Crop", "ask_zoomed", "best_window", "find_crops"]

SHARES = (0.25, 0.35, 0.5)  # of the image's sides; which one is taken is decided by the map
LOOK = 8  # tokens: enough for what a mode forces and the answer's first one
MOST = 8  # crops

Ask = Callable[..., Answer]


class Crop(NamedTuple):
    """A part of an image: which of the question's images, and whole pixels (x1, y1, x2, y2)."""

    image: int
    box: tuple[int, int, int, int]


def ask_zoomed(
    ask: Ask, images: Sequence[Image.Image], question: str, *, zoom: int, look: Mode, **options: object
) -> Answer:
    """Look twice, crop, and ask; see ``zoom`` of `Model.ask`.

    Args:
        ask: a model's own verb.
        images: the question's images, opened.
        question: the question.
        zoom: number of crops; True is one.
        look: mode of the two looks: direct where the model has that.
        options: what else ``ask`` takes, for the question itself.

    Raises:
        InputError: for no image, another number of crops, or a model whose image tokens have no known place.
        CapabilityError: if the model's attention cannot be captured.
    """
    if not isinstance(zoom, SupportsIndex) or not 1 <= zoom.__index__() <= MOST:
        raise InputError(f"zoom={zoom!r}", f"False, True, or 1 to {MOST} crops")
    if not images:
        raise InputError("zoom without an image", "a question about an image")
    glance = {"mode": look, "max_tokens": LOOK, "history": options.get("history", ()), "capture": True}
    own, generic = (ask(list(images), asked, **glance) for asked in (question, GENERIC))
    crops = find_crops(own, generic, zoom)
    parts = [images[crop.image].crop(crop.box) for crop in crops]
    answer = ask([*images, *parts], question, **options)
    boxes = [[crop.image, *crop.box] for crop in crops]
    return replace(answer, settings={**answer.settings, "zoom": boxes})


def find_crops(own: Answer, generic: Answer, count: int) -> list[Crop]:
    """Where the question makes the model look, more than a generic one does: the sharpest windows.

    Args:
        own, generic: answers about the same images, with ``capture=True``.
        count: how many; what one shows does not count for the next.  Fewer where nothing else stands out.
    """
    layout = own.layout
    if layout is None or not layout.images:
        raise InputError("zoom with images whose tokens have no known place", "a family with a known layout")
    first = len(layout.images) - len(own.question_images)
    grids = layout.images[first:]
    maps = [own.attention.relative(generic.attention, image=grid.image) for grid in grids]
    found: list[Crop] = []
    while len(found) < count:
        windows = [best_window(values) for values in maps]
        best = max(range(len(maps)), key=lambda number: windows[number][0])
        sharpness, rows, cols = windows[best]
        if found and sharpness <= 0:
            break
        maps[best][rows, cols] = 0
        found.append(Crop(best, _pixels(grids[best], rows, cols)))
    return found


def best_window(values: np.ndarray) -> tuple[float, slice, slice]:
    """The window of a map ``[rows, cols]`` that stands out most from the windows around it.

    Of each size in `SHARES` the one with the largest sum; of these the one whose sum exceeds the mean of its
    neighbours', half a window away, most.

    Returns:
        By how much it does, and its rows and columns.
    """
    rows, cols = values.shape
    total = np.pad(values.astype(float).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    found = []
    for share in SHARES:
        height, width = max(1, round(share * rows)), max(1, round(share * cols))
        sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width]
        sums = sums + total[:-height, :-width]
        row, col = np.unravel_index(int(sums.argmax()), sums.shape)
        up, left = math.ceil(height / 2), math.ceil(width / 2)
        around = [
            sums[row + dy, col + dx]
            for dy in (-up, 0, up)
            for dx in (-left, 0, left)
            if (dy or dx) and 0 <= row + dy < sums.shape[0] and 0 <= col + dx < sums.shape[1]
        ]
        sharpness = float(sums[row, col] - np.mean(around)) if around else 0.0
        found.append((sharpness, slice(int(row), int(row) + height), slice(int(col), int(col) + width)))
    return max(found, key=lambda one: one[0])


def _pixels(grid: PatchGrid, rows: slice, cols: slice) -> tuple[int, int, int, int]:
    """The pixels of the original image under a window of its grid."""
    x1, y1, *_ = grid.box(rows.start, cols.start)
    *_, x2, y2 = grid.box(rows.stop - 1, cols.stop - 1)
    width, height = grid.size
    return (
        max(0, math.floor(x1)),
        max(0, math.floor(y1)),
        min(width, math.ceil(x2)),
        min(height, math.ceil(y2)),
    )
