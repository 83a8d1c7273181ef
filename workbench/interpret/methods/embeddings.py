"""Relevance at the decoder's inputs, image tokens and words alike: embedding times gradient, and AttnLRP

One forward and one backward pass of the decoder; the vision tower is left out of the backward pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import CapabilityError
from ...models.vlm import VLM
from ..replay import Decoder, reaching
from ..scoring import log_odds
from ..targets import Scored, Target
from .job import Job, Outcome, frozen, smaller_batches
from .relevance import Visit, attending

__all__ = ["at_inputs", "lrp_rules", "run"]


def run(job: Job) -> Outcome:
    """Input times gradient of each prompt position, summed over its hidden numbers.

    What is scored are the target tokens' log-odds, as the slope of log-probabilities vanishes where the model
    is certain.

    - "embedding_x_gradient": the size of the plain slope.  Its sign says nothing: norms take the length of a
      token's state away, so that the signed values of one token nearly cancel.
    - "attn_lrp" (Achtibat et al. 2024, arXiv 2402.05602): the gradient under the rules of `lrp_rules`, by
      which layers hand on the relevance that they get.
    """
    scorer = job.scorer
    job.expect(len(scorer.target.sequences))
    total = np.zeros(scorer.answer.prompt_tokens)
    for scored in scorer.target.sequences:
        found = smaller_batches(scorer, lambda batch, scored=scored: at_inputs(job, scored))  # type: ignore[misc]
        total += scored.weight * found[: len(total)]
    total = np.abs(total) if job.method == "embedding_x_gradient" else total
    return Outcome(positions=total, backwards=len(scorer.target.sequences))


def at_inputs(job: Job, scored: Scored) -> np.ndarray:
    """Relevance of every position of one sequence ``[tokens]``, the reply's own included."""
    scorer = job.scorer
    decoder = Decoder(scorer.vlm)
    leaves: list[torch.Tensor] = []
    rules = lrp_rules(decoder, scorer.vlm) if job.method == "attn_lrp" else contextlib.nullcontext()
    with frozen(scorer.vlm.model), scorer.holding(), reaching(decoder, leaves.append), rules:
        target = Target("span", "", (Scored(scored.ids, scored.span),))
        score = scorer.engine.scores(target, *scorer.engine.original(1), pick=log_odds)
        (slope,) = torch.autograd.grad(score.sum(), leaves)
    scorer.forwards += 1
    scorer.on_batch(1)
    return (leaves[0].detach().double() * slope.double())[0].sum(dim=-1).cpu().numpy()


GATES, DOWN = ("gate_proj", "gate_up_proj"), "down_proj"
ACTIVATIONS = ("act_fn", "activation_fn", "act")


@contextlib.contextmanager
def lrp_rules(decoder: Decoder, vlm: VLM, *, visit: Visit = lambda *_: None) -> Iterator[None]:
    """Within this context a backward pass of the decoder follows AttnLRP's rules (arXiv 2402.05602).

    Input times the gradient that comes out is the relevance of the paper: norms and activations count as a
    factor that is held (identity rule), the two factors of a product get a half each (queries and keys,
    weights and values, gate and MLP), linear layers and the softmax keep their gradient.  All of them hand on
    what they get but for biases, and the softmax, whose Taylor rule leaves a rest.

    Args:
        decoder: the decoder.
        vlm: its model; hold it meanwhile.
        visit: as for `attending`.

    Raises:
        CapabilityError: for a mixture of experts, or attention that is more than a softmax.
    """
    parts = [part for block in (*decoder.blocks, decoder.norm) for part in block.modules()]
    gated = [part for part in parts if any(hasattr(part, word) for word in GATES)]
    if any(not isinstance(getattr(part, DOWN, None), nn.Module) for part in gated):
        raise CapabilityError(
            f"{vlm.name}, a mixture of experts", "an MLP with a gate or without one", 'use "occlusion"'
        )
    acts = [getattr(part, word, None) for part in parts for word in ACTIVATIONS]
    factors = [part for part in parts if "Norm" in type(part).__name__]
    factors += [part for part in acts if isinstance(part, nn.Module)]
    handles = [part.register_forward_hook(_with_held_factor) for part in factors]
    handles += [getattr(part, DOWN).register_forward_pre_hook(_halved) for part in gated]
    try:
        with attending(vlm, visit, lambda *_: None, share=0.5):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _with_held_factor(part: nn.Module, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
    """The same output as its input times a factor without gradient."""
    given = args[0]
    if isinstance(part, nn.LayerNorm):
        given = given - given.mean(dim=-1, keepdim=True)
        shift = 0 if part.bias is None else part.bias
        return given * _ratio(out - shift, given) + shift
    return given * _ratio(out, given)


def _ratio(out: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    out, given = out.detach(), given.detach()
    return torch.where(given == 0, 0, out / given)


class _Half(torch.autograd.Function):
    """The same numbers, and half of their gradient: for the product that they are, a half for each factor."""

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor) -> torch.Tensor:
        return given.view_as(given)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient / 2


def _halved(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (_Half.apply(args[0]), *args[1:])
