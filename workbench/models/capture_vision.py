"""The vision tower's own attention as records: patches in reading order, on the pictures they show"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..attention import Attention, LayerStore
from ..types import PatchGrid, Span, TokenLayout
from .capture import Capture
from .capture_layers import TowerLayer
from .capture_record import to_numpy
from .layout import Crop

__all__ = ["tower_records"]


@dataclass(frozen=True)
class _Placed:
    """A crop on the tower's positions: ``extra`` tokens that show no patch, then ``rows * cols`` patches."""

    crop: Crop
    start: int
    rows: int
    cols: int
    extra: int

    @property
    def stop(self) -> int:
        return self.start + self.extra + self.rows * self.cols


def tower_records(
    capture: Capture, crops: Sequence[Sequence[Crop]], order: torch.Tensor | None, *, model: str = ""
) -> list[Attention | None]:
    """The tower's records of a captured batch, one for each conversation.

    Args:
        capture: what was kept.
        crops: what the tower took in for each conversation, in its order.
        order: where the tower keeps the patches; see `FamilySpec.patch_order`.
        model: name of the model.

    Returns:
        None for a conversation without pictures, and for all where the tower's sequences are not
        those of the crops (a tower that this workbench does not know).
    """
    layers = list(capture.tower.values())
    flat = [crop for row in crops for crop in row]
    if not layers or not flat:
        return [None] * len(crops)
    flow = [_Sequence.of(layer, order) for layer in layers]
    placed = _place(flat, layers[0], order)
    if placed is None or any(len(s.groups) != placed[-1].stop for s in flow):
        return [None] * len(crops)
    records: list[Attention | None] = []
    at = 0
    for row in crops:
        mine = placed[at : at + len(row)]
        at += len(row)
        records.append(_record(mine, flow, model) if mine else None)
    return records


@dataclass(frozen=True)
class _Sequence:
    """One layer's queries and keys ``[heads, patches, width]`` in reading order, and who sees whom."""

    queries: torch.Tensor
    keys: torch.Tensor
    groups: np.ndarray
    scale: float

    @classmethod
    def of(cls, layer: TowerLayer, order: torch.Tensor | None) -> _Sequence:
        queries, keys = torch.cat(layer.queries, dim=1), torch.cat(layer.keys, dim=1)
        groups = np.repeat(np.arange(len(layer.keys)), [k.shape[1] for k in layer.keys])
        if order is not None and len(order) == queries.shape[1]:
            index = order.to(queries.device)
            queries, keys, groups = queries[:, index], keys[:, index], groups[order.numpy()]
        return cls(queries, keys, groups, layer.scale)


def _place(crops: Sequence[Crop], layer: TowerLayer, order: torch.Tensor | None) -> list[_Placed] | None:
    """Lay the crops onto the tower's patches; None where the numbers do not fit."""
    counts = [k.shape[1] for k in layer.keys]
    if order is not None:  # one long sequence: every crop has the same number of patches for a token
        tokens = sum(crop.rows * crop.cols for crop in crops)
        counts = [sum(counts) * crop.rows * crop.cols // tokens for crop in crops]
    if len(counts) != len(crops):
        return None
    placed, start = [], 0
    for crop, count in zip(crops, counts, strict=True):
        for extra in (0, 1):  # a class token stands before the patches
            factor = math.isqrt((count - extra) // (crop.rows * crop.cols))
            if factor and factor**2 * crop.rows * crop.cols == count - extra:
                placed.append(_Placed(crop, start, crop.rows * factor, crop.cols * factor, extra))
                break
        else:
            return None
        start += count
    return placed


def _record(placed: Sequence[_Placed], flow: Sequence[_Sequence], model: str) -> Attention:
    first, stop = placed[0].start, placed[-1].stop
    masks: list[np.ndarray] = []
    store = []
    for layer in flow:
        groups = layer.groups[first:stop]
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int32)
        number = next((i for i, known in enumerate(masks) if np.array_equal(known, groups)), len(masks))
        masks += [groups] if number == len(masks) else []
        queries, keys = to_numpy(layer.queries[:, first:stop]), to_numpy(layer.keys[:, first:stop])
        store.append(LayerStore(queries, keys, layer.scale, number))
    grids = [_grid(one, first) for one in placed]
    shown: dict[int, Any] = {}
    for one, grid in zip(placed, grids, strict=True):  # a picture shown by crops alone: its first crop
        if one.crop.overview or grid.image not in shown:
            shown[grid.image] = grid
    tiles = tuple(grid for grid in grids if grid is not shown[grid.image])
    length = stop - first
    return Attention(
        store=tuple(store),
        layout=TokenLayout(length, tuple(shown[image] for image in sorted(shown)), tiles),
        texts=("",) * length,
        tokens=Span(0, length),
        masks=tuple(masks),
        ahead=0,
        model=model,
    )


def _grid(one: _Placed, first: int) -> PatchGrid:
    return PatchGrid(
        image=one.crop.image,
        rows=one.rows,
        cols=one.cols,
        start=one.start + one.extra - first,
        size=one.crop.size,
        region=one.crop.region,
        row_stride=one.cols,
    )
