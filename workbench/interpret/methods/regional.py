"""Occlusion, Shapley values and KernelSHAP: what showing and hiding regions does to the score"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import comb

import numpy as np
import torch
from captum.attr import FeatureAblation, KernelShap

from ...errors import InputError
from .job import Job, Outcome, whole_number

__all__ = ["exact_shapley", "run"]

FEW = 9  # regions of which all 512 sets are read rather than some drawn

Show = Callable[[np.ndarray], np.ndarray]  # bool [n, regions] that are shown -> scores [n] in nats


def run(job: Job) -> Outcome:
    """Values in nats: by how much a region raises the target's log-probability.

    A set of regions that comes again, in this method or another, is not read again.
    """
    count = len(job.regions)
    if count < 2 and job.method != "occlusion":
        raise InputError(
            f"{job.method} over {count} region", "at least two regions", "divide the picture further"
        )

    def show(shown: np.ndarray) -> np.ndarray:
        return job.scorer.masked(~shown, regions=job.regions, baseline=job.baseline)

    if job.method == "occlusion":
        return _occlusion(job, show)
    exact = job.options["exact"]
    if count <= FEW if exact is None else exact:
        return _exact(job, show)
    return _sampled(job, show) if job.method == "shapley_sampling" else _kernel(job, show)


def _occlusion(job: Job, show: Show) -> Outcome:
    """captum's ablation of a vector ``[1, regions]`` of ones (shown) that it sets to zero (hidden)."""
    count = len(job.regions)
    job.expect(count + 1)
    found = FeatureAblation(lambda ones: torch.from_numpy(show(ones.numpy() > 0.5))).attribute(
        torch.ones(1, count), perturbations_per_eval=min(job.scorer.batch_size, count)
    )
    return Outcome(values=found[0].numpy().astype(np.float64), errors=np.zeros(count))


def _exact(job: Job, show: Show) -> Outcome:
    """The Shapley values themselves, from every set of regions."""
    count = len(job.regions)
    if count > 2 * FEW:
        most = f"at most {2 * FEW}, which have {2 ** (2 * FEW):,} sets"
        raise InputError(f"exact=True over {count} regions", most)
    if job.options["samples"] is not None:
        whole_number(job.options, "samples")
    job.expect(2**count)
    shown = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
    return Outcome(values=exact_shapley(show(shown)), errors=np.zeros(count), settings={"exact": True})


def exact_shapley(scores: np.ndarray) -> np.ndarray:
    """Shapley values ``[regions]`` of a score of every set (Shapley 1953).

    Args:
        scores: ``[2 ** regions]``; bit ``i`` of a place says whether region ``i`` is in the set.
    """
    count = len(scores).bit_length() - 1
    sets = np.arange(len(scores))
    sizes = np.array([int(one).bit_count() for one in sets])
    weights = np.array([1 / (count * comb(count - 1, size)) for size in range(count)])
    values = np.zeros(count)
    for region in range(count):
        without = sets[(sets >> region) & 1 == 0]
        values[region] = weights[sizes[without]] @ (scores[without | 1 << region] - scores[without])
    return values


def _sampled(job: Job, show: Show) -> Outcome:
    """Marginal contributions along random orders (Castro et al. 2009), each followed by its reverse.

    An order and its reverse err in opposite directions (antithetic sampling; Mitchell et al. 2022, arXiv
    2104.12199); the spread of the pairs' means gives the standard errors.
    """
    count, samples = len(job.regions), whole_number(job.options, "samples")
    job.expect(samples * (count - 1) + 2)
    rng = np.random.default_rng(job.seed)
    pairs: list[np.ndarray] = []
    for _ in range((samples + 1) // 2):
        order = rng.permutation(count)
        both = [_along(order, show), _along(order[::-1], show)]
        pairs.append(np.mean(both[: samples - 2 * len(pairs)], axis=0))
    spread = np.std(pairs, axis=0, ddof=1) if len(pairs) > 1 else np.full(count, np.nan)
    return Outcome(values=np.mean(pairs, axis=0), errors=spread / np.sqrt(len(pairs)))


def _along(order: np.ndarray, show: Show) -> np.ndarray:
    """What each region adds when regions are shown in an order, ``[regions]``."""
    shown = np.zeros((len(order) + 1, len(order)), dtype=bool)
    for number, region in enumerate(order):
        shown[number + 1 :, region] = True
    gains = [after - before for before, after in pairwise(show(shown))]
    values = np.empty(len(order))
    values[order] = gains
    return values


def _kernel(job: Job, show: Show) -> Outcome:
    """captum's KernelSHAP; standard errors of the same regression, heteroscedastic (White 1980)."""
    count = len(job.regions)
    samples = 8 * count if job.options["samples"] is None else whole_number(job.options, "samples", count)
    job.expect(samples + 1)
    rows: list[np.ndarray] = []
    scores: list[np.ndarray] = []

    def score(ones: torch.Tensor) -> torch.Tensor:
        rows.append(ones.numpy() > 0.5)
        scores.append(show(rows[-1]))
        return torch.from_numpy(scores[-1])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        found = KernelShap(score).attribute(
            torch.ones(1, count), n_samples=samples, perturbations_per_eval=job.scorer.batch_size
        )
    values = found[0].numpy().astype(np.float64)
    errors = _regression_errors(np.concatenate(rows), np.concatenate(scores), values)
    return Outcome(values=values, errors=errors, settings={"samples": samples})


def _regression_errors(shown: np.ndarray, scores: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Standard errors of values that sum to the whole effect, fitted to the scores of drawn sets.

    The last region's value follows from the others, so the others are compared with it; sets that show all
    or nothing are no draws.
    """
    drawn = ~(shown.all(axis=1) | ~shown.any(axis=1))
    if drawn.sum() <= len(values):
        return np.full(len(values), np.nan)
    against = shown[drawn].astype(float)
    base = np.median(scores[drawn] - against @ values)
    design = against[:, :-1] - against[:, -1:]
    residuals = scores[drawn] - base - against @ values
    inverse = np.linalg.pinv(design.T @ design)
    spread = inverse @ (design.T * residuals**2 @ design) @ inverse
    last = spread.sum()
    return np.sqrt(np.clip(np.append(np.diag(spread), last), 0, None))
