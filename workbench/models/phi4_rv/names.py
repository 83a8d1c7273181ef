"""Tensor names: the published checkpoint's, and those of the native module tree.

One table serves loading, saving (both through Transformers' weight conversions) and the check of a
checkpoint's headers.
"""

from __future__ import annotations

from transformers.core_model_loading import WeightRenaming

__all__ = ["native_name", "official_name", "weight_renamings"]

# published prefix -> prefix in the native module tree; no prefix is the start of another
_PREFIXES = {
    "model.vision_tower.vision_tower.vision_model.": "model.vision_tower.",
    "model.mm_projector.0.": "model.multi_modal_projector.linear_1.",
    "model.mm_projector.2.": "model.multi_modal_projector.linear_2.",
    "model.embed_tokens.": "model.language_model.embed_tokens.",
    "model.layers.": "model.language_model.layers.",
    "model.norm.": "model.language_model.norm.",
}


def native_name(name: str) -> str:
    """Name in the native module tree of a published (or already native) tensor name."""
    for official, native in _PREFIXES.items():
        if name.startswith(official):
            return native + name.removeprefix(official)
    return name


def official_name(name: str) -> str:
    """Published name of a tensor of the native module tree."""
    for official, native in _PREFIXES.items():
        if name.startswith(native):
            return official + name.removeprefix(native)
    return name


def weight_renamings() -> list[WeightRenaming]:
    """The same table for Transformers, which applies it on loading and undoes it on saving."""
    return [
        WeightRenaming("^" + official.replace(".", r"\."), "^" + native.replace(".", r"\."))
        for official, native in _PREFIXES.items()
    ]
