"""Opening pictures: every colour mode and rotation, and a clear error for what is none."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.errors import InputError
from workbench.images import MAX_BYTES, MAX_PIXELS, open_image, open_images

# A picture whose four corners differ, wider than high.
CORNERS = np.zeros((20, 30, 3), np.uint8)
CORNERS[:10, :15], CORNERS[:10, 15:] = (250, 20, 20), (20, 250, 20)
CORNERS[10:, :15], CORNERS[10:, 15:] = (20, 20, 250), (240, 240, 30)
RGB = Image.fromarray(CORNERS)


def as_bytes(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def test_all_ways_of_giving_a_picture(tmp_path):
    path = tmp_path / "picture.png"
    RGB.save(path)
    given = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), RGB, CORNERS, CORNERS / 255]
    given += [np.dstack([CORNERS, np.full((20, 30), 255, np.uint8)]), CORNERS.astype(np.int64)]
    with path.open("rb") as file:
        given.append(io.BytesIO(file.read()))
    for picture in given:
        assert (pixels(open_image(picture)) == CORNERS).all(), type(picture)


def test_a_copy_that_nobody_else_holds():
    original = RGB.copy()
    original.info["note"] = "kept"
    opened = open_image(original)
    original.paste((0, 0, 0), (0, 0, 30, 20))
    assert (pixels(opened) == CORNERS).all()
    assert opened.info == {}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_every_colour_mode(mode):
    image = RGB.quantize(4).convert(mode) if mode in ("P", "PA") else RGB.convert(mode)
    assert image.mode == mode
    grey = {"1": "1", "L": "L", "LA": "L"}.get(mode)
    expected = pixels(RGB.convert(grey).convert("RGB")) if grey else CORNERS
    tolerance = {"YCbCr": 3, "HSV": 4}.get(mode, 0)
    assert np.abs(pixels(open_image(image)) - expected).max() <= tolerance


def test_lab():
    from PIL import ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    greys = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2))
    lab = ImageCms.profileToProfile(greys, *profiles, outputMode="LAB")
    assert lab.mode == "LAB"
    # One step of 8-bit lightness is at most 1.5 steps of sRGB, and each side rounds once more.
    assert np.abs(pixels(open_image(lab)) - np.asarray(greys)).max() <= 2
    colours = pixels(open_image(ImageCms.profileToProfile(RGB, *profiles, outputMode="LAB")))
    assert ((colours > 128) == (CORNERS > 128)).all()


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "F"])
def test_sixteen_bits_are_scaled_not_clipped(mode):
    ramp = np.linspace(0, 65535, 600).reshape(20, 30)
    kind = {"I": np.int32, "I;16": np.uint16, "I;16B": ">u2", "F": np.float32}[mode]
    image = Image.fromarray(ramp.astype(kind))
    assert image.mode == mode
    got = pixels(open_image(image))[..., 0]
    assert np.abs(got - ramp / 257).max() <= 0.51
    through_png = open_image(as_bytes(Image.fromarray(ramp.astype(np.uint16))))
    assert np.abs(pixels(through_png)[..., 0] - ramp / 257).max() <= 0.51


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 128.0, 255.0]], np.float32), [0, 128, 255]),
        (np.array([[-10.0, 0.0, 10.0]], np.float32), [0, 128, 255]),
        (np.array([[0, 1, 255]], np.int32), [0, 1, 255]),
        (np.array([[-5, 0, 5]], np.int32), [0, 128, 255]),
        (np.array([[70000, 70000, 70000]], np.int32), [0, 0, 0]),
    ],
)
def test_ranges_of_wide_modes(values, expected):
    assert pixels(open_image(Image.fromarray(values)))[0, :, 0].tolist() == expected


def test_values_that_are_not_finite():
    with pytest.raises(InputError, match="not finite"):
        open_image(Image.fromarray(np.array([[np.nan, 1.0]], np.float32)))


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    palette = Image.new("P", (4, 4), 0)
    palette.info["transparency"] = 0
    half = Image.new("LA", (4, 4), (0, 128))
    premultiplied = Image.new("RGBA", (4, 4), (255, 0, 0, 128)).convert("RGBa")
    assert (pixels(open_image(clear)) == 255).all()
    assert (pixels(open_image(palette)) == 255).all()
    assert np.abs(pixels(open_image(half)) - 127).max() <= 1
    assert np.abs(pixels(open_image(premultiplied))[0, 0] - (255, 127, 127)).max() <= 2
    assert (pixels(open_image(as_bytes(clear))) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation):
    """The stored pixels are the inverse of what the tag asks for, so every one shows upright."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = RGB if undo is None else RGB.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = as_bytes(stored, "PNG", exif=exif)
    opened = open_image(data)
    assert (pixels(opened) == CORNERS).all()
    assert (pixels(open_image(as_bytes(opened))) == CORNERS).all(), "not turned a second time"
    assert (pixels(open_image(Image.open(io.BytesIO(data)))) == CORNERS).all()


def test_broken_exif_does_not_hide_the_picture():
    data = as_bytes(RGB, "PNG", exif=b"Exif\x00\x00nonsense")
    assert (pixels(open_image(data)) == CORNERS).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_with_a_warning(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = as_bytes(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    with pytest.warns(UserWarning, match="3 frames; the first is used"):
        opened = open_image(data)
    assert (pixels(opened) == (255, 0, 0)).all()


def test_a_still_picture_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"):
            assert open_image(as_bytes(RGB, kind)).size == (30, 20)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0), (1, 1)])
def test_no_or_one_pixel(size):
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]} pixels.*at least two"):
        open_image(Image.new("RGB", size))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0, 3), (1, 1, 3)])
def test_empty_arrays(shape):
    with pytest.raises(InputError, match="at least two pixels"):
        open_image(np.zeros(shape, np.uint8))


def test_one_line_is_a_picture():
    assert open_image(Image.new("RGB", (2, 1))).size == (2, 1)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises more than its few bytes hold."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000)])
def test_a_decompression_bomb(size):
    assert size[0] * size[1] > MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=r"pixels.*at most 89,478,485"):
            open_image(bomb(*size))


def test_a_picture_too_large_to_hold_is_not_decoded(monkeypatch):
    monkeypatch.setattr("workbench.images.MAX_PIXELS", 500)
    with pytest.raises(InputError, match="30x20 pixels"):
        open_image(RGB)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_truncated_file(kind):
    rng = np.random.default_rng(0)
    data = as_bytes(Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)), kind)
    for keep in (0.9, 0.5):
        with pytest.raises(InputError, match="damaged or truncated|not a picture|cannot be read"):
            open_image(data[: int(len(data) * keep)])


@pytest.mark.parametrize(
    "data", [b"hello", b"%PDF-1.4 ...", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n", b"<svg/>"]
)
def test_not_a_picture(data):
    with pytest.raises(InputError, match="not a picture|damaged"):
        open_image(data)


def test_damaged_bytes_never_raise_anything_else():
    rng = np.random.default_rng(1)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "TGA", "PCX"):
        good = as_bytes(RGB, kind)
        for _ in range(25):
            bad = bytearray(good)
            for at in rng.integers(0, len(bad), 4):
                bad[at] = rng.integers(0, 256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(InputError):
                    assert open_image(bytes(bad)).mode == "RGB"


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"", "is empty"),
        ("nowhere/at/all.png", "nowhere/at/all.png.*No such file"),
        ("a\0b", "cannot be read"),
        (".", "cannot be read"),
        ("https://example.org/a.png", "web address.*download"),
        (3.5, "is a float"),
        (None, "is a NoneType"),
        (object(), "is a object"),
        (io.StringIO("text"), "opened as text"),
        (np.zeros((3, 20, 30), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((2, 20, 30, 3), np.uint8), "shape"),
        (np.zeros((20, 30, 2), np.uint8), "shape"),
        (np.full((4, 4), 7.5), "values 7.5..7.5"),
        (np.full((4, 4), np.nan), "nan"),
        (np.full((4, 4), 300), "values 300..300"),
        (np.full((4, 4), "x"), "array of"),
        (np.full((4, 4), 1j), "complex"),
    ],
)
def test_what_is_no_picture_is_named(picture, message):
    with pytest.raises(InputError, match=message):
        open_image(picture)


def test_a_tensor_is_told_how():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"permute\(1, 2, 0\)"):
        open_image(torch.zeros(3, 4, 4))


def test_open_images():
    assert open_images(None) == []
    assert open_images([]) == []
    assert len(open_images(RGB)) == 1
    assert [i.size for i in open_images([RGB, CORNERS])] == [(30, 20)] * 2
    with pytest.raises(InputError, match="picture 2 of 3"):
        open_images([RGB, b"no", RGB])


def test_no_torch_is_needed():
    code = "import sys, workbench.images, workbench.answer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _png(path: Path) -> Path:
    Image.new("RGB", (8, 8), "red").save(path, "PNG")
    return path


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["after with", "closed", "closed array image", "closed file", "gif"])
def test_a_closed_picture_is_told_as_such(tmp_path: Path, kind: str) -> None:
    path, picture = _png(tmp_path / "a.png"), None
    if kind == "after with":
        with Image.open(path) as picture:
            pass
    elif kind == "closed":
        picture = Image.open(path)
        picture.load()
        picture.close()
    elif kind == "closed array image":
        picture = Image.new("L", (4, 4))
        picture.close()
    elif kind == "closed file":
        picture = path.open("rb")
        picture.close()
    else:
        Image.new("L", (8, 8)).save(
            tmp_path / "a.gif", save_all=True, append_images=[Image.new("L", (8, 8), 9)]
        )
        with Image.open(tmp_path / "a.gif") as picture:
            picture.seek(1)
    with pytest.raises(InputError, match="closed"):
        open_image(picture)


def test_a_picture_decoded_within_its_with_block_can_be_used_after_it(tmp_path: Path) -> None:
    with Image.open(_png(tmp_path / "a.png")) as picture:
        picture.load()
    assert open_image(picture).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large"])
def test_a_path_that_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "folder":
        path = tmp_path
    else:
        with path.open("wb") as file:
            file.truncate(20 * 2**30)
    with pytest.raises(InputError, match="picture="):
        open_image(path)


def test_a_stream_without_end_is_not_read_for_ever() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= MAX_BYTES + 1, "it asked for everything"
            return b"\0" * 1000

    with pytest.raises(InputError):
        open_image(Endless())


@pytest.mark.parametrize("kind", ["uint8", "int64", "uint16", "int32"])
def test_a_mask_of_0_and_1_is_black_and_white_and_says_so(kind: str) -> None:
    mask = np.zeros((4, 4), dtype=kind)
    mask[:2] = 1
    with pytest.warns(UserWarning, match="only 0 and 1"):
        image = open_image(mask)
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((0, 3)) == (0, 0, 0)


def test_a_folder_that_is_named_with_a_tilde_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~x").mkdir()
    _png(tmp_path / "~x" / "a.png")
    assert open_image("~x/a.png").size == (8, 8)


@pytest.mark.parametrize(
    ("size", "opens"), [((10, 10), True), ((101, 1), False), ((1, 2), True), ((1, 1), False)]
)
def test_the_cap_on_pixels_is_met_exactly(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], opens: bool
) -> None:
    monkeypatch.setattr("workbench.images.MAX_PIXELS", 100)
    picture = Image.new("RGB", size)
    if opens:
        assert open_image(picture).size == size
    else:
        with pytest.raises(InputError, match="pixels"):
            open_image(picture)
