"""The frozen records that travel between the rooms.

They hold plain numbers and text (no tensors, no model), so that a record made on a GPU machine
can be saved, loaded and shown on a laptop that has neither.  Positions are zero-based indices
into ``Answer.token_ids``; boxes are ``(x1, y1, x2, y2)`` in pixels of the *original* picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from .errors import InputError, ModeError
from .records import closest

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = [
    "ImageLike",
    "ImagesLike",
    "Box",
    "Mode",
    "PatchGrid",
    "Piece",
    "Region",
    "Span",
    "TokenLayout",
    "Turn",
]

ImageLike: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray"
)
"""What `workbench.images.open_image` takes: a path, bytes, an open binary file, a PIL image, or an array."""

ImagesLike: TypeAlias = "ImageLike | Sequence[ImageLike] | None"
"""No image, one, or several."""

Box = tuple[float, float, float, float]


class Mode(str, Enum):
    """How the model is asked to reply.

    ``AUTO`` leaves the choice to the model (its authors call this hybrid), ``THINK`` opens a
    thought for it, ``NOTHINK`` makes it answer directly.
    """

    AUTO = "auto"
    THINK = "think"
    NOTHINK = "nothink"

    @classmethod
    def of(cls, value: str | Mode) -> Mode:
        """Read a mode from its name.

        Raises:
            ModeError: if there is no such mode.
        """
        try:
            return cls(value)
        except ValueError:
            names = [m.value for m in cls]
            meant = closest(str(value), names) or "pass one of these names"
            raise ModeError(f"mode={value!r}", f"one of {', '.join(map(repr, names))}", meant) from None

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of token positions, ``start`` included and ``stop`` not."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __contains__(self, position: int) -> bool:
        return self.start <= position < self.stop


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in one picture: ``box`` in pixels of the original picture number ``image``."""

    box: Box
    image: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of streamed text. ``kind`` is ``"thought"`` or ``"answer"``."""

    text: str
    kind: str


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation.

    ``images`` holds PIL pictures (or anything that ``workbench.images.open_image`` takes) shown
    in a user's turn, before its text.  ``thought`` and ``thinks`` describe an assistant's turn:
    its thought, and whether it was a thinking turn (None: unknown, written without a mode).
    """

    role: str
    text: str
    images: Sequence[Any] = ()
    thought: str | None = None
    thinks: bool | None = None

    def __post_init__(self) -> None:
        if self.role not in ("system", "user", "assistant"):
            raise InputError(f"role={self.role!r}", "'system', 'user' or 'assistant'")


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """Image tokens that stand on a grid over (a part of) one picture.

    The token of cell ``(row, col)`` is at decoder position ``start + row * row_stride + col``.
    A stride larger than ``cols`` means that a line ends with a separator token.

    Args:
        image: number of the picture in the prompt, from 0.
        rows, cols: grid of tokens (after any merging of patches).
        start: decoder position of cell (0, 0).
        size: (width, height) of the original picture, in pixels.
        region: part of the original picture that the grid covers, in pixels.
        row_stride: positions from one row to the next.
        guessed: whether rows and cols are only likely; no map is drawn on such a grid.
    """

    image: int
    rows: int
    cols: int
    start: int
    size: tuple[int, int]
    region: Box
    row_stride: int
    guessed: bool = False

    def __len__(self) -> int:
        return self.rows * self.cols

    @property
    def stop(self) -> int:
        """One past the position of the last cell."""
        return self.start + (self.rows - 1) * self.row_stride + self.cols

    def position(self, row: int, col: int) -> int:
        """Decoder position of a cell.

        Raises:
            InputError: if the cell lies outside the grid.
        """
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise InputError(
                f"cell (row={row}, col={col})", f"row in 0..{self.rows - 1}, col in 0..{self.cols - 1}"
            )
        return self.start + row * self.row_stride + col

    def cell(self, position: int) -> tuple[int, int] | None:
        """(row, col) of a decoder position, or None if it is not one of this grid's tokens."""
        row, col = divmod(position - self.start, self.row_stride)
        return (row, col) if 0 <= row < self.rows and col < self.cols else None

    def box(self, row: int, col: int) -> Box:
        """Pixels of the original picture under a cell, as (x1, y1, x2, y2).

        Raises:
            InputError: if the cell lies outside the grid.
        """
        self.position(row, col)
        x1, y1, x2, y2 = self.region
        w, h = (x2 - x1) / self.cols, (y2 - y1) / self.rows
        return (x1 + col * w, y1 + row * h, x1 + (col + 1) * w, y1 + (row + 1) * h)

    def cells(self, box: Box) -> list[tuple[int, int]]:
        """Cells whose centre lies in ``box`` (original pixels); never empty for a box inside:
        the cell under the box's centre stands in for a box smaller than a cell."""
        x1, y1, x2, y2 = box
        inside = []
        for row in range(self.rows):
            for col in range(self.cols):
                a, b, c, d = self.box(row, col)
                if x1 <= (a + c) / 2 < x2 and y1 <= (b + d) / 2 < y2:
                    inside.append((row, col))
        if not inside and (at := self.at((x1 + x2) / 2, (y1 + y2) / 2)) is not None:
            inside.append(at)
        return inside

    def at(self, x: float, y: float) -> tuple[int, int] | None:
        """The cell over pixel (x, y) of the original picture, or None outside the grid's region."""
        x1, y1, x2, y2 = self.region
        if not (x1 <= x < x2 and y1 <= y < y2):
            return None
        return int((y - y1) / (y2 - y1) * self.rows), int((x - x1) / (x2 - x1) * self.cols)


@dataclass(frozen=True)
class TokenLayout:
    """Where everything of a prompt stands in the decoder's sequence.

    ``images[i]`` is the grid that shows picture ``i`` as a whole (its overview, where a family
    also cuts crops); ``tiles`` holds the crops' grids.  All positions count from the first token
    of ``Answer.token_ids``, without batch padding.
    """

    length: int
    images: tuple[PatchGrid, ...] = ()
    tiles: tuple[PatchGrid, ...] = ()

    @property
    def grids(self) -> tuple[PatchGrid, ...]:
        """All grids, overviews and crops, in the order of their positions."""
        return tuple(sorted((*self.images, *self.tiles), key=lambda g: g.start))

    @property
    def image_tokens(self) -> int:
        """Number of tokens that stand on a grid."""
        return sum(len(g) for g in self.grids)

    def locate(self, position: int) -> tuple[PatchGrid, int, int] | None:
        """(grid, row, col) of a decoder position, or None where it is text."""
        for grid in self.grids:
            if (cell := grid.cell(position)) is not None:
                return grid, *cell
        return None

    def box(self, position: int) -> Box | None:
        """Pixels of the original picture under a decoder position, or None where it is text."""
        found = self.locate(position)
        return None if found is None else found[0].box(*found[1:])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TokenLayout:
        """The inverse of `to_dict`."""

        def grids(items: Sequence[Mapping[str, Any]]) -> tuple[PatchGrid, ...]:
            return tuple(
                PatchGrid(**{**g, "size": tuple(g["size"]), "region": tuple(g["region"])}) for g in items
            )

        return cls(data["length"], grids(data["images"]), grids(data["tiles"]))
