"""Every other image-text-to-text model of Transformers.

Where the processor tells each picture's patches (``image_grid_thw``, as the relatives of Qwen-VL do), or
resizes all pictures to one size, that is the grid; where rows end with a token of their own (Pixtral), the
prompt shows it.  Elsewhere the grid is guessed, and marked so: image tokens in one piece are one grid,
square if their number is a square, else one row.  A picture whose tokens stand in several pieces has no
grid here: the model can be asked about it, but there are no maps.  Modes are what the checkpoint shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...types import Box, Mode, PatchGrid, TokenLayout, Turn
from ..layout import image_positions, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec
from .prompt import list_messages, string_messages, takes_parts

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, ProcessorMixin

__all__ = ["SPEC", "General"]


@dataclass(frozen=True)
class General(FamilySpec):
    """A family by what its checkpoint shows."""

    def for_model(self, model: PreTrainedModel) -> FamilySpec:
        paths = {id(module): path for path, module in model.named_modules()}
        found = {"decoder": model.get_decoder(), "vision_tower": model.get_encoder("image")}
        return replace(self, **{part: paths[id(m)] for part, m in found.items() if paths.get(id(m))})

    def messages(self, turns: Sequence[Turn], processor: ProcessorMixin = None) -> list[dict[str, Any]]:
        if processor is None or takes_parts(processor):
            return list_messages(turns)
        return string_messages(turns, processor.image_token)

    def layout(
        self,
        processor: ProcessorMixin,
        ids: Sequence[int],
        sizes: Sequence[tuple[int, int]],
        infos: Sequence[Mapping[str, Any]],
        config: PretrainedConfig = None,
    ) -> TokenLayout | None:
        if not sizes:
            return TokenLayout(len(ids))
        positions = image_positions(ids, self.image_ids(processor, config))
        row_end = getattr(processor, "image_break_token_id", None)  # Pixtral ends rows with a token
        found = _pieces(ids, positions, row_end, len(sizes))
        if found is None:
            return None
        grids = []
        for number, (piece, info, size) in enumerate(zip(found, infos, sizes, strict=True)):
            grids.append(_grid(piece, processor, info, size, number))
        return TokenLayout(len(ids), tuple(grids))


@dataclass(frozen=True)
class _Piece:
    """Image tokens that show one picture: rows of neighbours, ``gap`` other tokens between two rows.

    ``rows`` is 0 where the rows cannot be seen: the tokens stand in one piece of ``cols``.
    """

    start: int
    rows: int
    cols: int
    gap: int = 0


def _pieces(
    ids: Sequence[int], positions: Sequence[int], row_end: int | None, pictures: int
) -> list[_Piece] | None:
    """One piece for each picture; None where that cannot be seen."""
    runs = _runs(positions)
    if len(runs) == pictures and row_end is None:
        return [_Piece(start, 0, length) for start, length in runs]
    joined = _joined(ids, runs, row_end)
    if len(joined) == pictures:
        return joined
    if len(runs) == 1 and len(positions) % pictures == 0:  # pictures that touch: equal shares
        share = len(positions) // pictures
        return [_Piece(runs[0][0] + number * share, 0, share) for number in range(pictures)]
    return None


def _joined(ids: Sequence[int], runs: Sequence[tuple[int, int]], row_end: int | None) -> list[_Piece]:
    """Runs of one length with the same token between two of them are the rows of one picture."""
    made: list[_Piece] = []
    between: int | None = None
    for start, length in runs:
        last = made[-1] if made else None
        stop = 0 if last is None else last.start + last.rows * (last.cols + 1) - 1
        token = ids[start - 1]
        wanted = row_end if row_end is not None else between if between is not None else token
        if last is not None and length == last.cols and start == stop + 1 and token == wanted:
            made[-1] = replace(last, rows=last.rows + 1, gap=1)
            between = token
        else:
            made.append(_Piece(start, 1, length))
            between = None
    return made


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """(first position, length) of each piece of neighbouring positions."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and position == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((position, 1))
    return runs


def _grid(
    piece: _Piece, processor: ProcessorMixin, info: Mapping[str, Any], size: tuple[int, int], number: int
) -> PatchGrid:
    """The grid of a picture: as its rows show or its processor tells, else guessed."""
    rows, cols, guessed = piece.rows, piece.cols, False
    if not rows:
        told = _told_grid(processor, info) or _fixed_grid(processor)
        guessed = told is None or told[0] * told[1] != piece.cols
        rows, cols = _guessed_grid(piece.cols) if guessed or told is None else told
    return PatchGrid(
        image=number,
        rows=rows,
        cols=cols,
        start=piece.start,
        size=size,
        region=_shown(processor.image_processor, size),
        row_stride=cols + piece.gap,
        guessed=guessed,
    )


def _fixed_grid(processor: ProcessorMixin) -> tuple[int, int] | None:
    """(rows, cols) of every picture, where its processor resizes all to one size."""
    images = processor.image_processor
    patch = getattr(processor, "patch_size", None) or getattr(images, "patch_size", None)
    size = getattr(images, "crop_size", None) or getattr(images, "size", None)
    height, width = _setting(size, "height"), _setting(size, "width")
    if not isinstance(patch, int) or not height or not width:
        return None
    return height // patch, width // patch


def _told_grid(processor: ProcessorMixin, info: Mapping[str, Any]) -> tuple[int, int] | None:
    """(rows, cols) of a picture's tokens as the processor tells them."""
    merge = getattr(processor.image_processor, "merge_size", None)
    if "image_grid_thw" not in info or not isinstance(merge, int):
        return None
    _, rows, cols = (int(n) for n in info["image_grid_thw"])
    return rows // merge, cols // merge


def _guessed_grid(count: int) -> tuple[int, int]:
    side = math.isqrt(count)
    return (side, side) if side * side == count else (1, count)


def _shown(image_processor: object, size: tuple[int, int]) -> Box:
    """What is left of a picture after resizing its shorter edge and cropping the middle (as CLIP does)."""
    crop = getattr(image_processor, "crop_size", None)
    edge = _setting(getattr(image_processor, "size", None), "shortest_edge")
    if not getattr(image_processor, "do_center_crop", None) or not crop or not edge:
        return whole(size)
    scale = edge / min(size)
    width = (_setting(crop, "width") or edge) / scale
    height = (_setting(crop, "height") or edge) / scale
    x, y = size[0] / 2, size[1] / 2
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _setting(settings: object, name: str) -> int | None:
    """One number of an image processor's size, which is a dictionary or a record."""
    return settings.get(name) if isinstance(settings, Mapping) else getattr(settings, name, None)


_UNKNOWN = "nothing in this checkpoint's chat template shows a thinking mode"

SPEC = General(
    name="general",
    model_types=(),
    modes={
        Mode.AUTO: AS_IS,
        Mode.THINK: ModeRule(refused=_UNKNOWN, instead="a model that thinks, such as workbench.load('nano')"),
        Mode.NOTHINK: ModeRule(refused=_UNKNOWN),
    },
    per_picture=("image_grid_thw",),
    needs_template=False,
    note=(
        "a model of no known family: where neither its processor nor its prompt tells the grid of a picture, "
        "a square or a single row is guessed, on which no map is drawn"
    ),
)
