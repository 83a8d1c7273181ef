"""How a drawing looks on its image: where it stands, how large, in which typeface, on what, and how worn.

A drawing is made of shapes and texts at places of its own.  A `Look` puts it on an image: scaled, moved
freely, turned a little, lettered in one of the open typefaces that ship with us (some are held out for
evaluation), before a crop of a photograph, inverted, and spoilt as images are on their way (grey, blurred,
noisy, compressed).  Boxes move along with all of it.
"""

from __future__ import annotations

import io
import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter, ImageFont

from ..errors import InputError
from ..files import data_path

__all__ = ["FACES", "HELD_OUT_FACES", "LARGEST", "Look", "PHOTOS", "choose", "crop", "font", "moved"]


#: Typefaces that training pictures are written in.
FACES = (
    "dejavu-sans", "liberation-sans", "lato", "liberation-serif", "roboto-slab", "liberation-mono",
    "comic-neue", "dkg",
)  # fmt: skip

#: Typefaces that no training picture holds.
HELD_OUT_FACES = ("open-sans", "caladea", "inconsolata")

#: Characters that some typefaces lack; a text with one of them is written in `FACES[0]`, which has them all.
LACKING = {
    "dkg": frozenset("−€’‘“”–—•…"),
    "inconsolata": frozenset("–—"),
}


@lru_cache(maxsize=512)
def font(face: str, size: float, text: str = "", *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """A typeface at a size in pixels.

    Args:
        face: one of `FACES` or `HELD_OUT_FACES`.
        size: in pixels.
        text: what is to be written; another face is given where this one lacks a character of it.
        bold: the bold weight, where there is one.

    Raises:
        InputError: for an unknown typeface, or if its file is missing.
    """
    if face not in (*FACES, *HELD_OUT_FACES):
        raise InputError(f"face={face!r}", f"one of {', '.join((*FACES, *HELD_OUT_FACES))}")
    if LACKING.get(face, frozenset()) & set(text):
        face = FACES[0]
    return _loaded(face, size, bold)


@lru_cache(maxsize=512)
def _loaded(face: str, size: float, bold: bool) -> ImageFont.FreeTypeFont:
    files = {path.stem: path for path in data_path("fonts").iterdir()}
    weights = (f"{face}-bold", f"{face}-regular") if bold else (f"{face}-regular",)
    path = next((files[name] for name in weights if name in files), None)
    if path is None:
        raise InputError(
            f"the typeface {face} is missing from {data_path('fonts')}",
            f"{face}-regular.ttf or .otf there",
            "if the installation is damaged, reinstall it",
        )
    return ImageFont.truetype(str(path), size)


#: Names of the photographs: the first two are scikit-learn's, the others scikit-image's.
PHOTOS = ("china", "flower", "astronaut", "chelsea", "coffee", "rocket")


def crop(name: str, size: tuple[int, int], seed: int) -> Image.Image:
    """A part of a photograph.

    Args:
        name: of `PHOTOS`.
        size: width and height in pixels; the photograph is enlarged where it is smaller.
        seed: chooses which part.
    """
    photo, rng = _photo(name), random.Random(seed)
    scale = max(1.0, size[0] / photo.width, size[1] / photo.height)
    wide, high = size[0] / scale, size[1] / scale
    x, y = rng.random() * max(0.0, photo.width - wide), rng.random() * max(0.0, photo.height - high)
    wide, high = min(wide, photo.width - x), min(high, photo.height - y)
    return photo.resize(size, Image.Resampling.BILINEAR, (x, y, x + wide, y + high))


@lru_cache(maxsize=len(PHOTOS))
def _photo(name: str) -> Image.Image:
    from skimage import data  # heavy
    from sklearn.datasets import load_sample_image  # heavy

    pixels = load_sample_image(f"{name}.jpg") if name in PHOTOS[:2] else getattr(data, name)()
    return Image.fromarray(pixels).convert("RGB")


Box = tuple[float, float, float, float]
RGB = tuple[int, int, int]

PATCH = 16

#: Patches of the largest picture, and of the smallest.
LARGEST, SMALLEST = 256, 16


@dataclass(frozen=True)
class Look:
    """How a drawing is put on its picture.

    Args:
        size: width and height of the picture in pixels, multiples of 16.
        scale: factors across and down.
        corner: where the drawing's upper left corner stands, in pixels.
        angle: degrees by which the picture is turned anticlockwise around its middle.
        face: the typeface, of `fonts.FACES` or `fonts.HELD_OUT_FACES`.
        lettering: size of texts relative to the drawing's, where there is room.
        margin: colour around the drawing; None for the drawing's own background.
        photo: a photograph around the drawing, of `photos.PHOTOS`; "" for none.
        inverted: light and dark change places, hues stay.
        grey: without colour.
        blur: radius in pixels.
        noise: standard deviation of 255.
        jpeg: quality; 0 for none.
        seed: of the noise, and of the places of texts within their room.
        loose: pixels by which a text may stand off its place, each way.
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    corner: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    face: str = FACES[0]
    lettering: float = 1.0
    margin: RGB | None = None
    photo: str = ""
    inverted: bool = False
    grey: bool = False
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    seed: int = 0
    loose: float = 0.5

    def flat(self, box: Box) -> Box:
        """A box of the drawing in the picture's pixels, before the picture is turned."""
        (sx, sy), (x, y) = self.scale, self.corner
        return box[0] * sx + x, box[1] * sy + y, box[2] * sx + x, box[3] * sy + y

    def turned(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture lies after it was turned."""
        cx, cy = self.size[0] / 2, self.size[1] / 2
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        dx, dy = x - cx, y - cy
        return cx + dx * cos + dy * sin, cy - dx * sin + dy * cos

    def hull(self, box: Box) -> Box:
        """The upright box, inside the picture, around a box that was turned with it."""
        if self.angle:
            corners = [self.turned(x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
            xs, ys = zip(*corners, strict=True)
            box = (min(xs), min(ys), max(xs), max(ys))
        width, height = self.size
        x1, y1 = min(max(0.0, box[0]), width - 1.0), min(max(0.0, box[1]), height - 1.0)
        return x1, y1, max(x1 + 1, min(width, box[2])), max(y1 + 1, min(height, box[3]))

    def finish(self, picture: Image.Image, margin: RGB) -> Image.Image:
        """Turn a picture that was drawn upright, then invert and wear it as the look says."""
        if self.angle:
            picture = picture.rotate(self.angle, Image.Resampling.BICUBIC, fillcolor=margin)
        if self.inverted:
            picture = inverted(picture)
        if self.grey:
            picture = picture.convert("L").convert("RGB")
        if self.blur:
            picture = picture.filter(ImageFilter.GaussianBlur(self.blur))
        if self.noise:
            picture = noisy(picture, self.noise, self.seed)
        return compressed(picture, self.jpeg) if self.jpeg else picture


def inverted(picture: Image.Image) -> Image.Image:
    """Light and dark change places while every hue stays: red stays red."""
    pixels = np.asarray(picture).astype(np.int16)
    moved = pixels + (255 - pixels.max(-1, keepdims=True) - pixels.min(-1, keepdims=True))
    return Image.fromarray(moved.clip(0, 255).astype(np.uint8))


def noisy(picture: Image.Image, deviation: float, seed: int) -> Image.Image:
    """Seeded Gaussian noise, of one ``deviation`` in every channel."""
    pixels = np.asarray(picture).astype(np.float32)
    pixels += np.random.default_rng(seed).standard_normal(pixels.shape, np.float32) * np.float32(deviation)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    """The picture after it was a JPEG file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def choose(
    rng: random.Random,
    width: float,
    height: float,
    *,
    faces: tuple[str, ...] = FACES,
    worn: bool = False,
    colours: bool = True,
) -> Look:
    """A look for a drawing of the given size: free place, scale, lettering, theme; its wear where asked for.

    Args:
        rng: chooses.
        width, height: of the drawing.
        faces: typefaces to choose from.
        worn: also turned, blurred, noisy, compressed, grey.
        colours: whether colours are asked for; then the picture is not made grey.
    """
    stretch = rng.uniform(0.94, 1.06)
    angle = rng.uniform(-3, 3) if worn and rng.random() < 0.3 else 0.0
    lean = abs(math.sin(math.radians(angle))) / 2
    photo = rng.choice(PHOTOS) if rng.random() < 0.08 else ""
    pads = rng.uniform(0, 14), rng.uniform(0, 14)
    scale = rng.triangular(0.8, 1.65, 1.0)
    while True:
        across, down = scale * stretch, scale / stretch
        wide, high = width * across, height * down
        size = _whole(wide + 2 * (pads[0] + high * lean)), _whole(high + 2 * (pads[1] + wide * lean))
        if size[0] * size[1] <= LARGEST * PATCH**2:
            break
        scale *= 0.97
    size = _at_least(size)
    corner = tuple(
        rng.uniform(lean * other, full - used - lean * other)
        for full, used, other in zip(size, (wide, high), (high, wide), strict=True)
    )

    def some(share: float) -> bool:
        return worn and rng.random() < share

    return Look(
        size=size,
        scale=(across, down),
        corner=corner,  # type: ignore[arg-type]
        angle=angle,
        face=rng.choice(faces),
        lettering=rng.uniform(0.95, 1.25),
        margin=_pale(rng) if rng.random() < 0.3 else None,
        photo=photo,
        inverted=rng.random() < 0.15,
        grey=some(0.1) and not colours,
        blur=rng.uniform(0.3, 0.9) if some(0.2) else 0.0,
        noise=rng.uniform(2, 14) if some(0.25) else 0.0,
        jpeg=rng.randint(35, 95) if some(0.35) else 0,
        seed=rng.randrange(2**31),
    )


#: Half of the step of the grid on which the first world stands: whoever moves so far off it, is anywhere.
ANYWHERE = 2.0


def moved(rng: random.Random, width: float, height: float, *, shift: float = ANYWHERE) -> Look:
    """The plainest look: the drawing as it was made, in the first typeface, anywhere on its picture.

    Args:
        rng: chooses.
        width, height: of the drawing.
        shift: how far off the first world's grid of 4 pixels it stands at most, in pixels.
    """
    size = _at_least((_whole(width + rng.uniform(0, 12)), _whole(height + rng.uniform(0, 12))))
    rooms = size[0] - width, size[1] - height
    if shift >= ANYWHERE:
        corner = (rng.uniform(0, rooms[0]), rng.uniform(0, rooms[1]))
        return Look(size=size, corner=corner, seed=rng.randrange(2**31))
    across, down = (
        min(max(0.0, 4 * rng.randint(0, int(room // 4)) + rng.uniform(-shift, shift)), room) for room in rooms
    )
    return Look(size=size, corner=(across, down), seed=rng.randrange(2**31), loose=shift / 4)


def _whole(length: float) -> int:
    """Whole patches that hold a length, in pixels."""
    return math.ceil(length / PATCH) * PATCH


def _at_least(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    while width * height < SMALLEST * PATCH**2:
        height += PATCH
    return width, height


def _pale(rng: random.Random) -> RGB:
    """A quiet colour, light more often than dark."""
    level = rng.randint(205, 255) if rng.random() < 0.75 else rng.randint(20, 90)
    red, green, blue = (max(0, min(255, level + rng.randint(-12, 12))) for _ in range(3))
    return red, green, blue
