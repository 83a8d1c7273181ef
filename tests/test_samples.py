"""The pictures that synth did not draw: complete, with an origin, and with gold answers that hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from workbench.files import data_path
from workbench.synth import Sample
from workbench.synth.collected import collected

FOLDER = data_path("samples")
SAMPLES: list[dict[str, Any]] = json.loads((FOLDER / "samples.json").read_text(encoding="utf-8"))


def test_there_are_enough_and_they_are_small() -> None:
    assert len(SAMPLES) >= 12
    assert {sample["kind"] for sample in SAMPLES} == {"chart", "photograph", "scan", "screen"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4_000_000


def test_every_file_is_listed_and_every_picture_has_its_origin() -> None:
    listed = {s["file"] for s in SAMPLES} | {s["elements"] for s in SAMPLES if "elements" in s}
    assert {path.name for path in FOLDER.iterdir()} == listed | {"README.md", "samples.json"}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for sample in SAMPLES:
        assert sample["origin"]
        assert f"`{sample['file']}`" in readme
        assert sample["licence"] in readme


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s["file"])
def test_a_picture_opens_and_its_boxes_lie_in_it(sample: dict[str, Any]) -> None:
    with Image.open(FOLDER / sample["file"]) as picture:
        picture.load()
        assert list(picture.size) == sample["size"]
    width, height = sample["size"]
    boxes = [question["box"] for question in sample["questions"] if "box" in question]
    if "elements" in sample:
        elements = json.loads((FOLDER / sample["elements"]).read_text(encoding="utf-8"))
        assert all(element["name"] and element["role"] for element in elements)
        assert all(box in [element["box"] for element in elements] for box in boxes)
        boxes += [element["box"] for element in elements]
    for x1, y1, x2, y2 in boxes:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height


@pytest.mark.parametrize("sample", collected(), ids=lambda s: f"{s.family}: {s.question[:30]}")
def test_the_gold_answer_is_right_and_others_are_not(sample: Sample) -> None:
    assert sample.correct(sample.answer)
    assert not sample.correct("[0.0000, 0.9990, 0.0010, 1.0000]" if sample.rule == "point" else "77777")
    assert not sample.correct("")


def test_no_question_is_lost() -> None:
    assert [s.question for s in collected()] == [q["question"] for s in SAMPLES for q in s["questions"]]
    assert {s.domain for s in collected("scan")} == {"scan"}
