"""What a caller points at (tokens, layers, heads, regions), checked and made plain

Every error names what was given and the range that there is.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from ..errors import CapabilityError, InputError
from ..types import Box, PatchGrid, Region, Span, TokenLayout

__all__ = [
    "Layers",
    "Tokens",
    "as_region",
    "check_image",
    "grid_positions",
    "numbers",
    "picture_grids",
    "region_positions",
    "token_rows",
]

Tokens = int | Span | Sequence[int] | str
Layers = int | Sequence[int] | None
FIX = 'reply(0) is the first token of the reply; ask with capture="all" to keep the prompt\'s rows too'
EDGE = 1.0  # pixels that a box may stand over the picture's edge: rounding, not another scale


def numbers(given: Layers, count: int, name: str) -> list[int]:
    """Layer or head numbers; None stands for all, negative ones count from the end.

    Raises:
        InputError: if one is out of range, or none is left.
    """
    if given is None:
        return list(range(count))
    found = [_index(given, name)] if not isinstance(given, (Sequence, range, np.ndarray)) else [
        _index(one, name) for one in given
    ]  # fmt: skip
    if not found:
        raise InputError(f"{name}s={given!r}, which is empty", f"at least one {name}, or None for all")
    for number in found:
        if not -count <= number < count:
            raise InputError(f"{name}={number}", f"a {name} from 0 to {count - 1}")
    return [number % count for number in found]


def token_rows(given: int | Span | Sequence[int], tokens: Span, ahead: int) -> list[int]:
    """Rows of a record for tokens that a caller names.

    Args:
        given: a position in ``Answer.token_ids``, several, or a span; negative ones count from the end.
        tokens: the tokens that have a row.
        ahead: 1 where a token's row is the one that produced it, for the message.

    Raises:
        InputError: if one has no row, or none is left.
    """
    single = not isinstance(given, (Span, Sequence, range, np.ndarray))
    positions = [_index(given, "token")] if single else [_index(one, "token") for one in given]  # type: ignore[union-attr]
    if not positions:
        raise InputError(
            f"tokens={given!r}, which is empty",
            "at least one token",
            "a direct answer has an empty thought: look at answer.spans",
        )
    found = [p + tokens.stop if p < 0 else p for p in positions]
    for position, asked in zip(found, positions, strict=True):
        if position not in tokens:
            what = "the reply's tokens" if ahead else "the patches"
            raise InputError(
                f"token={asked}",
                f"a position from {tokens.start} to {tokens.stop - 1} ({what})",
                FIX if ahead else "",
            )
    return [position - tokens.start for position in found]


def check_image(layout: TokenLayout, image: int) -> int:
    """The number of a picture.

    Raises:
        InputError: if there is no such picture.
        CapabilityError: if its grid is only guessed.
    """
    number = _index(image, "image")
    count = len(layout.images)
    if not 0 <= number < count:
        what = f"a picture from 0 to {count - 1}" if count else "an answer about a picture; this one has none"
        raise InputError(f"image={image!r}", what)
    if layout.images[number].guessed:
        raise CapabilityError(
            f"a map of picture {number}, whose grid of tokens is only guessed (a model of no known family)",
            "a family that says where its image tokens stand",
            "register one: workbench.models.register_family",
        )
    return number


def picture_grids(layout: TokenLayout, image: int) -> list[PatchGrid]:
    """All grids that show a picture: the overview first, then its crops."""
    number = check_image(layout, image)
    return [layout.images[number], *(grid for grid in layout.tiles if grid.image == number)]


def grid_positions(grid: PatchGrid) -> np.ndarray:
    """Decoder positions of a grid's cells ``[rows, cols]``."""
    rows = grid.start + np.arange(grid.rows) * grid.row_stride
    return rows[:, None] + np.arange(grid.cols)


def as_region(region: Region | Box, layout: TokenLayout) -> Region:
    """A region of a picture; a bare box lies in the first one.

    Raises:
        InputError: for a box that is empty, no box, or not inside its picture.
    """
    if not isinstance(region, Region):
        try:
            x1, y1, x2, y2 = (float(number) for number in region)
        except (TypeError, ValueError):
            raise InputError(
                f"region={region!r}", "a workbench.types.Region, or a box (x1, y1, x2, y2) in pixels"
            ) from None
        region = Region((x1, y1, x2, y2))
    x1, y1, x2, y2 = region.box
    width, height = layout.images[check_image(layout, region.image)].size
    if not (x1 < x2 and y1 < y2):
        raise InputError(f"the box {region.box}", "x1 < x2 and y1 < y2")
    if x1 < -EDGE or y1 < -EDGE or x2 > width + EDGE or y2 > height + EDGE:
        raise InputError(
            f"the box {region.box}",
            f"a box inside picture {region.image}, which is {width} x {height} pixels",
            "boxes are in pixels of the original picture",
        )
    return region


def region_positions(layout: TokenLayout, region: Region | Box) -> tuple[np.ndarray, Region]:
    """Decoder positions under a region, in the overview and in the crops, and the region itself."""
    region = as_region(region, layout)
    found = [
        grid.position(*cell)
        for grid in picture_grids(layout, region.image)
        for cell in grid.cells(region.box)
    ]
    return np.asarray(sorted(found), dtype=int), region


def _index(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise InputError(f"{name}={value!r}", "a whole number")
    return operator.index(value)
