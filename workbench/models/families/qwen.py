"""Qwen2-VL to Qwen3.5, and GLM-4V which is built alike: patches of the whole picture, merged two by two."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from transformers.vision_utils import get_vision_window_index

from ...types import Mode
from ..layout import Block, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec
from .thinking import Thinking

if TYPE_CHECKING:
    from transformers import ProcessorMixin

__all__ = ["GLM4V", "QWEN2_5", "QWEN3", "QWEN3_5", "QwenVL"]


@dataclass(frozen=True)
class QwenVL(FamilySpec):
    """The picture is resized to a multiple of the merged patch, as a whole."""

    def blocks(
        self, processor: ProcessorMixin, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        _, rows, cols = (int(n) for n in info["image_grid_thw"])
        merge = processor.image_processor.merge_size
        return [Block(rows // merge, cols // merge, whole(size))]

    def patch_order(self, tower: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        # Patches that are merged stand together; Qwen2.5 also gathers what lies in one window.
        grids, merge = inputs["image_grid_thw"], tower.spatial_merge_size
        places, first = [], 0
        for _, rows, cols in grids.tolist():
            index = torch.arange(rows * cols).reshape(rows // merge, cols // merge, merge, merge)
            places.append(first + index.permute(0, 2, 1, 3).reshape(-1))
            first += rows * cols
        order = torch.cat(places)
        if not hasattr(tower, "fullatt_block_indexes"):
            return order
        windows, _ = get_vision_window_index(
            grids,
            spatial_merge_size=merge,
            window_size=tower.window_size,
            patch_size=tower.patch_size,
        )
        unit = merge * merge
        return torch.argsort(windows.cpu())[order // unit] * unit + order % unit

    def with_image_tokens(self, processor: ProcessorMixin, most: int, least: int | None = None) -> Any:
        changed = copy.copy(processor)
        changed.image_processor = copy.copy(processor.image_processor)
        pixels = (changed.image_processor.patch_size * changed.image_processor.merge_size) ** 2
        floor = changed.image_processor.size["shortest_edge"] if least is None else least * pixels
        changed.image_processor.size = {
            "shortest_edge": min(floor, most * pixels),
            "longest_edge": most * pixels,
        }
        return changed


@dataclass(frozen=True)
class Qwen3VL(QwenVL):
    """Instruct and Thinking are two checkpoints, told apart by what their template opens a reply with."""

    def for_checkpoint(self, shown: Thinking | None, name: str) -> FamilySpec:
        spec = super().for_checkpoint(shown, name)
        if shown is None and "thinking" in name.lower():  # nothing was read: the name tells
            return replace(self, modes=_THINKING)
        if shown is not None and shown.shown == "opened":
            spec = replace(spec, modes={**spec.modes, Mode.NOTHINK: _THINKING[Mode.NOTHINK]})
        return spec


_MERGED: dict[str, Any] = {
    "decoder": "model.language_model",
    "vision_tower": "model.visual",
    "projector": "model.visual.merger",
}
_NO_THOUGHT = "no checkpoint of this family was trained to think"

QWEN2_5 = QwenVL(
    name="qwen2.5-vl",
    model_types=("qwen2_5_vl", "qwen2_vl"),
    modes={
        Mode.AUTO: AS_IS,
        Mode.NOTHINK: AS_IS,
        Mode.THINK: ModeRule(
            refused=_NO_THOUGHT, instead="a Qwen3-VL Thinking checkpoint, such as Qwen/Qwen3-VL-8B-Thinking"
        ),
    },
    coordinates="resized-pixels",
    cell=28,
    per_picture=("image_grid_thw",),
    **_MERGED,
    shares_prompts=True,
)

_INSTRUCT = {
    Mode.AUTO: AS_IS,
    Mode.NOTHINK: AS_IS,
    Mode.THINK: ModeRule(
        refused="an Instruct checkpoint answers directly",
        instead="the Thinking checkpoint of the same size, such as Qwen/Qwen3-VL-8B-Thinking",
    ),
}
_THINKING = {
    Mode.AUTO: AS_IS,
    Mode.THINK: AS_IS,
    Mode.NOTHINK: ModeRule(
        refused="a Thinking checkpoint always thinks first",
        instead="the Instruct checkpoint of the same size, such as Qwen/Qwen3-VL-8B-Instruct",
    ),
}
QWEN3 = Qwen3VL(
    name="qwen3-vl",
    model_types=("qwen3_vl", "qwen3_vl_moe"),
    modes=_INSTRUCT,
    thought=("<think>", "</think>"),
    coordinates="relative1000",
    cell=32,
    per_picture=("image_grid_thw",),
    **_MERGED,
    shares_prompts=True,
)

QWEN3_5 = QwenVL(
    name="qwen3.5",
    model_types=("qwen3_5", "qwen3_5_moe"),
    coordinates="relative1000",
    cell=32,
    per_picture=("image_grid_thw",),
    **_MERGED,
)
"""One checkpoint thinks and answers directly, by its template's switch; most of its attention is linear."""

GLM4V = QwenVL(
    name="glm-4v",
    model_types=("glm4v", "glm4v_moe", "glm46v"),
    coordinates="relative1000",
    cell=28,
    per_picture=("image_grid_thw",),
    **_MERGED,
    shares_prompts=True,
)
"""GLM-4.1V-Thinking writes its thoughts unasked; GLM-4.5V and 4.6V have a switch.  The template tells."""
