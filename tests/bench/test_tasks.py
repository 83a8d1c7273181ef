"""Tasks: drawn ones by name, checked items, pictures told apart by what they show."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from workbench import bench, synth
from workbench.bench.tasks.drawn import BENCHMARK_SEED, score_drawn
from workbench.bench.tasks.task import keep_picture, picture_digest
from workbench.errors import InputError


def test_every_family_and_difficulty_is_a_task_by_its_name() -> None:
    names = bench.task_names()
    for family in synth.FAMILIES:
        assert {f"synth:{family}", *(f"synth:{family}@{level}" for level in (1, 2, 3))} <= set(names)
    task = bench.task("synth:gui_find@2", n=4)
    assert [item.category for item in task.items] == ["gui_find@2"] * 4
    assert task.name == "synth:gui_find@2"
    assert len({item.id for item in task.items}) == 4


def test_a_drawn_task_is_the_same_whenever_it_is_drawn_and_another_with_another_seed() -> None:
    first, again = (bench.task("synth:chain@1", n=3) for _ in range(2))
    assert first.version == again.version
    assert [item.digests() for item in first.items] == [item.digests() for item in again.items]
    assert bench.task("synth:chain@1", n=3, seed=5).version != first.version


def test_benchmark_items_are_none_of_the_evaluation_of_training() -> None:
    from workbench.train.evaluate import EVALUATION_SEED

    assert BENCHMARK_SEED != EVALUATION_SEED
    mine = {item.digests() for item in bench.task("synth:bar_walk", n=20).items}
    theirs = synth.sample("bar_walk", 20, seed=EVALUATION_SEED)
    assert not mine & {tuple(picture_digest(image) for image in sample.images) for sample in theirs}


@pytest.mark.parametrize("family", list(synth.FAMILIES))
def test_the_rule_of_a_task_judges_as_the_sample_does(family: str) -> None:
    sample = synth.sample(family, 1, seed=3)[0]
    item = bench.task(f"synth:{family}", n=1, seed=3).items[0]
    for reply in (sample.answer, f"It is {sample.answer}.", "something else", "", "[0.5, 0.5]", "3, no, 4"):
        assert score_drawn(reply, item.gold, **item.scoring) == sample.correct(reply), reply


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("synth:nothing", "FAMILY"),
        ("synth:chain@4", "FAMILY"),
        ("ChartQB", "ChartQA"),
        ("MMstars", "MMStar"),
        ("suit", "suite"),
    ],
)
def test_an_unknown_task_names_what_there_is(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        bench.task(name)


def test_a_task_refuses_items_that_cannot_be_scored_or_told_apart() -> None:
    one = bench.Item("a", "What?", "x")
    for items, told in (
        ([], "no items"),
        ([one, one], "two items 'a'"),
        ([bench.Item("a", "What?", "")], "no gold answer"),
        ([bench.Item("a", "What?", None)], "no gold answer"),
    ):
        with pytest.raises(InputError, match=told):
            bench.Task("t", items)
    with pytest.raises(InputError, match="question"):
        bench.Task("t", [one], prompt="Answer!")
    with pytest.raises(InputError, match="limit"):
        bench.Task("t", [one, bench.Item("b", "Why?", "y")]).head(0)


def test_the_prompt_stands_around_the_question_and_is_part_of_the_version() -> None:
    item = bench.Item("a", "What {colour}?", "red")
    plain, framed = bench.Task("t", [item]), bench.Task("t", [item], prompt="{question} One word.")
    assert framed.asked(item) == "What {colour}? One word."
    assert plain.version != framed.version


def test_a_picture_is_known_by_its_contents(tmp_path) -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    other = image.copy()
    other.putpixel((0, 0), (9, 9, 9))
    assert picture_digest(image) == picture_digest(image.copy()) != picture_digest(other)
    path = tmp_path / "a.png"
    image.save(path)
    buffer = io.BytesIO(path.read_bytes())
    assert picture_digest(path) == picture_digest(str(path)) == picture_digest(buffer.getvalue())
    kept = keep_picture(buffer.getvalue(), "d" * 32, tmp_path / "kept")
    assert (tmp_path / "kept" / kept).read_bytes() == path.read_bytes()
    assert keep_picture(path, "x", tmp_path / "kept") == str(path)  # a file stays where it is
    with pytest.raises(InputError, match="cannot be read"):
        picture_digest(tmp_path / "missing.png")
