"""Ways to feed a large picture to the small model, as plans, pixels and encoders

>>> plan = feed(picture.size, 3600, method="multi_crop")   # crops and tokens, without torch
>>> FedModel(model, "multi_crop")                          # the model, fed so; trainable
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .feeding import METHODS, Feed, View, default_tile, feed, least_tokens, method_name

if TYPE_CHECKING:
    from .encoder import FedModel, ResolutionEncoder, joined, projector_width, token_layout
    from .pixels import pixel_batch

__all__ = [
    "METHODS",
    "Feed",
    "FedModel",
    "ResolutionEncoder",
    "View",
    "default_tile",
    "feed",
    "joined",
    "least_tokens",
    "method_name",
    "pixel_batch",
    "projector_width",
    "token_layout",
]

_WITH_TORCH = {
    "FedModel": "encoder", "ResolutionEncoder": "encoder", "joined": "encoder", "pixel_batch": "pixels",
    "projector_width": "encoder", "token_layout": "encoder",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is asked for."""
    if name in _WITH_TORCH:
        from importlib import import_module

        return getattr(import_module(f".{_WITH_TORCH[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
