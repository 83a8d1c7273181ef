"""ScreenSpot by the harnesses' rules; the quirks are in the table of `workbench.bench.scorers.grounding`"""

from __future__ import annotations

import re

from .base import Asked, Score
from .grounding import Box, four_numbers, gold_box, written

__all__ = ["point_lmms_eval", "point_vlmevalkit", "rectangle_lmms_eval"]

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
