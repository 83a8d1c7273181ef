"""The built-in models: each lies in its folder with its card; the second reads what the first cannot."""

from __future__ import annotations

import json

import pytest

import workbench
from workbench import synth
from workbench.models.sources import BUILT_IN
from workbench.stats import mcnemar
from workbench.synth import World


@pytest.fixture(scope="module", params=BUILT_IN)
def vlm(request):
    return workbench.load(request.param, device="cpu", progress=False)


def test_a_built_in_model_has_the_three_modes_and_a_card_of_its_own(vlm):
    asked = synth.sample("gui_links", 1, seed=7)[0]
    for mode in ("auto", "think", "nothink"):
        answer = vlm.ask(asked.images, asked.question, mode=mode, max_tokens=96)
        assert answer.text
        assert answer.model == vlm.name
        assert mode == "auto" or (answer.thought is not None) == (mode == "think")
    folder = workbench.data_path(vlm.source)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["model"] == vlm.source
    assert card["run"]["parameters"] == sum(p.numel() for p in vlm.model.parameters())
    assert (folder / "README.md").read_text(encoding="utf-8").count(f"\n# {vlm.source}: ") == 1
    assert sum(file.stat().st_size for file in folder.iterdir()) < 25_000_000


def test_a_built_in_model_warns_of_a_photograph(vlm):
    photograph = synth.collected("photograph")[0]
    with pytest.warns(workbench.models.OutsideWorldWarning, match="photograph"):
        vlm.ask(photograph.images, photograph.question, mode="nothink", max_tokens=4)


def test_the_second_reads_signs_wherever_they_stand():
    moved = synth.sample("read_sign", 60, seed=12, world=World(2, plain=1.0))
    images, questions = [s.images for s in moved], [s.question for s in moved]
    right = {}
    for name in BUILT_IN:
        answers = workbench.load(name, device="cpu", progress=False).ask_many(
            images, questions, mode="nothink", max_tokens=8, batch_size=30, progress=False
        )
        right[name] = [s.correct(a.text) for s, a in zip(moved, answers, strict=True)]
    only_second = sum(b and not a for a, b in zip(right["nano"], right["nano-2"], strict=True))
    only_first = sum(a and not b for a, b in zip(right["nano"], right["nano-2"], strict=True))
    assert mcnemar(only_second, only_first) < 0.001
    assert only_second > only_first
