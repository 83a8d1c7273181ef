"""The shipped suite: what is on the sheets is what was drawn, and it is the size that was promised."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from workbench import bench, data_path, synth
from workbench.bench.tasks.drawn import BENCHMARK_SEED, SUITES, score_drawn
from workbench.bench.tasks.task import picture_digest
from workbench.errors import InputError

TOOLS = Path(__file__).parents[2] / "tools"


def test_the_suite_holds_600_items_of_all_families_and_is_small() -> None:
    suite = bench.task("suite")
    assert len(suite) == 600
    counted = Counter(item.category for item in suite.items)
    assert set(counted) == {f"{family}@{level}" for family in synth.FAMILIES for level in (1, 2, 3)}
    assert set(counted.values()) <= {12, 13}
    assert sum(path.stat().st_size for path in data_path("suite").iterdir()) < 6_000_000
    assert len({item.category for item in suite.head(48).items}) == 48


def test_the_second_suite_holds_the_families_of_both_worlds() -> None:
    suite = bench.task("suite2")
    assert len(suite) == 600
    counted = Counter(item.category for item in suite.items)
    families = (*synth.FAMILIES, *synth.FREE)
    assert set(counted) == {f"{family}@{level}" for family in families for level in (1, 2, 3)}
    assert set(counted.values()) <= {6, 7}
    assert set(synth.EVERYDAY) <= {category.partition("@")[0] for category in counted}
    assert sum(path.stat().st_size for path in data_path("suite2").iterdir()) < 6_000_000
    assert sum(item.gold == "none" for item in suite.items) >= 10, "some questions have no answer"
    assert suite.version != bench.task("suite").version


@pytest.mark.parametrize("name", SUITES)
def test_pictures_cut_from_the_sheets_are_those_that_were_drawn(name: str) -> None:
    for item in bench.task(name).items[::17]:
        assert tuple(picture_digest(picture) for picture in item.open()) == item.digests()
        assert item.open()[0].size == item.size


def test_the_tool_draws_the_same_suite_again(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    import make_suite

    monkeypatch.setattr(make_suite, "ITEMS", 48)
    drawn = make_suite.samples()
    shipped = bench.task("suite").items
    for sample, item in list(zip(drawn, shipped))[::5]:
        assert (sample.question, sample.answer) == (item.question, item.gold)
        assert tuple(picture_digest(image) for image in sample.images) == item.digests()
    sys.modules.pop("make_suite")


@pytest.mark.parametrize("name", SUITES)
def test_gold_answers_are_right_by_their_own_rule(name: str) -> None:
    for item in bench.task(name).items:
        assert not score_drawn("surely something else", item.gold, **item.scoring)
        assert score_drawn(item.gold, item.gold, **item.scoring), item.id


def test_families_of_the_second_world_are_drawn_in_it() -> None:
    (free,) = bench.task("synth:caption@2", n=1).items
    seed = BENCHMARK_SEED
    (same,) = synth.sample("caption", 1, seed=seed, difficulty=2, world=2)
    assert (free.question, free.gold) == (same.question, same.answer)
    (first,) = bench.task("synth:chain", n=1).items
    (second,) = bench.task("synth:chain", n=1, world=2).items
    assert first.digests() == bench.task("synth:chain", n=1, world=1).items[0].digests() != second.digests()


def test_a_damaged_or_missing_suite_says_so(tmp_path) -> None:
    with pytest.raises(InputError, match="no suite"):
        bench.task("suite", folder=tmp_path)
    (tmp_path / "items.jsonl").write_text(json.dumps({"version": "1"}) + "\n{\n")
    with pytest.raises(InputError, match="damaged"):
        bench.task("suite", folder=tmp_path)
