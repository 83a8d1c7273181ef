"""Phi-4-reasoning-vision without remote code: configuration, model, image processing, processing.

Importing this module registers the classes with the Auto classes of Transformers, so that
``AutoModelForImageTextToText.from_pretrained`` and ``AutoProcessor.from_pretrained`` give them for
the published files and never ask whether to run the repository's own code.
"""

from __future__ import annotations

from .configuration import Phi4RVConfig
from .image_processing import Phi4RVImageProcessor, patch_grid
from .modeling import CheckpointReport, Phi4RVForConditionalGeneration, verify_checkpoint
from .processing import Phi4RVProcessor
from .registration import register

__all__ = [
    "CheckpointReport",
    "Phi4RVConfig",
    "Phi4RVForConditionalGeneration",
    "Phi4RVImageProcessor",
    "Phi4RVProcessor",
    "patch_grid",
    "verify_checkpoint",
]

register()
