"""One honest line about a map: better than random or not, and whether a map can mean anything at all

The rule reads measured numbers only and has no way to be kind: a map is called better than random when its
gap lies above what random orders reach, under every masking; in one masking only, the line says which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LEAST_DROP", "SAME_MAP", "Finding", "above_random", "judge", "outlook"]

LEAST_DROP = 0.1
"""Nats that the answer must lose without any picture, else no map of the picture means anything."""

SAME_MAP = 0.5
"""Spearman correlation with the map of randomised weights from which a map is called unchanged by them."""


@dataclass(frozen=True)
class Finding:
    """A verdict: ``kind`` for programs, ``text`` for people.

    Kinds: ``"no picture needed"``, ``"better than random"``, ``"depends on the masking"``,
    ``"no better than random"``, ``"worse than random"``.
    """

    kind: str
    text: str


def outlook(random: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Where the next random order's gap will lie with a probability of ``level``.

    An order and its reverse have opposite gaps, so the distribution is symmetric around zero: its mean
    is known, its spread is measured, and Student's prediction interval follows.  Fewer than two random
    orders say nothing about the spread: the interval is infinite.
    """
    from scipy.special import stdtrit

    values = np.asarray(random, dtype=float)
    if len(values) < 2:
        return -math.inf, math.inf
    half = float(stdtrit(len(values), (1 + level) / 2)) * math.sqrt(float(np.mean(values**2)))
    return -half, half


def above_random(gap: float, bounds: tuple[float, float]) -> int:
    """1 above the interval, -1 below it, 0 inside."""
    return int(gap > bounds[1]) - int(gap < bounds[0])


def judge(
    signs: Mapping[str, int],
    *,
    ahead: Mapping[str, float],
    beaten: Mapping[str, bool],
    drop: float,
    needed: bool,
    unchanged: float | None = None,
) -> Finding:
    """Put measurements into one line.

    Args:
        signs: masking -> 1 above random, 0 not told apart, -1 below.
        ahead: masking -> nats by which the gap exceeds that of random orders.
        beaten: other baseline ("centre", "sink") -> whether the map is ahead of it under every masking.
        drop: nats that the answer loses without any picture.
        needed: whether that drop is one.
        unchanged: correlation with the map of randomised weights; None where it was not measured.
    """
    told = ", ".join(f"{fill} {ahead[fill]:+.2f}" for fill in signs) + " nats against random"
    tail = ""
    if unchanged is not None and abs(unchanged) >= SAME_MAP:
        tail = f" It hardly changes with randomised weights (Spearman {unchanged:.2f})."
    if not needed:
        text = f"No map means anything here: without any picture the answer loses {_loss(drop)}."
        return Finding("no picture needed", text)
    better, worse = [f for f, s in signs.items() if s > 0], [f for f, s in signs.items() if s < 0]
    if len(better) == len(signs):
        rivals = _rivals(beaten)
        return Finding("better than random", f"Better than random{rivals} ({told}).{tail}")
    if better:
        rest = " and ".join(f for f in signs if f not in better)
        text = f"Better than random under {' and '.join(better)}, not under {rest} ({told}).{tail}"
        return Finding("depends on the masking", text)
    if len(worse) == len(signs):
        return Finding("worse than random", f"Worse than random here ({told}).{tail}")
    return Finding("no better than random", f"No better than random here ({told}).{tail}")


def _loss(drop: float) -> str:
    return f"{drop:.2f} nats" if drop >= 0.005 else f"nothing ({drop:+.2f} nats)"


def _rivals(beaten: Mapping[str, bool]) -> str:
    won, lost = [n for n, b in beaten.items() if b], [n for n, b in beaten.items() if not b]
    parts = [f", and than {' and '.join(won)}"] if won else []
    parts += [f", but not than {' and '.join(lost)}"] if lost else []
    return "".join(parts)
