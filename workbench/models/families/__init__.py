"""The table of model families: one spec each, and a general one for every other model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...plugins import Table
from .base import Encoded, FamilySpec
from .gemma import GEMMA4
from .gemma import SPEC as GEMMA3
from .general import SPEC as GENERAL
from .idefics import SPEC as SMOLVLM
from .internvl import SPEC as INTERNVL
from .kimi import SPEC as KIMI_VL
from .llava import SPEC as LLAVA_ONEVISION
from .phi4_rv import SPEC as PHI4_RV
from .qwen import GLM4V, QWEN2_5, QWEN3, QWEN3_5

if TYPE_CHECKING:
    from transformers import ProcessorMixin

__all__ = [
    "EXAMPLES",
    "FAMILIES",
    "GENERAL",
    "Encoded",
    "FamilySpec",
    "family_named",
    "family_of",
    "register_family",
]

_OURS = (PHI4_RV, QWEN2_5, QWEN3, QWEN3_5, GLM4V, GEMMA3, GEMMA4, SMOLVLM, LLAVA_ONEVISION, INTERNVL, KIMI_VL)
FAMILIES: Table[FamilySpec] = Table("family", {spec.name: spec for spec in _OURS})
"""All families by name, in the order in which they are looked up."""
EXAMPLES: dict[str, Callable[[], tuple[Any, Any]]] = {}
"""Family name -> function that makes a small model and its processor, for the contract tests."""


def register_family(spec: FamilySpec, *, example: Callable[[], tuple[Any, Any]] | None = None) -> FamilySpec:
    """Add support for a family of models.

    A plug-in calls it when it is loaded (see `workbench.plugins`).  ``pytest --pyargs
    workbench.contracts`` then checks that the family keeps what the workbench relies on.

    Args:
        spec: the family.
        example: makes a small random model of the family's real class and its processor; the
            contract tests ask it.

    Returns:
        The spec.

    Raises:
        InputError: if it is no spec, or its name or one of its model types is taken.
    """
    if not isinstance(spec, FamilySpec):
        raise InputError(f"a family of type {type(spec).__name__}", "a workbench.models.FamilySpec")
    for other in FAMILIES.values():
        taken = sorted(set(spec.model_types) & set(other.model_types))
        if taken and other.name != spec.name:
            raise InputError(
                f"model_types={taken} of family {spec.name!r}, which family {other.name!r} serves",
                "model types that no other family serves",
                f"leave them out, and load with family={spec.name!r}",
            )
    FAMILIES.register(spec.name, spec)
    EXAMPLES.pop(spec.name, None)
    if example is not None:
        EXAMPLES[spec.name] = example
    return spec


def family_of(
    config_or_model_type: object, name: str = "", *, processor: ProcessorMixin = None
) -> FamilySpec:
    """The spec of a model's family; a general one for a model that no family claims.

    Args:
        config_or_model_type: a Transformers config, or its ``model_type``.
        name: the source's name.
        processor: the model's processor; tells what this very checkpoint can do.
    """
    model_type = getattr(config_or_model_type, "model_type", config_or_model_type)
    spec = next((spec for spec in FAMILIES.values() if model_type in spec.model_types), GENERAL)
    return spec.for_processor(processor, name) if processor is not None or name else spec


def family_named(name: str) -> FamilySpec:
    """The family of this name, or the one that serves this model type.

    Raises:
        InputError: if there is none; the message lists the names.
    """
    served = next((spec for spec in FAMILIES.values() if name in spec.model_types), None)
    return served or FAMILIES.find(name)
