"""Gemma 3: every picture becomes a square of 16 by 16 tokens that see each other both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...types import Mode
from ..layout import Block, whole
from ..modes import AS_IS, ModeRule
from .base import FamilySpec

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase, ProcessorMixin

__all__ = ["SPEC", "Gemma3"]


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
