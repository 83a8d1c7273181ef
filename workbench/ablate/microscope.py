"""The resolution microscope: one image through every way to feed it, and what is left to see.

Legibility is measured by reading letters back after the resize.  The reader is ideal: it knows the font and
every position, and takes the letter whose clean image is nearest, so what it cannot tell apart no model
can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import InputError
from ..images import open_image
from ..names import verb
from ..types import ImageLike
from .resolution import FEEDINGS, Feed, feed, method_name

if TYPE_CHECKING:
    import pandas


__all__ = [
    "CRITERIA",
    "LETTERS",
    "Microscope",
    "NOISE",
    "RIGHT",
    "Reading",
    "microscope",
    "of_size",
    "read_back",
    "readable_height",
]


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


CRITERIA = {
    "smallest_text": "least x-height at which an ideal reader that knows the font tells 95% of lower-case "
    "letters and digits right, after the resize, under noise of a tenth of black to white (measured); "
    "what reaches the tower: S2 averages features afterwards, see patches_per_token",
    "smallest_target": "least side of a square target such that two of them side by side never share a token",
}


@dataclass(frozen=True)
class Reading:
    """One method's view of the picture.

    Args:
        feed: the plan: crops, resized size, tokens.
        smallest_text: x-height in pixels of the original; see `CRITERIA`.
        smallest_target: side in pixels of the original; see `CRITERIA`.
    """

    feed: Feed
    smallest_text: float
    smallest_target: float

    @property
    def method(self) -> str:
        """The method's name."""
        return self.feed.method

    @property
    def label(self) -> str:
        """The method's label in the published table."""
        return FEEDINGS[self.feed.method]

    @property
    def effective(self) -> float:
        """Pixels of the original that reach the tower, as a share; enlarging adds none."""
        across, down = (min(1.0, zoom) for zoom in self.feed.density)
        return across * down

    def to_dict(self) -> dict[str, Any]:
        """As plain values, a row of the table."""
        return {
            "method": self.method,
            "budget": self.feed.budget,
            "tokens": self.feed.tokens,
            "tower_patches": self.feed.patches,
            "crops": len(self.feed.crops),
            "resized": "x".join(map(str, self.feed.resized)),
            "effective": self.effective,
            "patches_per_token": self.feed.patches_per_token,
            "smallest_text": self.smallest_text,
            "smallest_target": self.smallest_target,
        }


@dataclass(frozen=True)
class Microscope:
    """What each method leaves of one picture.

    Args:
        size: (width, height) of the picture, in pixels.
        budget: most tokens, for every method.
        readings: one per method.
    """

    size: tuple[int, int]
    budget: int
    readings: tuple[Reading, ...]

    def __getitem__(self, method: str) -> Reading:
        """The reading of one method, by name or label.

        Raises:
            InputError: if there is no such method, or it was not looked at.
        """
        name = method_name(method)
        for reading in self.readings:
            if reading.method == name:
                return reading
        raise InputError(f"method {name!r}", f"one of {', '.join(r.method for r in self.readings)}")

    def frame(self) -> pandas.DataFrame:
        """One row per method; ``smallest_text`` and ``smallest_target`` in pixels of the original."""
        import pandas

        return pandas.DataFrame([reading.to_dict() for reading in self.readings])


@verb(picture="image")
def microscope(
    image: ImageLike, *, budget: int = 3600, methods: Sequence[str] = tuple(FEEDINGS), tile: int | None = None
) -> Microscope:
    """Show what several ways to feed a large image make of it.

    Args:
        image: anything that `workbench.images.open_image` takes.
        budget: most image tokens.
        methods: names from `resolution.FEEDINGS`, or their labels in the published table.
        tile: side of the tower's square in patches; by default it follows from the budget.

    Raises:
        InputError: for an empty image, no or an unknown method, or a budget below the least.

    Example:
        >>> microscope("screen.png", budget=2048).frame()
    """
    return of_size(open_image(image).size, budget=budget, methods=methods, tile=tile)


def of_size(
    size: tuple[int, int],
    *,
    budget: int = 3600,
    methods: Sequence[str] = tuple(FEEDINGS),
    tile: int | None = None,
) -> Microscope:
    """The same for a picture of which only (width, height) is known, in pixels: nothing else decides it.

    Raises:
        InputError: as `microscope`.
    """
    names = [method_name(m) for m in ((methods,) if isinstance(methods, str) else methods)]
    if not names:
        raise InputError("methods=()", f"some of {', '.join(FEEDINGS)}")
    readings = []
    for name in dict.fromkeys(names):
        plan = feed(size, budget, method=name, tile=tile)
        text = readable_height(*(round(zoom, 4) for zoom in plan.density))
        readings.append(Reading(plan, text, max(max(plan.cell), 1.0)))
    return Microscope(size, budget, tuple(readings))
