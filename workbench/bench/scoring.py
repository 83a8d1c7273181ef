"""`score` one reply against its gold answer under a protocol; `rescore` results, and show what flips."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..errors import InputError
from ..names import verb
from ..records import closest
from .results import Results
from .scorers import PROTOCOLS, Asked, Score, canonical, recognise, scorer_of
from .scorers.base import golds_of, options_of, reply_for
from .tasks.drawn import score_drawn

__all__ = ["FLIP_COLUMNS", "Rescored", "SCORING", "rescore", "score"]


SCORING = (
    *("options", "precision", "answer_type", "question_type", "category", "image_size", "gold_format"),
    *("coordinates", "rule", "boxes"),
)
"""What an item may carry for its scorer."""


@verb("gold", rules="protocol")
def score(
    benchmark: str, prediction: object, *, gold: object, protocol: str = "workbench", **item: Any
) -> Score:
    """What a reply is worth.

    Args:
        benchmark: as in the published tables, with or without the split (``"ChartQA"``, ``"MMMU_VAL"``,
            ``"ScreenSpot_v2"``, ``"V*Bench"``); ``"drawn"`` or ``"synth:..."`` for the scorer of
            `workbench.synth`.
        prediction: the reply; a ``<think>`` block in it is treated as the protocol does.  None is an empty
            reply.
        gold: the right answer, or a list of accepted ones; a box of four numbers for ScreenSpot.
        protocol: ``"workbench"``, ``"vlmevalkit"`` or ``"lmms-eval"``.
        item: ``options`` (letter -> text), ``precision`` (decimals), ``answer_type`` ("integer", "float",
            "list", "text"), ``question_type``, ``category``, ``image_size`` (width, height), ``gold_format``
            ("xyxy", "xywh"), ``coordinates`` of the reply ("relative", "relative1000", "pixels"); ``rule``
            and ``boxes`` of a drawn question.

    Returns:
        A `Score`: ``value`` from 0 to 1, what was ``parsed`` (None: nothing) and ``why``.

    Raises:
        InputError: for an unknown benchmark, an unknown protocol or keyword, a missing or impossible gold
            answer.

    Example:
        >>> [score("ChartQA", "977,633", gold="977633", protocol=p).value for p in ("workbench", "lmms-eval")]
        [1.0, 0.0]
    """
    if protocol not in PROTOCOLS:
        raise InputError(
            f"protocol={protocol!r}",
            f"one of {', '.join(map(repr, PROTOCOLS))}",
            closest(str(protocol), PROTOCOLS),
        )
    if unknown := [name for name in item if name not in SCORING]:
        raise InputError(f"keyword {unknown[0]!r}", f"one of {', '.join(SCORING)}")
    if benchmark == "drawn" or str(benchmark).startswith("synth:"):
        return _drawn(prediction, gold, protocol, item)
    name = canonical(benchmark)
    asked = Asked(
        benchmark=name,
        reply=reply_for(protocol, prediction),
        golds=golds_of(gold),
        options=options_of(item.get("options")),
        precision=_precision(item.get("precision")),
        answer_type=_kind(item.get("answer_type")),
        question_type=str(item.get("question_type") or ""),
        category=str(item.get("category") or ""),
        image_size=_size(item.get("image_size")),
        gold_format=str(item.get("gold_format") or ""),
        coordinates=str(item.get("coordinates") or ""),
        written=gold if isinstance(gold, str) else "",
    )
    found = scorer_of(name, protocol)(asked)
    if not isinstance(found, Score):
        raise InputError(f"the scorer of {name!r} returned {found!r}", "a workbench.bench.Score")
    return found


def _drawn(prediction: object, gold: object, protocol: str, item: Mapping[str, Any]) -> Score:
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
    kinds: dict[object, str] = {int: "integer", float: "float", str: "text", list: "list"}
    name = kinds.get(value, value) if isinstance(value, (str, type)) else ""
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


FLIP_COLUMNS = (
    *("run", "benchmark", "item", "mode", "epoch", "question", "gold", "response"),
    *(
        "protocol_before",
        "before",
        "parsed_before",
        "why_before",
        "protocol_after",
        "after",
        "parsed_after",
        "why_after",
        "images",
    ),
)
_SEEN = ("benchmark", "response", "gold", "category", "details", "images")
_KEPT = ("run", "benchmark", "item", "mode", "epoch", "question", "gold", "response", "images")


@dataclass(frozen=True, eq=False, repr=False)
class Rescored(Results):
    """Results under another protocol; ``flips`` lists the items whose value changed.

    ``flips`` has `FLIP_COLUMNS`, one row per item and mode; ``images`` are the picture references, which
    ``images(row)`` opens.
    """

    flips: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(FLIP_COLUMNS)))

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, {len(self.flips)} flips)"


@verb(rules="protocol")
def rescore(results: Results, protocol: str = "workbench") -> Rescored:
    """Score all responses anew, without asking again.

    What is scored is the response without its thought, also under the protocol of VLMEvalKit, which by
    default (without SPLIT_THINK) would read the thought too.  Nothing is dropped: a row that cannot be scored
    (no response, no gold answer, a benchmark without a scorer here) has the value NaN, and a warning counts
    it.

    Args:
        results: of a run or an imported log.
        protocol: ``"workbench"``, ``"vlmevalkit"`` or ``"lmms-eval"``.

    Raises:
        InputError: for an unknown protocol.

    Example:
        >>> flips = rescore(results, "lmms-eval").flips
        >>> flips[["item", "response", "gold", "before", "after", "why_after"]]
    """
    if protocol not in PROTOCOLS:
        raise InputError(
            f"protocol={protocol!r}",
            f"one of {', '.join(map(repr, PROTOCOLS))}",
            closest(str(protocol), PROTOCOLS),
        )
    before, table = results.table, results.table.copy()
    reasons: Counter[str] = Counter()
    columns = [before[name].tolist() for name in _SEEN]
    scores = [_score(results, dict(zip(_SEEN, row)), protocol, reasons) for row in zip(*columns)]
    table["value"] = [math.nan if s is None else s.value for s in scores]
    for name in ("parsed", "why"):
        texts = [None if s is None else getattr(s, name) for s in scores]
        table[name] = pd.Series(texts, index=table.index, dtype=object)
    table["protocol"] = protocol
    again = results.replaced(table, warnings=_warnings(reasons, scores, protocol))
    return Rescored(again.table, again.folder, again.warnings, again.about, _flips(before, again.table))


def _score(results: Results, row: Mapping[str, Any], protocol: str, reasons: Counter[str]) -> Score | None:
    name = row["details"].get("scorer") or row["benchmark"]
    if row["response"] is None:
        reasons["no response"] += 1
        return None
    if row["gold"] is None:
        reasons["no gold answer"] += 1
        return None
    try:
        return score(
            _known(name), row["response"], gold=row["gold"], protocol=protocol, **_item(results, row)
        )
    except InputError as error:
        reasons[error.given if "benchmark" not in error.given else f"no scorer for {name}"] += 1
        return None


def _known(name: str) -> str:
    if name == "drawn" or name.startswith("synth:"):
        return name
    found = recognise(name)
    return found[0] if found else canonical(name)


def _item(results: Results, row: Mapping[str, Any]) -> dict[str, Any]:
    item = {name: row["details"][name] for name in SCORING if name in row["details"]}
    item.setdefault("category", row["category"])
    if row["benchmark"].startswith("ScreenSpot") and "image_size" not in item and row["images"]:
        item["image_size"] = _shown_size(results, row["images"][0])
    return item


def _shown_size(results: Results, ref: str) -> tuple[int, int] | None:
    """Size of a picture from its header; None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(results.place(ref)) as image:
            return image.size
    except (OSError, InputError, ValueError):
        return None


def _warnings(reasons: Counter[str], scores: list[Score | None], protocol: str) -> list[str]:
    found = []
    if reasons:
        listed = ", ".join(f"{count} rows: {reason}" for reason, count in reasons.most_common(5))
        more = f", and {len(reasons) - 5} other reasons" if len(reasons) > 5 else ""
        found.append(f"cannot be scored by {protocol}: {listed}{more}")
    if judged := sum(s.judged for s in scores if s is not None):
        found.append(
            f"judge: in {judged} rows the harness would ask a judge model; our extraction stood in for it"
        )
    if doubt := sum("could also be" in s.why for s in scores if s is not None):
        found.append(
            f"coordinates: {doubt} replies could be thousandths or pixels, and count if either hits; details "
            "may hold coordinates='relative1000' or 'pixels'"
        )
    return found


def _flips(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    assert len(before) == len(after), (len(before), len(after))
    old, new = before["value"].to_numpy(), after["value"].to_numpy()
    changed = (old != new) & ~(pd.isna(old) & pd.isna(new))
    flips = after.loc[changed, list(_KEPT)].copy()
    for name, column in (("protocol", "protocol"), ("", "value"), ("parsed", "parsed"), ("why", "why")):
        flips[f"{name}_before" if name else "before"] = before.loc[changed, column]
        flips[f"{name}_after" if name else "after"] = after.loc[changed, column]
    return flips[list(FLIP_COLUMNS)].reset_index(drop=True)
