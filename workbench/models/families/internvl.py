"""InternVL (Transformers' own classes): tiles of the stretched picture, then a thumbnail."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...types import Mode
from ..layout import Block, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec
from .idefics import tile_blocks

if TYPE_CHECKING:
    from transformers import ProcessorMixin

__all__ = ["SPEC", "InternVL", "best_tiling"]


@dataclass(frozen=True)
class InternVL(FamilySpec):
    """A picture whose shape asks for one tile is shown by that tile alone."""

    def blocks(
        self, processor: ProcessorMixin, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        side = math.isqrt(processor.image_seq_length)
        images = processor.image_processor
        tile = (images.size["width"], images.size["height"])
        rows, cols = best_tiling(size, tile, images.min_patches, images.max_patches)
        if rows * cols == 1:
            return [Block(side, side, whole(size))]
        tiles = [(row + 1, col + 1) for row in range(rows) for col in range(cols)]
        return tile_blocks(size, tiles, side)

    def with_image_tokens(self, processor: ProcessorMixin, most: int, least: int | None = None) -> Any:
        changed = copy.copy(processor)
        changed.image_processor = copy.copy(processor.image_processor)
        fit = most // processor.image_seq_length  # the thumbnail is one of them
        changed.image_processor.max_patches = max(1, fit - 1)
        changed.image_processor.min_patches = min(
            changed.image_processor.min_patches, changed.image_processor.max_patches
        )
        return changed


def best_tiling(size: tuple[int, int], tile: tuple[int, int], least: int, most: int) -> tuple[int, int]:
    """(rows, cols) of the tiling whose shape is nearest to the picture's.

    Of equally near ones the larger wins if the picture has more than half of its pixels.
    Source: ``get_optimal_tiled_canvas`` in Transformers (dynamic preprocessing of InternVL 1.5).

    Args:
        size, tile: (width, height) of the picture and of a tile.
        least, most: bounds on the number of tiles.
    """
    counts = range(1, most + 1)
    tilings = [(cols, rows) for cols in counts for rows in counts if least <= cols * rows <= most]
    tilings.sort(key=lambda tiling: tiling[0] * tiling[1])  # stable: the order within a size decides ties
    best, nearest = (1, 1), float("inf")
    for cols, rows in tilings:
        difference = abs(size[0] / size[1] - cols / rows)
        if difference < nearest or (
            difference == nearest and size[0] * size[1] > 0.5 * tile[0] * tile[1] * cols * rows
        ):
            best, nearest = (rows, cols), difference
    return best


SPEC = InternVL(
    name="internvl",
    model_types=("internvl",),
    modes={
        Mode.AUTO: AS_IS,
        Mode.NOTHINK: AS_IS,
        Mode.THINK: ModeRule(
            refused="this checkpoint's chat template has no thinking mode",
            instead="a Qwen3-VL Thinking checkpoint",
        ),
    },
    coordinates="relative1000",
    shares_prompts=True,
)
