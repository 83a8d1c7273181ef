"""The records of a run in their order: which domain, which record, whether it thinks; and their batches."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .. import synth
from ..synth.canvas import Mark
from ..synth.sample import Drawing
from ..synth.wordings import SHAPES
from ..train.data import Batch, Encoder, Example, Mix, bucketed
from .recipe import DOMAINS, STAGES, WRITTEN, Recipe, reasoning_rates

__all__ = ["Plan", "StageSteps", "make_plan", "write_example", "written"]

#: Steps that are drawn together.
POOL = 4

#: Most questions about the picture of one record, and tokens at which its conversation is full.
QUESTIONS, TOKENS = 6, 300

#: Records in one conversation of a "long" stage.
LONG_RECORDS = 2


class StageSteps(NamedTuple):
    """A stage in optimiser steps: the first, how many, and the first record of the plan that it draws;
    and its own share of records with a thought, if it has one."""

    kind: str
    start: int
    steps: int
    first: int
    reasoning: float | None = None

    @property
    def records(self) -> int:
        """Records in one conversation."""
        return LONG_RECORDS if self.kind == "long" else 1

    @property
    def trains(self) -> tuple[str, ...]:
        """Parts of the model that learn."""
        return STAGES[self.kind]


@dataclass(frozen=True)
class Plan:
    """All records of a run in the order in which they are seen.

    Args:
        recipe: what was asked for.
        domains: ``[samples]``, indices into `DOMAINS`.
        numbers: ``[samples]``, which record of its domain.
        stages: in steps.
    """

    recipe: Recipe
    domains: np.ndarray
    numbers: np.ndarray
    stages: tuple[StageSteps, ...]

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> StageSteps:
        """The stage that a step belongs to."""
        return [s for s in self.stages if s.start <= step and s.steps][-1]

    def batches(self, encoder: Encoder, step: int) -> Iterator[list[Batch]]:
        """Each step's batches, from any step to the end of the run; the same step gives the same ones."""
        while step < self.steps:
            stage = self.stage(step)
            within = step - stage.start
            chunk = self._chunk(encoder, stage, within // POOL)
            for batches in chunk[within % POOL :]:
                yield batches
                step += 1

    def _chunk(self, encoder: Encoder, stage: StageSteps, number: int) -> list[list[Batch]]:
        """The batches of up to `POOL` steps."""
        size = self.recipe.optimiser.batch
        steps = min(POOL, stage.steps - number * POOL)
        first = stage.first + number * POOL * size * stage.records
        drawn = [self._example(encoder, stage, first + i * stage.records) for i in range(steps * size)]
        return bucketed(
            drawn, steps, random.Random(f"{self.recipe.seed}/{stage.start}/{number}"), encoder.pad
        )

    def _example(self, encoder: Encoder, stage: StageSteps, first: int) -> Example:
        # The last stage may need a few more records than the budget to fill its last batch: it starts anew.
        places = [(first + i) % len(self.domains) for i in range(stage.records)]
        return write_example(encoder, self.recipe, self.records(places), stage.kind, stage.reasoning)

    def records(self, places: list[int]) -> list[tuple[str, int]]:
        """Domain and number of the records at some places of the order."""
        return [(DOMAINS[self.domains[p]], int(self.numbers[p])) for p in places]


def make_plan(recipe: Recipe, samples: int) -> Plan:
    """The order of a run's records; the same recipe gives the same plan.

    Args:
        recipe: what to draw.
        samples: records to be seen.
    """
    rng = np.random.default_rng([recipe.seed, 4])
    shares = recipe.mixture.shares()
    domains = rng.choice(len(DOMAINS), samples, p=[shares[name] for name in DOMAINS])
    numbers = np.zeros(samples, dtype=np.int64)
    for i, name in enumerate(DOMAINS):
        where = np.flatnonzero(domains == i)
        numbers[where] = _passes(rng, len(where), getattr(recipe.mixture, name).records)
    return Plan(recipe, domains, numbers, _stages(recipe, samples))


def _passes(rng: np.random.Generator, count: int, records: int | None) -> np.ndarray:
    """Record numbers: fresh ones, or shuffled passes over a fixed number of records."""
    if records is None or count == 0:
        return np.arange(count)
    passes = [rng.permutation(records) for _ in range(-(-count // records))]
    return np.concatenate(passes)[:count]


def _stages(recipe: Recipe, samples: int) -> tuple[StageSteps, ...]:
    stages: list[StageSteps] = []
    step = first = 0
    for stage in recipe.stages:
        made = StageSteps(stage.kind, step, 0, first, stage.reasoning)
        conversations = stage.share * samples / (recipe.optimiser.batch * made.records)
        steps = max(1, round(conversations)) if stage.share > 0 else 0
        stages.append(made._replace(steps=steps))
        step += steps
        first += steps * recipe.optimiser.batch * made.records
    return tuple(stages)


def write_example(
    encoder: Encoder,
    recipe: Recipe,
    records: list[tuple[str, int]],
    kind: str = "all",
    reasoning: float | None = None,
) -> Example:
    """One conversation from records (domain, number).

    Family, picture and whether it thinks are the record's own: seen again, it is the same.  Every reply
    learns its first token, the mode: which records think is what the model can learn about choosing.

    Args:
        encoder: writes drawings as ids.
        recipe: families, difficulty, seed.
        records: what the conversation is about.
        kind: of the stage; "text" writes the pictures out.
        reasoning: share of records with a thought; None for the recipe's.
    """
    rates, families = reasoning_rates(recipe, reasoning), recipe.domain_families()
    example = encoder.start()
    for domain, number in records:
        seed = f"ablate/{recipe.seed}/{domain}/{number}"
        rng = random.Random(seed)
        family = rng.choice([f for f in families[domain] if kind != "text" or f in WRITTEN])
        thinks = float(rng.random() < rates[domain, synth.family(family).several_steps])
        mix = Mix(think_steps=thinks, think_look=thinks, questions=QUESTIONS, budget=TOKENS)
        drawing, _ = synth.draw(family, seed=seed, difficulty=recipe.difficulty)
        shown = _told(drawing) if kind == "text" else drawing
        encoder.add(example, shown, family=family, rng=rng, mix=mix)
    modes = (encoder.think, encoder.direct)
    for i, (token, weight) in enumerate(zip(example.ids, example.weights, strict=True)):
        if weight and token in modes:
            example.labels[i] = token
    return example


def _told(drawing: Drawing) -> Drawing:
    """A drawing without its picture: what is on it stands in words before the first question."""
    first, *others = drawing.questions
    text = f"{written(drawing)} {first.text}"
    return Drawing([], [dataclasses.replace(first, text=text), *others])


#: Kinds of things that say something without a text on them.
_SPEAKING = ("on", "off", *SHAPES)


def written(drawing: Drawing) -> str:
    """What is on a drawing's first picture, in the order of drawing: "Home Mail, Mail Shop."

    Every thing is told by its labels, its colour, and its text or else its kind; captions that only name
    others' labels (axes, heads of tables) are left out.
    """
    told = [line for mark in drawing.canvases[0].marks if (line := _line(mark))]
    return ", ".join(told) + "."


def _line(mark: Mark) -> str:
    facts = mark.facts
    says = facts.get("text") or (mark.kind if mark.kind in _SPEAKING else "")
    if not says or mark.kind == "text" or (mark.kind in SHAPES and "colour" not in facts):
        return ""
    labels = (facts.get("second", ""), facts.get("key", ""), facts.get("colour", ""))
    return " ".join(word for word in (*labels, says) if word)
