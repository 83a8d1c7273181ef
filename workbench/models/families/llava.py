"""LLaVA-OneVision: the whole picture, then a finer grid over it with a newline token per row.

One picture alone is shown twice ("any resolution"): squeezed into one square, and cut into squares
whose tokens are put together to one grid, without the padding.  Several pictures are shown once
each, padded to a square.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...types import Box, Mode, TokenLayout
from ..layout import Block, Crop, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec

if TYPE_CHECKING:
    from transformers import ProcessorMixin

__all__ = ["SPEC", "LlavaOneVision", "fine_grid"]


@dataclass(frozen=True)
class LlavaOneVision(FamilySpec):
    """Grids follow from the picture's size and the processor's list of resolutions."""

    def blocks(
        self, processor: ProcessorMixin, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        side = math.isqrt(processor.num_image_tokens)
        if not alone:
            return [Block(side, side, _padded_square(size), trailing=1)]
        tile = processor.image_processor.size
        edge = tile["height"] if "height" in tile else tile["shortest_edge"]
        most = int(processor.vision_aspect_ratio.removeprefix("anyres_max_"))
        rows, cols, region = fine_grid(size, processor.image_processor.image_grid_pinpoints, edge, side, most)
        return [Block(side, side, whole(size)), Block(rows, cols, region, overview=False, newline=1)]

    def crops(self, processor: ProcessorMixin, layout: TokenLayout) -> list[Crop]:
        if not layout.tiles:
            return super().crops(processor, layout)
        (grid,) = layout.images
        tile = processor.image_processor.size
        edge = tile["height"] if "height" in tile else tile["shortest_edge"]
        regions = tile_regions(grid.size, processor.image_processor.image_grid_pinpoints, edge)
        parts = [Crop(0, grid.rows, grid.cols, grid.size, region, overview=False) for region in regions]
        return [Crop(0, grid.rows, grid.cols, grid.size, grid.region), *parts]


def tile_regions(size: tuple[int, int], pinpoints: Sequence[Sequence[int]], edge: int) -> list[Box]:
    """What the tiles of a picture alone show, padding included; arguments as for `fine_grid`."""
    width, height = size
    full_height, full_width = _best_resolution(size, pinpoints)
    if full_width / width < full_height / height:
        shown = (full_width, min(math.ceil(height * full_width / width), full_height))
    else:
        shown = (min(math.ceil(width * full_height / height), full_width), full_height)
    left, top = (full_width - shown[0]) // 2, (full_height - shown[1]) // 2
    x, y = width / shown[0], height / shown[1]
    return [
        ((col - left) * x, (row - top) * y, (col + edge - left) * x, (row + edge - top) * y)
        for row in range(0, full_height, edge)
        for col in range(0, full_width, edge)
    ]


def _padded_square(size: tuple[int, int]) -> Box:
    """The square around a picture that was padded on its two short sides, in its own pixels."""
    width, height = size
    edge = max(size)
    left, top = (edge - width) // 2, (edge - height) // 2
    return (float(-left), float(-top), float(edge - left), float(edge - top))


def fine_grid(
    size: tuple[int, int], pinpoints: Sequence[Sequence[int]], edge: int, side: int, most: int
) -> tuple[int, int, Box]:
    """(rows, cols, region) of the fine grid over a picture.

    The picture is enlarged to the best of the resolutions, keeping its shape, and padded; rows or
    columns of tokens that show only padding are dropped again, and a grid that is still too large
    is scaled down.  The region is what the remaining tokens show, the last bit of padding included.

    Source: ``get_image_patches``, ``unpad_image`` and ``pack_image_features`` of Transformers.

    Args:
        size: (width, height) of the original picture.
        pinpoints: resolutions (height, width) to choose from.
        edge: pixels of a tile's edge.
        side: tokens along a tile's edge.
        most: the limit, in tiles.
    """
    width, height = size
    full_height, full_width = _best_resolution(size, pinpoints)
    scale = min(full_width / width, full_height / height)
    if full_width / width < full_height / height:
        shown = (full_width, min(math.ceil(height * scale), full_height))
    else:
        shown = (min(math.ceil(width * scale), full_width), full_height)
    rows, cols = full_height // edge * side, full_width // edge * side
    # Tokens are dropped by the shape of the picture, not by the pixels that were added.
    drop_rows = drop_cols = 0
    if width / height > cols / rows:
        drop_rows = (rows - int(round(height * (cols / width), 7))) // 2
    else:
        drop_cols = (cols - int(round(width * (rows / height), 7))) // 2
    cell = edge / side
    left = drop_cols * cell - (full_width - shown[0]) // 2
    top = drop_rows * cell - (full_height - shown[1]) // 2
    rows, cols = rows - 2 * drop_rows, cols - 2 * drop_cols
    x, y = width / shown[0], height / shown[1]
    region = (left * x, top * y, (left + cols * cell) * x, (top + rows * cell) * y)
    ratio = math.sqrt(rows * cols / (most * side**2))
    if ratio > 1.1:
        rows, cols = int(rows // ratio), int(cols // ratio)
    return rows, cols, region


def _best_resolution(size: tuple[int, int], pinpoints: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The (height, width) that keeps most of the picture's pixels and wastes fewest of its own."""
    width, height = size
    best, kept, wasted = (0, 0), 0, math.inf
    for full_height, full_width in pinpoints:
        scale = min(full_width / width, full_height / height)
        useful = min(int(width * scale) * int(height * scale), width * height)
        waste = full_width * full_height - useful
        if useful > kept or (useful == kept and waste < wasted):
            best, kept, wasted = (full_height, full_width), useful, waste
    return best


SPEC = LlavaOneVision(
    name="llava-onevision",
    model_types=("llava_onevision",),
    modes={
        Mode.AUTO: AS_IS,
        Mode.NOTHINK: AS_IS,
        Mode.THINK: ModeRule(
            refused="no checkpoint of this family was trained to think", instead="workbench.load('nano')"
        ),
    },
    coordinates="relative",
    shares_prompts=True,
)
