"""Counterfactuals: what is altered, what stays, and what both answers then are."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import workbench
from workbench import synth
from workbench.answer import Answer
from workbench.errors import CapabilityError, InputError
from workbench.interpret.counterfactual import (
    Counterfactual,
    alter,
    control_regions,
    counterfactual,
    pixel_box,
    read_region,
)
from workbench.interpret.regions import Baseline
from workbench.types import Region


def noise(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def vlm():
    return workbench.load()


@pytest.fixture(scope="module")
def sample() -> synth.Sample:
    return synth.sample("read_sign", 1, seed=5)[0]


@pytest.fixture(scope="module")
def answer(vlm, sample) -> Answer:
    return vlm.ask(sample.images, sample.question, mode="nothink", max_tokens=16)


# -- altering ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["mean", "blur", "white", "black", 90, (250, 90, 0), "inpaint"])
def test_only_the_region_changes_and_the_original_stays(baseline: Baseline) -> None:
    picture, box = noise(), (10, 5, 25, 20)
    before = np.asarray(picture).copy()
    after = np.asarray(alter(picture, box, baseline=baseline))
    changed = (after != before).any(axis=2)
    assert changed[5:20, 10:25].mean() > 0.9
    changed[5:20, 10:25] = False
    assert not changed.any()
    assert np.array_equal(np.asarray(picture), before)


def test_a_mask_is_the_mean_and_a_removed_thing_takes_its_surroundings() -> None:
    pixels = np.full((30, 40, 3), 200, dtype=np.uint8)
    pixels[10:20, 10:20] = 0
    picture, box = Image.fromarray(pixels), (10, 10, 20, 20)
    grey = round(200 * (1 - 100 / 1200))
    assert np.unique(np.asarray(alter(picture, box, baseline="mean"))[10:20, 10:20]) == pytest.approx(
        grey, abs=1
    )
    assert (np.asarray(alter(picture, box, baseline="inpaint")) == 200).all()


def test_a_region_over_the_whole_picture_can_be_removed() -> None:
    picture = noise()
    for baseline in ("mean", "blur", "inpaint"):
        assert alter(picture, (-5, -5, 100, 100), baseline=baseline).size == picture.size


def test_old_words_for_a_baseline_still_work() -> None:
    picture, box = noise(), (10, 5, 25, 20)
    for old, now in {"mask": "mean", "remove": "inpaint"}.items():
        assert alter(picture, box, baseline=old).tobytes() == alter(picture, box, baseline=now).tobytes()


def test_a_box_is_cut_at_the_edges_and_holds_every_pixel_that_it_touches() -> None:
    assert pixel_box((-3, 2.5, 10.2, 99), noise()) == (0, 2, 11, 30)


def test_controls_have_the_same_size_lie_elsewhere_and_are_repeatable() -> None:
    region, picture = Region((0, 0, 10, 10)), noise()
    found = control_regions(region, picture, 5, seed=1)
    assert len(found) == 5
    for x1, y1, x2, y2 in (one.box for one in found):
        assert (x2 - x1, y2 - y1) == (10, 10)
        assert x2 <= 40
        assert y2 <= 30
        assert x1 >= 10 or y1 >= 10
    assert control_regions(region, picture, 5, seed=1) == found
    assert control_regions(Region((0, 0, 40, 30)), picture, 5, seed=1) == []


@pytest.mark.parametrize(
    ("region", "says"),
    [
        ((50, 50, 60, 60), "covers pixels"),
        ((10, 10, 10, 20), "covers pixels"),
        (Region((0, 0, 5, 5), image=3), "picture 3"),
        ((1, 2, 3), "region="),
        ("all", "region="),
    ],
)
def test_a_region_that_is_nowhere_is_refused(region, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_region(region, [noise()])


def test_without_a_picture_there_is_no_region() -> None:
    with pytest.raises(InputError, match="about no picture"):
        read_region((0, 0, 5, 5), [])


def test_an_unknown_alteration_is_refused() -> None:
    with pytest.raises(InputError, match="baseline='paint'"):
        alter(noise(), (0, 0, 5, 5), baseline="paint")


# -- asking again ------------------------------------------------------------------------------------


def test_removing_what_was_read_costs_far_more_than_any_other_place(vlm, sample, answer) -> None:
    proof = counterfactual(vlm, answer, region=sample.boxes[0], baseline="inpaint")
    assert proof.loss > 0.5
    assert max(proof.control_losses) < proof.loss
    assert "none cost as much" in proof.verdict
    assert proof.changed == (proof.after.text != answer.text)
    assert proof.after.settings == answer.settings
    assert proof.after.mode == answer.mode
    assert proof.after.question == answer.question


def test_an_alteration_that_alters_nothing_changes_nothing(vlm, sample, answer) -> None:
    plain = (0, 0, 8, 8)  # a corner of nothing but background
    assert alter(sample.images[0], plain, baseline="inpaint") == sample.images[0]
    proof = counterfactual(vlm, answer, region=plain, baseline="inpaint", controls=3)
    assert proof.loss == pytest.approx(0, abs=1e-4)
    assert not proof.changed
    assert proof.after.token_ids == answer.token_ids
    assert "does not change the answer" in proof.verdict


def test_a_picture_of_the_history_is_altered_where_it_stands(vlm, sample) -> None:
    first = vlm.ask(sample.images, sample.question, mode="nothink", max_tokens=16)
    second = vlm.ask(None, "Read it again.", mode="nothink", max_tokens=8, history=first.turns)
    proof = counterfactual(vlm, second, region=Region(sample.boxes[0], image=0), controls=0)
    assert len(proof.after.history) == 2
    assert len(proof.after.history[0].images) == 1
    assert np.asarray(proof.after.images[0]).tolist() != np.asarray(second.images[0]).tolist()
    assert "no room for a control" in proof.verdict


def test_a_proof_survives_saving_and_shows_text_as_text(vlm, answer, sample, tmp_path) -> None:
    proof = counterfactual(vlm, answer, region=sample.boxes[0], controls=2)
    shaped = replace(proof, maps=(np.ones((answer.layout.images[0].rows, answer.layout.images[0].cols)),))
    hostile = replace(shaped, after=replace(shaped.after, text="<img onerror=x>"), method="<script>")
    back = Counterfactual.load(hostile.save(tmp_path / "proof"))
    assert back.verdict == hostile.verdict
    assert back.region == hostile.region
    assert back.after == hostile.after
    assert np.array_equal(back.maps[0], hostile.maps[0])
    html = back._repr_html_()
    assert "<img onerror" not in html
    assert "<script>" not in html
    place = str(tmp_path / "proof")
    code = (
        "import sys\nfrom workbench.interpret.counterfactual import Counterfactual\n"
        f"Counterfactual.load({place!r})._repr_html_()\n"
        "print({'torch', 'transformers'} & set(sys.modules) or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "light", done.stderr


def test_a_damaged_proof_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="No such file"):
        Counterfactual.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"token_ids": (), "spans": {}}, CapabilityError, "token ids"),
        ({"model": "another"}, InputError, "another"),
    ],
)
def test_an_answer_that_is_not_this_models_is_refused(vlm, answer, change, error, says) -> None:
    with pytest.raises(error, match=says):
        counterfactual(vlm, replace(answer, **change), region=(0, 0, 16, 16))


def test_an_empty_answer_a_server_and_wrong_options_are_refused(vlm, answer) -> None:
    empty = replace(answer, text="", token_ids=answer.prompt_ids, spans={})
    with pytest.raises(InputError, match="empty"):
        counterfactual(vlm, empty, region=(0, 0, 16, 16))
    with pytest.raises(CapabilityError, match="cannot be looked into"):
        counterfactual(object(), answer, region=(0, 0, 16, 16))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="controls=-1"):
        counterfactual(vlm, answer, region=(0, 0, 16, 16), controls=-1)
    with pytest.raises(InputError, match="baseline='hide'"):
        counterfactual(vlm, answer, region=(0, 0, 16, 16), baseline="hide")
