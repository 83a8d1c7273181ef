"""Phi-4-reasoning-vision's decoder without what nobody reads: its last layer only where a token is scored

A token's last layer is read by the output head alone: no later position looks at it.  So where a few
tokens are scored, the last layer owes the others only their keys and values.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.masking_utils import create_causal_mask
from transformers.models.phi3.modeling_phi3 import Phi3DecoderLayer, apply_rotary_pos_emb

__all__ = ["can_trim", "trimmed_logits"]

Pair = tuple[torch.Tensor, torch.Tensor]


def can_trim(model: Any) -> bool:
    """Whether nobody else watches or moves the decoder's parts: no hook, no offload, no sliding window."""
    decoder = model.model.language_model
    last = decoder.layers[-1]
    return (
        isinstance(last, Phi3DecoderLayer)
        and decoder.config.sliding_window is None
        and decoder.config._attn_implementation in ("sdpa", "eager")
        and getattr(model, "hf_device_map", None) is None
        and not any(m._forward_hooks or m._forward_pre_hooks for m in (decoder, *last.modules()))
    )


def trimmed_logits(model: Any, embeds: torch.Tensor, keep: int, cache: Any = None) -> torch.Tensor:
    """What the model's own forward gives for ``logits_to_keep=keep``: ``[n, keep, vocabulary]``.

    Args:
        model: a `Phi4RVForConditionalGeneration` for which `can_trim` holds.
        embeds: ``[n, tokens, hidden]``, rows without padding.
        keep: how many last positions are read, at most ``tokens``.
        cache: keys and values of what stands before, ``n`` rows; None where nothing does.
    """
    decoder = model.model.language_model
    before = 0 if cache is None else cache.get_seq_length()
    at = torch.arange(before, before + embeds.shape[1], device=embeds.device)[None]
    turned = decoder.rotary_emb(embeds, position_ids=at)
    mask = create_causal_mask(
        config=decoder.config,
        inputs_embeds=embeds,
        attention_mask=None,
        past_key_values=cache,
        position_ids=at,
    )
    hidden = embeds
    for layer in decoder.layers[:-1]:
        hidden = layer(hidden, attention_mask=mask, position_embeddings=turned, past_key_values=cache)
    last, cut = decoder.layers[-1], embeds.shape[1] - keep
    earlier = _Earlier(_keys_values(last, hidden[:, :cut], (turned[0][:, :cut], turned[1][:, :cut])), cache)
    kept = last(
        hidden[:, cut:],
        attention_mask=_ends(keep, before + embeds.shape[1], hidden),
        position_embeddings=(turned[0][:, cut:], turned[1][:, cut:]),
        past_key_values=earlier,
    )
    return model.lm_head(decoder.norm(kept))


class _Earlier:
    """Stands where the last layer expects its cache: hands out what the earlier positions left."""

    def __init__(self, pair: Pair, cache: Any) -> None:
        self.pair, self.cache = pair, cache

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> Pair:
        """Keys and values of all positions, ``[n, key heads, positions, width]``."""
        keys, values = (torch.cat(both, dim=2) for both in zip(self.pair, (keys, values), strict=True))
        return (keys, values) if self.cache is None else self.cache.update(keys, values, layer)


def _keys_values(layer: Any, hidden: torch.Tensor, turned: Pair) -> Pair:
    """A layer's keys, turned by their positions, and values, ``[n, key heads, tokens, width]``."""
    attention = layer.self_attn
    heads, width = attention.num_key_value_heads, attention.head_dim
    both = attention.qkv_proj(layer.input_layernorm(hidden))[..., -2 * heads * width :]
    keys, values = both.unflatten(-1, (2, heads, width)).permute(2, 0, 3, 1, 4)
    return apply_rotary_pos_emb(keys, keys, *turned)[1], values


def _ends(keep: int, total: int, like: torch.Tensor) -> torch.Tensor:
    """What the last ``keep`` of ``total`` positions may not see, to be added to the scores."""
    shut = torch.full((keep, total), torch.finfo(like.dtype).min, dtype=like.dtype, device=like.device)
    return shut.triu(total - keep + 1)[None, None]
