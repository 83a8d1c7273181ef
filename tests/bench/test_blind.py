"""Controls: what is answered without the picture, and which pictures stand elsewhere."""

from __future__ import annotations

import io

import numpy as np
import pytest
from bench_fakes import FakeVLM
from PIL import Image

from workbench import bench, synth
from workbench.errors import InputError


def pictured(n: int = 12) -> bench.Task:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(n)]
    rule = {"rule": "words"}
    items = [bench.Item(str(i), f"What is {i}?", "yes", (p,), scoring=rule) for i, p in enumerate(pictures)]
    return bench.Task("t", items, chance=0.25)


def test_the_control_pairs_the_same_items_and_tells_what_pictures_add(tmp_path) -> None:
    def guesses(images, question, mode):  # without a picture, right on items 0 and 1 alone
        return "yes" if images or question in ("What is 0?", "What is 1?") else "no"

    task, vlm = pictured(), FakeVLM(guesses)
    seeing = bench.run(vlm, task, modes=["auto", "think"], folder=tmp_path / "a", progress=False)
    blind = bench.run(vlm, task, modes=["auto", "think"], folder=tmp_path / "b", blind=True, progress=False)
    table = bench.blind_control(seeing, blind, n_resamples=100)
    assert table["n"].tolist() == [12, 12]
    assert table["seeing"].tolist() == [1.0, 1.0]
    assert table["blind"].tolist() == pytest.approx([2 / 12] * 2)
    assert (table["difference"] == table["seeing"] - table["blind"]).all()
    assert table["chance"].tolist() == [0.25, 0.25]
    assert (table["blind_low"] < table["blind"]).all()
    assert (table["control"] == "blind").all()
    assert bench.answerable_blind(seeing, blind)["item"].tolist() == ["0", "1"]
    with pytest.raises(InputError, match="control"):
        bench.blind_control(seeing, seeing)
    both = seeing + blind
    assert len(both) == 48  # the two kinds of rows lie in one table without being taken for each other


def test_copies_are_found_resized_and_compressed_and_others_are_not(tmp_path) -> None:
    photo = Image.open(_photo()).convert("RGB")
    (tmp_path / "deep").mkdir()
    photo.resize((200, 133)).save(tmp_path / "deep" / "copy.jpg", quality=40)
    photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    Image.new("RGB", (30, 30), "white").save(tmp_path / "empty.png")
    found = bench.contamination([photo, Image.new("RGB", (50, 50), "white")], tmp_path)
    assert found["match"].tolist() == ["deep/copy.jpg"]
    assert found["distance"].iloc[0] <= 24
    assert not found["exact"].iloc[0]
    assert found.attrs == {"looked_at": 2, "compared_with": 3}
    assert bench.contamination([Image.new("RGB", (30, 30), "white")], tmp_path)["exact"].tolist() == [True]
    with pytest.raises(InputError, match="no pictures"):
        bench.contamination([photo], tmp_path / "nothing")


def test_a_benchmark_drawn_with_the_seed_of_training_is_noticed() -> None:
    stream = list(bench.synth_images(["shape_colour"], seed="train/0", n=6))
    drawn = [synth.draw("shape_colour", seed="train/0/3")[0].canvases[0].image()]
    found = bench.contamination(drawn, iter(stream))
    assert found["match"].tolist() == ["shape_colour train/0/3 picture 0"]
    assert found["exact"].tolist() == [True]
    suite = bench.task("suite").head(20)
    assert not bench.contamination(suite, bench.synth_images(["geometry"], seed="train/0", n=10))[
        "exact"
    ].any()


def test_a_hash_says_how_far_pictures_are_apart() -> None:
    photo = Image.open(_photo()).convert("RGB")
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=70)
    same, other = bench.image_hash(photo), bench.image_hash(photo.rotate(90, expand=True))
    assert same.distance(same) == 0
    assert same.distance(bench.image_hash(buffer.getvalue())) < 16
    assert same.distance(other) > 60


def _photo():
    from workbench import data_path

    return data_path("samples", "temple.jpg")
