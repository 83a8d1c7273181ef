"""Records made by hand, for tests, examples and figures: known rows, no model"""

from __future__ import annotations

import numpy as np

from ..types import PatchGrid, Span, TokenLayout
from .record import Attention, LayerStore

__all__ = ["make_attention"]

NOTHING = np.float32(-1e4)  # a score whose softmax is exactly zero, and which is still finite


def make_attention(
    weights: np.ndarray | None = None,
    *,
    layers: int = 2,
    heads: int = 2,
    grid: tuple[int, int] = (3, 4),
    size: tuple[int, int] | None = None,
    before: int = 2,
    after: int = 2,
    reply: int = 4,
    thought: int = 0,
    words: tuple[str, ...] = (),
    seed: int = 0,
) -> Attention:
    """A record with given, or seeded random, rows.

    The prompt is ``before`` text tokens, one picture of ``grid`` tokens, ``after`` text tokens; then
    come ``reply`` tokens, the first ``thought`` of them the thought and the rest the answer.

    Args:
        weights: ``[layers, heads, reply, positions]`` with ``positions = before + rows * cols + after +
            reply - 1``; row ``i`` is of reply token ``i`` and must be zero after position
            ``before + rows * cols + after + i - 1``.  Each is scaled to sum to one.
        layers, heads: how many, where there are no weights.
        grid: (rows, cols).
        size: (width, height) of the picture; None for 10 pixels a cell.
        before, after, reply, thought: numbers of tokens.
        words: texts of the reply's tokens.
        seed: of random weights.
    """
    rows, cols = grid
    prompt = before + rows * cols + after
    positions = prompt + reply - 1
    if weights is None:
        weights = np.random.default_rng(seed).gamma(0.5, size=(layers, heads, reply, positions)) + 1e-6
        weights = weights * (np.arange(positions) < prompt + np.arange(reply)[:, None])
    weights = np.asarray(weights, dtype=np.float64)
    assert weights.shape[2:] == (reply, positions), (weights.shape, reply, positions)
    with np.errstate(divide="ignore"):
        scores = np.log(weights).astype(np.float32)
    scores = np.maximum(scores, NOTHING)
    chosen = np.eye(reply, dtype=np.float32)  # query i picks the i-th score of every key
    store = tuple(
        LayerStore(
            queries=np.broadcast_to(chosen, (len(layer), reply, reply)).copy(),
            keys=np.ascontiguousarray(layer.transpose(0, 2, 1)),
            scale=1.0,
        )
        for layer in scores
    )
    width, height = size or (cols * 10, rows * 10)
    box = (0.0, 0.0, float(width), float(height))
    picture = PatchGrid(
        image=0, rows=rows, cols=cols, start=before, size=(width, height), region=box, row_stride=cols
    )
    spans = {
        "thought": Span(prompt, prompt + thought) if thought else Span(0, 0),
        "answer": Span(prompt + thought, prompt + reply),
    }
    named = words or tuple(f" w{i}" for i in range(reply))
    texts = (
        *(f"p{i}" for i in range(before)),
        *("<image>",) * (rows * cols),
        *(f"q{i}" for i in range(after)),
    )
    return Attention(
        store=store,
        layout=TokenLayout(prompt, (picture,)),
        texts=(*texts, *named),
        tokens=Span(prompt, prompt + reply),
        spans=spans,
        model="by hand",
    )
