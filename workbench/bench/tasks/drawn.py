"""Tasks from the drawn world: one a family and difficulty, named ``synth:gui_find@2``"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import synth
from ...errors import InputError
from ...synth import Sample
from .task import Item, Task

__all__ = ["BENCHMARK_SEED", "drawn_item", "drawn_names", "drawn_task", "score_drawn"]

#: Seed of benchmark items. Training draws from texts that begin with "train/", its evaluation from 1_000_003:
#: no picture of a benchmark was trained on, or looked at while training.
BENCHMARK_SEED = 2_000_003

#: Items of a drawn task, unless asked otherwise.
ITEMS = 100


def drawn_names() -> list[str]:
    """Names of the drawn tasks: each family, at each difficulty and mixed."""
    levels = ["", *(f"@{level}" for level in synth.DIFFICULTIES)]
    return [f"synth:{family}{level}" for family in synth.FAMILIES for level in levels]


def drawn_task(name: str, *, n: int = ITEMS, seed: int = BENCHMARK_SEED) -> Task:
    """A task of one family, at one difficulty or mixed.

    Args:
        name: "synth:FAMILY" or "synth:FAMILY@DIFFICULTY".
        n: how many items.
        seed: of the drawings; the same gives the same items.

    Raises:
        InputError: for a family or difficulty that does not exist.
    """
    family, _, level = name.removeprefix("synth:").partition("@")
    if family not in synth.FAMILIES or (level and level not in map(str, synth.DIFFICULTIES)):
        raise InputError(
            f"task {name!r}", f"synth:FAMILY or synth:FAMILY@1..3, FAMILY one of {', '.join(synth.FAMILIES)}"
        )
    samples = synth.sample(family, n, seed=seed, difficulty=int(level) if level else None)
    items = [drawn_item(sample, f"{family}-{number:04d}") for number, sample in enumerate(samples)]
    return Task(
        f"synth:{family}{'@' + level if level else ''}", items, origin=f"workbench.synth, seed {seed}"
    )


def drawn_item(sample: Sample, name: str, *, images: Sequence[Any] = ()) -> Item:
    """The item of a drawn sample; ``images`` stand in for its own pictures where they are stored."""
    size = sample.images[sample.picture].size
    return Item(
        id=name,
        question=sample.question,
        gold=sample.answer,
        images=tuple(images or sample.images),
        cluster=name,
        category=f"{sample.family}@{sample.difficulty}",
        size=sample.images[0].size,
        scoring={"rule": sample.rule, "boxes": [list(box) for box in sample.boxes], "image_size": list(size)},
        boxes=sample.boxes,
        picture=sample.picture,
    )


class _Sized:
    """Stands in for a picture where only its size is needed."""

    def __init__(self, size: Sequence[int]) -> None:
        self.size = (int(size[0]), int(size[1]))


def score_drawn(
    text: str,
    gold: str,
    *,
    rule: str,
    boxes: Sequence[Sequence[float]] = (),
    image_size: Sequence[int] = (1, 1),
    **_: Any,
) -> bool:
    """Whether a reply is right by the rule of a drawn question; the same as ``Sample.correct``.

    Raises:
        InputError: for a rule that does not exist, or the rule "point" without a box.
    """
    if rule not in ("words", "number", "point") or (rule == "point" and not boxes):
        raise InputError(f"rule={rule!r} with {len(boxes)} boxes", "'words', 'number', or 'point' with a box")
    sample = Sample(
        images=[_Sized(image_size)],  # type: ignore[list-item]
        question="",
        answer=str(gold),
        trace="",
        boxes=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in boxes),
        family="",
        domain="",
        steps=1,
        difficulty=1,
        rule=rule,
    )
    return sample.correct(text)
