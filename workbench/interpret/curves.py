"""Insertion and deletion curves: how a score falls and rises while regions are taken away and given back

Deletion takes away the regions that a map calls most important, first the first; insertion begins with
none and gives them back in the same order (Petsiuk et al. 2018, RISE, arXiv 1806.07421).  Every order
gets the same budgets of regions, so two maps differ in nothing but their ranking.  ``gap`` is insertion
minus deletion AUC, the symmetric form that does not depend on where a masked picture lands (compare
Blücher et al. 2024, arXiv 2401.06654): an order and its reverse have opposite gaps, so that random orders
have none on average.

Nothing here knows a model: a score is a function of which regions are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

__all__ = ["Curve", "Score", "area", "budgets", "curves", "kept", "ranking"]

#: From (kept regions, bool ``[n, regions]``; how the others are filled) to scores ``[n]`` in nats.
Score = Callable[[np.ndarray, str], np.ndarray]


@dataclass(frozen=True)
class Curve:
    """Both curves of one order under one baseline.

    Args:
        share: share of the regions that were inserted or deleted, from 0 to 1.
        insertion: score with only that share of the regions visible, in nats.
        deletion: score with that share of the regions hidden, in nats.
    """

    share: tuple[float, ...]
    insertion: tuple[float, ...]
    deletion: tuple[float, ...]

    @property
    def insertion_auc(self) -> float:
        """Mean height of the insertion curve, in nats: higher is better."""
        return area(self.share, self.insertion)

    @property
    def deletion_auc(self) -> float:
        """Mean height of the deletion curve, in nats: lower is better."""
        return area(self.share, self.deletion)

    @property
    def gap(self) -> float:
        """Insertion minus deletion AUC, in nats; the reversed order's is the opposite number."""
        return self.insertion_auc - self.deletion_auc

    def both_ways(self, kind: str) -> np.ndarray:
        """The "insertion" or "deletion" curve and that of the reversed order, ``[2, points]``.

        Hiding what is last in an order is showing what is first: the reverse costs nothing more.
        """
        other = self.deletion if kind == "insertion" else self.insertion
        return np.array([self.insertion if kind == "insertion" else self.deletion, other[::-1]])


def ranking(values: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Regions from the largest value to the smallest; ties at random, so that a flat map is a random one.

    Args:
        values: one number per region, ``[regions]``.
        seed: of the order among ties.

    Raises:
        InputError: for values that are not all finite numbers.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(f"a map with values {values!r}", "one finite number a region")
    return np.lexsort((np.random.default_rng(seed).random(len(values)), -values))


def budgets(regions: int, steps: int | None = None) -> np.ndarray:
    """How many regions are changed at each point of a curve: 0 to all, and symmetric.

    Halves of halves from the middle to both ends, for 36 regions 0, 1, 2, 4, 9, 18, 27, 32, 34, 35, 36: an
    answer often rests on one region or two, and only small counts tell whether a map puts these first.  With
    ``steps`` evenly instead.

    With every count ``b`` also ``regions - b`` is there: deletion and insertion then see states of the
    same sizes, and random orders gain nothing from either.

    Raises:
        InputError: for fewer than two regions or two steps.
    """
    if regions < 2 or (steps is not None and steps < 2):
        raise InputError(f"{regions} regions in {steps} steps", "at least two of each")
    if steps is None:
        halves = [regions >> times for times in range(1, regions.bit_length())]
        return np.unique([0, *halves, *(regions - half for half in halves), regions])
    counts = np.rint(np.linspace(0, regions, min(steps, regions) + 1)).astype(int)
    return np.unique(np.concatenate([counts, regions - counts]))


def kept(order: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which regions are visible at each point: (insertion, deletion), bool ``[points, regions]`` each."""
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    first = place[None, :] < np.asarray(counts)[:, None]
    return first, ~first


def area(share: Sequence[float], scores: Sequence[float]) -> float:
    """Area under a curve by the trapezoid rule, over the width of its x axis: the mean height."""
    x, y = np.asarray(share, dtype=float), np.asarray(scores, dtype=float)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / (x[-1] - x[0]))


def curves(
    score: Score, orders: Mapping[str, np.ndarray], *, baselines: Sequence[str], steps: int | None = None
) -> dict[str, dict[str, Curve]]:
    """Curves of several orders under several baselines; no state is scored twice.

    Args:
        score: from kept regions and a baseline to scores in nats.
        orders: name -> regions from the most to the least important; all over the same regions.
        baselines: baselines that ``score`` knows.
        steps: points of a curve beyond the first, about, evenly; None for `budgets`' own choice.

    Returns:
        baseline -> name -> its `Curve`.

    Raises:
        InputError: if an order is not one of the same regions, or the score is not a finite number.
    """
    size = len(next(iter(orders.values())))
    counts = budgets(size, steps)
    states: dict[bytes, int] = {}
    places: dict[str, tuple[list[int], list[int]]] = {}
    for name, order in orders.items():
        if sorted(order) != list(range(size)):
            raise InputError(f"the order {name!r}", f"each of {size} regions once")
        both = kept(np.asarray(order), counts)
        insertion, deletion = (
            [states.setdefault(row.tobytes(), len(states)) for row in part] for part in both
        )
        places[name] = (insertion, deletion)
    masks = np.array([np.frombuffer(key, dtype=bool) for key in states])
    share = tuple((counts / size).tolist())
    found: dict[str, dict[str, Curve]] = {}
    for baseline in baselines:
        scores = np.asarray(score(masks, baseline), dtype=float)
        if scores.shape != (len(masks),) or not np.isfinite(scores).all():
            raise InputError(
                f"scores of shape {scores.shape}, or not finite, under {baseline!r}", "one number per state"
            )
        found[baseline] = {
            name: Curve(share, tuple(scores[up].tolist()), tuple(scores[down].tolist()))
            for name, (up, down) in places.items()
        }
    return found
