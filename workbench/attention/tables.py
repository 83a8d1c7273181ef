"""Tables over a record: tokens over time, the words that looked at a region, the heads that point"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..types import Box, Region, Span
from .select import Layers, Tokens, region_positions, token_rows

if TYPE_CHECKING:
    import pandas

    from .record import Attention

__all__ = ["over_time", "rank_heads", "reverse"]


def over_time(
    attention: Attention, image: int, *, layers: Layers, heads: Layers, sinks: bool
) -> pandas.DataFrame:
    """See `Attention.over_time`."""
    import pandas as pd

    picture = attention.picture(image)
    tokens = reply_tokens(attention)
    raw = attention.mean(tokens, layers=layers, heads=heads)
    kept = raw if sinks else attention.mean(tokens, layers=layers, heads=heads, sinks=False)
    bits = entropy(kept[:, picture])
    most = np.log2(len(picture)) if len(picture) > 1 else 1.0
    return pd.DataFrame(
        {
            **_names(attention, tokens),
            "share": kept[:, picture].sum(axis=1),
            "entropy": bits,
            "entropy_share": bits / most,
            "sink_share": raw[:, list(attention.sink_positions)].sum(axis=1),
        }
    )


def reverse(
    attention: Attention, region: Region | Box, *, layers: Layers, heads: Layers, sinks: bool
) -> pandas.DataFrame:
    """See `Attention.reverse`."""
    import pandas as pd

    inside, found = region_positions(attention.layout, region)
    picture = attention.picture(found.image)
    tokens = reply_tokens(attention)
    rows = attention.mean(tokens, layers=layers, heads=heads, sinks=sinks)
    share, on_image = rows[:, inside].sum(axis=1), rows[:, picture].sum(axis=1)
    part = ratio(share, on_image)
    lift = part * (len(picture) / len(inside))
    return pd.DataFrame({**_names(attention, tokens), "share": share, "inside": part, "lift": lift})


def rank_heads(
    attention: Attention, region: Region | Box, tokens: Tokens | None, *, sinks: bool
) -> pandas.DataFrame:
    """See `Attention.heads`."""
    import pandas as pd

    inside, found = region_positions(attention.layout, region)
    picture = attention.picture(found.image)
    rows = token_rows(
        reply_tokens(attention) if tokens is None else tokens, attention.tokens, attention.ahead
    )
    shape = (attention.n_layers, attention.n_heads)
    on_region, on_image, hit = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for _, part in attention.chunks(rows):
        for layer in attention.layers:
            looks = attention.drop_sinks(attention.layer_rows(layer, part, None), sinks)
            on_region[layer] += looks[..., inside].sum(axis=(1, 2))
            on_image[layer] += looks[..., picture].sum(axis=(1, 2))
            hit[layer] += np.isin(picture[looks[..., picture].argmax(axis=-1)], inside).sum(axis=1)
    on_region, on_image, hit = (total / len(rows) for total in (on_region, on_image, hit))
    layers, heads = np.indices(shape)
    frame = pd.DataFrame(
        {
            "layer": layers.ravel(),
            "head": heads.ravel(),
            "score": (on_region - on_image * (len(inside) / len(picture))).ravel(),
            "on_region": on_region.ravel(),
            "on_image": on_image.ravel(),
            "inside": ratio(on_region, on_image).ravel(),
            "hit": hit.ravel(),
        }
    )
    return frame.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)


def reply_tokens(attention: Attention) -> Span:
    """The tokens of the reply; in the vision tower all patches."""
    start = attention.layout.length if attention.ahead else attention.tokens.start
    return Span(max(start, attention.tokens.start), attention.tokens.stop)


def entropy(weights: np.ndarray) -> np.ndarray:
    """Entropy in bits of each row of ``[rows, cells]``, which need not sum to one."""
    p = ratio(weights, weights.sum(axis=-1, keepdims=True))
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=-1)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, 0 where there is no whole."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _names(attention: Attention, tokens: Span) -> dict[str, Any]:
    texts = [attention.texts[token] for token in tokens]
    return {"token": list(tokens), "text": texts, "part": [attention.part(token) for token in tokens]}
