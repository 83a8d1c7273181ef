"""Places in a picture, as each family writes them and as pixels.

| convention | numbers | families |
|---|---|---|
| ``relative`` | 0.0 to 1.0 of width and height | Phi-4-RV, LLaVA-OneVision, Kimi-VL |
| ``relative1000`` | 0 to 1000 of width and height | Qwen3-VL, InternVL |
| ``resized-pixels`` | pixels of the picture as the model saw it | Qwen2.5-VL |
| ``pixels`` | pixels of the original picture | |
| ``none`` | no documented convention; read like ``relative``, or by size | Gemma 3, SmolVLM |

Everything that comes out is in pixels of the original picture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ..errors import InputError
from ..types import Box

__all__ = ["CONVENTIONS", "format_box", "format_point", "parse_box", "parse_boxes", "parse_point"]

CONVENTIONS = ("relative", "relative1000", "resized-pixels", "pixels", "none")

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_GAP = r"[\s,;]+"
# Brackets, round or square, with up to four numbers; JSON keys and tags around them do not matter.
_GROUP = re.compile(rf"[\[(]\s*({_NUMBER}(?:{_GAP}{_NUMBER})*)\s*[\])]")
_LOOSE = re.compile(rf"(?<![\w.])({_NUMBER}(?:{_GAP}{_NUMBER})+)(?![\w.])")
_LONGEST = 100_000  # characters of a reply that are read; patterns stay linear, this bounds them anyway


def _groups(text: str, count: int) -> Iterator[tuple[float, ...]]:
    """Groups of exactly ``count`` finite numbers: those in brackets, or else bare ones."""
    for pattern in (_GROUP, _LOOSE):
        found = False
        for match in pattern.finditer(text[:_LONGEST]):
            numbers = tuple(float(n) for n in re.findall(_NUMBER, match.group(1)))
            if len(numbers) == count and all(map(math.isfinite, numbers)):
                found = True
                yield numbers
        if found:
            return


def _scale(convention: str, size: tuple[int, int], resized: tuple[int, int] | None) -> tuple[float, float]:
    """Pixels of the original picture per unit of a convention, across and down."""
    _check(convention)
    width, height = size
    if convention == "relative1000":
        return width / 1000, height / 1000
    if convention == "pixels":
        return 1.0, 1.0
    if convention == "resized-pixels":
        if resized is None:
            raise InputError(
                "coordinates in pixels of the resized picture, without its size",
                "resized=(width, height)",
                "pass the size at which the model saw the picture",
            )
        return width / resized[0], height / resized[1]
    return float(width), float(height)


def _check(convention: str) -> None:
    if convention not in CONVENTIONS:
        raise InputError(f"convention={convention!r}", "one of " + ", ".join(map(repr, CONVENTIONS)))


def _guess(convention: str, numbers: tuple[float, ...]) -> str:
    """What numbers of a family without a convention must be: by their size."""
    if convention != "none":
        return convention
    return "relative" if max(map(abs, numbers)) <= 1.0 else "relative1000"


def parse_boxes(
    text: str, convention: str, *, size: tuple[int, int], resized: tuple[int, int] | None = None
) -> list[Box]:
    """All boxes in a reply, in pixels of the original picture.

    Corners may come in either order; a box is cut at the picture's edges, and dropped where nothing
    of it lies inside.

    Args:
        text: the reply.
        convention: one of `CONVENTIONS`.
        size: (width, height) of the original picture.
        resized: (width, height) at which the model saw it; for ``"resized-pixels"``.

    Raises:
        InputError: for an unknown convention, or a missing ``resized``.
    """
    _check(convention)
    boxes = []
    for numbers in _groups(text, 4):
        across, down = _scale(_guess(convention, numbers), size, resized)
        xs = sorted((numbers[0] * across, numbers[2] * across))
        ys = sorted((numbers[1] * down, numbers[3] * down))
        x1, x2 = (min(max(x, 0.0), float(size[0])) for x in xs)
        y1, y2 = (min(max(y, 0.0), float(size[1])) for y in ys)
        if x2 > x1 and y2 > y1:
            boxes.append((x1, y1, x2, y2))
    return boxes


def parse_box(
    text: str, convention: str, *, size: tuple[int, int], resized: tuple[int, int] | None = None
) -> Box | None:
    """The last box in a reply (what comes before is often reasoning), or None; see `parse_boxes`."""
    boxes = parse_boxes(text, convention, size=size, resized=resized)
    return boxes[-1] if boxes else None


def parse_point(
    text: str, convention: str, *, size: tuple[int, int], resized: tuple[int, int] | None = None
) -> tuple[float, float] | None:
    """The last point in a reply in pixels of the original picture; the middle of a box if there is no point.

    None where the reply has neither, or the point lies outside the picture.
    """
    _check(convention)
    for numbers in reversed(list(_groups(text, 2))):
        across, down = _scale(_guess(convention, numbers), size, resized)
        x, y = numbers[0] * across, numbers[1] * down
        return (x, y) if 0 <= x <= size[0] and 0 <= y <= size[1] else None
    box = parse_box(text, convention, size=size, resized=resized)
    return None if box is None else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def format_box(
    box: Box, convention: str, size: tuple[int, int], *, resized: tuple[int, int] | None = None
) -> str:
    """A box in pixels of the original picture, as a family writes it: ``[x1, y1, x2, y2]``."""
    across, down = _scale(convention, size, resized)
    x1, y1, x2, y2 = box
    return _write((x1 / across, y1 / down, x2 / across, y2 / down), convention)


def format_point(
    point: tuple[float, float],
    convention: str,
    size: tuple[int, int],
    *,
    resized: tuple[int, int] | None = None,
) -> str:
    """A point in pixels of the original picture, as a family writes it: ``[x, y]``."""
    across, down = _scale(convention, size, resized)
    return _write((point[0] / across, point[1] / down), convention)


def _write(numbers: tuple[float, ...], convention: str) -> str:
    if convention in ("relative", "none"):
        return "[" + ", ".join(f"{n:.4f}" for n in numbers) + "]"
    return "[" + ", ".join(str(round(n)) for n in numbers) + "]"
