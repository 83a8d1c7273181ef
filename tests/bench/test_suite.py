"""The shipped suite: what is on the sheets is what was drawn, and it is the size that was promised."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from workbench import bench, data_path, synth
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


def test_pictures_cut_from_the_sheets_are_those_that_were_drawn() -> None:
    for item in bench.task("suite").items[::17]:
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


def test_gold_answers_are_right_by_their_own_rule() -> None:
    from workbench.bench.tasks.drawn import score_drawn

    for item in bench.task("suite").items:
        assert score_drawn(item.gold, item.gold, **item.scoring), item.id


def test_a_damaged_or_missing_suite_says_so(tmp_path) -> None:
    with pytest.raises(InputError, match="no suite"):
        bench.task("suite", folder=tmp_path)
    (tmp_path / "items.jsonl").write_text(json.dumps({"version": "1"}) + "\n{\n")
    with pytest.raises(InputError, match="damaged"):
        bench.task("suite", folder=tmp_path)
