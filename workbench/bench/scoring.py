"""`score`: one reply against its gold answer, under the rules of one's choice"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .scorers import BENCHMARKS, RULES, Asked, Score, canonical
from .scorers.base import golds_of, options_of, reply_for

__all__ = ["SCORING", "score"]

SCORING = (
    *("options", "precision", "answer_type", "question_type", "category", "image_size", "gold_format"),
    *("coordinates", "rule", "boxes"),
)
"""What an item may carry for its scorer."""


def score(benchmark: str, prediction: Any, gold: Any, *, rules: str = "workbench", **item: Any) -> Score:
    """What a reply is worth.

    Args:
        benchmark: as in the published tables, with or without the split (``"ChartQA"``, ``"MMMU_VAL"``,
            ``"ScreenSpot_v2"``, ``"V*Bench"``); ``"drawn"`` or ``"synth:..."`` for the rules of
            `workbench.synth`.
        prediction: the reply; a ``<think>`` block in it is treated as the rules do.  None is an empty reply.
        gold: the right answer, or a list of accepted ones; a box of four numbers for ScreenSpot.
        rules: ``"workbench"``, ``"vlmevalkit"`` or ``"lmms-eval"``.
        item: ``options`` (letter -> text), ``precision`` (decimals), ``answer_type`` ("integer", "float",
            "list", "text"), ``question_type``, ``category``, ``image_size`` (width, height), ``gold_format``
            ("xyxy", "xywh"), ``coordinates`` of the reply ("relative", "relative1000", "pixels"); ``rule``
            and ``boxes`` of a drawn question.

    Returns:
        A `Score`: ``value`` from 0 to 1, what was ``parsed`` (None: nothing) and ``why``.

    Raises:
        InputError: for an unknown benchmark, unknown rules or keywords, a missing or impossible gold answer.

    Example:
        >>> [score("ChartQA", "977,633", "977633", rules=name).value for name in ("workbench", "lmms-eval")]
        [1.0, 0.0]
    """
    if rules not in RULES:
        raise InputError(f"rules={rules!r}", f"one of {', '.join(map(repr, RULES))}")
    if unknown := [name for name in item if name not in SCORING]:
        raise InputError(f"keyword {unknown[0]!r}", f"one of {', '.join(SCORING)}")
    if benchmark == "drawn" or str(benchmark).startswith("synth:"):
        return _drawn(prediction, gold, rules, item)
    name = canonical(benchmark)
    asked = Asked(
        benchmark=name,
        reply=reply_for(rules, prediction),
        golds=golds_of(gold),
        options=options_of(item.get("options")),
        precision=_precision(item.get("precision")),
        answer_type=_kind(item.get("answer_type")),
        question_type=str(item.get("question_type") or ""),
        category=str(item.get("category") or ""),
        image_size=_size(item.get("image_size")),
        gold_format=str(item.get("gold_format") or ""),
        coordinates=str(item.get("coordinates") or ""),
    )
    return BENCHMARKS[name][rules](asked)


def _drawn(prediction: Any, gold: Any, rules: str, item: Mapping[str, Any]) -> Score:
    from .tasks.drawn import score_drawn

    golds = golds_of(gold)
    if "rule" not in item:
        raise InputError("a drawn question without its rule", "rule='words', 'number' or 'point'")
    reply = reply_for("workbench", prediction)
    given = {name: item[name] for name in ("rule", "boxes", "image_size") if item.get(name) is not None}
    right = score_drawn(reply, golds[0], **given)
    return Score(float(right), reply[:200] or None, f"the rule {item['rule']!r} of workbench.synth")


def _precision(value: Any) -> int | None:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"precision={value!r}", "how many decimals count: 0, 1, 2 ...") from None


def _kind(value: Any) -> str:
    name = {int: "integer", float: "float", str: "text", list: "list"}.get(value, value) if value else ""
    return {"int": "integer", "str": "text", "string": "text"}.get(str(name), str(name))


def _size(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        width, height = (float(side) for side in value)
    except (TypeError, ValueError):
        raise InputError(f"image_size={value!r}", "(width, height) in pixels") from None
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise InputError(f"image_size={value!r}", "a positive width and height")
    return width, height
