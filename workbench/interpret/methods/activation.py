"""Token activation maps, TAM (Li et al. 2025, arXiv 2506.23270): what the picture's tokens would say

As its authors compute it: activations, the context and its weights, the least-squares scale, and the filter's
window, ranks and width.  What differs: maps keep the scores' unit (theirs are scaled to 0..1 together with
the words'); a window without any spread gives its median; a target of several tokens gets their mean;
several pictures are filtered each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...answer import Answer
from ...errors import CapabilityError
from ...models.capture import token_texts
from ..scoring import Scorer
from ..targets import Scored
from .job import Job, Outcome

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["question_places", "rank_gaussian_filter", "run", "without_interference"]

CHUNK = 256  # positions whose scores over the whole vocabulary are held at a time


def run(job: Job) -> Outcome:
    """The score of the target's tokens at each position, minus the interference of the context.

    For a target token: its score at every prompt position through the output head, negative ones cut; the
    context's own activations, weighted by the context's evidence for the target token, fitted by
    least squares and taken off (the paper's estimated causal inference); a rank-Gaussian filter over 3 x 3
    cells.  The context is the question's words and the reply so far, but not other places of the same
    token.  The mean over the target's tokens, weighted as the target is.
    """
    scorer = job.scorer
    layout = scorer.answer.layout
    assert layout is not None, "checked by attribute"
    total = np.zeros(scorer.answer.prompt_tokens)
    asked = question_places(scorer.vlm.tokenizer, scorer.answer)
    job.expect(len(scorer.target.sequences))
    for scored in scorer.target.sequences:
        scores = _scores(scorer, scored)
        for number in range(len(scored.span)):
            at = scored.span.start + number
            context = [*asked, *range(scorer.answer.prompt_tokens, at)]
            found = _token_map(scores, scored, at, layout, context, filtered=job.options["denoise"])
            total += scored.weight * found[: len(total)] / len(scored.span)
    return Outcome(positions=total)


def question_places(tokenizer: PreTrainedTokenizerBase, answer: Answer) -> list[int]:
    """Positions of the prompt's tokens that spell the question; without it, of all its text."""
    assert answer.layout is not None, "checked by attribute"
    text = [at for at in range(answer.prompt_tokens) if answer.layout.locate(at) is None]
    texts = token_texts(tokenizer, answer.prompt_ids, ())
    ends = np.cumsum([len(texts[at]) for at in text])
    start = "".join(texts[at] for at in text).rfind(answer.question)
    if start < 0:
        return text
    stop = start + len(answer.question)
    return [at for at, end in zip(text, ends, strict=True) if end > start and end - len(texts[at]) < stop]


def _token_map(
    scores: tuple[np.ndarray, dict[int, int]],
    scored: Scored,
    at: int,
    layout: Any,
    context: Sequence[int],
    *,
    filtered: bool,
) -> np.ndarray:
    """The cleaned map of the target token at position ``at``, over all positions before it."""
    table, column = scores
    activation = np.maximum(table[:at, column[scored.ids[at]]], 0)
    pictures = np.zeros(at, dtype=bool)
    for grid in layout.grids:
        pictures[grid.start : grid.stop] = True
    places = [p for p in context if scored.ids[p] != scored.ids[at]]
    out = np.zeros(at)
    out[~pictures] = activation[~pictures]
    maps = np.maximum(table[:at][:, [column[scored.ids[p]] for p in places]], 0)[pictures].T
    out[pictures] = without_interference(activation[pictures], maps, activation[places])
    if filtered:
        for grid in layout.grids:
            cells = grid.start + np.arange(grid.rows)[:, None] * grid.row_stride + np.arange(grid.cols)
            out[cells] = rank_gaussian_filter(out[cells])
    return out


def without_interference(activation: np.ndarray, context: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """An activation map without what the context explains.

    Args:
        activation: the target token's ``[cells]``.
        context: the context tokens' ``[tokens, cells]``.
        weights: the evidence of each for the target ``[tokens]``, not negative.
    """
    if not weights.sum() > 0:
        return activation
    interference = weights @ context / weights.sum()
    power = float(interference @ interference)
    scale = float(activation @ interference) / power if power > 0 else 0.0
    return np.maximum(activation - scale * interference, 0)


def rank_gaussian_filter(cells: np.ndarray, side: int = 3) -> np.ndarray:
    """Smooth a map ``[rows, cols]``: each cell becomes a mean over its window's sorted values.

    The weights are a Gaussian over ranks around the median, as wide as the window's coefficient of
    variation: where a window is noisy, more ranks count.
    """
    margin = side // 2
    mode = "reflect" if min(cells.shape) > margin else "edge"
    padded = np.pad(cells, margin, mode=mode)  # type: ignore[call-overload]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side)).reshape(*cells.shape, -1)
    ordered = np.sort(windows, axis=-1)
    mean = ordered.mean(axis=-1)
    width = np.divide(ordered.std(axis=-1), mean, out=np.zeros_like(mean), where=mean > 0)
    ranks = np.arange(side * side) - side * side // 2
    weights = np.exp(-(ranks**2) / (2 * np.maximum(width, 1e-6)[..., None] ** 2))
    return (ordered * weights).sum(axis=-1) / weights.sum(axis=-1)


@torch.no_grad()
def _scores(scorer: Scorer, scored: Scored) -> tuple[np.ndarray, dict[int, int]]:
    """Scores ``[positions, tokens]`` of the sequence's own tokens at each position, and their columns."""
    model: Any = scorer.vlm.model
    head = model.get_output_embeddings()
    if head is None:
        raise CapabilityError(f"{scorer.vlm.name} without an output head", "a model with one")
    with scorer.holding():
        states = scorer.engine.states(scored)
    scorer.forwards += 1
    scorer.on_batch(1)
    ids = sorted(set(scored.ids))
    wanted = torch.tensor(ids, device=states.device)
    parts: Sequence[torch.Tensor] = [
        head(states[at : at + CHUNK])[:, wanted].float().cpu() for at in range(0, len(states), CHUNK)
    ]
    return torch.cat(list(parts)).double().numpy(), {token: number for number, token in enumerate(ids)}
