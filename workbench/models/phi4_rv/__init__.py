"""Phi-4-reasoning-vision without remote code: configuration, model, image processing, processing.

Importing this module registers the classes with the Auto classes of Transformers, so that
``AutoModelForImageTextToText.from_pretrained`` and ``AutoProcessor.from_pretrained`` give them for
the published files and never ask whether to run the repository's own code.  Those files name classes
of remote code, which AutoProcessor and AutoImageProcessor look up among the registered classes before
they ask on standard input; so the published names are registered too, as thin subclasses that load
the native classes.
"""

from __future__ import annotations

from typing import Any

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

from .configuration import Phi4RVConfig
from .image_processing import OFFICIAL_IMAGE_PROCESSOR, OFFICIAL_PROCESSOR, Phi4RVImageProcessor, patch_grid
from .modeling import (
    CheckpointReport,
    Phi4RVForConditionalGeneration,
    Phi4RVModel,
    round_rotary,
    verify_checkpoint,
)
from .processing import Phi4RVProcessor

__all__ = [
    "CheckpointReport",
    "Phi4RVConfig",
    "Phi4RVForConditionalGeneration",
    "Phi4RVImageProcessor",
    "Phi4RVProcessor",
    "patch_grid",
    "register",
    "round_rotary",
    "verify_checkpoint",
]


def _under_name(base: Any, name: str) -> type:
    """A subclass under a published name, whose ``from_pretrained`` gives the native class."""

    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        return base.from_pretrained(*args, **kwargs)

    return type(
        name, (base,), {"from_pretrained": classmethod(from_pretrained), "__module__": base.__module__}
    )


class _PublishedConfig(Phi4RVConfig):
    """Key under which the published names are registered; no file asks for it."""


def register() -> None:
    """Register with the Auto classes; may be called more than once."""
    AutoConfig.register(Phi4RVConfig.model_type, Phi4RVConfig, exist_ok=True)
    AutoModel.register(Phi4RVConfig, Phi4RVModel, exist_ok=True)
    for auto in (AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM):
        auto.register(Phi4RVConfig, Phi4RVForConditionalGeneration, exist_ok=True)
    published_images = _under_name(Phi4RVImageProcessor, OFFICIAL_IMAGE_PROCESSOR)
    published = _under_name(Phi4RVProcessor, OFFICIAL_PROCESSOR)
    for config, images, processor in (
        (Phi4RVConfig, Phi4RVImageProcessor, Phi4RVProcessor),
        (_PublishedConfig, published_images, published),
    ):
        # Not by AutoImageProcessor.register: early 5.x refuses even that name without torchvision.
        IMAGE_PROCESSOR_MAPPING.register(config, {"pil": images}, exist_ok=True)
        AutoProcessor.register(config, processor, exist_ok=True)


register()
