"""Activation patching: a whole picture moves everything, the last layer nothing, and a link its own step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attribution_cases import MODELS, ask, tiny_vlm
from PIL import Image

import workbench
from workbench.answer import Answer
from workbench.errors import CapabilityError, InputError
from workbench.interpret.effects import Patching
from workbench.interpret.interventions import patch_region
from workbench.models.server import ServerVLM
from workbench.models.vlm import VLM
from workbench.types import Region


@pytest.fixture(scope="module")
def nano() -> VLM:
    return workbench.load()


@pytest.fixture(scope="module")
def sample() -> workbench.synth.Sample:
    return workbench.synth.sample("gui_links", 1, seed=7, difficulty=1)[0]


@pytest.fixture(scope="module")
def answer(nano: VLM, sample: workbench.synth.Sample) -> Answer:
    return nano.ask(sample.images, sample.question, mode="think")


def with_link(sample: workbench.synth.Sample, step: int, row: int) -> Image.Image:
    """The picture with the link of one step's row painted over by that of another row."""
    picture = sample.images[0].copy()
    y = round((sample.boxes[step][1] + sample.boxes[step][3]) / 2 / 16 - 0.5) * 16 + 8
    picture.paste(picture.crop((60, 16 + 16 * row, picture.width, 32 + 16 * row)), (60, y - 8))
    return picture


LATER = ("qwen3-vl", "gemma4")
"""Models that add to later blocks: features of the tower's blocks, or of each layer's own input."""


@pytest.mark.parametrize("name", [name for name in MODELS if name not in LATER])
def test_the_whole_picture_at_layer_0_is_the_other_picture(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    first, other = ask(vlm, tokens=6), ask(vlm, tokens=6).images[0].rotate(180)
    found = patch_region(vlm, first, region=(0, 0, 90, 70), other=other, other_answer=_another(first))
    start, last = found.table.iloc[0], found.table.iloc[-1]
    assert (start["own"], start["other"]) == pytest.approx(found.other_picture, abs=1e-3)
    assert (last["own"], last["other"]) == pytest.approx(found.own_picture, abs=1e-3)
    assert (start["moved"], last["moved"]) == pytest.approx((1, 0), abs=1e-3)
    assert list(found.table["layer"]) == list(range(len(found.table)))
    assert not any(m._forward_pre_hooks for m in vlm.model.modules())


@pytest.mark.parametrize("name", LATER)
def test_features_of_the_own_picture_still_come_in_later(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    first, other = ask(vlm, tokens=6), ask(vlm, tokens=6).images[0].rotate(180)
    found = patch_region(vlm, first, region=(0, 0, 90, 70), other=other, other_answer=_another(first))
    assert found.table["own"].iloc[-1] == pytest.approx(found.own_picture[0], abs=1e-3)
    assert found.table["own"].iloc[0] != pytest.approx(found.other_picture[0], abs=1e-3)


def test_a_patched_link_moves_the_reply_to_the_other_pictures(nano: VLM, sample, answer: Answer) -> None:
    other = with_link(sample, step=0, row=1)
    x1, y1, _, y2 = sample.boxes[0]
    found = patch_region(nano, answer, region=(60, y1, sample.images[0].width, y2), other=other)
    assert found.other.thought != answer.thought
    early = found.table["moved"].iloc[0]
    away = patch_region(nano, answer, region=(0, 0, 50, 16), other=other, other_answer=found.other).table[
        "moved"
    ]
    assert early > 0.5 > abs(away).max()
    assert found.table["moved"].iloc[-1] == pytest.approx(0, abs=1e-6)
    assert found.strongest < 4


def test_a_region_that_does_not_differ_moves_nothing(nano: VLM, sample, answer: Answer) -> None:
    found = patch_region(nano, answer, region=(0, 0, 10, 10), other=with_link(sample, 0, 1), layers=[4])
    assert found.table["moved"].tolist() == [0.0]


def test_the_answer_given_its_thought_is_another_target(nano: VLM, sample, answer: Answer) -> None:
    other = with_link(sample, step=0, row=1)
    box = (0, 0, *sample.images[0].size)
    whole = patch_region(nano, answer, region=box, other=other, layers=0)
    given = patch_region(
        nano, answer, region=box, other=other, layers=0, target="answer", other_answer=whole.other
    )
    assert given.own_picture[0] > whole.own_picture[0] - 1e-6
    assert given.own_picture[0] - given.other_picture[0] < whole.own_picture[0] - whole.other_picture[0]


def test_patching_is_saved_and_shown(nano: VLM, sample, answer: Answer, tmp_path) -> None:
    found = patch_region(
        nano, answer, region=Region((60, 16, 112, 48)), other=with_link(sample, 0, 1), layers=[0, 2]
    )
    again = Patching.load(found.save(tmp_path / "patched"))
    assert again.table.equals(found.table)
    assert (again.region, again.positions, again.other.text) == (
        found.region,
        found.positions,
        found.other.text,
    )
    assert (again.own_picture, repr(again)) == (found.own_picture, repr(found))
    assert "<table>" in again._repr_html_()


def test_what_cannot_be_patched_is_named(nano: VLM, sample, answer: Answer) -> None:
    picture, width, height = sample.images[0], *sample.images[0].size
    other = with_link(sample, 0, 1)
    direct = nano.ask(picture, sample.question, mode="nothink")
    for wrong, message in (
        (
            lambda: patch_region(
                nano, answer, region=(0, 0, 16, 16), other=picture.resize((width, height + 32))
            ),
            "takes",
        ),
        (lambda: patch_region(nano, answer, region=(0, 0, 16, 16), other=picture), "same reply"),
        (lambda: patch_region(nano, answer, region=(0, 0, 999, 16), other=other), "999"),
        (lambda: patch_region(nano, answer, region=(16, 0, 16, 16), other=other), "x1 < x2"),
        (lambda: patch_region(nano, answer, region=Region((0, 0, 16, 16), 1), other=other), "1"),
        (lambda: patch_region(nano, answer, region=(0, 0, 16, 16), other=other, layers=5), "layers=5"),
        (lambda: patch_region(nano, answer, region=(0, 0, 16, 16), other=other, target="mood"), "'mood'"),
        (
            lambda: patch_region(
                nano, direct, region=(0, 0, 16, 16), other=other, target="thought", other_answer=answer
            ),
            "none",
        ),
        (
            lambda: patch_region(
                nano, replace(answer, token_ids=answer.prompt_ids), region=(0, 0, 9, 9), other=other
            ),
            "empty",
        ),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
    with pytest.raises(CapabilityError, match="cannot be looked into"):
        patch_region(ServerVLM.__new__(ServerVLM), answer, region=(0, 0, 16, 16), other=other)


def _another(answer: Answer) -> Answer:
    """The same answer with another reply, as a tiny random model may give the same one to everything."""
    turned = tuple(np.roll(answer.reply_ids, 1).tolist())
    if turned == answer.reply_ids:
        turned = (answer.reply_ids[0] + 1, *answer.reply_ids[1:])
    return replace(answer, token_ids=(*answer.prompt_ids, *turned), text="another")
