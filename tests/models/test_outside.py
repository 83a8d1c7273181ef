"""The warning about pictures outside the drawn world: rare on drawings, given for what is none, and once."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from PIL import Image

import workbench
from workbench import synth
from workbench.files import data_path
from workbench.models import OutsideWorldWarning
from workbench.models.outside import boundary, features, outside, warn_outside
from workbench.synth import World, collected

PATCHES = 256


def test_the_recorded_figures_keep_what_was_promised() -> None:
    figures = json.loads(data_path("outside", "outside.json").read_text(encoding="utf-8"))["figures"]
    for name, row in figures["false alarms on drawings"].items():
        assert row["share"] <= 0.05, name
        assert row["n"] >= 500
    misses = figures["misses on photographs and scans"]
    assert all(row["share"] <= 0.2 for kind, row in misses.items() if kind.startswith("shrunk"))
    assert figures["misses on data/samples, as they are"]["all"]["share"] <= 0.2


def test_drawings_are_rarely_taken_for_photographs() -> None:
    worn = World(2, worn=True)
    alarms = [
        boundary().score(features(sample.images[0])) > 0
        for family in (*synth.FAMILIES, *synth.FREE, *synth.LARGE)
        for sample in synth.sample(family, 6, seed=77_000, world=worn)
    ]
    assert len(alarms) > 150
    assert np.mean(alarms) <= 0.08


def test_the_collected_pictures_are_told_as_they_are_and_shrunk() -> None:
    pictures = {(s.domain, s.family): s.images[0] for s in collected()}
    for (kind, name), picture in pictures.items():
        told = outside(picture, most_patches=PATCHES)
        assert told == ("photograph" if kind in ("photograph", "scan") else "large"), name
        if kind == "photograph":
            small = picture.resize((192, 160), Image.Resampling.BILINEAR)
            assert outside(small, most_patches=PATCHES) == "photograph", name


def test_size_alone_tells_what_is_shrunk_too_much() -> None:
    page = Image.new("RGB", (400, 360), "white")
    assert outside(page, most_patches=256) == ""
    assert outside(page, most_patches=200) == "large"
    for size in ((2, 1), (1, 300), (16, 16)):
        assert np.isfinite(features(Image.new("RGB", size, "white"))).all()


@pytest.fixture
def nano():
    vlm = workbench.load()
    vlm._warned_of.clear()
    yield vlm
    vlm._warned_of.clear()


def test_the_built_in_model_warns_once_a_kind_and_says_what_to_load(nano) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    large = Image.new("RGB", (900, 900), "white")
    for picture, words in ((noise, "photograph or a scan"), (large, "much larger")):
        with pytest.warns(OutsideWorldWarning, match=words) as caught:
            nano.ask(picture, "What is this?", max_tokens=1)
        (warning,) = caught
        assert warning.filename == __file__, "it points at the line that asked"
        assert 'workbench.load("HuggingFaceTB/SmolVLM2-500M-Video-Instruct")' in str(warning.message)
        assert "a card of 80 GB" in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OutsideWorldWarning)
        nano.ask_many([noise, large], "What is this?", max_tokens=1, progress=False)
        sample = synth.sample("bar_value", 1, seed=3)[0]
        nano._warned_of.clear()
        nano.ask(sample.images, sample.question, max_tokens=1)


def test_all_pictures_of_a_question_are_looked_at() -> None:
    page, told = Image.new("RGB", (64, 64), "white"), set()
    with pytest.warns(OutsideWorldWarning):
        warn_outside([page, Image.new("RGB", (900, 900))], most_patches=PATCHES, told=told)
    assert told == {"large"}
