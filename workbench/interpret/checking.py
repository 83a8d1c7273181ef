"""Measure with a model whether a map can be trusted: one map, or many answers' maps

With the weight-randomisation check (Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv
1810.03292): a map that stays the same when the weights are shuffled shows no model.  Here every weight keeps
its value and loses its place: rows and columns of each matrix are permuted, which destroys what was learned,
keeps each tensor's distribution, needs no second copy of the model, and is undone exactly.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm.auto import tqdm

from ..answer import Answer
from ..errors import CapabilityError, InputError
from ..models.vlm import VLM
from ..names import verb
from ..synth import Sample
from ..types import Box, Region
from .attribution import Attribution
from .curves import Score
from .faithfulness import (
    LEAST_DROP,
    Faithfulness,
    FaithfulnessSummary,
    Plausibility,
    blocks,
    check_settings,
    evidence_of,
    examine,
    plausibility,
    sinks,
    summarise,
)
from .regions import CHECKED, Regions
from .replay import Decoder, Replay, forward, held, reading
from .scoring import Scorer

__all__ = ["check", "check_one", "randomised", "score_over", "similarity", "sink_maps"]

T = TypeVar("T")


@verb(fills="baselines", random="n_random", randomise="n_shuffles")
def check_one(
    attribution: Attribution,
    *,
    vlm: VLM | None = None,
    sample: Sample | None = None,
    boxes: Sequence[Region | Box] | None = None,
    baselines: Sequence[str] = CHECKED,
    regions: tuple[int, int] | str = (6, 6),
    steps: int | None = None,
    n_random: int = 19,
    n_shuffles: int = 1,
    batch_size: int = 16,
    seed: int = 0,
    progress: bool = True,
) -> Faithfulness:
    """Measure whether a map tells what the answer depends on.

    Insertion and deletion on the target's log-probability, with equal regions for the map, random orders,
    the centre prior and attention sinks, under each baseline; the drop without any picture; the same
    method's map with shuffled weights; and, apart from that, whether the map points at known evidence.

    Args:
        attribution: what `workbench.interpret.attribute` returned.
        vlm: the model; None for the one that made the attribution, which a saved one has forgotten.
        sample: the drawn question that was answered, for its true boxes.
        boxes: the true evidence instead: `Region`, or boxes in pixels of the first picture.
        baselines: what hidden regions show, some of "mean" (the image's mean colour), "blur", "white",
            "black".
        regions: (rows, cols) of equal regions a picture, or "patches".
        steps: points of a curve, about, evenly; None for steps that are finest at both ends, see
            `curves.budgets`.
        n_random: random orders, at least 9; each counts with its reverse.
        n_shuffles: how often to shuffle the weights and make the map anew; 0 for not at all.
        batch_size: altered pictures at a time; halved where memory runs out.
        seed: of random orders, ties and shuffled weights.
        progress: show a bar that counts the altered images.

    Raises:
        InputError: for settings or boxes that cannot be used, a sample of another question, or a map
            without its model.
        CapabilityError: for a model behind a server.
    """
    check_settings(baselines, steps=steps, n_random=n_random)
    if isinstance(n_shuffles, bool) or not isinstance(n_shuffles, int) or n_shuffles < 0:
        raise InputError(f"n_shuffles={n_shuffles!r}", "a non-negative integer")
    vlm, answer = attribution.model_for(vlm), attribution.answer
    assert answer.layout is not None, "a map lies on a grid"
    grids = answer.layout.images
    labels = blocks(grids, regions)
    true = evidence_of(answer, sample, boxes)
    seen: Plausibility | None = None if true is None else plausibility(attribution.maps, grids, true)
    started = time.perf_counter()
    scorer = Scorer(vlm, answer, attribution.target, batch_size=batch_size)
    notes: list[str] = []
    sink = _try("sink reference", lambda: sink_maps(vlm, answer), notes)
    options: dict[str, Any] = {
        "regions": regions,
        "baselines": tuple(baselines),
        "steps": steps,
        "n_random": n_random,
    }
    score = score_over(scorer, labels)
    with tqdm(disable=not progress, unit="image", desc="check", leave=False, delay=1) as bar:
        scorer.on_batch = bar.update
        curves = examine(score, attribution.maps, grids, sink=sink, seed=seed, **options)
        scorer.on_batch = lambda done: None
    no_image = _try("score without pictures", scorer.without_pictures, notes)
    if no_image is not None and scorer.base - no_image < LEAST_DROP and scorer.target.kind == "answer":
        notes.append("the answer was scored with its thought given; target=None scores the thought with it")
    again = None
    if n_shuffles:
        again = _try("randomisation check", lambda: _randomisation(vlm, attribution, n_shuffles, seed), notes)
    return Faithfulness(
        method=attribution.method,
        target=scorer.target.label,
        model=vlm.name,
        regions=1 + max(int(part.max()) for part in labels),
        curves=curves,
        full=scorer.base,
        no_image=no_image,
        plausibility=seen,
        randomisation=again,
        notes=tuple(notes),
        seconds=time.perf_counter() - started,
        forwards=scorer.forwards,
        settings={**options, "baselines": list(baselines), "n_shuffles": n_shuffles, "seed": seed},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@verb(fills="baselines", random="n_random", randomise="n_shuffles", samples="sample")
def check(
    attribution: Attribution | Sequence[Attribution | Faithfulness],
    *,
    sample: Sample | Sequence[Sample | None] | None = None,
    progress: bool = True,
    **options: Any,
) -> Faithfulness | FaithfulnessSummary:
    """Check whether a map can be trusted, or how far the maps of one method can be over several answers.

    Args:
        attribution: one, or several of one method (or their `Faithfulness`, taken as it is).
        sample: the drawn question that was answered, or that of each answer, for the true boxes.
        progress: show a bar: altered images of one map, or maps of several.
        **options: as for `check_one`.

    Returns:
        `Faithfulness` of one, or a `FaithfulnessSummary` with intervals over several.

    Raises:
        InputError: as `check_one`, or for no map, or maps of several methods.
    """
    if not isinstance(attribution, Sequence):
        if isinstance(sample, Sequence):
            raise InputError(f"{len(sample)} samples for one attribution", "its own sample")
        return check_one(attribution, sample=sample, progress=progress, **options)
    known = [None] * len(attribution) if sample is None else sample
    if not isinstance(known, Sequence) or len(known) != len(attribution):
        given = len(known) if isinstance(known, Sequence) else 1
        raise InputError(f"{given} samples for {len(attribution)} attributions", "one for each")
    bar = tqdm(list(zip(attribution, known, strict=True)), disable=not progress, desc="check", leave=False)
    return summarise(
        [
            each
            if isinstance(each, Faithfulness)
            else check_one(each, sample=drawn, progress=False, **options)
            for each, drawn in bar
        ]
    )


def score_over(scorer: Scorer, labels: Sequence[np.ndarray]) -> Score:
    """The scorer as a function of which regions are kept, over regions of the pictures' cells."""
    frames = tuple(grid.region for grid in scorer.answer.layout.images)  # type: ignore[union-attr]
    regions = Regions("grid", tuple(labels), frames)
    return lambda keep, baseline: scorer.masked(~keep, regions=regions, baseline=baseline)


def sink_maps(vlm: VLM, answer: Answer) -> list[np.ndarray]:
    """The sink reference of an answer: see `faithfulness.sinks`.

    Raises:
        CapabilityError: for a decoder whose layers are not known.
    """
    decoder, replay = Decoder(vlm), Replay.of(vlm, answer)
    norms: dict[int, np.ndarray] = {}

    def take(layer: int, states: Any) -> None:
        sizes = states[0].float().norm(dim=-1).cpu().numpy()
        norms[layer] = sizes / np.median(sizes)

    with held(vlm), reading(decoder, take):
        forward(vlm, replay, 1)
    middle = [norms[layer] for layer in norms if decoder.depth / 4 <= layer <= 3 * decoder.depth / 4]
    mean = np.mean(middle or list(norms.values()), axis=0)
    return [sinks(grid, mean) for grid in replay.layout.images]


def _randomisation(vlm: VLM, attribution: Attribution, count: int, seed: int) -> tuple[float, ...]:
    """The same method's maps with shuffled weights against the map, one correlation a shuffle."""
    found = []
    for number in range(count):
        with randomised(vlm.model, seed=seed + number):
            found.append(similarity(attribution.maps, attribution.again(vlm).maps))
    return tuple(found)


def _try(what: str, measure: Callable[[], T], notes: list[str]) -> T | None:
    """A part of the check that not every model allows; why it is missing is noted."""
    try:
        return measure()
    except CapabilityError as error:
        notes.append(f"no {what}: {error}")
        return None


def similarity(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Spearman's rank correlation of two maps over all cells of all pictures.

    Two flat maps are equal (1); a flat one and another have nothing in common (0).

    Raises:
        InputError: if they are not on the same grids.
    """
    if [part.shape for part in one] != [part.shape for part in other]:
        raise InputError(
            f"maps of shapes {[p.shape for p in one]} and {[p.shape for p in other]}",
            "maps on the same grids",
        )
    a, b = (_ranks(np.concatenate([np.asarray(p, dtype=float).ravel() for p in m])) for m in (one, other))
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    if size == 0:
        return float(not a.any() and not b.any())
    return float(np.clip(a @ b / size, -1, 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


@contextlib.contextmanager
def randomised(model: Any, *, seed: int) -> Iterator[None]:
    """Within this context every weight is shuffled; afterwards, and after an error, all are back.

    Hold the model meanwhile: whoever else asks it gets nonsense.

    Args:
        model: a torch module.
        seed: of the permutations.

    Raises:
        CapabilityError: for weights that are quantized or elsewhere than in memory, which cannot be moved.
    """
    weights = list(model.parameters())
    if any(w.is_meta or not w.is_floating_point() or type(w.data) is not torch.Tensor for w in weights):
        raise CapabilityError(
            "a model with weights that are quantized or offloaded",
            "weights in float32, float16 or bfloat16 on one device",
            "load it without quantize and offload, or check with n_shuffles=0",
        )
    done: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
    try:
        for number, weight in enumerate(weights):
            generator = torch.Generator().manual_seed(hash((seed, number)) % 2**63)
            axes = [torch.randperm(size, generator=generator) for size in weight.shape]
            _permute(weight, axes)
            done.append((weight, axes))  # after it: what could not be permuted for lack of room is not undone
        yield
    finally:
        for weight, axes in done:
            _permute(weight, [torch.argsort(axis) for axis in axes])


@torch.no_grad()
def _permute(weight: torch.Tensor, axes: Sequence[torch.Tensor]) -> None:
    """Permute along each axis in place."""
    moved = weight.data
    for dim, axis in enumerate(axes):
        moved = moved.index_select(dim, axis.to(weight.device))
    weight.data.copy_(moved)
