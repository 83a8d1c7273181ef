"""How much memory a model needs, from its config and its tensors' names and shapes alone.

Sizes are in bytes.  Weights and cache are exact; activations are estimates of the peak (see
`vision_activations` and `prefill_activations`) and can be off by a factor of two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "PARTS",
    "ImageBudget",
    "image_budget",
    "kv_cache",
    "part_of",
    "prefill_activations",
    "quantizable",
    "vision_activations",
]

PARTS = ("decoder", "embeddings", "output head", "vision tower", "projector", "audio")
_PATTERNS = (  # the first that matches wins: a projector often lies inside the tower (Qwen's visual.merger)
    ("projector", r"projector|connector|merger|embed_vision|(^|\.)mlp1\.|image_newline|modality_projection"),
    ("vision tower", r"(^|\.)(vision\w*|visual\w*|image_encoder|vit|vpm)\."),
    ("audio", r"(^|\.)(audio\w*|embed_audio)\."),
    ("output head", r"(^|\.)lm_head\."),
    ("embeddings", r"(^|\.)(embed_tokens\w*|wte|word_embeddings|tok_embeddings)\."),
)


def part_of(tensor: str) -> str:
    """The part of the model that a tensor belongs to, by its name; one of `PARTS`."""
    return next((part for part, pattern in _PATTERNS if re.search(pattern, tensor)), "decoder")


def quantizable(tensor: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is the weight of one of the decoder's linear layers.

    Experts are not: Transformers joins them into tensors that the quantizers leave alone.
    """
    linear = len(shape) == 2 and tensor.endswith("weight") and ".experts." not in tensor
    return linear and part_of(tensor) == "decoder"


def kv_cache(config: Any, tokens: int, *, width: int) -> int:
    """Bytes of the key-value cache of one sequence of ``tokens`` tokens.

    Counts grouped key-value heads; layers with a sliding window hold no more than the window,
    layers of linear attention nothing that grows, layers that share another's cache nothing.

    Args:
        config: the text config.
        tokens: length of the sequence, prompt and reply.
        width: bytes per number (2 for bfloat16).
    """
    layers = config.num_hidden_layers
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    per_token = 2 * kv_heads * head_dim
    if getattr(config, "kv_lora_rank", None):  # latent attention is cached expanded, by head
        per_token = heads * (config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim)
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * layers
    window = getattr(config, "sliding_window", None)
    if window and not getattr(config, "layer_types", None) and getattr(config, "use_sliding_window", True):
        kinds = ["sliding_attention"] * layers
    shared = getattr(config, "num_kv_shared_layers", None) or 0
    total = 0
    for kind in kinds[: layers - shared]:
        if "linear" in kind or "mamba" in kind or "conv" in kind:
            continue
        total += per_token * (min(tokens, window) if "sliding" in kind and window else tokens)
    return total * width


@dataclass(frozen=True)
class ImageBudget:
    """The most that one picture may cost.

    Args:
        tokens: decoder positions.
        patches: vision tower positions (more than tokens where patches are merged).
        adjustable: whether ``load(image_tokens=...)`` can change it.
    """

    tokens: int
    patches: int
    adjustable: bool


def image_budget(
    config: Any, preprocessor: Mapping[str, Any], image_tokens: int | None = None
) -> ImageBudget:
    """The image budget of a model, from its config and its preprocessor's settings.

    Three kinds of models: pictures of any size (one token per patch, or per merged square of
    patches), pictures cut into tiles of fixed size, and one fixed size.
    """
    vision = vision_config(config)
    side, patch = _square(_get(vision, "image_size", "img_size")), _square(_get(vision, "patch_size"))
    merge = int(_get(vision, "spatial_merge_size") or preprocessor.get("merge_size") or 1)
    size = preprocessor.get("size") or {}
    most = preprocessor.get("max_pixels") or (size.get("longest_edge") if merge > 1 else None)
    patch = int(preprocessor.get("patch_size") or 0) or patch or 16
    patch = patch if isinstance(patch, int) else 16
    naflex = preprocessor.get("max_num_patches") or _get(config, "max_num_patches")
    if naflex or most:
        tokens = image_tokens or naflex or int(most or 0) // (patch * merge) ** 2
        return ImageBudget(tokens, tokens * merge**2, True)
    patches = ((side or 384) // patch) ** 2
    per_tile = _get(config, "mm_tokens_per_image", "image_seq_length")
    if not per_tile:
        scale = int(_get(config, "scale_factor") or 1)
        per_tile = patches // scale**2
    tiles = tile_count(config, preprocessor, side or 384)
    tokens = image_tokens or per_tile * tiles
    return ImageBudget(tokens, patches * tokens // per_tile, False)


def tile_count(config: Any, preprocessor: Mapping[str, Any], side: int) -> int:
    """Most tiles that one picture is cut into, the overview included; 1 where nothing is cut."""
    pinpoints = _get(config, "image_grid_pinpoints") or preprocessor.get("image_grid_pinpoints")
    if pinpoints:
        return 1 + max(math.ceil(h / side) * math.ceil(w / side) for h, w in pinpoints)
    if preprocessor.get("crop_to_patches") or preprocessor.get("max_patches"):
        return 1 + int(preprocessor.get("max_patches") or 12)
    if preprocessor.get("do_image_splitting"):
        longest = (preprocessor.get("size") or {}).get("longest_edge", side)
        tile = (preprocessor.get("max_image_size") or {}).get("longest_edge", side)
        return 1 + math.ceil(longest / tile) ** 2
    return 1


def vision_activations(config: Any, budget: ImageBudget, *, width: int, batch: int = 1) -> int:
    """Estimated peak bytes while the vision tower reads one picture at its budget.

    Per patch, in one layer at a time (inference, memory-efficient attention): the residual, its
    normalised copy, queries, keys, values and their mix (6 hidden widths), or residual and
    copy and the two ends of the nonlinearity (2 hidden + 2 inner widths), whichever is more;
    plus the pixels in float32.
    """
    vision = vision_config(config)
    hidden = _get(vision, "hidden_size", "embed_dim", "width") or 1152
    if _get(vision, "embed_dim") and _get(vision, "depth"):  # Qwen2-VL calls the output's width hidden_size
        hidden = _get(vision, "embed_dim")
    inner = _get(vision, "intermediate_size") or int(hidden * (_get(vision, "mlp_ratio") or 4))
    patch = _square(_get(vision, "patch_size")) or 16
    numbers = max(6 * hidden, 2 * hidden + 2 * inner) * width + 3 * patch**2 * 4
    return budget.patches * batch * numbers


def prefill_activations(config: Any, tokens: int, *, width: int, batch: int = 1) -> int:
    """Estimated peak bytes while the decoder reads ``tokens`` prompt tokens.

    Per token, in one layer at a time: residual and copy, queries, keys and values, keys and values
    repeated for every query head, and their mix; or residual and copy and four inner widths
    (gate, value, activated gate, product), whichever is more; plus the logits of the last position
    in float32.
    """
    hidden, heads = config.hidden_size, config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or hidden // heads
    kv = (getattr(config, "num_key_value_heads", None) or heads) * head_dim
    attention = 2 * hidden + 4 * heads * head_dim + 2 * kv
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    return batch * (tokens * max(attention, 2 * hidden + 4 * inner) * width + 4 * config.vocab_size)


def vision_config(config: Any) -> Any:
    """The part of a config that describes the vision tower, or the config itself."""
    found = _get(config, "vision_config", "visual")
    return config if found is None else found


def _get(config: Any, *names: str) -> Any:
    """The first of these attributes (or keys) that is there and not None."""
    for name in names:
        value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
        if value is not None:
            return value
    return None


def _square(size: Any) -> int | None:
    return max(size) if isinstance(size, (list, tuple)) and size else size
