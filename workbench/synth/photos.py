"""Photographs behind drawings: crops of those that scikit-learn and scikit-image carry."""

from __future__ import annotations

import random
from functools import lru_cache

from PIL import Image

__all__ = ["PHOTOS", "crop"]

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
