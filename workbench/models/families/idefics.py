"""SmolVLM and Idefics3: tiles of the enlarged picture, then the picture as a whole.

The picture is resized to a whole number of tiles, so tile (r, c) covers exactly its share of the
original.  Pixel shuffle merges neighbouring patches; tokens keep row-major order.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...types import Mode, TokenLayout
from ..layout import Block, image_positions, place, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec

if TYPE_CHECKING:
    from transformers import PretrainedConfig, ProcessorMixin

__all__ = ["SPEC", "Idefics3"]

_TILE = re.compile(r"<row_(\d+)_col_(\d+)>")


@dataclass(frozen=True)
class Idefics3(FamilySpec):
    """The tiles' marks in the prompt tell how the picture was cut."""

    def layout(
        self,
        processor: ProcessorMixin,
        ids: Sequence[int],
        sizes: Sequence[tuple[int, int]],
        infos: Sequence[Mapping[str, Any]],
        config: PretrainedConfig = None,
    ) -> TokenLayout:
        image_ids = self.image_ids(processor, config)
        side = math.isqrt(processor.image_seq_len)
        positions = image_positions(ids, image_ids)
        starts = positions[:: processor.image_seq_len]
        pictures: list[list[tuple[int, int]]] = []
        tiles: list[tuple[int, int]] = []
        stop = 0
        for start in starts:
            # A tile says its place; the overview, which comes last, says that it is none.
            marks = _TILE.findall(processor.tokenizer.decode(ids[stop:start]))
            stop = start + processor.image_seq_len
            if marks:
                tiles.append((int(marks[-1][0]), int(marks[-1][1])))
            else:
                pictures.append(tiles)
                tiles = []
        blocks = [tile_blocks(size, cut, side) for size, cut in zip(sizes, pictures, strict=True)]
        return place(ids, image_ids, sizes=sizes, blocks=blocks)

    def with_image_tokens(self, processor: ProcessorMixin, most: int, least: int | None = None) -> Any:
        changed = copy.copy(processor)
        changed.image_processor = copy.copy(processor.image_processor)
        tile = changed.image_processor.max_image_size["longest_edge"]
        # n by n tiles and the overview is the most that a longest edge of n tiles can give.
        tiles = max(1, math.isqrt(max(0, most // processor.image_seq_len - 1)))
        changed.image_processor.size = {"longest_edge": tile * tiles}
        return changed


def tile_blocks(size: tuple[int, int], tiles: Sequence[tuple[int, int]], side: int) -> list[Block]:
    """Blocks of a picture cut into tiles (row, column counted from 1), the overview last."""
    width, height = size
    rows = max((row for row, _ in tiles), default=1)
    cols = max((col for _, col in tiles), default=1)
    blocks = []
    for row, col in tiles:
        region = (
            width * (col - 1) / cols,
            height * (row - 1) / rows,
            width * col / cols,
            height * row / rows,
        )
        blocks.append(Block(side, side, region, overview=False))
    return [*blocks, Block(side, side, whole(size))]


SPEC = Idefics3(
    name="smolvlm",
    model_types=("smolvlm", "idefics3"),
    modes={
        Mode.AUTO: AS_IS,
        Mode.NOTHINK: AS_IS,
        Mode.THINK: ModeRule(
            refused="no checkpoint of this family was trained to think", instead="workbench.load('nano')"
        ),
    },
    decoder="model.text_model",
    vision_tower="model.vision_model",
    projector="model.connector",
    note="no documented way to write coordinates; SmolVLM's processor needs the package num2words",
    shares_prompts=True,
)
