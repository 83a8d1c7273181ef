"""Pictures to patches: grids, colour modes, budgets, and the published preprocessor_config.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.errors import InputError
from workbench.models.phi4_rv import Phi4RVImageProcessor, patch_grid


@pytest.fixture(scope="module")
def images() -> Phi4RVImageProcessor:
    return Phi4RVImageProcessor(min_num_patches=4, max_num_patches=64)


def test_patches_run_row_by_row_and_padding_is_zero(images):
    """Patch (row, col) of a picture that needs no resizing holds exactly its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 32, 3), dtype=np.uint8)
    out = images(Image.fromarray(pixels), return_tensors="pt")
    assert out["spatial_shapes"].tolist() == [[3, 2]]
    assert out["pixel_values"].shape == (1, 64, 768)
    assert out["pixel_values"].dtype == torch.float32
    for token in range(6):
        row, col = divmod(token, 2)
        cell = pixels[16 * row : 16 * row + 16, 16 * col : 16 * col + 16]
        expected = torch.tensor(cell / 127.5 - 1, dtype=torch.float32).flatten()
        torch.testing.assert_close(out["pixel_values"][0, token], expected, atol=1e-6, rtol=0)
    assert not out["pixel_values"][0, 6:].any()
    assert out["pixel_attention_mask"].tolist() == [[1] * 6 + [0] * 58]


MODES = (
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
)


@pytest.mark.parametrize("mode", [*MODES, "I;16"])
def test_every_colour_mode(images, mode):
    """A picture of one grey gives that grey in every mode (LAB and HSV only nearly)."""
    grey = Image.new("RGB", (60, 40), (128, 128, 128))
    if mode == "I;16":
        source = Image.fromarray(np.full((40, 60), 128 * 257, dtype=np.uint16))
    elif mode == "P":  # the default palette has no such grey and would be dithered
        source = grey.quantize(2)
    elif mode in ("PA", "La"):
        source = grey.convert("LA").convert(mode)
    else:
        source = grey.convert("RGBA").convert(mode) if mode == "RGBa" else grey.convert(mode)
    assert source.mode == mode
    out = images(source, return_tensors="np")
    values = out["pixel_values"][0, : int(out["spatial_shapes"].prod())]
    if mode == "1":  # dithered: black and white in equal parts
        assert abs(values.mean()) < 0.1
    else:
        assert np.abs(values - (128 / 127.5 - 1)).max() < 0.03


def test_a_16_bit_picture_is_scaled_not_clipped(images):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    values = images(Image.fromarray(ramp), return_tensors="np")["pixel_values"]
    assert values.min() == pytest.approx(-1, abs=0.01)
    assert np.abs(values[0, :16]).mean() == pytest.approx(0.5, abs=0.02)


def test_exif_rotation_is_applied(images, tmp_path):
    upright = Image.new("RGB", (32, 64), "white")
    upright.paste("black", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn counter-clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        out = images(turned, return_tensors="pt")
    expected = images(upright, return_tensors="pt")
    assert out["spatial_shapes"].tolist() == [[4, 2]]
    assert torch.equal(out["pixel_values"], expected["pixel_values"])


def test_arrays_tensors_and_paths_are_the_same_picture(images, picture, tmp_path):
    source = picture(50, 70)
    array = np.asarray(source)
    source.save(tmp_path / "p.png")
    channels_first = array.transpose(2, 0, 1)
    expected = images(source, return_tensors="pt")["pixel_values"]
    for other in (array, channels_first, torch.tensor(channels_first), tmp_path / "p.png"):
        assert torch.equal(images(other, return_tensors="pt")["pixel_values"], expected)


def test_a_batch_equals_its_pictures(images, picture):
    pictures = [picture(30, 30), picture(100, 20, 1), picture(300, 400, 2)]
    batch = images([pictures[:1], pictures[1:]], return_tensors="pt")
    assert batch["spatial_shapes"].shape == (3, 2)
    for i, one in enumerate(pictures):
        single = images(one, return_tensors="pt")
        assert all(torch.equal(batch[name][i], single[name][0]) for name in single)


def test_the_budget_of_a_call(images, picture):
    wide = picture(640, 320)
    counts = [
        int(images(wide, max_num_patches=most, return_tensors="pt")["spatial_shapes"].prod())
        for most in (2, 16, 200)
    ]
    assert counts[0] <= 2 < counts[1] <= 16 < counts[2] <= 200
    assert images(wide, max_num_patches=16)["pixel_values"].shape == (1, 16, 768)
    few = picture(20, 20)
    assert images(few, return_tensors="pt")["spatial_shapes"].tolist() == [[2, 2]]
    assert images(few, min_num_patches=36, return_tensors="pt")["spatial_shapes"].tolist() == [[6, 6]]
    assert images.grid(320, 640, max_num_patches=16) == tuple(
        images(wide, max_num_patches=16)["spatial_shapes"][0].tolist()
    )


def test_one_pixel_works_in_the_processor(images):
    assert images(Image.new("RGB", (1, 1)))["spatial_shapes"].prod() <= 64


def test_the_published_file_round_trips(checkpoint, tmp_path):
    Phi4RVImageProcessor.from_pretrained(checkpoint).save_pretrained(tmp_path)
    official = json.loads((checkpoint / "preprocessor_config.json").read_text())
    del official["auto_map"]  # names Python files that are not written
    assert json.loads((tmp_path / "preprocessor_config.json").read_text()) == official


def test_settings_round_trip(tmp_path, picture):
    made = Phi4RVImageProcessor(
        min_num_patches=1, max_num_patches=9, patch_size=8, image_mean=(0.1, 0.2, 0.3), image_std=(1, 2, 3)
    )
    made.save_pretrained(tmp_path)
    again = Phi4RVImageProcessor.from_pretrained(tmp_path)
    assert again.to_dict() == made.to_dict()
    one = picture(33, 44)
    assert np.array_equal(again(one)["pixel_values"], made(one)["pixel_values"])
    assert Phi4RVImageProcessor.from_pretrained(tmp_path, max_num_patches=4).max_num_patches == 4


@pytest.mark.parametrize(
    "bad", ["no/such/file.png", b"not a picture", 7, [], None, "https://example.org/x.png"]
)
def test_what_is_no_picture_is_refused(images, bad):
    with pytest.raises(InputError):
        images(bad)


def test_impossible_budgets_and_sizes_are_refused(images, picture):
    with pytest.raises(InputError, match="min_num_patches"):
        images(picture(9, 9), min_num_patches=9, max_num_patches=4)
    with pytest.raises(InputError, match="min_num_patches"):
        patch_grid(10, 10, min_num_patches=0)
    with pytest.raises(InputError, match="0x10"):
        patch_grid(10, 0)
    with pytest.raises(InputError, match="do_resize"):
        Phi4RVImageProcessor(do_resize=False)
