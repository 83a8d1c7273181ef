"""Items with the replies of all modes side by side: what a failure browser and a report show"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..types import Box
from .records import Results

__all__ = ["PATTERNS", "SORTS", "Case", "Reply", "cases"]

ORDER = ("nothink", "auto", "think")

PATTERNS = ("any wrong", "all wrong", "think only", "direct only", "modes differ", "all right", "not scored")
"""What the replies to one item have in common; "think only": thinking is right and direct is not."""

SORTS = ("order", "tokens", "p_think", "spread", "size")
"""As in the table; most output tokens first; most undecided about thinking first; largest difference between
modes first; smallest target box first."""


@dataclass(frozen=True)
class Reply:
    """One mode's reply to an item."""

    mode: str
    text: str | None
    thought: str | None
    value: float
    parsed: str | None
    why: str
    tokens: float
    seconds: float
    p_think: float

    @property
    def right(self) -> bool:
        """Whether it scores above one half."""
        return self.value > 0.5


@dataclass(frozen=True)
class Case:
    """One item and its replies; ``boxes`` are gold boxes in pixels of picture number ``picture``."""

    run: str
    benchmark: str
    item: str
    control: str
    category: str
    question: str
    gold: str | None
    images: tuple[str, ...]
    replies: Mapping[str, Reply]
    boxes: tuple[Box, ...] = ()
    picture: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)

    def has(self, pattern: str) -> bool:
        """Whether the replies follow one of `PATTERNS`."""
        right = {mode: reply.right for mode, reply in self.replies.items() if not math.isnan(reply.value)}
        if pattern == "not scored":
            return len(right) < len(self.replies)
        if not right:
            return False
        think, direct = right.get("think"), right.get("nothink")
        return {
            "any wrong": not all(right.values()),
            "all wrong": not any(right.values()),
            "think only": think is True and direct is False,
            "direct only": direct is True and think is False,
            "modes differ": len(set(right.values())) > 1,
            "all right": all(right.values()),
        }[pattern]

    def key(self, sort: str) -> float:
        """What it is sorted by, smallest first."""
        replies = list(self.replies.values())
        known = [r.p_think for r in replies if not math.isnan(r.p_think)]
        if sort == "tokens":
            return -max((r.tokens for r in replies if not math.isnan(r.tokens)), default=0.0)
        if sort == "p_think":
            return abs(known[0] - 0.5) if known else 1.0
        if sort == "spread":
            values = [r.value for r in replies if not math.isnan(r.value)]
            return min(values, default=0.0) - max(values, default=0.0)
        areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in self.boxes]
        return min(areas, default=math.inf)

    def holds(self, text: str) -> bool:
        """Whether a text stands in its question, gold answer or replies, upper and lower case alike."""
        wanted = text.casefold()
        said = [part for r in self.replies.values() for part in (r.text, r.thought)]
        return any(wanted in part.casefold() for part in (self.item, self.question, self.gold, *said) if part)


def cases(
    results: Results,
    *,
    pattern: str | None = None,
    benchmark: str | Sequence[str] | None = None,
    category: str | Sequence[str] | None = None,
    text: str = "",
    sort: str = "order",
    limit: int | None = None,
) -> list[Case]:
    """Items with their replies in all modes, filtered and sorted.

    Args:
        results: of a run or an imported log.
        pattern: one of `PATTERNS`; None for all items.
        benchmark, category: one or several; None for all.
        text: only items that hold it, in the question, the gold answer or a reply.
        sort: one of `SORTS`.
        limit: only the first ones.

    Raises:
        InputError: for a pattern or sort that does not exist, or no item that is left by ``benchmark``
            and ``category``.
    """
    if pattern is not None and pattern not in PATTERNS:
        raise InputError(f"pattern={pattern!r}", f"one of {', '.join(map(repr, PATTERNS))}")
    if sort not in SORTS:
        raise InputError(f"sort={sort!r}", f"one of {', '.join(map(repr, SORTS))}")
    wanted = {n: v for n, v in (("benchmark", benchmark), ("category", category)) if v is not None}
    kept = results.where(**wanted) if wanted else results
    if wanted and not len(kept):
        there = {name: sorted(results.table[name].unique())[:8] for name in wanted}
        raise InputError(f"no item with {wanted}", f"for example {there}")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in kept.rows():
        name = (row["run"], row["benchmark"], row["version"], row["item"], row["control"], row["epoch"])
        groups.setdefault(name, []).append(row)
    found = [_case(rows) for rows in groups.values()]
    found = [case for case in found if pattern is None or case.has(pattern)]
    found = [case for case in found if not text or case.holds(text)]
    if sort != "order":
        found.sort(key=lambda case: case.key(sort))
    return found if limit is None else found[:limit]


def _case(rows: Sequence[Mapping[str, Any]]) -> Case:
    first, details = rows[0], rows[0]["details"]
    by_mode = {row["mode"]: _reply(row) for row in rows}
    boxes = details.get("boxes") or ()
    return Case(
        run=first["run"],
        benchmark=first["benchmark"],
        item=first["item"],
        control=first["control"],
        category=first["category"],
        question=first["question"],
        gold=first["gold"],
        images=tuple(first["images"]),
        replies={mode: by_mode[mode] for mode in ORDER if mode in by_mode},
        boxes=tuple(tuple(float(v) for v in box) for box in boxes),  # type: ignore[misc]
        picture=int(details.get("picture", 0)),
        details=details,
    )


def _reply(row: Mapping[str, Any]) -> Reply:
    names = ("mode", "thought", "value", "parsed", "why", "tokens", "seconds", "p_think")
    return Reply(text=row["response"], **{name: row[name] for name in names})
