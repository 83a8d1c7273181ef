"""How small text may be and still be told apart after a resize, measured by reading letters back

The reader is ideal: it knows the font and every position, and takes the letter whose clean image is nearest.
So the height it needs is a lower bound; a model that must learn to read needs more.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["LETTERS", "NOISE", "RIGHT", "read_back", "readable_height"]

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
RIGHT = 0.95  # share of letters that must be read right
NOISE = 0.1  # standard deviation of the noise after the resize, as a share of black to white
MASTER = 24  # x-height of the letters before the resize, in pixels
SPACE = (3 * MASTER, 4 * MASTER)  # width and height around a letter, which stands in the middle
PHASES = (0.0, 1 / 3, 2 / 3)  # of a pixel after the resize
TRIALS = 3  # of each letter, at other phases and noise
RANGE = (1.5, 8.0)  # pixels after the resize between which the least height is sought


@lru_cache
def _masters() -> tuple[Image.Image, ...]:
    """Each letter black on white, at an x-height of `MASTER` pixels."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    font_file = Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
    unit = ImageFont.truetype(str(font_file), 1000)
    x_height = -unit.getbbox("x", anchor="ls")[1] / 1000
    font = ImageFont.truetype(str(font_file), MASTER / x_height)
    drawn = []
    for letter in LETTERS:
        picture = Image.new("F", SPACE, 1.0)
        ImageDraw.Draw(picture).text((SPACE[0] / 2, 2.6 * MASTER), letter, fill=0.0, font=font, anchor="ms")
        drawn.append(picture)
    return tuple(drawn)


def _small(letter: Image.Image, height: tuple[float, float], phase: tuple[float, float]) -> np.ndarray:
    """A letter after the resize, flat; ``height`` is its x-height by the zoom (across, down)."""
    zoom = [h / MASTER for h in height]
    size = [max(1, int(side * z) - 1) for side, z in zip(SPACE, zoom, strict=True)]
    x, y = (p / z for p, z in zip(phase, zoom, strict=True))
    box = (x, y, min(SPACE[0], x + size[0] / zoom[0]), min(SPACE[1], y + size[1] / zoom[1]))
    small = letter.resize((size[0], size[1]), resample=Image.Resampling.BILINEAR, box=box)
    return np.asarray(small, dtype=np.float32).ravel()


def read_back(height: tuple[float, float], *, seed: int = 0) -> float:
    """Share of letters that are read right after a resize.

    Args:
        height: x-height after the resize, in pixels, by the zoom across and by the zoom down.
        seed: of phases and noise.
    """
    rng = np.random.default_rng(seed)
    grid = [(x, y) for x in PHASES for y in PHASES]
    clean = np.stack([_small(letter, height, phase) for letter in _masters() for phase in grid])
    which = np.repeat(np.arange(len(LETTERS)), TRIALS)
    phases = rng.uniform(0, 0.99, (len(which), 2))
    letters = [_small(_masters()[n], height, (x, y)) for n, (x, y) in zip(which, phases, strict=True)]
    seen = np.stack(letters) + rng.normal(0, NOISE, (len(which), clean.shape[1]))
    nearest = ((clean**2).sum(1) - 2 * seen @ clean.T).argmin(1) // len(grid)
    return float((nearest == which).mean())


def readable_height(across: float, down: float) -> float:
    """The least x-height, in pixels of the original, at which `RIGHT` of the letters are read right.

    Found by bisection to 3%, for a resize by ``across`` and ``down``.  An enlarged picture holds no more than
    the original: zooms above one count as one.
    """
    zoom = (min(1.0, across), min(1.0, down))
    most = max(zoom)
    # Only the proportion of the zooms matters; in steps of 2%, so that pictures share what is measured.
    return _measured(*(max(0.02, round(50 * one / most) / 50) for one in zoom)) / most


@lru_cache(maxsize=256)
def _measured(across: float, down: float) -> float:
    low, high = RANGE[0], RANGE[1] / min(across, down)
    while high / low > 1.03:
        middle = (low * high) ** 0.5
        if read_back((middle * across, middle * down)) >= RIGHT:
            high = middle
        else:
            low = middle
    return high
