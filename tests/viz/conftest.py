"""Records as a model would leave them, without a model."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from workbench import synth
from workbench.answer import Answer
from workbench.train.evaluate import Scored
from workbench.types import Mode


def reply(sample: synth.Sample, mode: Mode, *, right: bool, thinks: bool, seconds: float = 0.1) -> Scored:
    """One reply to a question, right or not, with a thought of six tokens a step or none."""
    answer = Answer(
        text=sample.answer if right else "nothing of the kind",
        thought=sample.trace if thinks else None,
        mode=mode,
        p_think=0.9 if thinks else 0.1,
        prompt_tokens=80,
        image_tokens=40,
        thought_tokens=6 * sample.steps if thinks else 0,
        answer_tokens=2,
        seconds=seconds + 0.1 * sample.steps * thinks,
        seconds_to_first_token=0.05,
        stopped="end",
    )
    return Scored(sample, answer)


@pytest.fixture(scope="session")
def make_reply() -> Callable[..., Scored]:
    return reply


@pytest.fixture(scope="session")
def scored() -> list[Scored]:
    """Two several-step and two one-look families in all modes: thinking helps with the first two."""
    rng, found = random.Random(0), []
    for family in ("chain", "arrows", "bar_value", "read_sign"):
        several = synth.FAMILIES[family].several_steps
        for sample in synth.sample(family, 20, seed=1):
            for mode in Mode:
                thinks = mode is Mode.THINK or (mode is Mode.AUTO and several)
                right = rng.random() < (0.2 if several and not thinks else 0.95)
                found.append(
                    reply(sample, mode, right=right, thinks=thinks, seconds=0.1 + 0.01 * rng.random())
                )
    return found
