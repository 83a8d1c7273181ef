"""Gradient methods on the picture's pixels: captum's own classes, the token ids kept"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from captum.attr import GradientShap, InputXGradient, IntegratedGradients

from ..regions import CHECKED
from .job import Job, Outcome, frozen, smaller_batches, whole_number

__all__ = ["run"]

PARTS = 8  # in which samples are taken at the least, where they are enough: errors come from their spread


def run(job: Job) -> Outcome:
    """Values per element of ``pixel_values``, in nats.

    Integrated gradients runs from pictures filled as ``job.fill`` says; gradient SHAP from all fills.
    """
    function = {"input_x_gradient": _input, "integrated_gradients": _integrated}.get(job.method, _shap)
    with frozen(job.scorer.vlm.model):
        return smaller_batches(job.scorer, lambda batch: function(job, batch))


def _original(job: Job) -> torch.Tensor:
    assert job.scorer.prompt.pixels is not None, "checked by attribute"
    return job.scorer.prompt.pixels.float().unsqueeze(0).requires_grad_()


def _elements(values: torch.Tensor) -> np.ndarray:
    return values[0].detach().double().numpy()


def _input(job: Job, batch: int) -> Outcome:
    """Input times gradient, of pixels and of the text's embeddings in one backward pass."""
    scorer = job.scorer
    job.expect(1)
    embedding: Any = scorer.vlm.model.get_input_embeddings()
    ids = torch.tensor([scorer.answer.prompt_ids], device=scorer.vlm.device)
    with torch.no_grad():
        words = embedding(ids)

    def score(pixels: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        with _embedded(embedding, embedded):
            return scorer.log_probs(pixels)

    pixels, text = InputXGradient(score).attribute((_original(job), words.detach().requires_grad_()))
    return Outcome(
        elements=_elements(pixels), tokens=text[0].sum(dim=-1).detach().double().cpu().numpy(), backwards=1
    )


@contextlib.contextmanager
def _embedded(embedding: torch.nn.Module, words: torch.Tensor) -> Iterator[None]:
    """Within this context the prompt's embeddings are ``words [1, prompt tokens, hidden]``."""

    def swap(_: object, args: object, out: torch.Tensor) -> torch.Tensor:
        return torch.cat([words.expand(len(out), -1, -1), out[:, words.shape[1] :]], dim=1)

    handle = embedding.register_forward_hook(swap)
    try:
        yield
    finally:
        handle.remove()


def _integrated(job: Job, batch: int) -> Outcome:
    steps = whole_number(job.options, "steps", 2)
    job.expect(steps + 2)
    values, delta = IntegratedGradients(job.scorer.log_probs).attribute(
        _original(job),
        baselines=job.scorer.filled(job.baseline).float().unsqueeze(0),
        n_steps=steps,
        internal_batch_size=min(batch, steps),
        return_convergence_delta=True,
    )
    return Outcome(elements=_elements(values), delta=float(delta), backwards=steps)


def _shap(job: Job, batch: int) -> Outcome:
    """Gradient SHAP in parts that fit; the spread of the parts gives errors."""
    samples = whole_number(job.options, "samples")
    job.expect(3 * samples)
    baselines = torch.stack([job.scorer.filled(baseline).float() for baseline in CHECKED])
    size = min(batch, max(1, samples // PARTS))
    sizes = [min(size, samples - done) for done in range(0, samples, size)]
    parts, gap = [], 0.0
    with _seeded(job.seed):
        for count in sizes:
            values, delta = GradientShap(job.scorer.log_probs).attribute(
                _original(job), baselines=baselines, n_samples=count, return_convergence_delta=True
            )
            parts.append(_elements(values))
            gap += float(delta.sum()) / samples
    mean = np.average(parts, axis=0, weights=sizes)
    return Outcome(elements=mean, parts=tuple(parts), delta=gap, backwards=samples)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """captum draws from the global generators of NumPy and PyTorch; the user's states are put back."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
