"""Kimi-VL: through a server, or with its own remote code where the user allows that.

Transformers has no class for it, so nothing of it runs here by default; the grid below is that of
its published processor (``image_grid_hws``, patches merged two by two) and is tested on made-up inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from ...types import Mode
from ..layout import Block, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec
from .thinking import Thinking

if TYPE_CHECKING:
    from transformers import PretrainedConfig, ProcessorMixin

__all__ = ["SPEC", "KimiVL"]


@dataclass(frozen=True)
class KimiVL(FamilySpec):
    """Instruct and Thinking are two checkpoints; where their files show nothing, the name tells."""

    def for_checkpoint(self, shown: Thinking | None, name: str) -> FamilySpec:
        if shown is not None and shown.shown in ("switch", "opened", "given"):
            return super().for_checkpoint(shown, name)
        return replace(self, modes=_THINKING if "thinking" in name.lower() else _INSTRUCT)

    def image_ids(self, processor: ProcessorMixin, config: PretrainedConfig = None) -> set[int]:
        return {processor.tokenizer.convert_tokens_to_ids("<|media_pad|>")}

    def process(
        self, processor: ProcessorMixin, texts: list[str], pictures: list[list[Image.Image]]
    ) -> Mapping[str, torch.Tensor]:
        # Its processor takes one flat list; on which side it pads does not matter here.
        images = [image for row in pictures for image in row] or None
        return processor(text=texts, images=images, padding=True, return_tensors="pt")

    def blocks(
        self, processor: ProcessorMixin, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        rows, cols = (int(n) for n in info["image_grid_hws"])
        return [Block(rows // 2, cols // 2, whole(size))]


_INSTRUCT = {
    Mode.AUTO: AS_IS,
    Mode.NOTHINK: AS_IS,
    Mode.THINK: ModeRule(
        refused="an Instruct checkpoint answers directly", instead="moonshotai/Kimi-VL-A3B-Thinking-2506"
    ),
}
_THINKING = {
    Mode.AUTO: AS_IS,
    Mode.THINK: AS_IS,
    Mode.NOTHINK: ModeRule(
        refused="a Thinking checkpoint always thinks first", instead="moonshotai/Kimi-VL-A3B-Instruct"
    ),
}

SPEC = KimiVL(
    name="kimi-vl",
    model_types=("kimi_vl",),
    modes=_INSTRUCT,
    thought=("◁think▷", "◁/think▷"),
    coordinates="relative",
    decoder="language_model.model",
    vision_tower="vision_tower",
    projector="multi_modal_projector",
    per_picture=("image_grid_hws",),
    note="needs a server, or its own code: load(..., trust_remote_code=True)",
)
