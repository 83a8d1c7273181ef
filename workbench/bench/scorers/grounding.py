"""ScreenSpot, ScreenSpot-v2 and ScreenSpot-Pro: the point, or the middle of the box, lies in the gold box

Cheng et al. 2024 (arXiv 2401.10935), Wu et al. 2024 (2410.23218), Li et al. 2025 (2504.07981).

| protocol | quirk |
|---|---|
| workbench | the last point or box of the reply; numbers up to 1 are shares of the picture, up to 1000 thousandths or pixels (see `grounding_workbench`); nothing parsed is wrong, not (0, 0) |
| vlmevalkit | only ``x=0.1, y=0.2``; anything else is a click at (0, 0); a full stop after the number is a format error; the gold box is one pixel smaller in ScreenSpot and -v2 (``GUI/screenspot.py``) |
| lmms-eval | v2, Pro: the first point, and of a bare ``[x1, y1, x2, y2]`` the first corner; a gold xywh box whose width exceeds x, and height y, is taken for xyxy. ScreenSpot: only a box, whose numbers above 1 are thousandths; nothing parsed is (0, 0) (``tasks/screenspot*/``) |

ScreenSpot by the harnesses' protocols; the quirks are in the table of `workbench.bench.scorers.grounding`
"""  # noqa: E501

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import InputError
from .base import Asked, Score

__all__ = [
    "Box",
    "four_numbers",
    "gold_box",
    "grounding_workbench",
    "places_in",
    "point_lmms_eval",
    "point_vlmevalkit",
    "rectangle_lmms_eval",
    "written",
]


Box = tuple[float, float, float, float]
COORDINATES = ("relative", "relative1000", "pixels")

_N = r"[-+]?(?:\d{1,9}(?:\.\d{0,18})?|\.\d{1,18})\s?%?"
_GROUP = re.compile(rf"[\[(]\s{{0,9}}({_N}(?:\s{{0,9}}[,;\s]\s{{0,9}}{_N}){{1,3}})\s{{0,9}}[\])]")
_SIGN = r"[\"']?\s{0,9}[:=]\s{0,9}[\"']?"  # "x": 5, x="5%", x=5
_XY = re.compile(rf"\bx\d?{_SIGN}({_N})[\"']?[\s,;]{{0,9}}[\"']?y\d?{_SIGN}({_N})", re.IGNORECASE)
_POINT_TAG = re.compile(r"<points?\s", re.IGNORECASE)
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
    percent, Molmo's ``<point x="12.5" y="40.1">`` (in percent), and where nothing of it is there two or four
    bare numbers.
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
    for m in _XY.finditer(text):
        numbers = _numbers(f"{m.group(1)},{m.group(2)}")
        opened = text.rfind("<", max(0, m.start() - 400), m.start())
        if _POINT_TAG.match(text, max(opened, 0)) and max(numbers) <= 100 and "%" not in m.group():
            numbers = tuple(number / 100 for number in numbers)  # Molmo writes percent of the picture
        found.append((m.start(), m.end(), numbers))
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


Point = tuple[float, float]

_CLICK = re.compile(r"x=([\d.]{1,99}), y=([\d.]{1,99})")


def point_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit: ``parse_bbox_aguvis`` and the comparison of ``evaluate_point``."""
    box, size = _vlmevalkit_box(asked)
    match = _CLICK.search(asked.reply)
    if match is None:
        inside = _inside((0.0, 0.0), box)
        return Score(float(inside), None, "no 'x=.., y=..': taken for a click at (0, 0)")
    try:
        x, y = float(match.group(1)), float(match.group(2))
    except ValueError:
        return Score(0.0, None, f"format error: {match.group()!r} (a full stop belongs to the number here)")
    if x > 1 or y > 1:
        x, y = x / size[0], y / size[1]
    inside = _inside((x, y), box)
    return Score(float(inside), f"({x:.4g}, {y:.4g})", f"{_where(inside)} {written(box)}, in shares")


def _vlmevalkit_box(asked: Asked) -> tuple[Box, Point]:
    """The gold box in shares; xywh boxes end one pixel early, -1 is read as 0."""
    (x1, y1, x2, y2), size = gold_box(asked)
    if size == (1.0, 1.0):
        return (x1, y1, x2, y2), size
    if asked.benchmark != "ScreenSpot_Pro":
        x2, y2 = x2 - 1, y2 - 1
    safe = [0.0 if value == -1 else value for value in (x1, y1, x2, y2)]
    return (safe[0] / size[0], safe[1] / size[1], safe[2] / size[0], safe[3] / size[1]), size


_TOKEN = r"-?\d{1,99}(?:\.\d{1,99})?%?"
_TAG = re.compile(r"<\s{0,9}bbox[^>]{0,200}>", re.IGNORECASE)
_TAG_END = re.compile(r"<\s{0,9}/\s{0,9}bbox\s{0,9}>", re.IGNORECASE)
_PAIR = re.compile(rf"[\[(]\s{{0,99}}({_TOKEN})\s{{0,99}}[,\s]\s{{0,99}}({_TOKEN})\s{{0,99}}[\])]")
_X = re.compile(rf"x['\"]?\s{{0,99}}[:=]\s{{0,99}}({_TOKEN})", re.IGNORECASE)
_Y = re.compile(rf"y['\"]?\s{{0,99}}[:=]\s{{0,99}}({_TOKEN})", re.IGNORECASE)


def point_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval's ScreenSpot-v2 and -Pro: ``_parse_point``."""
    size = asked.image_size or (1.0, 1.0)
    box = _lmms_eval_box(asked, size)
    point = _lmms_eval_point(asked.reply)
    if point is None:
        return Score(0.0, None, "no two numbers in the reply")
    if point[0] > 1 or point[1] > 1:
        point = (point[0] / size[0], point[1] / size[1])
    inside = _inside(point, box)
    return Score(
        float(inside), f"({point[0]:.4g}, {point[1]:.4g})", f"{_where(inside)} {written(box)}, in shares"
    )


def _lmms_eval_box(asked: Asked, size: Point) -> Box:
    """The gold box in shares: in -v2 its format is guessed, in -Pro it is taken for corners."""
    x1, y1, x2, y2 = four_numbers(asked)
    if asked.benchmark == "ScreenSpot_v2":
        shares = all(0 <= value <= 1 for value in (x1, y1, x2, y2)) and x2 >= x1 and y2 >= y1
        if not shares and not (x2 > x1 and y2 > y1):
            x2, y2 = x1 + x2, y1 + y2
    else:
        shares = x2 <= 1 and y2 <= 1
    return (x1, y1, x2, y2) if shares else (x1 / size[0], y1 / size[1], x2 / size[0], y2 / size[1])


def _lmms_eval_point(reply: str) -> Point | None:
    if (start := _TAG.search(reply)) and (end := _TAG_END.search(reply, start.end())):
        inside = re.findall(_TOKEN, reply[start.end() : end.start()])
        if len(inside) >= 4:
            return _centre(inside)
    if match := _PAIR.search(reply):
        return _number(match.group(1)), _number(match.group(2))
    if (x := _X.search(reply)) and (y := _Y.search(reply, x.end())):
        return _number(x.group(1)), _number(y.group(1))
    numbers = re.findall(_TOKEN, reply)
    if len(numbers) >= 4 and any(word in reply.lower() for word in ("box", "rect")):
        return _centre(numbers)
    return (_number(numbers[0]), _number(numbers[1])) if len(numbers) >= 2 else None


def _centre(tokens: list[str]) -> Point:
    x1, y1, x2, y2 = (_number(token) for token in tokens[:4])
    return (x1 + x2) / 2, (y1 + y2) / 2


def _number(token: str) -> float:
    return float(token[:-1]) / 100 if token.endswith("%") else float(token)


_FLOAT = r"(-?\d{1,99}(?:\.\d{1,99})?)"
_FOUR = re.compile(r"[\[(]\s{0,99}" + r",\s{0,99}".join([_FLOAT] * 4) + r"\s{0,99}[\])]")


def rectangle_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval's ScreenSpot (``screenspot_rec``), metric Center_ACC."""
    box, size = gold_box(asked)
    box = (box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1])
    match = _FOUR.search(asked.reply)
    given = [float(token) for token in match.groups()] if match else [0.0] * 4
    if max(given) > 1:
        given = [value / 1000 for value in given]
    centre = ((given[0] + given[2]) / 2, (given[1] + given[3]) / 2)
    inside = _inside(centre, box)
    if match is None:
        return Score(float(inside), None, "no box of four numbers: taken for [0, 0, 0, 0]")
    return Score(float(inside), written(given), f"its middle is {_where(inside)} {written(box)}, in shares")


def _inside(point: Point, box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _where(inside: bool) -> str:
    return "in" if inside else "outside"
