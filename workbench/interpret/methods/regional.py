"""Occlusion, Shapley sampling and KernelSHAP: captum's own classes over which regions are shown"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import FeatureAblation, KernelShap, ShapleyValueSampling

from ...errors import InputError
from .job import Job, Outcome, whole_number

__all__ = ["run"]


def run(job: Job) -> Outcome:
    """Values in nats: by how much a region raises the target's log-probability.

    captum sees a vector ``[1, regions]`` of ones (shown) that it sets to zero (hidden); every evaluation
    is a batch of the scorer.  A set of regions that comes again is not read again.
    """
    scorer, regions = job.scorer, job.regions
    count, settings = len(regions), {}
    if count < 2 and job.method != "occlusion":
        raise InputError(
            f"{job.method} over {count} region", "at least two regions", "divide the picture further"
        )

    known: dict[bytes, float] = {}

    def score(shown: torch.Tensor) -> torch.Tensor:
        hidden = shown.numpy() < 0.5
        keys = [np.packbits(row).tobytes() for row in hidden]
        fresh = {key: row for key, row in zip(keys, hidden, strict=True) if key not in known}
        if fresh:
            scores = scorer.masked(np.stack(list(fresh.values())), regions=regions, baseline=job.baseline)
            known.update(zip(fresh, scores, strict=True))
        return torch.tensor([known[key] for key in keys], dtype=torch.float64)

    shown = torch.ones(1, count)
    batch = {"perturbations_per_eval": scorer.batch_size}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        if job.method == "occlusion":
            job.expect(count + 1)
            found = FeatureAblation(score).attribute(shown, **batch)
        elif job.method == "shapley_sampling":
            samples = whole_number(job.options, "samples")
            job.expect(count * samples + 1)
            found = ShapleyValueSampling(score).attribute(shown, n_samples=samples, **batch)
        else:
            samples = (
                8 * count if job.options["samples"] is None else whole_number(job.options, "samples", count)
            )
            job.expect(samples + 1)
            found = KernelShap(score).attribute(shown, n_samples=samples, **batch)
            settings = {"samples": samples}
    return Outcome(values=found[0].numpy().astype(np.float64), settings=settings)
