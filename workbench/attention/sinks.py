"""Attention sinks: positions that draw attention whatever the row is about"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import pandas

    from .rows import AttentionRows

__all__ = ["find_sinks", "received", "sink_table"]

SEEN = 0.5  # part of the rows that must see a position before it is judged


def received(attention: AttentionRows) -> np.ndarray:
    """Attention that each position draws, mean over the rows that see it.

    Returns:
        float32 ``[layers, heads, positions]``.
    """
    rows = range(len(attention.tokens))
    total = np.zeros((attention.n_layers, attention.n_heads, attention.positions), dtype=np.float32)
    seen = np.zeros((attention.n_layers, 1, attention.positions), dtype=np.float32)
    for _, part in attention.chunks(rows):
        for layer in attention.layers:
            total[layer] += attention.layer_rows(layer, part, None).sum(axis=1)
            seen[layer, 0] += attention.allowed(layer, part).sum(axis=0)
    return total / np.maximum(seen, 1)


def find_sinks(
    received: np.ndarray, visible: np.ndarray, *, factor: float = 10.0, share: float = 0.5
) -> np.ndarray:
    """Which positions are sinks, bool ``[positions]``; see `Attention.sinks`."""
    return (head_share(received, factor) >= share) & (visible >= SEEN)


def head_share(received: np.ndarray, factor: float) -> np.ndarray:
    """Part of all heads in which a position draws more than ``factor`` times an even look ``[positions]``."""
    return (received > factor / received.shape[-1]).mean(axis=(0, 1))


def sink_table(attention: AttentionRows, *, factor: float, share: float) -> pandas.DataFrame:
    """See `Attention.sinks`."""
    import pandas as pd

    if not factor > 0:
        raise InputError(f"factor={factor!r}", "a number above 0")
    if not 0 < share <= 1:
        raise InputError(f"share={share!r}", "a number above 0, at most 1")
    found = np.flatnonzero(find_sinks(attention.received, attention.visible, factor=factor, share=share))
    shares = head_share(attention.received, factor)
    means = attention.received.mean(axis=(0, 1))
    table = []
    for position in map(int, found):
        place = attention.layout.locate(position)
        image, row, col = (-1, -1, -1) if place is None else (place[0].image, place[1], place[2])
        where = {"position": position, "text": attention.texts[position], "image": image}
        numbers = {"head_share": float(shares[position]), "attention": float(means[position])}
        table.append({**where, "row": row, "col": col, **numbers})
    columns = ["position", "text", "image", "row", "col", "head_share", "attention"]
    frame = pd.DataFrame(table, columns=columns)
    return frame.sort_values("attention", ascending=False, kind="stable").reset_index(drop=True)
