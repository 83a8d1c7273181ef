"""A method of attribution: how much edge each region holds; a reference that knows no model"""

from __future__ import annotations

import numpy as np
from PIL import Image

from workbench.interpret import Job, Outcome, register_method

__all__ = ["edges", "register"]


def edges(job: Job) -> Outcome:
    """The mean steepness of the grey picture, to a power of one's choice, on each region."""
    answer = job.scorer.answer
    maps = []
    for image, grid in zip(answer.images, answer.layout.images, strict=True):
        grey = np.asarray(image.convert("L"), dtype=float) / 255
        steep = np.hypot(*np.gradient(grey)) ** job.options["power"]
        small = Image.fromarray(steep.astype(np.float32)).resize(
            (grid.cols, grid.rows), Image.Resampling.BOX, box=_inside(grid.region, image.size)
        )
        maps.append(np.asarray(small, dtype=float))
    return Outcome(values=job.regions.pool(maps, answer.layout.images))


def _inside(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    """A grid's place, cut at the picture's edges."""
    return max(0, box[0]), max(0, box[1]), min(size[0], box[2]), min(size[1], box[3])


def register() -> None:
    """Add the method."""
    register_method(
        "edges",
        edges,
        source="an example: the gradient of the picture",
        cost="nothing",
        options={"power": 1.0},
        unit="steepness",
    )
