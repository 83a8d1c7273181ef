"""Guided looking: an auxiliary loss that tells chosen heads of the decoder where the evidence lies.

The drawn world knows which patches tell an answer.  One head of the decoder is taught to put its
attention there from the tokens of a reply, and one to compare a second picture with the first, place
by place.  Without this loss small decoders take most of their training to find out where to look (LOG.md);
whoever reads the built-in model's attention should know that these heads were taught.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from transformers.models.phi3.modeling_phi3 import apply_rotary_pos_emb

from .data import Batch

__all__ = ["GUIDED", "Guide"]

#: Kind of look -> (decoder layer, head): where the answer stands, and the same place of the first picture.
GUIDED = {0: (2, 0), 1: (1, 3)}


class Guide:
    """Listens to the guided layers of a decoder while it runs.

    Args:
        decoder: a Phi-3 decoder; layers that it lacks are not guided.
    """

    def __init__(self, decoder: nn.Module) -> None:
        self._inputs: dict[int, tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]] = {}
        self._layers = decoder.layers
        for layer in {layer for layer, _ in GUIDED.values() if layer < len(decoder.layers)}:
            decoder.layers[layer].self_attn.register_forward_pre_hook(self._listener(layer), with_kwargs=True)

    def _listener(self, layer: int) -> Callable[..., None]:
        def listen(module: nn.Module, args: tuple, kwargs: dict) -> None:
            if module.training and torch.is_grad_enabled():
                hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
                self._inputs[layer] = (hidden, kwargs["position_embeddings"])

        return listen

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean of -log(attention on the evidence) over the looks of the last forward pass, by kind, and that
        attention's mean."""
        total, shares = batch.weights.new_zeros(()), {}
        for kind, (layer, head) in GUIDED.items():
            chosen = batch.looks[:, 0] == kind
            if layer in self._inputs and chosen.any():
                log = self._log_attention(layer, head, batch.looks[chosen, 1:], batch.seen[chosen])
                total = total - log.mean()
                shares[f"look_{kind}"] = round(log.exp().mean().item(), 4)
        self._inputs.clear()
        return total, shares

    def _log_attention(self, layer: int, head: int, places: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Log of one head's attention ``[looks]`` from places (row, position) on what is to be seen."""
        hidden, (cos, sin) = self._inputs[layer]
        attention = self._layers[layer].self_attn
        config, size = attention.config, attention.head_dim
        groups = config.num_attention_heads // config.num_key_value_heads
        weight = attention.qkv_proj.weight
        first = config.num_attention_heads * size + head // groups * size
        query = nn.functional.linear(hidden, weight[head * size : (head + 1) * size])[:, None]
        key = nn.functional.linear(hidden, weight[first : first + size])[:, None]
        query, key = apply_rotary_pos_emb(query, key, cos, sin)
        row, position = places[:, 0], places[:, 1]
        scores = (query[:, 0] @ key[:, 0].mT)[row, position].float() * size**-0.5
        later = torch.arange(scores.shape[1], device=scores.device) > position[:, None]
        scores = scores.masked_fill(later, -torch.inf)
        return scores.masked_fill(~seen, -torch.inf).logsumexp(-1) - scores.logsumexp(-1)
