"""Attention maps from one backward pass: attention times gradient (Chefer et al.), rollout, raw attention

The decoder's attention, shown with its gradient while the backward pass comes by, one layer at a time

Attention matrices of all layers and heads do not fit at thousands of positions, so none is kept: the forward
pass keeps queries, keys and values as any attention does, and the backward pass computes a few heads at a
time anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from ...errors import CapabilityError
from ...models.vlm import VLM
from ..replay import Decoder
from ..scoring import decoder_of, logits_of
from ..targets import Scored, Target
from .job import Job, Outcome, frozen, smaller_batches

__all__ = ["attending", "run"]


NAME = "workbench_attending"
ROOM = 2**26  # numbers of one attention matrix held at a time: some heads of one layer

Visit = Callable[[torch.Tensor, torch.Tensor], None]
Leave = Callable[[int], None]


@contextlib.contextmanager
def attending(vlm: VLM, visit: Visit, leave: Leave, *, share: float = 1.0) -> Iterator[None]:
    """Within this context a backward pass shows the decoder's attention; one row, no cache.

    Args:
        vlm: the model; hold it meanwhile.
        visit: called with attention and its gradient, both ``[heads, query, key]``, for some heads of a
            layer; the last layer comes first.
        leave: called with the number of heads when a layer is done.
        share: of the gradient that each factor of a product gets: 1, or a half for AttnLRP.

    Raises:
        CapabilityError: if the decoder does not take its attention from Transformers' interface.
    """
    config: Any = getattr(decoder_of(vlm), "config", None)
    before = getattr(config, "_attn_implementation", None)
    if before is None:
        raise CapabilityError(f"the decoder of {vlm.name} without a config", "a decoder of Transformers")
    seen = [0]

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        if options.get("softcap") is not None or options.get("s_aux") is not None:
            raise CapabilityError(
                f"{vlm.name}, whose attention is more than a softmax",
                "plain softmax attention",
                'use "occlusion"',
            )
        seen[0] += 1
        scaling = options.get("scaling")
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        out = _Attend.apply(query, key, value, attention_mask, scaling, share, visit, leave)
        return out.transpose(1, 2).contiguous(), None

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, eager_mask)
    try:
        config._attn_implementation = NAME
        yield
    finally:
        config._attn_implementation = before
        for interface in (AttentionInterface, AttentionMaskInterface):
            interface._global_mapping.pop(NAME, None)
    if not seen[0]:
        raise CapabilityError(
            f"the decoder of {vlm.name}, which computes its attention by itself",
            "a decoder that takes attention from Transformers' AttentionInterface",
            'use a method without attention, such as "occlusion"',
        )


class _Attend(torch.autograd.Function):
    """Softmax attention ``[1, heads, query, size]`` over keys and values ``[1, groups, key, size]``."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Any,
        key: Any,
        value: Any,
        mask: Any,
        scaling: float,
        share: float,
        visit: Any,
        leave: Any,
    ) -> Any:
        assert len(query) == 1, f"one row at a time, not {len(query)}"
        ctx.save_for_backward(query, key, value, mask)
        ctx.scaling, ctx.share, ctx.visit, ctx.leave = scaling, share, visit, leave
        out = torch.empty_like(query)
        for heads, groups in _parts(query, key):
            out[:, heads] = (
                _weights(query, key, mask, scaling, heads, groups) @ value[:, groups].float()
            ).to(out.dtype)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        query, key, value, mask = ctx.saved_tensors
        into_query = torch.zeros_like(query, dtype=torch.float32)
        into_key, into_value = (torch.zeros_like(t, dtype=torch.float32) for t in (key, value))
        for heads, groups in _parts(query, key):
            weights = _weights(query, key, mask, ctx.scaling, heads, groups)
            out = gradient[:, heads].float() * ctx.share
            slope = out @ value[:, groups].float().transpose(-1, -2)
            ctx.visit(weights[0], slope[0])
            inner = (
                weights * (slope - (slope * weights).sum(dim=-1, keepdim=True)) * (ctx.scaling * ctx.share)
            )
            into_query[:, heads] = inner @ key[:, groups].float()
            into_key.index_add_(1, groups, inner.transpose(-1, -2) @ query[:, heads].float())
            into_value.index_add_(1, groups, weights.transpose(-1, -2) @ out)
        ctx.leave(query.shape[1])
        grads = (g.to(t.dtype) for g, t in ((into_query, query), (into_key, key), (into_value, value)))
        return (*grads, None, None, None, None, None)


def _parts(query: torch.Tensor, key: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Heads that fit together, and the key group of each."""
    count, at_once = query.shape[1], max(1, ROOM // (query.shape[2] * key.shape[2]))
    share = count // key.shape[1]
    for first in range(0, count, at_once):
        heads = torch.arange(first, min(first + at_once, count), device=query.device)
        yield heads, heads // share


def _weights(query: Any, key: Any, mask: Any, scaling: float, heads: Any, groups: Any) -> torch.Tensor:
    """Attention ``[1, heads, query, key]`` in float32."""
    scores = query[:, heads].float() @ key[:, groups].float().transpose(-1, -2) * scaling
    if mask is None:
        causal = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        return scores.masked_fill(~causal, float("-inf")).softmax(dim=-1)
    return (scores + mask[:, :, :, : scores.shape[-1]].float()).softmax(dim=-1)


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
        score = scorer.engine.scores(target, pixels, np.ones_like(altered), pick=logits_of)
        torch.autograd.grad(score.sum(), pixels)
    scorer.forwards += 1
    scorer.on_batch(1)
    depth = Decoder(scorer.vlm).depth
    if job.method != "attention" and row.layers < depth:
        raise CapabilityError(
            f"{job.method!r} through {row.layers} of the {depth} layers of {scorer.vlm.name}, a hybrid",
            "a decoder all of whose layers have attention: what the others move is in no attention",
            'use "attn_lrp" or "embedding_x_gradient", whose gradients pass through every layer',
        )
    return row.relevance()
