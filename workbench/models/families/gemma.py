"""Gemma 3: every picture becomes a square of 16 by 16 tokens that see each other both ways.

Gemma 4 keeps a picture's shape: its patches are pooled three by three, to at most as many tokens as the
budget says, and its template has a switch for thoughts.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import CapabilityError
from ...types import Mode
from ..layout import Block, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase, ProcessorMixin

__all__ = ["GEMMA4", "SPEC", "Gemma3", "Gemma4"]


@dataclass(frozen=True)
class Gemma3(FamilySpec):
    """The picture is stretched to a square."""

    def image_ids(self, processor: ProcessorMixin, config: PretrainedConfig = None) -> set[int]:
        # The processor's own image_token_id is the begin-of-image token, which shows nothing.
        return {processor.tokenizer.image_token_id}

    def call_kwargs(self, text: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        # Pan and scan would add crops; it is off in the published settings and stays off.
        return {**super().call_kwargs(text, tokenizer), "do_pan_and_scan": False}

    def blocks(
        self, processor: ProcessorMixin, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        side = math.isqrt(processor.image_seq_length)
        return [Block(side, side, whole(size))]


@dataclass(frozen=True)
class Gemma4(FamilySpec):
    """The picture is resized as a whole; the processor says where each patch was."""

    def blocks(
        self, processor: ProcessorMixin, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        last_col, last_row = info["image_position_ids"].amax(dim=0).tolist()  # padding is at -1, -1
        pooled = processor.image_processor.pooling_kernel_size
        return [Block((last_row + 1) // pooled, (last_col + 1) // pooled, whole(size))]

    def with_image_tokens(self, processor: ProcessorMixin, most: int, least: int | None = None) -> Any:
        fitting = [budget for budget in _BUDGETS if budget <= most]
        if not fitting:
            raise CapabilityError(
                f"an image budget of {most} tokens for {self.name}",
                f"at least {_BUDGETS[0]} tokens",
                f"choose one of {', '.join(map(str, _BUDGETS))}",
            )
        changed = copy.copy(processor)
        changed.image_processor = copy.copy(processor.image_processor)
        changed.image_processor.max_soft_tokens = fitting[-1]
        return changed


_BUDGETS = (70, 140, 280, 560, 1120)  # tokens of a picture that Gemma 4 was trained with

SPEC = Gemma3(
    name="gemma3",
    model_types=("gemma3",),
    modes={
        Mode.AUTO: AS_IS,
        Mode.NOTHINK: AS_IS,
        Mode.THINK: ModeRule(
            refused="Gemma 3 was not trained to think",
            instead="a Gemma 4 checkpoint, whose template has a thinking switch",
        ),
    },
    coordinates="none",
    note="no documented way to write coordinates",
)

GEMMA4 = Gemma4(
    name="gemma4",
    model_types=("gemma4",),
    projector="model.embed_vision",
    per_picture=("image_position_ids",),
    note="no way to write coordinates is known here",
)
"""One checkpoint thinks and answers directly, by its template's switch."""
