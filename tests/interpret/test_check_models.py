"""Checks of maps with real models: every family, several pictures, loaded maps, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attribution_cases import ask, tiny_vlm

import workbench
from workbench import synth
from workbench.errors import InputError
from workbench.interpret import Attribution, attribute
from workbench.interpret.checking import check
from workbench.interpret.faithfulness import evidence_of

FAST = {"baselines": ("mean",), "regions": (2, 2), "steps": 2, "n_random": 9}


@pytest.fixture(scope="module")
def vlm():
    return workbench.load()


@pytest.fixture(scope="module")
def sample() -> synth.Sample:
    return synth.sample("read_sign", 1, seed=5)[0]


@pytest.fixture(scope="module")
def attribution(vlm, sample) -> Attribution:
    answer = vlm.ask(sample.images, sample.question, mode="nothink", max_tokens=16)
    return attribute(vlm, answer, method="occlusion", regions=(3, 3), progress=False)


@pytest.mark.parametrize(
    "name", ["phi4-rv", "qwen2.5-vl", "gemma3", "idefics3", "llava-onevision", "internvl"]
)
def test_a_map_of_every_family_can_be_checked(name: str, tmp_path_factory) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    before = [weight.detach().clone() for weight in vlm.model.parameters()]
    made = attribute(
        vlm, ask(vlm, tokens=2), target="reply", method="occlusion", regions=(2, 2), progress=False
    )
    found = made.check(**FAST, n_shuffles=1)
    curve = found.curves["mean"]["map"]
    assert curve.insertion[-1] == pytest.approx(found.full, abs=1e-4)
    assert curve.deletion[0] == pytest.approx(found.full, abs=1e-4)
    assert curve.deletion[-1] == pytest.approx(curve.insertion[0], abs=1e-4)
    assert found.no_image is not None
    assert np.isfinite(found.no_image)
    assert found.references == ("centre", "sink"), found.notes
    assert found.randomisation is not None
    assert -1 <= found.randomisation[0] <= 1
    assert found.plausibility is None
    assert found.verdict
    for weight, kept in zip(vlm.model.parameters(), before, strict=True):
        assert torch.equal(weight, kept)


def test_the_evidence_of_a_sample_gives_plausibility_apart_from_the_verdict(attribution, sample) -> None:
    without = attribution.check(**FAST, n_shuffles=0)
    found = attribution.check(**FAST, n_shuffles=0, sample=sample)
    assert found.plausibility is not None
    assert found.plausibility == attribution.check(**FAST, n_shuffles=0, boxes=sample.boxes).plausibility
    assert found.verdict == without.verdict
    assert found.curves == without.curves


def test_a_baseline_that_knows_no_weights_is_unchanged_by_them(vlm, attribution) -> None:
    centre = attribute(vlm, attribution.answer, method="centre", regions=(3, 3), progress=False)
    found = centre.check(**FAST, n_shuffles=1)
    assert found.unchanged == pytest.approx(1)
    made = attribution.check(**FAST, n_shuffles=2)
    assert len(made.randomisation) == 2
    assert made.unchanged < 1


def test_a_loaded_map_is_checked_with_its_model_given_again(attribution, vlm, tmp_path) -> None:
    loaded = Attribution.load(attribution.save(tmp_path / "map"))
    with pytest.raises(InputError, match="without its model"):
        check(loaded, **FAST)
    again = check(loaded, vlm=vlm, **FAST, n_shuffles=0)
    assert again.curves == attribution.check(**FAST, n_shuffles=0).curves


def test_boxes_of_the_second_picture_count_from_the_conversations_first(vlm) -> None:
    pair = synth.sample("shape_change", 1, seed=2)[0]
    answer = vlm.ask(pair.images, pair.question, mode="nothink", max_tokens=8)
    assert {region.image for region in evidence_of(answer, pair)} == {pair.image}
    later = vlm.ask(pair.images, pair.question, mode="nothink", max_tokens=8, history=answer.turns)
    assert {region.image for region in evidence_of(later, pair)} == {len(pair.images) + pair.image}
    made = attribute(vlm, answer, target="reply", method="occlusion", regions=(2, 2), progress=False)
    found = made.check(**FAST, n_shuffles=0, sample=pair)
    assert found.regions == 4 * len(pair.images)


def test_several_maps_are_checked_and_put_together(attribution, sample) -> None:
    found = check([attribution, attribution], sample=[sample, sample], progress=False, n_shuffles=0, **FAST)
    assert len(found.items) == 2
    assert found.verdict.startswith("Over 2 answers")
    assert found.plausibility("pointing") is not None
    with pytest.raises(InputError, match="1 samples for 2"):
        check([attribution, attribution], sample=[sample], progress=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sample": synth.sample("chain", 1, seed=0)[0]}, "a sample that asks"),
        ({"boxes": [(1, 2, 3)]}, "boxes="),
        ({"boxes": "all"}, "boxes="),
        ({"boxes": []}, "no box"),
        ({"boxes": [(500, 500, 600, 600)]}, "the box"),
        ({"baselines": ("pink",)}, "baselines"),
        ({"steps": 1}, "steps=1"),
        ({"n_random": 3}, "n_random=3"),
        ({"n_shuffles": -1}, "n_shuffles=-1"),
        ({"n_shuffles": True}, "n_shuffles=True"),
        ({"regions": (0, 2)}, "regions"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_no_check_can_be_made_of_is_refused_before_anything_runs(attribution, options, says) -> None:
    with pytest.raises(InputError, match=says):
        attribution.check(**options)


def test_a_sample_and_boxes_at_once_are_refused(attribution, sample) -> None:
    with pytest.raises(InputError, match="both sample and boxes"):
        attribution.check(sample=sample, boxes=sample.boxes)
