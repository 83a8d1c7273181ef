"""Queries and keys of one layer, and the attention rows that follow from them

A row of attention is ``softmax(scale * q . K)``: one query and the keys of all positions say it
exactly.  Keeping those costs what the cache costs; keeping the rows themselves costs
layers x heads x tokens x tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LayerStore", "unpack"]


@dataclass(frozen=True, eq=False)
class LayerStore:
    """What one layer's attention rows are computed from.

    Args:
        queries: ``[heads, rows, width]`` after rotary embedding; float32, float16, or bfloat16 as
            its raw bits in uint16.
        keys: ``[key heads, positions, width]``, in the same precision; ``heads`` is a multiple of
            ``key heads`` (grouped attention): they are never repeated.
        scale: factor of the product, mostly ``width ** -0.5``.
        mask: number of the record's mask that this layer uses; None for plain causal order.
    """

    queries: np.ndarray
    keys: np.ndarray
    scale: float
    mask: int | None = None

    def __post_init__(self) -> None:
        q, k = self.queries.shape, self.keys.shape
        assert len(q) == len(k) == 3, (q, k)
        assert q[2] == k[2], (q, k)
        assert q[0] % k[0] == 0, (q, k)

    @property
    def heads(self) -> int:
        """Number of query heads."""
        return int(self.queries.shape[0])

    def rows(self, rows: Sequence[int], heads: Sequence[int], allowed: np.ndarray) -> np.ndarray:
        """Exact attention of chosen rows and heads.

        Args:
            rows: indices into the kept queries.
            heads: query heads.
            allowed: ``[rows, positions]``, True where a row may look.

        Returns:
            float32 ``[heads, rows, positions]``; each row sums to one, and is zero where it may not look.
        """
        group = self.heads // self.keys.shape[0]
        of_key: dict[int, list[int]] = {}
        for place, head in enumerate(heads):
            of_key.setdefault(head // group, []).append(place)
        out = np.empty((len(heads), len(rows), self.keys.shape[1]), dtype=np.float32)
        for key_head, places in of_key.items():
            keys = unpack(self.keys[key_head])
            mine = [heads[place] for place in places]
            queries = unpack(self.queries[np.ix_(mine, list(rows))]).reshape(-1, keys.shape[1])
            out[places] = ((queries @ keys.T) * np.float32(self.scale)).reshape(len(mine), len(rows), -1)
        out[:, ~allowed] = -np.inf
        out -= out.max(axis=-1, keepdims=True)
        np.exp(out, out=out)
        out /= out.sum(axis=-1, keepdims=True)
        return out


def unpack(array: np.ndarray) -> np.ndarray:
    """Kept numbers as float32; uint16 holds the bits of bfloat16, the upper half of a float32."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)
