"""The part of a check that needs no model: from a score over kept regions to curves of a map and baselines"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InputError
from ..types import PatchGrid
from .baselines import blocks, centre, region_means
from .curves import Curve, Score, curves, ranking
from .faithfulness_record import MAP, RANDOM
from .verdict import LEAST_RANDOM

__all__ = ["FILLS", "baseline_orders", "check_settings", "examine", "orders_of"]

FILLS = ("mean", "blur", "white")


def check_settings(fills: Sequence[str], *, steps: int, random: int) -> None:
    """Refuse what no check can be made of.

    Raises:
        InputError: for an unknown masking or none, fewer than two steps, or too few random orders.
    """
    if isinstance(fills, str) or not fills or any(fill not in FILLS for fill in fills):
        raise InputError(f"fills={fills!r}", f"a sequence of {', '.join(map(repr, FILLS))}")
    if steps < 2 or random < LEAST_RANDOM:
        raise InputError(
            f"steps={steps}, random={random}",
            f"at least 2 steps and {LEAST_RANDOM} random orders",
            "with fewer random orders nothing could be told apart from them",
        )


def orders_of(
    maps: Mapping[str, Sequence[np.ndarray]], labels: Sequence[np.ndarray], *, seed: int
) -> dict[str, np.ndarray]:
    """Rank the regions by each map's mean over them; ties in random order."""
    return {name: ranking(region_means(parts, labels), seed=seed) for name, parts in maps.items()}


def baseline_orders(
    grids: Sequence[PatchGrid],
    labels: Sequence[np.ndarray],
    *,
    random: int,
    seed: int,
    sink: Sequence[np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Orders of the baselines: random ones, the centre prior, and the sinks where they are known."""
    size = 1 + max(int(part.max()) for part in labels)
    rng = np.random.default_rng((seed, 1))
    found = {f"{RANDOM} {i}": rng.permutation(size) for i in range(random)}
    maps: dict[str, Sequence[np.ndarray]] = {"centre": [centre(grid) for grid in grids]}
    if sink is not None:
        maps["sink"] = sink
    return {**found, **orders_of(maps, labels, seed=seed)}


def examine(
    score: Score,
    maps: Sequence[np.ndarray],
    grids: Sequence[PatchGrid],
    *,
    regions: tuple[int, int] | str = (6, 6),
    fills: Sequence[str] = FILLS,
    steps: int = 6,
    random: int = 19,
    sink: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Curve]]:
    """Curves of one map and of its baselines, as `Faithfulness.curves` holds them.

    Args:
        score: log-probability in nats with only some regions visible.
        maps: signed ``[rows, cols]``, one a picture.
        grids: the pictures' grids.
        regions, fills, steps, random, seed: as for `workbench.interpret.faithfulness.check`.
        sink: the sink baseline's maps.

    Raises:
        InputError: for settings that cannot be used, or a single region, which has no order.
    """
    check_settings(fills, steps=steps, random=random)
    labels = blocks(grids, regions)
    if sum(len(np.unique(part)) for part in labels) < 2:
        raise InputError("a single region", "at least two, to have an order", "pass regions=(rows, cols)")
    orders = baseline_orders(grids, labels, random=random, seed=seed, sink=sink)
    orders = {**orders_of({MAP: maps}, labels, seed=seed), **orders}
    return curves(score, orders, fills=fills, steps=steps)
