"""The decoder's attention, shown with its gradient while the backward pass comes by, one layer at a time

Attention matrices of all layers and heads do not fit at thousands of positions, so none is kept: the forward
pass keeps queries, keys and values as any attention does, and the backward pass computes a few heads at a
time anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from ...errors import CapabilityError
from ...models.handle import VLM
from ..engine import decoder_of

__all__ = ["attending"]

NAME = "workbench_attending"
ROOM = 2**26  # numbers of one attention matrix held at a time: some heads of one layer

Visit = Callable[[torch.Tensor, torch.Tensor], None]
Leave = Callable[[int], None]


@contextlib.contextmanager
def attending(vlm: VLM, visit: Visit, leave: Leave) -> Iterator[None]:
    """Within this context a backward pass shows the decoder's attention; one row, no cache.

    Args:
        vlm: the model; hold it meanwhile.
        visit: called with attention and its gradient, both ``[heads, query, key]``, for some heads of a
            layer; the last layer comes first.
        leave: called with the number of heads when a layer is done.

    Raises:
        CapabilityError: if the decoder does not take its attention from Transformers' interface.
    """
    config: Any = getattr(decoder_of(vlm), "config", None)
    before = getattr(config, "_attn_implementation", None)
    if before is None:
        raise CapabilityError(f"the decoder of {vlm.name} without a config", "a decoder of Transformers")
    seen = [0]

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        if options.get("softcap") is not None or options.get("s_aux") is not None:
            raise CapabilityError(
                f"{vlm.name}, whose attention is more than a softmax",
                "plain softmax attention",
                'use "occlusion"',
            )
        seen[0] += 1
        scaling = options.get("scaling")
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        out = _Attend.apply(query, key, value, attention_mask, scaling, visit, leave)
        return out.transpose(1, 2).contiguous(), None

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, eager_mask)
    try:
        config._attn_implementation = NAME
        yield
    finally:
        config._attn_implementation = before
        for interface in (AttentionInterface, AttentionMaskInterface):
            interface._global_mapping.pop(NAME, None)
    if not seen[0]:
        raise CapabilityError(
            f"the decoder of {vlm.name}, which computes its attention by itself",
            "a decoder that takes attention from Transformers' AttentionInterface",
            'use a method without attention, such as "occlusion"',
        )


class _Attend(torch.autograd.Function):
    """Softmax attention ``[1, heads, query, size]`` over keys and values ``[1, groups, key, size]``."""

    @staticmethod
    def forward(
        ctx: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, visit: Any, leave: Any
    ) -> Any:
        assert len(query) == 1, f"one row at a time, not {len(query)}"
        ctx.save_for_backward(query, key, value, mask)
        ctx.scaling, ctx.visit, ctx.leave = scaling, visit, leave
        out = torch.empty_like(query)
        for heads, groups in _parts(query, key):
            out[:, heads] = (
                _weights(query, key, mask, scaling, heads, groups) @ value[:, groups].float()
            ).to(out.dtype)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        query, key, value, mask = ctx.saved_tensors
        into_query = torch.zeros_like(query, dtype=torch.float32)
        into_key, into_value = (torch.zeros_like(t, dtype=torch.float32) for t in (key, value))
        for heads, groups in _parts(query, key):
            weights = _weights(query, key, mask, ctx.scaling, heads, groups)
            out = gradient[:, heads].float()
            slope = out @ value[:, groups].float().transpose(-1, -2)
            ctx.visit(weights[0], slope[0])
            inner = weights * (slope - (slope * weights).sum(dim=-1, keepdim=True)) * ctx.scaling
            into_query[:, heads] = inner @ key[:, groups].float()
            into_key.index_add_(1, groups, inner.transpose(-1, -2) @ query[:, heads].float())
            into_value.index_add_(1, groups, weights.transpose(-1, -2) @ out)
        ctx.leave(query.shape[1])
        grads = (g.to(t.dtype) for g, t in ((into_query, query), (into_key, key), (into_value, value)))
        return (*grads, None, None, None, None)


def _parts(query: torch.Tensor, key: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Heads that fit together, and the key group of each."""
    count, at_once = query.shape[1], max(1, ROOM // (query.shape[2] * key.shape[2]))
    share = count // key.shape[1]
    for first in range(0, count, at_once):
        heads = torch.arange(first, min(first + at_once, count), device=query.device)
        yield heads, heads // share


def _weights(query: Any, key: Any, mask: Any, scaling: float, heads: Any, groups: Any) -> torch.Tensor:
    """Attention ``[1, heads, query, key]`` in float32."""
    scores = query[:, heads].float() @ key[:, groups].float().transpose(-1, -2) * scaling
    if mask is None:
        causal = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        return scores.masked_fill(~causal, float("-inf")).softmax(dim=-1)
    return (scores + mask[:, :, :, : scores.shape[-1]].float()).softmax(dim=-1)
