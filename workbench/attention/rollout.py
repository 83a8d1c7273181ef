"""Attention rollout: attention multiplied over the layers, for one token at a time"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .select import Layers, numbers, token_rows

if TYPE_CHECKING:
    from .record import Attention

__all__ = ["flow"]


def flow(attention: Attention, token: int, *, layers: Layers, residual: float, sinks: bool) -> np.ndarray:
    """See `Attention.flow`.

    One row of the product of all layers' matrices is a vector times one matrix after the other, from
    the last layer down: no matrix of positions x positions is ever kept.
    """
    if not 0 <= residual <= 1:
        raise InputError(f"residual={residual!r}", "a number from 0 to 1")
    first = attention.tokens.start - attention.ahead  # position of the first kept query
    (row,) = token_rows([token], attention.tokens, attention.ahead)
    weights = np.zeros(attention.positions, dtype=np.float32)
    weights[first + row] = 1
    for layer in reversed(numbers(layers, attention.n_layers, "layer")):
        active = [int(p) - first for p in np.flatnonzero(weights) if p >= first]
        passed = weights.copy()
        passed[[first + r for r in active]] *= residual  # positions without a row pass on themselves
        for _, part in attention.chunks(active):
            rows = attention.drop_sinks(attention.layer_rows(layer, part, None), sinks).mean(axis=0)
            passed += (1 - residual) * (weights[[first + r for r in part]] @ rows)
        weights = passed
    return weights
