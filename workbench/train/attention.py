"""Attention as plain products in the precision of autocast: at small sizes the fastest on a CPU

Transformers' eager attention scales, masks and normalises scores in float32, each in a pass of its own.
Here the query is scaled, the mask is added in place, and the softmax stays in the products' precision
(PyTorch computes it in float32 inside).  The kernels' fusion costs more than it saves at 200 tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

__all__ = ["PRODUCTS", "products"]

#: The name under which models take `products`.
PRODUCTS = "workbench_products"


def products(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Softmax attention ``[batch, tokens, heads, size]``; its weights are not given out.

    Args:
        module: which asks; not used.
        query: ``[batch, heads, tokens, size]``.
        key: ``[batch, key heads, keys, size]``; each serves as many heads as fit.
        value: as the keys.
        attention_mask: added to the scores, ``[batch or 1, 1, tokens, keys]``.
        scaling: of the scores.
    """
    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    batch, heads, tokens, size = query.shape
    with torch.autocast(kind, enabled=False):  # whose softmax goes to float32
        flat = (query * scaling).to(dtype).reshape(batch * heads, tokens, size)
        keys, values = (
            x.to(dtype).repeat_interleave(heads // x.shape[1], 1).reshape(batch * heads, -1, size)
            for x in (key, value)
        )
        scores = flat @ keys.mT
        if attention_mask is not None:
            least = attention_mask.to(dtype).clamp(min=torch.finfo(dtype).min)
            scores = scores.view(batch, heads, tokens, -1).add_(least).view_as(scores)
        seen = scores.softmax(-1) @ values
    return seen.view(batch, heads, tokens, size).transpose(1, 2).contiguous(), None


AttentionInterface.register(PRODUCTS, products)
AttentionMaskInterface.register(PRODUCTS, eager_mask)
