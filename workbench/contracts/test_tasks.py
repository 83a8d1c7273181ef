"""The contract of a task: what a run relies on.  It runs on every registered task and on a drawn one."""

from __future__ import annotations

import pytest

from workbench.bench import Task, score, task
from workbench.bench.tasks.catalog import TASKS


@pytest.fixture(params=["synth:chain@1", *TASKS])
def name(request: pytest.FixtureRequest) -> str:
    """The name of each task in turn."""
    return request.param


def test_it_makes_a_task_with_as_many_items_as_were_asked_for(name: str) -> None:
    made = task(name, n=2)
    assert isinstance(made, Task)
    assert 1 <= len(made) <= 2
    assert made.items[0].question.strip()


def test_the_same_call_makes_the_same_task(name: str) -> None:
    """A run that goes on finds its items by their ids, its replies by question and pictures."""
    first, second = task(name, n=3), task(name, n=3)
    assert first.version == second.version
    for one, other in zip(first.items, second.items, strict=True):
        assert (one.id, one.question, one.gold) == (other.id, other.question, other.gold)
        assert one.digests() == other.digests()
    assert [item.id for item in task(name, n=2).items] == [item.id for item in first.items[:2]]


def test_pictures_open_and_evidence_lies_on_them(name: str) -> None:
    for item in task(name, n=3).items:
        pictures = item.open()
        assert len(pictures) == len(item.images)
        assert all(picture.mode == "RGB" for picture in pictures)
        if item.size is not None:
            assert pictures[0].size == tuple(item.size)
        for x1, y1, x2, y2 in item.boxes:
            width, height = pictures[item.image].size
            assert 0 <= x1 <= x2 <= width
            assert 0 <= y1 <= y2 <= height


def test_its_scorer_knows_its_gold_answers(name: str) -> None:
    made = task(name, n=3)
    for item in made.items:
        given = {**item.scoring, "category": item.category}
        if made.scorer == "drawn":
            given = dict(item.scoring)
        found = score(made.scorer, str(item.gold), gold=item.gold, **given)
        assert found.value == 1, (item.id, item.gold, found.why)
        assert score(made.scorer, "surely something else", gold=item.gold, **given).value < 1
