"""Thinking, seen: at which sentence of its thought a model looked where"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.ndimage import label

from ..answer import Answer
from ..attention import Attention
from ..attention.select import as_region
from ..errors import InputError
from ..types import Box, PatchGrid, Region, Span
from .sentences import sentences, step_boxes

if TYPE_CHECKING:
    from ..synth import Sample

__all__ = ["looked_at", "timeline"]

COLUMNS = ("step", "sentence", "start", "stop", "tokens", "share", "entropy", "sink_share", "peak", "box")


def timeline(
    answer: Answer,
    *,
    image: int = 0,
    sample: Sample | None = None,
    boxes: Sequence[Any] | None = None,
    layers: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    sinks: bool = False,
) -> pd.DataFrame:
    """The thought sentence by sentence: how much of it looked at a picture, how widely, and where.

    Every value is a mean over the sentence's tokens, each with the attention from which it was written.

    Args:
        answer: an answer with a thought, asked with ``capture=True``.
        image: which picture of the conversation; a sample's boxes lie on ``sample.picture``.
        sample: the drawn question, whose evidence is known step by step: sentence ``i`` is compared
            with step ``i`` of its trace.
        boxes: the same from elsewhere: for each sentence a box (x1, y1, x2, y2) in pixels of the picture,
            several, or None.
        layers, heads: averaged over; None for all.
        sinks: whether sinks count in the map; without them where it looked is not the brightest sink.

    Returns:
        A row for each sentence: ``step`` (from 0), ``sentence``, ``start`` and ``stop`` (positions in
        ``answer.token_ids``), ``tokens``; ``share`` (of the attention, on the picture, sinks included),
        ``entropy`` (bits, of the map), ``sink_share`` (of the attention); ``peak`` (row and column of the
        most seen patch) and ``box`` (pixels around the connected patches above half of the peak).  With
        ``sample`` or ``boxes`` also ``truth`` (the step's boxes), ``hit`` (the peak lies in them; None for a
        sentence without), ``inside`` (of the attention on the picture, the part in them) and ``chance``
        (their part of the patches: what an even look gives to both).

    Raises:
        InputError: for an answer without a thought or without its attention, a picture that is not
            there, both or wrong ``sample`` and ``boxes``, or a layer or head out of range.
        CapabilityError: for an answer of a server.
    """
    attention, span = _thought(answer)
    truth = _truth(answer, image, sample, boxes)
    grid = attention.grid(image)
    over = attention.over_time(image, layers=layers, heads=heads).set_index("token")
    rows = []
    for step, part in enumerate(sentences(attention.texts, span)):
        map_ = attention.map(part, image, layers=layers, heads=heads, sinks=sinks)
        means = over.loc[list(part)][["share", "sink_share"]].mean()
        peak, box = looked_at(map_, grid)
        row = {
            "step": step,
            "sentence": "".join(attention.texts[at] for at in part).strip(),
            "start": part.start,
            "stop": part.stop,
            "tokens": len(part),
            "share": float(means["share"]),
            "entropy": _entropy(map_),
            "sink_share": float(means["sink_share"]),
            "peak": peak,
            "box": box,
        }
        rows.append(row | ({} if truth is None else _against(truth, step, map_, peak, grid)))
    names = COLUMNS if truth is None else (*COLUMNS, "truth", "hit", "inside", "chance")
    return pd.DataFrame(rows, columns=list(names))


def looked_at(map_: np.ndarray, grid: PatchGrid) -> tuple[tuple[int, int], Box]:
    """The most seen patch (row, col), and the pixels around the connected patches above half of it.

    Args:
        map_: ``[rows, cols]`` of the grid.
        grid: where it lies on the picture.
    """
    row, col = (int(i) for i in np.unravel_index(int(np.argmax(map_)), map_.shape))
    regions, _ = label(map_ >= map_[row, col] / 2)
    at = np.argwhere(regions == regions[row, col])
    top, bottom = grid.box(*map(int, at.min(axis=0))), grid.box(*map(int, at.max(axis=0)))
    width, height = grid.size
    return (row, col), (max(0.0, top[0]), max(0.0, top[1]), min(width, bottom[2]), min(height, bottom[3]))


def _thought(answer: Answer) -> tuple[Attention, Span]:
    attention = answer.attention
    span = answer.spans["thought"]
    if answer.thought is None or not len(span):
        raise InputError(
            f"an answer without a thought (mode {answer.mode})",
            "an answer that thought first",
            "ask with mode='think', capture=True",
        )
    return attention, span


def _truth(
    answer: Answer, image: int, sample: Sample | None, boxes: Sequence[Any] | None
) -> list[tuple[Box, ...]] | None:
    """The true boxes of each sentence; checked against the picture."""
    if sample is None and boxes is None:
        return None
    if sample is not None and boxes is not None:
        raise InputError("both sample and boxes", "one of them")
    if sample is not None:
        if sample.picture != image:
            raise InputError(f"image={image}", f"image={sample.picture}, on which the sample's evidence lies")
        if sample.question != answer.question:
            raise InputError(
                f"a sample of another question ({sample.question[:40]!r})",
                f"the sample that was asked ({answer.question[:40]!r})",
            )
        return step_boxes(sample)
    layout = answer.attention.layout
    return [tuple(as_region(Region(b, image), layout).box for b in _several(one)) for one in boxes or ()]


def _several(entry: Any) -> Sequence[Box]:
    if entry is None:
        return ()
    entry = entry.box if isinstance(entry, Region) else entry
    several = [one.box if isinstance(one, Region) else one for one in entry]
    return [tuple(entry)] if several and np.isscalar(several[0]) else several


def _against(
    truth: list[tuple[Box, ...]], step: int, map_: np.ndarray, peak: tuple[int, int], grid: PatchGrid
) -> dict[str, Any]:
    own = truth[step] if step < len(truth) else ()
    cells = sorted({cell for box in own for cell in grid.cells(box)})
    if not cells:
        return {"truth": own, "hit": None, "inside": np.nan, "chance": np.nan}
    total = float(map_.sum())
    return {
        "truth": own,
        "hit": peak in cells,
        "inside": float(sum(map_[cell] for cell in cells)) / total if total else np.nan,
        "chance": len(cells) / len(grid),
    }


def _entropy(map_: np.ndarray) -> float:
    """Bits of a map's distribution over its patches."""
    total = float(map_.sum())
    p = map_[map_ > 0].astype(float) / total if total else np.ones(1)
    return float(-(p * np.log2(p)).sum())
