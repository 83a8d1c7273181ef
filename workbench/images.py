"""Opening pictures: whatever a user has at hand becomes an upright RGB picture, or a clear error.

Every picture that a model sees goes through `open_image`, so that what the record keeps, what the
patch boxes refer to and what the model saw are the same pixels.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InputError, warn
from .files import read_bytes
from .types import ImageLike, ImagesLike

__all__ = ["MAX_PIXELS", "open_image", "open_images"]

MAX_BYTES = 2**30
"""Largest file that is read as a picture."""

MAX_PIXELS = 89_478_485
"""Largest picture that is decoded, in pixels (Pillow's own limit: a quarter gigabyte as RGB)."""

# Formats that Pillow decodes by itself. EPS is left out on purpose: Pillow hands it to Ghostscript.
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "TGA", "TIFF"),
    *("WEBP", "XBM"),
)
ACCEPTED = "a path, bytes, a PIL image, or an array [height, width] or [height, width, 3 or 4]"
# What Pillow's decoders raise on damaged or hostile data.
DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error)


def open_image(picture: ImageLike, *, name: str = "picture") -> Image.Image:
    """Open one picture as upright RGB, in a copy that nobody else holds.

    The EXIF rotation is applied; transparency is laid on white; 16-bit values are scaled to 8 bits;
    of an animation the first frame is taken, with a warning.  Integers of 32 bits (mode ``I``) and
    floats (mode ``F``) are read as 0..1 (floats only), 0..255 or 0..65535 by their range, and
    stretched from minimum to maximum beyond that.

    Args:
        picture: a path, bytes, an open binary file, a PIL image, or a NumPy array
            ``[height, width]`` or ``[height, width, 1 | 3 | 4]`` (integers 0..255, uint16, bool,
            or floats 0..1).
        name: what to call it in an error ("picture 2 of 3").

    Returns:
        A ``PIL.Image.Image`` in mode RGB, without metadata.

    Raises:
        InputError: if it cannot be read, is truncated, is larger than `MAX_PIXELS`, has fewer than
            two pixels, or is a web address.
    """
    if isinstance(picture, Image.Image):
        return _upright_rgb(picture, f"{name} ({type(picture).__name__})")
    if isinstance(picture, np.ndarray):
        return _upright_rgb(_from_array(picture, name), name)
    if isinstance(picture, (str, os.PathLike)):
        return _decode(_read_file(picture, name), f"{name} {os.fspath(picture)!r}")
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return _decode(bytes(picture), f"{name} ({len(picture)} bytes)")
    if hasattr(picture, "read"):
        return _decode(_read_stream(picture, name), f"{name} ({type(picture).__name__})")
    raise InputError(f"{name} is a {_type_name(picture)}", ACCEPTED, _hint(picture))


def open_images(pictures: ImagesLike) -> list[Image.Image]:
    """Open no picture (None), one picture, or a sequence of them.

    Raises:
        InputError: as `open_image`, saying which picture of the sequence.
    """
    if pictures is None:
        return []
    if not isinstance(pictures, Sequence) or isinstance(pictures, (str, bytes, bytearray, memoryview)):
        return [open_image(pictures)]
    if len(pictures) == 1:
        return [open_image(pictures[0])]
    return [open_image(p, name=f"picture {i} of {len(pictures)}") for i, p in enumerate(pictures, 1)]


def _read_file(path: str | os.PathLike[str], name: str) -> bytes:
    text = os.fspath(path)
    if isinstance(text, str) and text.lower().startswith(("http://", "https://")):
        raise InputError(
            f"{name} {text!r} is a web address",
            ACCEPTED,
            "download the picture first and pass its path; the workbench fetches nothing by itself",
        )
    try:
        return read_bytes(os.fsdecode(text), name, max_bytes=MAX_BYTES)
    except InputError as error:
        raise InputError(
            f"{error.given}: it cannot be read", ACCEPTED, f"check the path, seen from {os.getcwd()}"
        ) from None


def _read_stream(stream: Any, name: str) -> bytes:
    try:
        data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError, TypeError) as error:  # ValueError: closed; TypeError: no file at all
        given = f"{name} is a file that cannot be read: {error}"
        raise InputError(given, ACCEPTED, "open it again") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} is a file without end", f"at most {MAX_BYTES:,} bytes")
    if not isinstance(data, bytes):
        raise InputError(f"{name} is a file opened as text", ACCEPTED, 'open it with open(path, "rb")')
    return data


def _decode(data: bytes, name: str) -> Image.Image:
    if not data:
        raise InputError(f"{name} is empty", ACCEPTED, "check how the file was written")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                return _upright_rgb(image, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "too many pixels to decode safely") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{name} is not a picture in a format that is known",
            "PNG, JPEG, WebP, GIF, TIFF, BMP or another format that Pillow decodes by itself",
            "open it in an image viewer and export it as PNG",
        ) from None
    except InputError:
        raise
    except DECODE_ERRORS as error:
        raise _damaged(name, error) from None


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # AVIF needs a library that may be absent


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    width, height = image.size
    if width * height < 2:
        raise InputError(
            f"{name} has {width}x{height} pixels", "at least two pixels", "check how the picture was made"
        )
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{width}x{height} pixels")
    if _is_closed(image):
        raise InputError(
            f"{name} is closed", "an open picture", "ask inside the `with` block, or call image.load() in it"
        )
    try:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # MPO: a phone's JPEG whose second frame is a depth map
            warn(f"{name} has {frames} frames; the first is used.")
            image.seek(0)
        image.load()
        return _clean(_to_rgb(_turned(image), name))
    except InputError:
        raise
    except DECODE_ERRORS as error:
        raise _damaged(name, error) from None


def _is_closed(image: Image.Image) -> bool:
    """Whether its pixels are gone: closed, or a file closed before it was decoded."""
    if getattr(image, "fp", None) is not None:
        return False
    try:
        return image.im is None
    except (AssertionError, ValueError):  # Pillow's words for an image that has none
        return True


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, struct.error, TypeError, ValueError, KeyError):
        return image  # metadata that cannot be read says nothing about the pixels


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    mode = image.mode
    if mode in ("RGBa", "La"):  # premultiplied alpha
        image = image.convert("RGBA" if mode == "RGBa" else "LA")
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image), name, wide=mode.startswith("I;"))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray, name: str, *, wide: bool) -> np.ndarray:
    """Scale grey values [height, width] to 0..255; ``wide``: they are known to be 16-bit."""
    fractions = np.issubdtype(values.dtype, np.floating)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(
            f"{name} has values that are not finite", "finite grey values", "use numpy.nan_to_num"
        )
    low, high = float(values.min()), float(values.max())
    if wide:
        scaled = values / 257
    elif low < 0 or high > 65535:
        scaled = (values - low) / max(high - low, 1e-300) * 255
    elif high > 255:
        scaled = values / 257
    else:
        scaled = values * (255 if fractions and high <= 1 else 1)
    return np.round(scaled).astype(np.uint8)


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    shape = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        channels_first = array.ndim == 3 and shape[0] in (1, 3, 4)
        fix = "move the channels last: array.transpose(1, 2, 0)" if channels_first else "pass one picture"
        raise InputError(
            f"{name} is an array of shape {shape}", "[height, width] or [height, width, 3 or 4]", fix
        )
    if array.size == 0:
        raise InputError(f"{name} is an array of shape {shape}", "at least two pixels", "check the slicing")
    return Image.fromarray(np.ascontiguousarray(_bytes_of(array, name)))


def _bytes_of(array: np.ndarray, name: str) -> np.ndarray:
    if np.issubdtype(array.dtype, np.integer) and array.max() == 1 and array.min() == 0:
        warn(f"{name} holds only 0 and 1; taken as black and white.")
        array = array.astype(bool)
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return np.round(array / 257).astype(np.uint8)
    limit = 1 if np.issubdtype(array.dtype, np.floating) else 255
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise InputError(f"{name} is an array of {array.dtype}", "integers 0..255 or floats 0..1")
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high) and low >= 0 and high <= limit):
        raise InputError(
            f"{name} is an array of {array.dtype} with values {low:g}..{high:g}",
            "integers 0..255 or floats 0..1",
            "scale it, for example (array / array.max()).clip(0, 1)",
        )
    return np.round(array * (255 // limit)).astype(np.uint8)


def _clean(image: Image.Image) -> Image.Image:
    """A copy without metadata: a kept EXIF rotation would be applied twice when it is read back."""
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    return clean


def _too_large(name: str, size: str) -> InputError:
    return InputError(
        f"{name} has {size}",
        f"at most {MAX_PIXELS:,} pixels in all",
        "make it smaller first; the model would scale it down anyway",
    )


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name} is damaged or truncated: {error}", "a complete picture", "copy or download it again"
    )


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _hint(value: object) -> str:
    if type(value).__module__.partition(".")[0] == "torch":
        return "pass tensor.permute(1, 2, 0).cpu().numpy() with values 0..1 or 0..255 as uint8"
    return "open it with PIL.Image.open, or pass its path"
