"""What a method of attribution gets and gives"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ...errors import InputError, OutOfMemoryError
from ...models.device import release_memory
from ...models.worker import is_out_of_memory
from ..regions import Regions
from ..scoring import Scorer

__all__ = ["Job", "Outcome", "frozen", "smaller_batches", "whole_number"]


@dataclass
class Job:
    """One attribution to be made.

    Args:
        method: its name.
        scorer: the target's score under altered pictures.
        regions: what is hidden together, or summed.
        fill: what hidden regions show, and the baseline of path methods.
        seed: of everything random.
        options: the method's settings.
        expect: called with the number of picture sets that will be read, for the progress bar.
    """

    method: str
    scorer: Scorer
    regions: Regions
    fill: str
    seed: int
    options: Mapping[str, Any]
    expect: Callable[[int], None] = field(default=lambda count: None)


@dataclass
class Outcome:
    """What a method found: exactly one of the first three.

    Args:
        values: one value a region ``[regions]``.
        elements: one value per element of ``pixel_values``.
        positions: one value per prompt position ``[prompt_tokens]``.
        tokens: one value per prompt position beside the values or elements.
        delta: the completeness gap of a path method.
        backwards: picture sets that were read with gradients.
        settings: settings that the method chose itself.
    """

    values: np.ndarray | None = None
    elements: np.ndarray | None = None
    positions: np.ndarray | None = None
    tokens: np.ndarray | None = None
    delta: float | None = None
    backwards: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


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
