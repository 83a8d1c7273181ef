"""Attention maps from one backward pass: attention times gradient (Chefer et al.), rollout, raw attention"""

from __future__ import annotations

import numpy as np
import torch

from ..targets import Scored, Target
from .attending import attending
from .job import Job, Outcome, frozen, smaller_batches

__all__ = ["run"]


def run(job: Job) -> Outcome:
    """Relevance of each prompt position for the target, through the decoder's attention.

    The relevance matrix ``R = (I + A_L) ... (I + A_1)`` is never built: only the rows of the positions
    that predict the target's tokens are wanted (their mean), and they are carried from the last layer to
    the first, which is the order in which the backward pass comes by.

    - "chefer" (arXiv 2103.15679, eq. 5 and 6): ``A`` is the mean over heads of the positive part of
      attention times the gradient of the target's logits (not log-probabilities, whose gradient vanishes
      where the model is certain).
    - "rollout" (arXiv 2005.00928): ``R`` is the product of ``(I + A) / 2`` with ``A`` the mean over heads.
    - "attention": the mean of ``A`` over heads and layers, no product.

    They say where information could flow, not what the answer depends on: see `Attribution.check`.
    """
    scorer = job.scorer
    job.expect(len(scorer.target.sequences))
    total = np.zeros(scorer.answer.prompt_tokens)
    with frozen(scorer.vlm.model):
        for scored in scorer.target.sequences:
            found = smaller_batches(scorer, lambda batch, scored=scored: _rows(job, scored))  # type: ignore[misc]
            total += scored.weight * found[: len(total)]
    return Outcome(positions=total, backwards=len(scorer.target.sequences))


class _Row:
    """One row of relevance ``[tokens]`` on its way from the last layer to the first."""

    def __init__(self, method: str, scored: Scored) -> None:
        self.method, self.layers = method, 0
        self.start = torch.zeros(scored.span.stop)
        self.start[scored.span.start - 1 : scored.span.stop - 1] = 1 / len(scored.span)
        self.carried, self._step = self.start, torch.zeros_like(self.start)

    def visit(self, attention: torch.Tensor, gradient: torch.Tensor) -> None:
        """See some heads of a layer, ``[heads, query, key]``."""
        part = (attention * gradient).clamp(min=0) if self.method == "chefer" else attention
        row = self.start if self.method == "attention" else self.carried
        self._step = self._step + torch.einsum("q,hqk->k", row.to(part.device), part).cpu()

    def leave(self, heads: int) -> None:
        """Take the layer's step."""
        self.carried = self.carried + self._step / heads
        if self.method == "rollout":
            self.carried = self.carried / 2
        self._step, self.layers = torch.zeros_like(self.start), self.layers + 1

    def relevance(self) -> np.ndarray:
        """What was gathered; without the row's own beginning, which is no finding."""
        found = self.carried.double().numpy()
        if self.method == "rollout":
            return found
        found = found - self.start.double().numpy()
        return found / max(self.layers, 1) if self.method == "attention" else found


def _rows(job: Job, scored: Scored) -> np.ndarray:
    """The relevance ``[tokens]`` for one sequence's scored tokens."""
    scorer, row = job.scorer, _Row(job.method, scored)
    rows, altered = scorer.engine.original(1)
    assert rows is not None, "checked by attribute"
    with scorer.holding(), attending(scorer.vlm, row.visit, row.leave):
        pixels = rows.float().clone().requires_grad_()
        target = Target("span", "", (Scored(scored.ids, scored.span),))
        score = scorer.engine.scores(target, pixels, np.ones_like(altered), logits=True)
        torch.autograd.grad(score.sum(), pixels)
    scorer.forwards += 1
    scorer.on_batch(1)
    return row.relevance()
