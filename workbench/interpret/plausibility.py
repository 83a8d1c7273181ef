"""Does a map point at the place that a person would name? Pointing game and IoU, apart from faithfulness

A map can be plausible and wrong about the model, or faithful and surprising: so these two numbers never
enter a verdict on faithfulness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..types import PatchGrid, Region

__all__ = ["Plausibility", "evidence", "iou", "plausibility", "pointing"]


@dataclass(frozen=True)
class Plausibility:
    """A map against the true evidence boxes.

    Args:
        pointing: whether the map's highest cell lies on the evidence (Zhang et al. 2018, arXiv
            1608.00507): 0 or 1, or the share of the highest cells that do where several are equal.
        iou: intersection over union of the evidence's cells with as many of the map's highest cells.
        chance: share of all cells that are evidence: what pointing blindly would reach.
    """

    pointing: float
    iou: float
    chance: float


def evidence(grids: Sequence[PatchGrid], regions: Sequence[Region]) -> list[np.ndarray]:
    """Which cells lie on the evidence: one bool ``[rows, cols]`` a picture.

    Raises:
        InputError: for no box, a box of a picture that is not there, or one outside its picture.
    """
    if not regions:
        raise InputError("no box", "at least one evidence box, or None for unknown")
    inside = [np.zeros((grid.rows, grid.cols), dtype=bool) for grid in grids]
    for region in regions:
        if not 0 <= region.image < len(grids):
            raise InputError(f"a box of picture {region.image}", f"pictures 0 to {len(grids) - 1}")
        cells = grids[region.image].cells(region.box)
        if not cells:
            raise InputError(
                f"the box {region.box}", f"one on picture {region.image}, {grids[region.image].size} pixels"
            )
        inside[region.image][tuple(np.array(cells).T)] = True
    return inside


def pointing(values: np.ndarray, inside: np.ndarray) -> float:
    """Share of the highest cells that lie inside: 0 or 1 unless several cells are equally high."""
    return float(inside[values == values.max()].mean())


def iou(values: np.ndarray, inside: np.ndarray) -> float:
    """IoU of the evidence with as many of the highest cells; equal cells at the threshold count in part."""
    wanted = int(inside.sum())
    threshold = np.sort(values)[::-1][wanted - 1]
    above, level = values > threshold, values == threshold
    chosen = above + level * (wanted - above.sum()) / level.sum()
    return float(np.minimum(chosen, inside).sum() / np.maximum(chosen, inside).sum())


def plausibility(
    maps: Sequence[np.ndarray], grids: Sequence[PatchGrid], regions: Sequence[Region]
) -> Plausibility:
    """Pointing game and IoU of one map over all pictures together.

    Args:
        maps: signed ``[rows, cols]``, one a picture.
        grids: the pictures' grids.
        regions: the true evidence.

    Raises:
        InputError: as `evidence`, or if a map is not on its picture's grid.
    """
    for number, (values, grid) in enumerate(zip(maps, grids, strict=True)):
        if values.shape != (grid.rows, grid.cols):
            raise InputError(f"map {number} of shape {values.shape}", f"({grid.rows}, {grid.cols})")
    inside = np.concatenate([part.ravel() for part in evidence(grids, regions)])
    values = np.concatenate([np.asarray(part, dtype=float).ravel() for part in maps])
    return Plausibility(pointing(values, inside), iou(values, inside), float(inside.mean()))
