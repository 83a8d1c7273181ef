"""Can a map be trusted? `check` measures it against random, centre and sink baselines, with a verdict"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CapabilityError, InputError
from ..types import Box, Region
from .baselines import blocks, sinks
from .examine import FILLS, check_settings, examine
from .faithfulness_record import Faithfulness
from .faithfulness_summary import FaithfulnessSummary, summarise
from .plausibility import Plausibility, plausibility

if TYPE_CHECKING:
    from ..answer import Answer
    from ..models.handle import VLM
    from ..synth import Sample
    from .attribution import Attribution
    from .curves import Score
    from .forward import Scorer

__all__ = [
    "Faithfulness",
    "FaithfulnessSummary",
    "check",
    "check_many",
    "evidence_of",
    "score_over",
    "sink_maps",
]


def check(
    attribution: Attribution,
    *,
    vlm: VLM | None = None,
    sample: Sample | None = None,
    boxes: Sequence[Region | Box] | None = None,
    fills: Sequence[str] = FILLS,
    regions: tuple[int, int] | str = (6, 6),
    steps: int = 6,
    random: int = 19,
    randomise: int = 1,
    batch_size: int = 16,
    seed: int = 0,
) -> Faithfulness:
    """Measure whether a map tells what the answer depends on.

    Insertion and deletion on the target's log-probability, with equal regions for the map, random orders,
    the centre prior and attention sinks, under each masking; the drop without any picture; the same
    method's map with shuffled weights; and, apart from that, whether the map points at known evidence.

    Args:
        attribution: what `workbench.interpret.attribute` returned.
        vlm: the model; None for the one that made the attribution, which a saved one has forgotten.
        sample: the drawn question that was answered, for its true boxes.
        boxes: the true evidence instead: `Region`, or boxes in pixels of the first picture.
        fills: maskings: "mean" (the picture's mean colour), "blur", "white".
        regions: (rows, cols) of equal regions a picture, or "patches".
        steps: points of a curve, about.
        random: random orders, at least 9; each counts with its reverse.
        randomise: how often to shuffle the weights and make the map anew; 0 for not at all.
        batch_size: altered pictures at a time; halved where memory runs out.
        seed: of random orders, ties and shuffled weights.

    Raises:
        InputError: for settings or boxes that cannot be used, a sample of another question, or a map
            without its model.
        CapabilityError: for a model behind a server.
    """
    from .forward import Scorer

    check_settings(fills, steps=steps, random=random)
    if isinstance(randomise, bool) or not isinstance(randomise, int) or randomise < 0:
        raise InputError(f"randomise={randomise!r}", "a whole number from 0 (not at all)")
    vlm, answer = attribution.model_for(vlm), attribution.answer
    assert answer.layout is not None, "a map lies on a grid"
    grids = answer.layout.images
    labels = blocks(grids, regions)
    true = evidence_of(answer, sample, boxes)
    seen: Plausibility | None = None if true is None else plausibility(attribution.maps, grids, true)
    started = time.perf_counter()
    scorer = Scorer(vlm, answer, attribution.target, batch_size=batch_size)
    notes: list[str] = []
    sink = _try("sink baseline", lambda: sink_maps(vlm, answer), notes)
    options: dict[str, Any] = {"regions": regions, "fills": tuple(fills), "steps": steps, "random": random}
    score = score_over(scorer, labels)
    curves = examine(score, attribution.maps, grids, sink=sink, seed=seed, **options)
    no_image = _try("score without pictures", scorer.without_pictures, notes)
    again = None
    if randomise:
        again = _try("randomisation check", lambda: _randomisation(vlm, attribution, randomise, seed), notes)
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
        settings={**options, "fills": list(fills), "randomise": randomise, "seed": seed},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def check_many(
    attributions: Sequence[Attribution | Faithfulness],
    *,
    samples: Sequence[Sample] | None = None,
    progress: bool = True,
    **options: Any,
) -> FaithfulnessSummary:
    """Check several maps of one method and put intervals over the samples.

    Args:
        attributions: attributions, or `Faithfulness` records, which are taken as they are.
        samples: the drawn question of each attribution.
        progress: show a bar.
        **options: as for `check`.

    Raises:
        InputError: as `check`, or for no map, or maps of several methods.
    """
    from tqdm.auto import tqdm

    if samples is not None and len(samples) != len(attributions):
        raise InputError(f"{len(samples)} samples for {len(attributions)} attributions", "one for each")
    known: Sequence[Sample | None] = samples or [None] * len(attributions)
    bar = tqdm(list(zip(attributions, known, strict=True)), disable=not progress, desc="check", leave=False)
    return summarise(
        [
            one if isinstance(one, Faithfulness) else check(one, sample=sample, **options)
            for one, sample in bar
        ]
    )


def evidence_of(
    answer: Answer, sample: Sample | None = None, boxes: Sequence[Region | Box] | None = None
) -> list[Region] | None:
    """The true evidence over the pictures of a conversation; None where it is not known.

    Raises:
        InputError: for both at once, a sample of another question, or what is no box.
    """
    if sample is not None and boxes is not None:
        raise InputError("both sample and boxes", "one of them")
    if sample is not None:
        shown = answer.question_images
        if sample.question != answer.question or [i.size for i in sample.images] != [i.size for i in shown]:
            raise InputError(
                f"a sample that asks {sample.question!r} for an answer to {answer.question!r}",
                "the sample that was asked about",
            )
        first = len(answer.images) - len(shown)
        return [Region(box, first + sample.picture) for box in sample.boxes]
    if boxes is None:
        return None
    try:
        found = [b if isinstance(b, Region) else Region(tuple(float(v) for v in b)) for b in boxes]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = []
    if (boxes and not found) or any(len(region.box) != 4 for region in found):
        raise InputError(f"boxes={boxes!r}", "regions, or boxes (x1, y1, x2, y2) in pixels")
    return found


def score_over(scorer: Scorer, labels: Sequence[np.ndarray]) -> Score:
    """The scorer as a function of which regions are kept, over regions of the pictures' cells."""
    from .regions import Regions

    frames = tuple(grid.region for grid in scorer.answer.layout.images)  # type: ignore[union-attr]
    regions = Regions("grid", tuple(labels), frames)
    return lambda keep, fill: scorer.masked(~keep, regions=regions, fill=fill)


def sink_maps(vlm: VLM, answer: Answer) -> list[np.ndarray]:
    """The sink baseline of an answer: see `baselines.sinks`.

    Raises:
        CapabilityError: for a decoder whose layers are not known.
    """
    from .inside import Decoder, reading
    from .replay import Replay, forward, held

    decoder, replay = Decoder(vlm), Replay.of(vlm, answer)
    norms: dict[int, np.ndarray] = {}

    def take(layer: int, states: Any) -> None:
        sizes = states[0].float().norm(dim=-1).cpu().numpy()
        norms[layer] = sizes / np.median(sizes)

    with held(vlm), reading(decoder, take):
        forward(vlm, replay.inputs, 1)
    middle = [norms[layer] for layer in norms if decoder.depth / 4 <= layer <= 3 * decoder.depth / 4]
    mean = np.mean(middle or list(norms.values()), axis=0)
    return [sinks(grid, mean) for grid in replay.layout.images]


def _randomisation(vlm: VLM, attribution: Attribution, count: int, seed: int) -> tuple[float, ...]:
    """The same method's maps with shuffled weights against the map, one correlation a shuffle."""
    from .randomise import randomised, similarity

    found = []
    for number in range(count):
        with randomised(vlm.model, seed=seed + number):
            found.append(similarity(attribution.maps, attribution.again(vlm).maps))
    return tuple(found)


def _try(what: str, measure: Any, notes: list[str]) -> Any:
    """A part of the check that not every model allows; why it is missing is noted."""
    try:
        return measure()
    except CapabilityError as error:
        notes.append(f"no {what}: {error}")
        return None
