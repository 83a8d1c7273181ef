"""The table of model families: one spec each, and a general one for every other model."""

from __future__ import annotations

from typing import Any

from .base import Encoded, FamilySpec
from .gemma import SPEC as GEMMA3
from .general import SPEC as GENERAL
from .idefics import SPEC as SMOLVLM
from .internvl import SPEC as INTERNVL
from .kimi import SPEC as KIMI_VL
from .llava import SPEC as LLAVA_ONEVISION
from .phi4_rv import SPEC as PHI4_RV
from .qwen import QWEN2_5, QWEN3

__all__ = ["FAMILIES", "GENERAL", "Encoded", "FamilySpec", "family_of"]

FAMILIES: tuple[FamilySpec, ...] = (
    PHI4_RV,
    QWEN2_5,
    QWEN3,
    GEMMA3,
    SMOLVLM,
    LLAVA_ONEVISION,
    INTERNVL,
    KIMI_VL,
)
"""All families, in the order in which they are looked up."""


def family_of(config_or_model_type: Any, name: str = "", *, processor: Any = None) -> FamilySpec:
    """The spec of a model's family; a general one for a model that no family claims.

    Args:
        config_or_model_type: a Transformers config, or its ``model_type``.
        name: the source's name.
        processor: the model's processor; tells what this very checkpoint can do.
    """
    model_type = getattr(config_or_model_type, "model_type", config_or_model_type)
    spec = next((spec for spec in FAMILIES if model_type in spec.model_types), GENERAL)
    return spec.for_processor(processor, name) if processor is not None or name else spec
