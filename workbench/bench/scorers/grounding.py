"""ScreenSpot, ScreenSpot-v2 and ScreenSpot-Pro: the point, or the middle of the box, lies in the gold box

Cheng et al. 2024 (arXiv 2401.10935), Wu et al. 2024 (2410.23218), Li et al. 2025 (2504.07981).

| rules | quirk |
|---|---|
| workbench | the last point or box of the reply; numbers up to 1 are shares of the picture, up to 1000 thousandths or pixels (see `grounding_workbench`); nothing parsed is wrong, not (0, 0) |
| vlmevalkit | only ``x=0.1, y=0.2``; anything else is a click at (0, 0); a full stop after the number is a format error; the gold box is one pixel smaller in ScreenSpot and -v2 (``GUI/screenspot.py``) |
| lmms-eval | v2, Pro: the first point, and of a bare ``[x1, y1, x2, y2]`` the first corner; a gold xywh box whose width exceeds x, and height y, is taken for xyxy. ScreenSpot: only a box, whose numbers above 1 are thousandths; nothing parsed is (0, 0) (``tasks/screenspot*/``) |
"""  # noqa: E501

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import InputError
from .base import Asked, Score

__all__ = ["Box", "four_numbers", "gold_box", "grounding_workbench", "places_in", "written"]

Box = tuple[float, float, float, float]
COORDINATES = ("relative", "relative1000", "pixels")

_N = r"[-+]?(?:\d{1,9}(?:\.\d{0,18})?|\.\d{1,18})\s?%?"
_GROUP = re.compile(rf"[\[(]\s{{0,9}}({_N}(?:\s{{0,9}}[,;\s]\s{{0,9}}{_N}){{1,3}})\s{{0,9}}[\])]")
_SIGN = r"[\"']?\s{0,9}[:=]\s{0,9}[\"']?"  # "x": 5, x="5%", x=5
_XY = re.compile(rf"\bx\d?{_SIGN}({_N})[\"']?[\s,;]{{0,9}}[\"']?y\d?{_SIGN}({_N})", re.IGNORECASE)
_LOOSE = re.compile(rf"(?<![\w.])({_N}(?:\s{{0,9}}[,;\s]\s{{0,9}}{_N}){{1,3}})(?![\w.]*\w)")
_ONE = re.compile(_N)


def grounding_workbench(asked: Asked) -> Score:
    """Whether the place that the reply gives lies in the gold box, edges included.

    Numbers are read as the item's ``coordinates`` say ("relative", "relative1000", "pixels").  Without that,
    they are shares if none exceeds 1, pixels if one exceeds 1000, and otherwise thousandths *or* pixels: then
    either reading may hit, and ``why`` says which did.  A wrong reading can hit by chance, the more so the
    more of the picture the box covers; give ``coordinates`` to leave no doubt.
    """
    box, size = gold_box(asked)
    places = list(places_in(asked.reply))
    if not places:
        return Score(0.0, None, "no point and no box in the reply")
    numbers = places[-1]
    read = []
    for kind in _kinds(asked, numbers):
        x, y = _middle(numbers, kind, size)
        inside = box[0] <= x <= box[2] and box[1] <= y <= box[3]
        read.append((inside, kind, (x, y)))
    inside, kind, (x, y) = max(read, key=lambda r: r[0])
    named = f"({x:.4g}, {y:.4g})" + ("" if size == (1.0, 1.0) else " pixels")
    doubt = "" if len(read) == 1 else "; could also be " + next(r[1] for r in read if r[1] != kind)
    where = "in" if inside else "outside"
    return Score(float(inside), named, f"read as {kind}{doubt}; {where} the gold box {written(box)}")


def _kinds(asked: Asked, numbers: Sequence[float]) -> tuple[str, ...]:
    if asked.coordinates:
        if asked.coordinates not in COORDINATES:
            raise InputError(f"coordinates={asked.coordinates!r}", f"one of {', '.join(COORDINATES)}")
        return (asked.coordinates,)
    largest = max(map(abs, numbers))
    if largest <= 1:
        return ("relative",)
    if asked.image_size is None:
        return ("relative1000",)
    return ("pixels",) if largest > 1000 else ("relative1000", "pixels")


def _middle(numbers: Sequence[float], kind: str, size: tuple[float, float]) -> tuple[float, float]:
    """The point in units of the gold box: a box's middle, in pixels, or shares where no size is known."""
    x = numbers[0] if len(numbers) == 2 else (numbers[0] + numbers[2]) / 2
    y = numbers[1] if len(numbers) == 2 else (numbers[1] + numbers[3]) / 2
    scale = {"relative": 1.0, "relative1000": 1000.0}.get(kind)
    return (x, y) if scale is None else (x / scale * size[0], y / scale * size[1])


def places_in(text: str) -> Iterator[tuple[float, ...]]:
    """Points (two numbers) and boxes (four) in a reply, in order.

    Reads ``[x, y]``, ``(x1, y1), (x2, y2)``, ``[[x1, y1], [x2, y2]]``, ``x=.., y=..``, JSON with those,
    percent, and where nothing of it is there two or four bare numbers.
    """
    found: list[tuple[int, int, tuple[float, ...]]] = []
    for match in _GROUP.finditer(text):
        numbers = _numbers(match.group(1))
        if (
            len(numbers) == 2
            and found
            and len(found[-1][2]) == 2
            and _joined(text[found[-1][1] : match.start()])
        ):
            start, _, first = found.pop()
            found.append((start, match.end(), first + numbers))
        elif len(numbers) in (2, 4):
            found.append((match.start(), match.end(), numbers))
    found += [(m.start(), m.end(), _numbers(f"{m.group(1)},{m.group(2)}")) for m in _XY.finditer(text)]
    if not found:
        found = [(m.start(), m.end(), _numbers(m.group(1))) for m in _LOOSE.finditer(text)]
    yield from (numbers for _, _, numbers in sorted(found) if len(numbers) in (2, 4))


def _joined(between: str) -> bool:
    """Two pairs are the corners of one box where only a comma, or nothing, stands between them."""
    return between.strip() in ("", ",")


def _numbers(text: str) -> tuple[float, ...]:
    values = []
    for match in _ONE.finditer(text):
        token = match.group().replace(" ", "")
        values.append(float(token.rstrip("%")) / (100 if token.endswith("%") else 1))
    return tuple(values)


def gold_box(asked: Asked) -> tuple[Box, tuple[float, float]]:
    """The gold box as (x1, y1, x2, y2) and the size of the picture in the same units (pixels, or 1 by 1).

    Without ``gold_format``, four numbers up to 1 are corners in shares of the picture; in pixels, the
    published file of ScreenSpot_v2 has x, y, width, height, and the others have corners.

    Raises:
        InputError: if it is not four finite numbers, has no area, or is in pixels without `image_size`.
    """
    numbers = four_numbers(asked)
    shares = max(map(abs, numbers)) <= 1
    default = "xywh" if asked.benchmark == "ScreenSpot_v2" and not shares else "xyxy"
    x1, y1, x2, y2 = numbers
    if (asked.gold_format or default) == "xywh":
        x2, y2 = x1 + x2, y1 + y2
    if x2 <= x1 or y2 <= y1:
        raise InputError(
            f"gold box {written(numbers)}",
            "x2 > x1 and y2 > y1",
            "if it is x, y, width, height: gold_format='xywh'",
        )
    size = asked.image_size
    if size is None and not shares:
        raise InputError(
            f"gold box {written(numbers)} in pixels, without the picture's size", "image_size=(width, height)"
        )
    if size is None:
        return (x1, y1, x2, y2), (1.0, 1.0)
    across, down = size if shares else (1.0, 1.0)
    return (x1 * across, y1 * down, x2 * across, y2 * down), size


def four_numbers(asked: Asked) -> Box:
    values: Any = asked.golds
    if len(asked.golds) == 1:
        try:
            values = json.loads(asked.gold.replace("(", "[").replace(")", "]"))
        except ValueError:
            values = None
    try:
        a, b, c, d = (float(value) for value in values)
    except (TypeError, ValueError):
        raise InputError(f"gold={list(asked.golds)!r}", "a box of four numbers: [x1, y1, x2, y2]") from None
    if not all(map(math.isfinite, (a, b, c, d))):
        raise InputError(f"gold box {written((a, b, c, d))}", "four finite numbers")
    if asked.gold_format not in ("", "xyxy", "xywh"):
        raise InputError(f"gold_format={asked.gold_format!r}", "'xyxy' or 'xywh'")
    return a, b, c, d


def written(box: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
