"""One honest line about a map: better than random or not, and whether a map can mean anything at all

The rule reads measured numbers only and has no way to be kind: a map is called better than random when its
gap exceeds what random orders reach, under every masking; under some only, the line says which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LEAST_DROP", "LEAST_RANDOM", "SAME_MAP", "Finding", "above_random", "judge", "outlook"]

LEAST_DROP = 0.1
"""Nats that the answer must lose without any picture, else no map of the picture means anything."""

LEAST_RANDOM = 9
"""Random orders without which nothing can be told apart at 5% a side."""

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


def outlook(random: Sequence[float], *, level: float = 0.05) -> tuple[float, float]:
    """Between which gaps random orders stay, but for ``level`` of them on either side.

    An order and its reverse have opposite gaps, so the distribution is symmetric, whatever its shape.  A
    map that is no better than a random order exceeds the upper bound with a probability of at most
    ``level``: an exact Monte Carlo test (Dwass 1957) against the orders and their reverses.

    Args:
        random: gaps of random orders; with fewer than ``LEAST_RANDOM`` of them the bounds are infinite.
        level: probability of an error on one side.
    """
    heights = np.sort(np.abs(np.asarray(random, dtype=float)))[::-1]
    allowed = math.floor(2 * level * (len(heights) + 1) + 1e-9) - 1  # of |gaps| that may be as large
    bound = float(heights[allowed]) if 0 <= allowed < len(heights) else math.inf
    return -bound, bound


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
    passed: Mapping[str, float] | None = None,
) -> Finding:
    """Put measurements into one line.

    Args:
        signs: masking -> 1 above random, 0 not told apart, -1 below.
        ahead: masking -> nats by which the gap exceeds that of random orders.
        beaten: other baseline ("centre", "sink") -> whether the map is ahead of it under every masking.
        drop: nats that the answer loses without any picture.
        needed: whether that drop is one.
        unchanged: correlation with the map of randomised weights; None where it was not measured.
        passed: masking -> share of random orders with a smaller gap, for a single answer.
    """
    told = ", ".join(f"{fill} {ahead[fill]:+.2f}" for fill in signs) + " nats against random"
    if passed:
        told += f"; ahead of {', '.join(f'{100 * passed[fill]:.0f}%' for fill in signs)} of random orders"
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
