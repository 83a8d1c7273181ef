"""What every map is measured against: random orders, the middle of the picture, attention sinks alone"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..types import PatchGrid

__all__ = ["blocks", "centre", "region_means", "sinks"]


def blocks(grids: Sequence[PatchGrid], regions: tuple[int, int] | str) -> list[np.ndarray]:
    """Divide every picture's cells into equal regions, numbered through all pictures.

    Args:
        grids: the pictures' grids.
        regions: (rows, cols) of regions a picture, fewer where a picture has fewer cells; or
            ``"patches"``, one region a cell.

    Returns:
        One int ``[rows, cols]`` a picture: each cell's region.

    Raises:
        InputError: for anything else.
    """
    if regions != "patches" and not _is_pair(regions):
        raise InputError(f"regions={regions!r}", "(rows, cols) of at least 1, or 'patches'")
    labels, first = [], 0
    for grid in grids:
        wanted = (grid.rows, grid.cols) if regions == "patches" else regions
        rows, cols = min(int(wanted[0]), grid.rows), min(int(wanted[1]), grid.cols)
        row, col = np.indices((grid.rows, grid.cols))
        labels.append(first + row * rows // grid.rows * cols + col * cols // grid.cols)
        first += rows * cols
    return labels


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in value)
    )


def region_means(maps: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of a map over each region, ``[regions]``."""
    values = np.concatenate([np.asarray(part, dtype=float).ravel() for part in maps])
    at = np.concatenate([part.ravel() for part in labels])
    return np.bincount(at, weights=values) / np.bincount(at)


def centre(grid: PatchGrid) -> np.ndarray:
    """The centre prior: minus the distance to the middle, in picture widths and heights, ``[rows, cols]``."""
    y = (np.arange(grid.rows) + 0.5) / grid.rows - 0.5
    x = (np.arange(grid.cols) + 0.5) / grid.cols - 0.5
    return -np.hypot(y[:, None], x[None, :])


def sinks(grid: PatchGrid, norms: np.ndarray) -> np.ndarray:
    """Sinks alone: how large each patch's hidden state is, by which sinks are known, ``[rows, cols]``.

    Patches that draw attention whatever is asked carry massive activations (Sun et al. 2024, arXiv
    2402.17762; in vision-language models Kang et al. 2025, arXiv 2503.03321).  A map that ranks patches
    as this one does has found sinks.

    Args:
        grid: the picture's grid.
        norms: one number a position of the prompt, ``[tokens]``.
    """
    positions = [[grid.position(row, col) for col in range(grid.cols)] for row in range(grid.rows)]
    return np.asarray(norms, dtype=float)[np.array(positions)]
