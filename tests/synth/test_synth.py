"""Every family: exact answers, honest boxes, the same bytes for the same seed."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest

from workbench import synth
from workbench.errors import InputError
from workbench.synth.canvas import PATCH, Canvas
from workbench.synth.wordings import ASPECTS, NAMES, TITLES, TOLD_BY

SERIAL = [name for name, family in synth.FAMILIES.items() if family.several_steps]


def digest(samples: list[synth.Sample]) -> str:
    h = hashlib.sha256()
    for s in samples:
        for image in s.images:
            h.update(image.tobytes())
        h.update(repr((s.question, s.answer, s.trace, s.boxes, s.difficulty)).encode())
    return h.hexdigest()


@pytest.mark.parametrize("family", synth.FAMILIES)
def test_contract_of_every_family(family: str) -> None:
    samples = synth.sample(family, 12, seed=1)
    assert digest(samples) == digest(synth.sample(family, 12, seed=1))
    assert digest(samples) != digest(synth.sample(family, 12, seed=2))
    assert {s.difficulty for s in samples} <= {1, 2, 3}
    assert len({s.difficulty for s in samples}) > 1
    for s in samples:
        assert s.family == family
        assert s.domain == synth.FAMILIES[family].domain
        assert s.correct(s.answer)
        assert not s.correct("")
        assert not s.correct("no idea 12345")
        assert (s.steps > 1) == synth.FAMILIES[family].several_steps
        assert s.trace.endswith(".")
        assert len(re.findall(r"\.(?!\d)", s.trace)) == s.steps
        assert s.boxes
        width, height = s.images[s.image].size
        for x1, y1, x2, y2 in s.boxes:
            assert 0 <= x1 < x2 <= width, (s.question, s.boxes)
            assert 0 <= y1 < y2 <= height, (s.question, s.boxes)
        for image in s.images:
            assert image.mode == "RGB"
            assert image.width % PATCH == 0
            assert image.height % PATCH == 0


@pytest.mark.parametrize("family", synth.FAMILIES)
def test_difficulty_is_kept(family: str) -> None:
    for difficulty in synth.DIFFICULTIES:
        assert {s.difficulty for s in synth.sample(family, 3, seed=0, difficulty=difficulty)} == {difficulty}


@pytest.mark.parametrize("family", SERIAL)
def test_traces_lead_to_the_answer_step_by_step(family: str) -> None:
    for s in synth.sample(family, 20, seed=3):
        steps = [step.strip().split() for step in s.trace.rstrip(".").split(".")]
        assert len(steps) == s.steps
        assert steps[-1][-1] == s.answer
        for before, after in zip(steps, steps[1:], strict=False):
            assert before[-1] == after[0], s.trace


def test_chain_is_arithmetic_modulo_ten() -> None:
    for s in synth.sample("chain", 50, seed=4):
        for step in s.trace.rstrip(".").split(". "):
            a, operator, b, _, result = step.split()
            value = {"+": int(a) + int(b), "-": int(a) - int(b), "×": int(a) * int(b)}[operator]
            assert value >= 0
            assert value % 10 == int(result)


def test_neither_the_answer_nor_the_place_is_constant() -> None:
    for family in synth.FAMILIES:
        samples = synth.sample(family, 40, seed=5)
        most = max(sum(s.answer == a for s in samples) for a in {s.answer for s in samples})
        assert most <= 26, f"{family}: one answer is right for {most} of 40"


def test_grounding_is_a_point_in_the_box() -> None:
    s = synth.sample("gui_find", 1, seed=0)[0]
    assert "[x1, y1, x2, y2] from 0.0000 to 1.0000" in s.question
    width, height = s.images[0].size
    x1, y1, x2, y2 = s.boxes[0]
    inside = f"[{(x1 + x2) / 2 / width:.4f}, {(y1 + y2) / 2 / height:.4f}]"
    outside = f"[{((x1 + x2) / 2 / width + 0.5) % 1:.4f}, {(y1 + y2) / 2 / height:.4f}]"
    assert s.correct(inside)
    assert not s.correct(outside)
    assert not s.correct("[12, 4, 30, 9]"), "pixels are not relative coordinates"
    assert [round(v * n) for v, n in zip(json.loads(s.answer), (width, height) * 2, strict=True)] == [
        *s.boxes[0]
    ]


@pytest.mark.parametrize(
    ("rule", "answer", "good", "bad"),
    [
        (
            "number",
            "37",
            ["37", "37%", "The value is 37.", "37.0"],
            ["3 7", "37 or 38", "-37", "thirty", "1,037"],
        ),
        (
            "words",
            "red circle",
            ["red circle", "Red circle.", " red  circle"],
            ["circle", "circle red", "red circle or blue"],
        ),
    ],
)
def test_rules(rule: str, answer: str, good: list[str], bad: list[str]) -> None:
    s = synth.Sample([], "?", answer, "", (), "f", "general", 1, 1, rule)
    assert [t for t in good if not s.correct(t)] == []
    assert [t for t in bad if s.correct(t)] == []


def test_bad_requests_name_what_exists() -> None:
    with pytest.raises(InputError, match="bar_value"):
        synth.sample("bars", 1, seed=0)
    with pytest.raises(InputError, match="difficulty=4"):
        synth.sample("chain", 1, seed=0, difficulty=4)
    with pytest.raises(InputError, match="at least one"):
        synth.sample("chain", 0, seed=0)


def test_patch_labels_name_what_was_drawn() -> None:
    canvas = Canvas(48, 32)
    canvas.text((8, 8), "7", size=12, kind="number", key="Tea")
    canvas.rectangle((32, 16, 48, 32), (200, 0, 0))
    canvas.mark((32, 16, 48, 32), "square", colour="red")
    labels = canvas.labels()
    assert labels.shape == (2, 3, len(ASPECTS))

    def told(row: int, col: int) -> dict[str, str]:
        return {a: NAMES[i] for a, i in zip(ASPECTS, labels[row, col], strict=True) if i != -100}

    assert told(0, 0) == {"text": "7", "kind": "number", "key": "Tea"}
    assert told(1, 2) == {"kind": "square", "colour": "red"}
    assert told(0, 2) == {"kind": "nothing"}
    assert canvas.patches((32, 16, 48, 32)) == [5]
    assert canvas.patches((0, 0, 48, 32)) == [0, 1, 2, 3, 4, 5]
    picture = np.asarray(canvas.image())
    assert picture.shape == (32, 48, 3)
    assert (picture[24, 40] == (200, 0, 0)).all()
    assert picture[:16, :16].min() < 128, "the digit is on its patch"


def test_every_name_that_tells_a_patch_is_one_of_the_names() -> None:
    for aspect, names in TOLD_BY.items():
        assert aspect in ASPECTS
        assert set(names) <= set(NAMES)
    with pytest.raises(AssertionError, match="not all aspects"):
        Canvas(16, 16).mark((0, 0, 16, 16), "bar", flavour="sweet")


def test_neighbours_are_told_as_the_questions_ask_for_them() -> None:
    for sample in synth.sample("shape_relation", 20, seed=3):
        side = next(s for s in ("left", "right", "above", "below") if f"{s} " in sample.question)
        there, place = sample.boxes
        x, y = ((there[0] + there[2]) / 2, (there[1] + there[3]) / 2)
        a, b = ((place[0] + place[2]) / 2, (place[1] + place[3]) / 2)
        assert {"left": x < a - 16, "right": x > a + 16, "above": y < b - 16, "below": y > b + 16}[side]


@pytest.mark.parametrize("family", ["gui_find", "gui_state", "gui_links"])
def test_a_screen_comes_with_the_boxes_of_all_its_elements(family: str) -> None:
    for sample in synth.sample(family, 10, seed=5):
        width, height = sample.images[0].size
        assert all(
            0 <= e.box[0] < e.box[2] <= width and 0 <= e.box[1] < e.box[3] <= height for e in sample.elements
        )
        asked = [e for e in sample.elements if e.name and e.name in sample.question]
        assert asked, f"what {sample.question!r} asks about is an element"
        if family == "gui_find":
            assert sample.boxes[0] in [e.box for e in asked if e.kind == "button"]


def test_charts_have_a_title_or_a_legend() -> None:
    legends = 0
    for sample in synth.sample("line_value", 40, seed=1):
        heading = [e for e in sample.elements if e.name in TITLES]
        assert len(heading) == 1
        x1, y1, _, y2 = heading[0].box
        swatch = np.asarray(sample.images[0])[round((y1 + y2) / 2), round(x1) - 8].astype(int)
        legends += int(np.ptp(swatch) > 25 or swatch.max() < 160)
    assert 5 < legends < 30, "some charts have a legend with a swatch of the line's colour"


@pytest.mark.parametrize("difficulty", synth.DIFFICULTIES)
def test_a_small_icons_box_is_right_and_its_centre_alone_counts(difficulty: int) -> None:
    for sample in synth.sample("icon_find", 8, seed=3, difficulty=difficulty):
        (picture,), (box,) = sample.images, sample.boxes
        assert picture.size == (256, 256)
        assert (box[2] - box[0], box[3] - box[1]) == (16, 16), "a patch large"
        assert sample.correct(sample.answer)
        x, y = (box[0] + box[2]) / 512, (box[1] + box[3]) / 512
        assert sample.correct(f"[{x:.4f}, {y:.4f}]")
        assert not sample.correct(f"[{(x + 0.125) % 1:.4f}, {y:.4f}]"), "two icons further"
        (icon,) = [e for e in sample.elements if e.box == box]
        assert icon.kind in sample.question or "icon" in sample.question
        assert icon.kind in sample.trace
        inside = np.asarray(picture.crop(box)).reshape(-1, 3)
        assert len(np.unique(inside, axis=0)) > 1, "something is drawn there"


def test_small_icons_stand_on_no_grid_of_tokens() -> None:
    boxes = [sample.boxes[0] for sample in synth.sample("icon_find", 120, seed=4, difficulty=3)]
    for side in (16, 32):  # patches, and tokens of two patches a side
        at = {tuple(v % side for v in box[:2]) for box in boxes}
        assert len(at) == (side // 8) ** 2, "all places within a cell occur"
