"""Points whose shares sum to one: drawing them, keeping them within caps, and looking for the best"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import InputError

__all__ = ["best", "bounds", "onto", "spread_out"]


def bounds(
    domains: Sequence[str],
    caps: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest share of each domain, ``[domains]`` each.

    Raises:
        InputError: for a domain that is not there, a cap outside 0 to 1, or caps that leave no mixture.
    """
    low, high = np.zeros(len(domains)), np.ones(len(domains))
    for what, given, into in (("caps", caps, high), ("floors", floors, low)):
        for domain, share in (given or {}).items():
            if domain not in domains:
                raise InputError(f"{what} name {domain!r}", f"some of {', '.join(domains)}")
            if not 0 <= share <= 1:
                raise InputError(f"{what}[{domain!r}] = {share}", "a share from 0 to 1")
            into[list(domains).index(domain)] = share
    if high.sum() < 1 - 1e-9 or low.sum() > 1 + 1e-9 or (low > high + 1e-12).any():
        raise InputError(
            f"shares of at least {low.sum():.3f} and at most {high.sum():.3f} in all",
            "caps and floors that leave a mixture whose shares sum to one",
            "raise a cap, allow more repetition, or train on fewer records",
        )
    return low, high


def onto(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The nearest mixtures within bounds: Euclidean projection by bisection, ``[points, domains]``."""
    down = (points - high).min(axis=1) - 1
    up = (points - low).max(axis=1) + 1
    for _ in range(60):
        middle = (down + up) / 2
        total = np.clip(points - middle[:, None], low, high).sum(axis=1)
        down, up = np.where(total > 1, middle, down), np.where(total > 1, up, middle)
    return np.clip(points - ((down + up) / 2)[:, None], low, high)


def spread_out(
    count: int,
    low: np.ndarray,
    high: np.ndarray,
    rng: np.random.Generator,
    *,
    centre: np.ndarray | None = None,
) -> np.ndarray:
    """Mixtures all over what is allowed: near corners, on edges, in the middle, ``[count, domains]``.

    Dirichlet draws around ``centre`` (None: equal shares) with strengths from 0.1 to 5 times the number of
    domains, as RegMix draws its runs, then moved within the bounds.
    """
    width = len(low)
    middle = np.full(width, 1 / width) if centre is None else np.maximum(centre, 1e-4)
    strength = 10 ** rng.uniform(-1, np.log10(5), size=count) * width
    drawn = rng.standard_gamma(strength[:, None] * middle / middle.sum())
    total = drawn.sum(axis=1, keepdims=True)
    drawn = np.where(total > 0, drawn / np.where(total > 0, total, 1), middle / middle.sum())
    return onto(drawn, low, high)


def best(
    value: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    rng: np.random.Generator,
    *,
    start: np.ndarray,
    candidates: int = 1000,
    climbs: int = 3,
) -> np.ndarray:
    """The mixture within bounds with the largest value, ``[domains]``.

    Draws all over, then climbs from the best few: of all ways to move some share from one domain to
    another it takes the best one, in steps that are halved where none helps.

    Args:
        value: of mixtures ``[points, domains]``, to be made large; ``[points]``.
        start: mixtures to begin with as well, ``[points, domains]``.
        candidates: mixtures that are drawn.
        climbs: from how many of them to climb.
    """
    drawn = spread_out(candidates, low, high, rng)
    points = np.vstack([drawn, onto(np.vstack([start, np.eye(len(low))]), low, high)])
    first = np.argsort(-value(points), kind="stable")[:climbs]
    tops = np.array([_climb(value, low, high, points[i]) for i in first])
    return tops[np.argmax(value(tops))]


def _climb(
    value: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, point: np.ndarray
) -> np.ndarray:
    """Exchange shares between pairs of domains as long as that helps."""
    give, take = np.nonzero(~np.eye(len(low), dtype=bool))
    height, step = value(point[None])[0], 0.16
    for _ in range(60):
        moved = np.minimum(step, np.minimum(point[give] - low[give], high[take] - point[take]))
        moves = np.repeat(point[None], len(give), axis=0)
        rows = np.arange(len(give))
        moves[rows, give] -= moved
        moves[rows, take] += moved
        heights = value(moves)
        top = int(np.argmax(heights))
        if heights[top] > height + 1e-9 * max(1.0, abs(height)):
            point, height = moves[top], heights[top]
        elif step < 0.004:
            break
        else:
            step /= 2
    return point
