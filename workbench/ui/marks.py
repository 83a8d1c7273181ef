"""What is drawn on a picture with a pen or as a box, kept apart from the picture until it is asked about"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ..errors import InputError

__all__ = ["COLOURS", "TOOLS", "Mark", "drawn_on"]

TOOLS = ("pen", "box")
COLOURS = ("red", "blue", "yellow", "black", "white")  # words that a model knows as well
WIDTH = 0.008  # of a line, as a share of the picture's longer side; at least two pixels


@dataclass(frozen=True)
class Mark:
    """One line of the pen, or one box.

    Args:
        tool: "pen" or "box".
        colour: one of `COLOURS`.
        points: (x, y) as shares of width and height: the line, or two opposite corners.

    Raises:
        InputError: for another tool or colour, points outside the picture, or a box without two corners.
    """

    tool: str
    colour: str
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        for name, value, known in (("tool", self.tool, TOOLS), ("colour", self.colour, COLOURS)):
            if value not in known:
                raise InputError(f"{name}={value!r}", f"one of {', '.join(known)}")
        if not all(0 <= share <= 1 for point in self.points for share in point):
            raise InputError("points outside the picture", "shares of its width and height, from 0 to 1")
        if not self.points or (self.tool == "box" and len(self.points) != 2):
            raise InputError(f"a {self.tool} of {len(self.points)} points", "a line, or two corners of a box")


def drawn_on(image: Image.Image, marks: Iterable[Mark]) -> Image.Image:
    """A copy of a picture with marks on it, in its own resolution."""
    drawn = image.copy()
    pen, width = ImageDraw.Draw(drawn), max(2, round(WIDTH * max(image.size)))
    for mark in marks:
        points = [(x * (image.width - 1), y * (image.height - 1)) for x, y in mark.points]
        if mark.tool == "box":
            (x1, x2), (y1, y2) = (sorted(side) for side in zip(*points, strict=True))
            pen.rectangle((x1, y1, x2, y2), outline=mark.colour, width=width)
        elif len(points) > 1:
            pen.line(points, fill=mark.colour, width=width, joint="curve")
        else:
            ((x, y),) = points
            pen.ellipse((x - width, y - width, x + width, y + width), fill=mark.colour)
    return drawn
