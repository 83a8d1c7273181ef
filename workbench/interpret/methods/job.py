"""What a method of attribution gets and gives"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from ...attention.select import check_image
from ...errors import InputError, OutOfMemoryError
from ...models.device import is_out_of_memory, release_memory
from ...types import PatchGrid, TokenLayout
from ..regions import Baseline, Regions
from ..scoring import Scorer

__all__ = ["Job", "Outcome", "frozen", "placed", "smaller_batches", "whole_number"]


def unnoticed(count: int) -> None:
    """Where nobody shows a progress bar, a method's announcement goes unnoticed."""


@dataclass
class Job:
    """One attribution to be made.

    Args:
        method: its name.
        scorer: the target's score under altered pictures.
        regions: what is hidden together, or summed.
        baseline: what hidden regions show, and the baseline of path methods.
        seed: of everything random.
        options: the method's settings.
        expect: called with the number of picture sets that will be read, for the progress bar.
    """

    method: str
    scorer: Scorer
    regions: Regions
    baseline: Baseline
    seed: int
    options: Mapping[str, Any]
    expect: Callable[[int], None] = unnoticed


@dataclass
class Outcome:
    """What a method found: exactly one of the first three.

    Args:
        values: one value per region ``[regions]``.
        elements: one value per element of ``pixel_values``.
        positions: one value per prompt position ``[prompt_tokens]``.
        tokens: one value per prompt position beside the values or elements.
        errors: standard error of each value ``[regions]``.
        parts: element values of independent samples, whose mean ``elements`` is: their spread gives errors.
        delta: the completeness gap of a path method.
        backwards: picture sets that were read with gradients.
        settings: settings that the method chose itself.
    """

    values: np.ndarray | None = None
    elements: np.ndarray | None = None
    positions: np.ndarray | None = None
    tokens: np.ndarray | None = None
    errors: np.ndarray | None = None
    parts: tuple[np.ndarray, ...] = ()
    delta: float | None = None
    backwards: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


class Placed(NamedTuple):
    """What a method found, on the regions and the images' grids."""

    maps: tuple[np.ndarray, ...]
    values: np.ndarray
    errors: np.ndarray | None
    tokens: np.ndarray | None


def placed(found: Outcome, scorer: Scorer, regions: Regions) -> Placed:
    """Maps ``[rows, cols]``, values and errors ``[regions]``, and values of tokens, of whatever was found."""
    layout = scorer.answer.layout
    assert layout is not None, "checked with the prompt"
    grids, errors = layout.images, found.errors
    if found.positions is not None:
        maps = _cells(found.positions, layout)
        if regions.kind == "patches":
            values = np.concatenate([part.ravel() for part in maps])
        else:
            values = regions.pool(maps, grids)
            maps = regions.maps(values, grids)
        return Placed(maps, values, errors, found.positions)
    if found.elements is not None:
        atoms = scorer.pixel_map.atoms(regions).ravel()
        values = _per_region(found.elements, atoms, regions)
        if len(found.parts) > 1:
            samples = np.stack([_per_region(part, atoms, regions) for part in found.parts])
            errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    else:
        assert found.values is not None, "a method gives values, elements or positions"
        values = found.values
    return Placed(regions.maps(values, grids), values, errors, found.tokens)


def _per_region(elements: np.ndarray, atoms: np.ndarray, regions: Regions) -> np.ndarray:
    """Values of ``pixel_values``' elements summed over each region."""
    inside = atoms >= 0
    per_atom = np.bincount(atoms[inside], elements.ravel()[inside], minlength=regions.atoms)
    return regions.sum_atoms(per_atom)


def _cells(positions: np.ndarray, layout: TokenLayout) -> tuple[np.ndarray, ...]:
    """Values of prompt positions as maps; a crop's tokens count for the overview's cell at their centre.

    Raises:
        CapabilityError: where a picture's grid is only guessed.
    """
    for number in range(len(layout.images)):
        check_image(layout, number)
    maps = [np.zeros((grid.rows, grid.cols)) for grid in layout.images]
    grids: Sequence[PatchGrid] = layout.grids
    for grid in grids:
        shown = layout.images[grid.image]
        for row in range(grid.rows):
            for col in range(grid.cols):
                x1, y1, x2, y2 = grid.box(row, col)
                if (cell := shown.at((x1 + x2) / 2, (y1 + y2) / 2)) is not None:
                    maps[grid.image][cell] += positions[grid.position(row, col)]
    return tuple(maps)


def whole_number(options: Mapping[str, Any], name: str, least: int = 1) -> int:
    """A setting that is a whole number.

    Raises:
        InputError: if it is none, or too small.
    """
    value = options[name]
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name}={value!r}", f"a whole number, at least {least}")
    return int(value)


@contextlib.contextmanager
def frozen(model: torch.nn.Module) -> Iterator[None]:
    """Within this context gradients reach inputs, and no weight's gradient is kept."""
    learning = [p for p in model.parameters() if p.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        with torch.enable_grad():
            yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def smaller_batches(scorer: Scorer, work: Callable[[int], Any]) -> Any:
    """Do ``work(batch size)``, with half the batch as long as memory runs out.

    Raises:
        OutOfMemoryError: if not even one picture set at a time fits.
    """
    while True:
        try:
            return work(scorer.batch_size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        release_memory()
        if scorer.batch_size == 1:
            raise OutOfMemoryError(
                f"one picture set with gradients does not fit on {scorer.vlm.device}",
                "room for one forward and backward pass",
                'use a method without gradients, such as "occlusion", or load the model in lower precision',
            )
        scorer.batch_size //= 2
