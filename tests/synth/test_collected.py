"""The collected pictures as samples: all of them, and judged like drawn ones."""

from __future__ import annotations

import json

import pytest

from workbench.files import data_path
from workbench.synth.collected import collected

LISTED = json.loads(data_path("samples", "samples.json").read_text(encoding="utf-8"))


def test_every_question_becomes_a_sample_that_its_known_answer_satisfies() -> None:
    samples = collected()
    assert len(samples) == sum(len(entry["questions"]) for entry in LISTED)
    for sample in samples:
        assert sample.correct(sample.answer), sample.question
        assert not sample.correct("something else"), sample.question
    sizes = {entry["file"]: tuple(entry["size"]) for entry in LISTED}
    assert {sample.family: sample.images[0].size for sample in samples} == sizes


def test_a_kind_can_be_chosen() -> None:
    assert {sample.domain for sample in collected("scan", "chart")} == {"scan", "chart"}
    assert not collected("sculpture")


@pytest.mark.parametrize("sample", [s for s in collected("screen") if s.boxes], ids=lambda s: s.question[:30])
def test_a_box_lies_in_its_picture(sample) -> None:
    x1, y1, x2, y2 = sample.boxes[0]
    assert 0 <= x1 < x2 <= sample.images[0].width
    assert 0 <= y1 < y2 <= sample.images[0].height
