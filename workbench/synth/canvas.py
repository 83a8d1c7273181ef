"""A small drawing surface that remembers what it drew, and where.

Shapes are drawn at twice the size and reduced, so that edges are smooth; text is drawn last at
the final size with FreeType.  What was drawn is remembered as `Mark`s: they give evidence boxes,
and the content of each patch for the encoder's auxiliary loss.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .words import ASPECTS, COLOURS, NAMES

__all__ = ["PATCH", "Canvas", "Mark", "colour_of"]

#: Text stands on multiples of this many pixels.
TEXT_GRID = 4

Box = tuple[float, float, float, float]
RGB = tuple[int, int, int]

PATCH = 16
SCALE = 2
IGNORE = -100

_NAME = {name: i for i, name in enumerate(NAMES)}


@dataclass(frozen=True)
class Mark:
    """Something that was drawn: its box in pixels, and what can be told of it (aspect -> name)."""

    box: Box
    facts: Mapping[str, str]

    @property
    def kind(self) -> str:
        """What kind of thing it is."""
        return self.facts["kind"]

    @property
    def name(self) -> str:
        """What is written on it, or the label that it belongs to; empty where there is neither."""
        return self.facts.get("text") or self.facts.get("key", "")


@lru_cache(maxsize=64)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    # matplotlib ships DejaVu; find_spec locates it without paying for the import.
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(spec.origin).parent / "mpl-data/fonts/ttf" / name), size)


def colour_of(name: str, rng: random.Random) -> RGB:
    """A shade of a named colour, moved a little so that no two pictures share it exactly."""
    return tuple(max(0, min(255, c + rng.randint(-14, 14))) for c in COLOURS[name])  # type: ignore[return-value]


def _snap(value: float) -> int:
    return round(value / TEXT_GRID) * TEXT_GRID


class Canvas:
    """A picture in the making, ``width`` x ``height`` pixels."""

    def __init__(self, width: int, height: int, background: RGB = (255, 255, 255)) -> None:
        self.width, self.height = width, height
        self.marks: list[Mark] = []
        self._big = Image.new("RGB", (width * SCALE, height * SCALE), background)
        self._draw = ImageDraw.Draw(self._big)
        self._texts: list[tuple[tuple[float, float], str, ImageFont.FreeTypeFont, RGB]] = []

    def mark(self, box: Box, kind: str, **facts: str) -> Box:
        """Remember something that is on the picture, and more that can be told of it; returns its box."""
        assert facts.keys() <= set(ASPECTS), f"{sorted(facts)} are not all aspects"
        self.marks.append(Mark(box, {"kind": kind, **facts}))
        return box

    def rectangle(
        self, box: Box, fill: RGB | None = None, line: RGB | None = None, *, radius: float = 0
    ) -> None:
        """A rectangle, its corners rounded by ``radius`` pixels."""
        self._draw.rounded_rectangle(self._up(box), radius * SCALE, fill, line, width=SCALE)

    def ellipse(self, box: Box, fill: RGB | None = None, line: RGB | None = None) -> None:
        """An ellipse that fills the box."""
        self._draw.ellipse(self._up(box), fill, line, width=SCALE)

    def polygon(
        self, points: list[tuple[float, float]], fill: RGB | None = None, line: RGB | None = None
    ) -> None:
        """A closed polygon."""
        self._draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill, line)

    def line(self, points: list[tuple[float, float]], colour: RGB, width: float = 1) -> None:
        """An open line through the points, ``width`` pixels wide."""
        up = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(up, colour, max(1, round(width * SCALE)), joint="curve")

    def slice(self, box: Box, start: float, stop: float, fill: RGB) -> None:
        """A slice of a pie, angles in degrees clockwise from three o'clock."""
        self._draw.pieslice(self._up(box), start, stop, fill, (255, 255, 255), width=SCALE)

    def text(
        self,
        at: tuple[float, float],
        text: str,
        *,
        size: int = 10,
        colour: RGB = (30, 30, 30),
        anchor: str = "mm",
        bold: bool = False,
        kind: str = "text",
        named: str = "",
        says: str = "",
        **facts: str,
    ) -> Box:
        """Text at a point (PIL's anchors), remembered with its box.

        ``named`` is the name of its colour, ``says`` what it is remembered as where that differs
        from what is written ("37" for "37%"), ``facts`` are more that can be told of it.
        """
        font = _font(size, bold)
        x1, y1, x2, y2 = font.getbbox(text, anchor=anchor)
        # Layouts stand on a grid, as real ones do: the left edge and the line's height are snapped,
        # which leaves a word sixteen places relative to a patch instead of 256.
        left, middle = _snap(at[0] + x1), _snap(at[1])
        box = (left, middle + y1, left + x2 - x1, middle + y2)
        self._texts.append((box[:2], text, font, colour))
        return self.mark(box, kind, text=says or text, colour=named, **facts)

    def image(self) -> Image.Image:
        """The finished RGB picture."""
        picture = self._big.reduce(SCALE)
        draw = ImageDraw.Draw(picture)
        for (x, y), text, font, colour in self._texts:
            left, top, *_ = font.getbbox(text, anchor="la")
            draw.text((x - left, y - top), text, fill=colour, font=font, anchor="la")
        return picture

    def labels(self) -> np.ndarray:
        """What is on each patch: int64 ``[rows, cols, aspects]``, indices into `words.NAMES`.

        -100 stands where nothing is to be told.  Where marks overlap, the one that covers more of the
        patch counts, and of equal ones the one drawn later.
        """
        rows, cols = self.height // PATCH, self.width // PATCH
        labels = np.full((rows, cols, len(ASPECTS)), IGNORE, dtype=np.int64)
        labels[:, :, ASPECTS.index("kind")] = _NAME["nothing"]
        best = np.zeros(labels.shape)
        for mark in self.marks:
            told = [
                (i, _NAME[name])
                for i, aspect in enumerate(ASPECTS)
                if (name := mark.facts.get(aspect)) in _NAME
            ]
            for row, col, share in self._overlaps(mark.box):
                for i, value in told:
                    if share >= best[row, col, i]:
                        best[row, col, i], labels[row, col, i] = share, value
        return labels

    def patches(self, box: Box) -> list[int]:
        """Numbers of the patches that hold a good part of a box, row by row."""
        return [row * (self.width // PATCH) + col for row, col, _ in self._overlaps(box)]

    def _overlaps(self, box: Box) -> Iterator[tuple[int, int, float]]:
        """(row, col, share) of the patches that hold a good part of a box."""
        x1, y1, x2, y2 = box
        area = max(1.0, (x2 - x1) * (y2 - y1))
        for row in range(max(0, int(y1 // PATCH)), min(self.height // PATCH, int(y2 // PATCH) + 1)):
            for col in range(max(0, int(x1 // PATCH)), min(self.width // PATCH, int(x2 // PATCH) + 1)):
                w = min(x2, (col + 1) * PATCH) - max(x1, col * PATCH)
                h = min(y2, (row + 1) * PATCH) - max(y1, row * PATCH)
                if w > 0 and h > 0 and w * h >= min(0.25 * area, 40):
                    yield row, col, w * h

    def _up(self, box: Box) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = (v * SCALE for v in box)
        return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)
