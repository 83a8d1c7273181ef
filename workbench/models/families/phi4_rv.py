"""Phi-4-reasoning-vision (native port in `workbench.models.phi4_rv`) and the built-in model.

One token per patch of 16 pixels, on a grid of variable size; a picture is always resized as a
whole, so that the grid covers exactly the picture.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ...types import Mode, Turn
from ..layout import Block, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec
from .prompt import string_messages
from .thinking import Thinking

__all__ = ["DIRECT", "SPEC", "Phi4RV"]

DIRECT = "<|dummy_84|>"
"""The token after which the model answers without a thought."""


@dataclass(frozen=True)
class Phi4RV(FamilySpec):
    """Pictures are ``<image>`` marks in a string; modes are the reply's first token."""

    def for_checkpoint(self, shown: Thinking | None, name: str) -> FamilySpec:
        return self  # every checkpoint has both modes: they are the reply's first token

    def messages(self, turns: Sequence[Turn], processor: Any = None) -> list[dict[str, Any]]:
        """History keeps what each reply opened with, in the form that the system prompt asks for."""
        messages = string_messages(turns, self.placeholder)
        for message, turn in zip(messages, turns, strict=True):
            if turn.role != "assistant":
                continue
            if turn.thought is not None or turn.thinks:
                opening, closing = self.thought
                message["content"] = f"{opening} {(turn.thought or '').strip()} {closing} {turn.text}"
            elif turn.thinks is False:
                message["content"] = f"{DIRECT} {turn.text}"
        return messages

    def process(
        self, processor: Any, texts: list[str], pictures: list[list[Image.Image]]
    ) -> Mapping[str, torch.Tensor]:
        images = pictures if any(pictures) else None
        return processor(text=texts, images=images, padding_side="left", return_tensors="pt")

    def blocks(
        self, processor: Any, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        rows, cols = (int(n) for n in info["spatial_shapes"])
        return [Block(rows, cols, whole(size))]

    def with_image_tokens(self, processor: Any, most: int, least: int | None = None) -> Any:
        changed = copy.copy(processor)
        changed.image_processor = copy.copy(processor.image_processor)
        changed.image_processor.max_num_patches = most
        floor = changed.image_processor.min_num_patches if least is None else least
        changed.image_processor.min_num_patches = min(floor, most)
        return changed


SPEC = Phi4RV(
    name="phi4-rv",
    model_types=("phi4-siglip",),
    modes={
        Mode.AUTO: AS_IS,
        Mode.THINK: ModeRule(forced="<think>"),
        Mode.NOTHINK: ModeRule(forced=DIRECT),
    },
    thought=("<think>", "</think>"),
    thought_spaces=(" ", " "),
    coordinates="relative",
    cell=16,
    decoder="model.language_model",
    vision_tower="model.vision_tower",
    projector="model.multi_modal_projector",
    placeholder="<image>",
    per_picture=("spatial_shapes",),
    shares_prompts=True,
)
