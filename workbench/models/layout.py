"""From a prompt's ids to a `TokenLayout`: which position shows which part of which picture.

A family describes each picture as a list of `Block`s, in the order in which their tokens stand in
the prompt; `place` lays the blocks onto the positions of the image tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..errors import CapabilityError
from ..types import Box, PatchGrid, TokenLayout

__all__ = ["Block", "Crop", "Misfit", "image_positions", "place", "whole"]


class Misfit(CapabilityError):
    """Image tokens that do not stand as the family says."""


@dataclass(frozen=True)
class Block:
    """Image tokens of one grid, in row-major order.

    Args:
        rows, cols: the grid.
        region: what the grid covers, in pixels of the original picture.  It reaches past the
            picture's edge where the family pads the picture before it cuts patches.
        overview: whether it shows the picture as a whole (else it is a crop).
        newline: image tokens at the end of each row that show no patch.
        trailing: image tokens after the grid that show no patch.
    """

    rows: int
    cols: int
    region: Box
    overview: bool = True
    newline: int = 0
    trailing: int = 0

    def __len__(self) -> int:
        return self.rows * (self.cols + self.newline) + self.trailing


@dataclass(frozen=True)
class Crop:
    """One picture as the vision tower takes it in: a whole picture, or a part cut out of one.

    Args:
        image: number of the picture in its conversation.
        rows, cols: the decoder's tokens for it; the tower may have several patches a token.
        size: (width, height) of the original picture.
        region: what it shows, in pixels of the original picture.
        overview: whether it shows the picture as a whole.
    """

    image: int
    rows: int
    cols: int
    size: tuple[int, int]
    region: Box
    overview: bool = True


def whole(size: tuple[int, int]) -> Box:
    """The region of a whole picture of ``size`` (width, height)."""
    return (0.0, 0.0, float(size[0]), float(size[1]))


def image_positions(ids: Sequence[int], image_ids: Collection[int]) -> list[int]:
    """Positions of the image tokens in a prompt."""
    return [at for at, token in enumerate(ids) if token in image_ids]


def place(
    ids: Sequence[int],
    image_ids: Collection[int],
    *,
    sizes: Sequence[tuple[int, int]],
    blocks: Sequence[Sequence[Block]],
) -> TokenLayout:
    """Lay the blocks of each picture onto the image tokens of a prompt.

    A picture shown only by crops gets its first crop as its grid in ``images``.

    Args:
        ids: the prompt, without padding.
        image_ids: ids of the tokens that stand for image features.
        sizes: (width, height) of each original picture.
        blocks: for each picture, its blocks in the order of their tokens.

    Raises:
        Misfit: if the image tokens do not stand as the blocks say.
    """
    positions = image_positions(ids, image_ids)
    total = sum(len(block) for picture in blocks for block in picture)
    if any(len(block) < 1 for picture in blocks for block in picture):
        raise Misfit("a grid without cells", "a picture of a usual shape")
    if total != len(positions):
        raise Misfit(f"{len(positions)} image tokens in the prompt, {total} on the grids", "as many")
    images: list[PatchGrid] = []
    tiles: list[PatchGrid] = []
    at = 0
    for number, (size, picture) in enumerate(zip(sizes, blocks, strict=True)):
        shown = next((i for i, block in enumerate(picture) if block.overview), 0)
        for i, block in enumerate(picture):
            start = positions[at]
            last = positions[at + len(block) - 1]
            if last - start != len(block) - 1:
                raise Misfit(
                    f"image tokens {start} to {last}, which are not in one piece", "one piece a grid"
                )
            grid = PatchGrid(
                image=number,
                rows=block.rows,
                cols=block.cols,
                start=start,
                size=size,
                region=block.region,
                row_stride=block.cols + block.newline,
            )
            (images if i == shown else tiles).append(grid)
            at += len(block)
    return TokenLayout(len(ids), tuple(images), tuple(tiles))
