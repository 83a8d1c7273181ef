"""Every other image-text-to-text model of Transformers.

Where the processor tells each picture's patches (``image_grid_thw``, as the relatives of Qwen-VL do),
that is the grid.  Elsewhere nothing is known about how such a model cuts its pictures, so the grid
is read off the prompt: image tokens in one piece are one grid, square if their number is a square,
else one row.  Modes are what the chat template shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import CapabilityError
from ...types import Box, Mode, TokenLayout, Turn
from ..layout import Block, image_positions, place, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec
from .prompt import list_messages, string_messages, takes_parts

if TYPE_CHECKING:
    from transformers import PretrainedConfig, ProcessorMixin

__all__ = ["SPEC", "General"]


@dataclass(frozen=True)
class General(FamilySpec):
    """A family by what its checkpoint shows."""

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
    ) -> TokenLayout:
        if not sizes:
            return TokenLayout(len(ids))
        image_ids = self.image_ids(processor, config)
        counts = _runs(image_positions(ids, image_ids))
        if len(counts) != len(sizes):
            # Pictures that touch: equal shares, if there can be any; else it cannot be known.
            share, rest = divmod(sum(counts), len(sizes))
            if rest or not share or len(counts) != 1:
                raise CapabilityError(
                    f"{len(sizes)} pictures in {len(counts)} pieces of image tokens (no known family)",
                    "one piece of image tokens per picture",
                    "ask about one picture at a time, or use a family that the workbench knows",
                )
            counts = [share] * len(sizes)
        blocks = []
        for info, count, size in zip(infos, counts, sizes, strict=True):
            rows, cols = _told_grid(processor, info) or (0, 0)
            if rows * cols != count:
                rows, cols = _guessed_grid(count)
            blocks.append([Block(rows, cols, _shown(processor.image_processor, size))])
        return place(ids, image_ids, sizes=sizes, blocks=blocks)


def _runs(positions: Sequence[int]) -> list[int]:
    """Lengths of the pieces of neighbouring positions."""
    lengths: list[int] = []
    last = None
    for position in positions:
        if last is not None and position == last + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
        last = position
    return lengths


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
        "a model of no known family: where its processor does not tell the grid, image tokens are taken "
        "for a square grid if their number is a square, and for a single row otherwise"
    ),
)
