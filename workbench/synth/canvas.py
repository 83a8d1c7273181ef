"""A small drawing surface that remembers what it drew, and where.

Shapes are drawn at twice the size and reduced, so that edges are smooth; text is drawn last at
the final size with FreeType.  What was drawn is remembered as `Mark`s: they give evidence boxes,
and the content of each patch for the encoder's auxiliary loss.

A drawing is first put together, then painted.  As it is, that gives a picture of the first drawn world:
one typeface, on a grid.  `Canvas.dress` gives it a `Look`, which makes a picture of the second.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .look import Look, crop, font
from .wordings import ASPECTS, CHARACTERS, COLOURS, NAMES, TOLD_BY

__all__ = ["PATCH", "Canvas", "Mark", "colour_of"]

#: Text stands on multiples of this many pixels.
TEXT_GRID = 4

Box = tuple[float, float, float, float]
RGB = tuple[int, int, int]

#: Room in pixels that a text's box leaves around its letters, and the least and largest size of a text.
ROOM = 2
LEAST_TEXT, LARGEST_TEXT = 7.0, 24.0

#: Edges of an element are told in steps of this share of the picture's width or height.
STEPS = 40

PATCH = 16
SCALE = 2
IGNORE = -100

#: Characters that are told of a patch at most.
PLACES = 4

_NAME = {name: i for i, name in enumerate(NAMES)}
_TOLD = {aspect: frozenset(names) for aspect, names in TOLD_BY.items()}
_CHARACTER = {character: i for i, character in enumerate(CHARACTERS) if character}
_EDGES = ("x1", "y1", "x2", "y2")

Paint = Callable[[ImageDraw.ImageDraw, "Frame"], None]


@dataclass(frozen=True)
class Mark:
    """Something that was drawn: its box in pixels, and what can be told of it (aspect -> name).

    ``letters`` are the characters that are written in it, each with its middle (x, y); of dressed texts only.
    """

    box: Box
    facts: Mapping[str, str]
    letters: tuple[tuple[str, float, float], ...] = ()

    @property
    def kind(self) -> str:
        """What kind of thing it is."""
        return self.facts["kind"]

    @property
    def name(self) -> str:
        """What is written on it, or the label that it belongs to; empty where there is neither."""
        return self.facts.get("text") or self.facts.get("key", "")


@dataclass(frozen=True)
class Frame:
    """Where a drawing's places are on a picture that is painted: scaled, then moved."""

    across: float = SCALE
    down: float = SCALE
    left: float = 0.0
    top: float = 0.0

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A place of the drawing, in pixels."""
        return x * self.across + self.left, y * self.down + self.top

    def box(self, box: Box) -> Box:
        """A box of the drawing, in pixels; its last ones are painted too, so they are one less."""
        x1, y1 = self.point(box[0], box[1])
        x2, y2 = self.point(box[2], box[3])
        return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)

    def length(self, value: float) -> float:
        """A length of the drawing, in pixels."""
        return value * (self.across * self.down) ** 0.5


@dataclass(frozen=True)
class Text:
    """A text of the drawing: the box that it has there, and how it is written; ``mark`` is its number."""

    box: Box
    text: str
    size: int
    bold: bool
    colour: RGB
    anchor: str
    mark: int


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


def _snap(value: float, grid: int) -> int:
    return round(value / grid) * grid


class Canvas:
    """A picture in the making, ``width`` x ``height`` pixels."""

    def __init__(self, width: int, height: int, background: RGB = (255, 255, 255)) -> None:
        self.width, self.height = width, height
        self.marks: list[Mark] = []
        self._background = background
        self._extent: Box = (0, 0, width, height)
        self._paints: list[Paint] = []
        self._texts: list[Text] = []
        self._look: Look | None = None
        self._written: list[tuple[float, float, ImageFont.FreeTypeFont]] = []
        self._places: dict[Box, Box] = {}

    def mark(self, box: Box, kind: str, **facts: str) -> Box:
        """Remember something that is on the picture, and more that can be told of it; returns its box."""
        assert facts.keys() <= set(ASPECTS), f"{sorted(facts)} are not all aspects"
        self.marks.append(Mark(box, {"kind": kind, **facts}))
        return box

    def rectangle(
        self, box: Box, fill: RGB | None = None, line: RGB | None = None, *, radius: float = 0
    ) -> None:
        """A rectangle, its corners rounded by ``radius`` pixels."""
        self._paints.append(
            lambda draw, at: draw.rounded_rectangle(at.box(box), at.length(radius), fill, line, width=SCALE)
        )

    def ellipse(self, box: Box, fill: RGB | None = None, line: RGB | None = None) -> None:
        """An ellipse that fills the box."""
        self._paints.append(lambda draw, at: draw.ellipse(at.box(box), fill, line, width=SCALE))

    def polygon(
        self, points: list[tuple[float, float]], fill: RGB | None = None, line: RGB | None = None
    ) -> None:
        """A closed polygon."""
        self._paints.append(lambda draw, at: draw.polygon([at.point(*p) for p in points], fill, line))

    def line(self, points: list[tuple[float, float]], colour: RGB, width: float = 1) -> None:
        """An open line through the points, ``width`` pixels wide."""
        self._paints.append(
            lambda draw, at: draw.line(
                [at.point(*p) for p in points], colour, max(1, round(at.length(width))), joint="curve"
            )
        )

    def slice(self, box: Box, start: float, stop: float, fill: RGB) -> None:
        """A slice of a pie, angles in degrees clockwise from three o'clock."""
        self._paints.append(
            lambda draw, at: draw.pieslice(at.box(box), start, stop, fill, (255, 255, 255), width=SCALE)
        )

    def stencil(self, box: Box, mask: Image.Image, colour: RGB) -> None:
        """A grey picture that tells how much of a colour lies where, stretched to fill the box."""

        def paint(draw: ImageDraw.ImageDraw, at: Frame) -> None:
            x1, y1, x2, y2 = (round(v) for v in at.box(box))
            draw.bitmap((x1, y1), mask.resize((x2 - x1 + 1, y2 - y1 + 1), Image.Resampling.BICUBIC), colour)

        self._paints.append(paint)

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
        grid: int = TEXT_GRID,
        **facts: str,
    ) -> Box:
        """Text at a point (PIL's anchors), remembered with its box.

        ``named`` is the name of its colour, ``says`` what it is remembered as where that differs
        from what is written ("37" for "37%"), ``facts`` are more that can be told of it.  ``grid`` is that
        on which it stands; columns that are to be straight, and words of one line, stand on 1.
        """
        x1, y1, x2, y2 = _font(size, bold).getbbox(text, anchor=anchor)
        # Layouts stand on a grid, as real ones do: the left edge and the line's height are snapped,
        # which leaves a word sixteen places relative to a patch instead of 256.
        left, middle = _snap(at[0] + x1, grid), _snap(at[1], grid)
        box = (left, middle + y1, left + x2 - x1, middle + y2)
        self._texts.append(Text(box, text, size, bold, colour, anchor, len(self.marks)))
        return self.mark(box, kind, text=says or text, colour=named, **facts)

    def length(self, text: str, *, size: int = 10, bold: bool = False) -> float:
        """How wide a text will be, in pixels."""
        return _font(size, bold).getlength(text)

    def dress(self, look: Look) -> None:
        """Give the finished drawing a look; its size and marks are the picture's from then on."""
        assert self._look is None, "a drawing is dressed once"
        self._look = look
        self.width, self.height = look.size
        nominal = [mark.box for mark in self.marks]
        self.marks = [self._moved(mark, look) for mark in self.marks]
        rng = random.Random(look.seed)
        for text in self._texts:
            x, y, written, box = _fitted(text, look, rng)
            self._written.append((x, y, written))
            roomy = look.hull((box[0] - ROOM, box[1] - ROOM, box[2] + ROOM, box[3] + ROOM))
            letters = tuple(_letters(text.text, written, box, look))
            self.marks[text.mark] = replace(self.marks[text.mark], box=roomy, letters=letters)
        self._places = {old: mark.box for old, mark in zip(nominal, self.marks, strict=True)}

    def _moved(self, mark: Mark, look: Look) -> Mark:
        """A mark where the look puts it; its edges are told in shares of the picture."""
        box, facts = look.hull(look.flat(mark.box)), dict(mark.facts)
        if "x1" in facts:
            facts |= {edge: str(step) for edge, step in zip(_EDGES, self.steps(box), strict=True)}
        return replace(mark, box=box, facts=facts)

    def steps(self, box: Box) -> tuple[int, int, int, int]:
        """A box in steps of a fortieth of the picture's width and height."""
        across, down = STEPS / self.width, STEPS / self.height
        return round(box[0] * across), round(box[1] * down), round(box[2] * across), round(box[3] * down)

    def placed(self, box: Box, *, room: float = ROOM) -> Box:
        """Where a box of the undressed drawing lies on the picture, with the whole of each text inside it."""
        if self._look is None:
            return box
        if box in self._places and room:
            return self._places[box]
        x1, y1, x2, y2 = self._look.hull(self._look.flat(box))
        if not room:
            return x1, y1, x2, y2
        inside = [self._places[text.box] for text in self._texts if _within(text.box, box)]
        lows, highs = [(x1, y1), *(b[:2] for b in inside)], [(x2, y2), *(b[2:] for b in inside)]
        return (*(min(v) for v in zip(*lows)), *(max(v) for v in zip(*highs)))

    def image(self) -> Image.Image:
        """The finished RGB picture."""
        if self._look is not None:
            return self._dressed(self._look)
        big = Image.new("RGB", (self.width * SCALE, self.height * SCALE), self._background)
        self._paint(big, Frame())
        picture = big.reduce(SCALE)
        draw = ImageDraw.Draw(picture)
        for text in self._texts:
            written = _font(text.size, text.bold)
            left, top, *_ = written.getbbox(text.text, anchor="la")
            at = (text.box[0] - left, text.box[1] - top)
            draw.text(at, text.text, fill=text.colour, font=written, anchor="la")
        return picture

    def _dressed(self, look: Look) -> Image.Image:
        margin = look.margin or self._background
        big = Image.new("RGB", (self.width * SCALE, self.height * SCALE), margin)
        frame = Frame(*(SCALE * v for v in (*look.scale, *look.corner)))
        if look.photo:
            big.paste(crop(look.photo, big.size, look.seed))
        if look.margin or look.photo:
            ImageDraw.Draw(big).rectangle(frame.box(self._extent), self._background)
        self._paint(big, frame)
        picture = big.reduce(SCALE)
        draw = ImageDraw.Draw(picture)
        for text, (x, y, written) in zip(self._texts, self._written, strict=True):
            draw.text((x, y), text.text, fill=text.colour, font=written, anchor="ls")
        return look.finish(picture, margin)

    def _paint(self, big: Image.Image, frame: Frame) -> None:
        draw = ImageDraw.Draw(big)
        for paint in self._paints:
            paint(draw, frame)

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
                if (name := mark.facts.get(aspect, "")) in _TOLD.get(aspect, _NAME)
            ]
            for row, col, share in self._overlaps(mark.box):
                for i, value in told:
                    if share >= best[row, col, i]:
                        best[row, col, i], labels[row, col, i] = share, value
        return labels

    def spelling(self) -> np.ndarray:
        """The characters whose middle lies on each patch, from left to right: int64 ``[rows, cols, 4]``.

        Indices into `words.CHARACTERS`, after the last of which stands 0, for no more; then -100.  Of two
        texts on a patch, the one with more characters there counts.
        """
        rows, cols = self.height // PATCH, self.width // PATCH
        spelt = np.full((rows, cols, PLACES), IGNORE, dtype=np.int64)
        spelt[:, :, 0] = 0
        longest = np.zeros((rows, cols), dtype=int)
        for mark in self.marks:
            found: dict[tuple[int, int], list[int]] = {}
            for letter, x, y in mark.letters:
                place = int(y // PATCH), int(x // PATCH)
                if 0 <= place[0] < rows and 0 <= place[1] < cols and letter in _CHARACTER:
                    found.setdefault(place, []).append(_CHARACTER[letter])
            for place, numbers in found.items():
                if len(numbers) > longest[place]:
                    longest[place] = len(numbers)
                    told = [*numbers, 0][:PLACES]
                    spelt[place] = [*told, *[IGNORE] * (PLACES - len(told))]
        return spelt

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


def _within(inner: Box, outer: Box) -> bool:
    """Whether a box lies in another, give or take a pixel."""
    return (
        inner[0] >= outer[0] - 1
        and inner[1] >= outer[1] - 1
        and inner[2] <= outer[2] + 1
        and inner[3] <= outer[3] + 1
    )


def _fitted(text: Text, look: Look, rng: random.Random) -> tuple[float, float, ImageFont.FreeTypeFont, Box]:
    """A text in the look's typeface, within the room that it has: (x, y) of its start on the baseline, the
    font, and the box around its letters."""
    x1, y1, x2, y2 = look.flat(text.box)
    most = min(LARGEST_TEXT, text.size * look.lettering * (look.scale[0] * look.scale[1]) ** 0.5)
    size = max(LEAST_TEXT, round(2 * most) / 2)
    written = font(look.face, size, text.text, bold=text.bold)
    left, top, right, bottom = written.getbbox(text.text, anchor="ls")
    while right - left > x2 - x1 + 1 and size > LEAST_TEXT:
        size -= 0.5
        written = font(look.face, size, text.text, bold=text.bold)
        left, top, right, bottom = written.getbbox(text.text, anchor="ls")
    slack = x2 - x1 - (right - left)
    share = {"l": 0.0, "m": 0.5, "r": 1.0}[text.anchor[0]]
    x = x1 + share * slack + rng.uniform(-look.loose, look.loose)
    y = (y1 + y2 - (bottom - top)) / 2 + rng.uniform(-look.loose, look.loose)
    return x - left, y - top, written, (x, y, x + right - left, y + bottom - top)


def _letters(
    text: str, written: ImageFont.FreeTypeFont, box: Box, look: Look
) -> Iterator[tuple[str, float, float]]:
    """Each character of a text with its middle on the picture; spaces are left out."""
    ends = [written.getlength(text[: i + 1]) for i in range(len(text))]
    for letter, start, end in zip(text, [0.0, *ends], ends):
        if letter != " ":
            yield letter, *look.turned(box[0] + (start + end) / 2, (box[1] + box[3]) / 2)
