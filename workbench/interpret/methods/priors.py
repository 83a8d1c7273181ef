"""Baselines as maps: noise and the centre of the picture.  They look at no model"""

from __future__ import annotations

import numpy as np

from ..faithfulness import centre
from .job import Job, Outcome

__all__ = ["run"]


def run(job: Job) -> Outcome:
    """One value per region that the answer has no part in."""
    if job.method == "random":
        return Outcome(values=np.random.default_rng(job.seed).uniform(-1, 1, len(job.regions)))
    layout = job.scorer.answer.layout
    assert layout is not None, "checked by attribute"
    return Outcome(values=job.regions.pool([centre(grid) for grid in layout.images], layout.images))
