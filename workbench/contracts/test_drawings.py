"""The contract of a family of drawings: what training, benchmarks and attribution rely on.

It runs on every family that `workbench.synth` draws, the workbench's own and registered ones.
"""

from __future__ import annotations

from functools import cache

import pytest

from workbench import synth
from workbench.synth import DIFFICULTIES, DRAWN, Sample

SEED = 9_000_007  # of no training, evaluation or benchmark


@cache
def drawn(family: str, difficulty: int) -> tuple[Sample, ...]:
    """Some samples of a family."""
    return tuple(synth.sample(family, 4, seed=SEED, difficulty=difficulty))


@pytest.fixture(params=sorted(DRAWN))
def family(request: pytest.FixtureRequest) -> str:
    """The name of each family in turn."""
    return request.param


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_same_seed_gives_the_same_bytes_and_another_one_another_drawing(
    family: str, difficulty: int
) -> None:
    again = synth.sample(family, 4, seed=SEED, difficulty=difficulty)
    for one, other in zip(drawn(family, difficulty), again, strict=True):
        assert [image.tobytes() for image in one.images] == [image.tobytes() for image in other.images]
        assert (one.question, one.answer, one.trace, one.boxes) == (
            other.question, other.answer, other.trace, other.boxes,
        )  # fmt: skip
    assert len({one.images[0].tobytes() for one in again}) > 1, "every seed gives the same picture"


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_answer_is_right_by_the_family_s_own_rule_and_another_is_wrong(
    family: str, difficulty: int
) -> None:
    for one in drawn(family, difficulty):
        assert one.question.strip()
        assert one.correct(one.answer), (one.question, one.answer)
        assert not one.correct("surely something else"), one.answer


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_evidence_lies_on_the_picture(family: str, difficulty: int) -> None:
    for one in drawn(family, difficulty):
        assert one.images
        assert all(image.mode == "RGB" for image in one.images)
        width, height = one.images[one.image].size
        for x1, y1, x2, y2 in one.boxes:
            assert 0 <= x1 < x2 <= width, (one.question, one.boxes)
            assert 0 <= y1 < y2 <= height, (one.question, one.boxes)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_trace_says_its_steps(family: str, difficulty: int) -> None:
    for one in drawn(family, difficulty):
        assert one.trace.strip()
        assert one.true(one.trace), "its own trace is not among what is true of the drawing"
        assert one.steps >= 1
    if synth.family(family).several_steps:
        assert max(one.steps for one in drawn(family, difficulty)) > 1
