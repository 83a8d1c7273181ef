"""The weight-randomisation check: a map that stays the same when the weights are shuffled shows no model

Adebayo et al. 2018, "Sanity checks for saliency maps" (arXiv 1810.03292).  Here every weight keeps its
value and loses its place: rows and columns of each matrix are permuted, which destroys what was learned,
keeps each tensor's distribution, needs no second copy of the model, and is undone exactly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import CapabilityError, InputError

__all__ = ["randomised", "similarity"]


def similarity(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Spearman's rank correlation of two maps over all cells of all pictures.

    Two flat maps are equal (1); a flat one and another have nothing in common (0).

    Raises:
        InputError: if they are not on the same grids.
    """
    if [part.shape for part in one] != [part.shape for part in other]:
        raise InputError(
            f"maps of shapes {[p.shape for p in one]} and {[p.shape for p in other]}",
            "maps on the same grids",
        )
    a, b = (_ranks(np.concatenate([np.asarray(p, dtype=float).ravel() for p in m])) for m in (one, other))
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    if size == 0:
        return float(not a.any() and not b.any())
    return float(np.clip(a @ b / size, -1, 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


@contextlib.contextmanager
def randomised(model: Any, *, seed: int) -> Iterator[None]:
    """Within this context every weight is shuffled; afterwards, and after an error, all are back.

    Hold the model meanwhile: whoever else asks it gets nonsense.

    Args:
        model: a torch module.
        seed: of the permutations.

    Raises:
        CapabilityError: for weights that are quantized or elsewhere than in memory, which cannot be moved.
    """
    weights = list(model.parameters())
    if any(w.is_meta or not w.is_floating_point() or type(w.data) is not torch.Tensor for w in weights):
        raise CapabilityError(
            "a model with weights that are quantized or offloaded",
            "weights in float32, float16 or bfloat16 on one device",
            "load it without quantize and offload, or check with randomise=0",
        )
    done: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
    try:
        for number, weight in enumerate(weights):
            generator = torch.Generator().manual_seed(hash((seed, number)) % 2**63)
            axes = [torch.randperm(size, generator=generator) for size in weight.shape]
            _permute(weight, axes)
            done.append((weight, axes))  # after it: what could not be permuted for lack of room is not undone
        yield
    finally:
        for weight, axes in done:
            _permute(weight, [torch.argsort(axis) for axis in axes])


@torch.no_grad()
def _permute(weight: torch.Tensor, axes: Sequence[torch.Tensor]) -> None:
    """Permute along each axis in place."""
    moved = weight.data
    for dim, axis in enumerate(axes):
        moved = moved.index_select(dim, axis.to(weight.device))
    weight.data.copy_(moved)
