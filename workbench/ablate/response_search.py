"""What a fitted response says to do: its best mixture with a region, and the next mixture to try"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..errors import InputError
from .methods import Surface
from .response_check import resampled
from .simplex import best, bounds

if TYPE_CHECKING:
    from .response import Response

__all__ = ["NextPoint", "Optimum", "next_point", "optimum"]


@dataclass(frozen=True)
class Optimum:
    """The mixture that a fit likes best.

    Attributes:
        shares: a share a domain.
        value: the predicted metric there, with its interval ``low`` to ``high`` over refits at this mixture.
        region: a row a domain: share, and ``low`` to ``high`` of its optimal share over refits.
        draws: the optimum of each refit, a row a draw, a column a domain.
        gain: predicted value beyond the best of the runs' own mixtures, in the better direction.
        sure: share of the refits in which this mixture beats that one.
        at_cap: domains whose share is as high as caps and runs allowed: the true best may lie beyond.
    """

    method: str
    goal: str
    shares: pd.Series
    value: float
    low: float
    high: float
    gain: float
    sure: float
    level: float
    at_cap: tuple[str, ...]
    region: pd.DataFrame = field(repr=False)
    draws: pd.DataFrame = field(repr=False)

    def __str__(self) -> str:
        largest = self.region.sort_values("share", ascending=False)
        largest = largest[largest["share"] >= 0.005].head(6)
        parts = [f"{d} {r.share:.0%} ({r.low:.0%} to {r.high:.0%})" for d, r in largest.iterrows()]
        wall = f"; as high as allowed: {', '.join(self.at_cap)}" if self.at_cap else ""
        return (
            f"{self.method}: best mixture {', '.join(parts)}; predicted {self.value:.4g} "
            f"({self.low:.4g} to {self.high:.4g}){wall}"
        )


@dataclass(frozen=True)
class NextPoint:
    """The run that is worth making next.

    Attributes:
        shares: a share a domain.
        improvement: expected improvement over the best mixture so far, in the metric's unit.
        value, error: prediction there and its standard error.
        incumbent: the best *predicted* value among the runs' mixtures: one lucky run does not raise the bar.
    """

    method: str
    goal: str
    shares: pd.Series
    improvement: float
    value: float
    error: float
    incumbent: float

    def __str__(self) -> str:
        largest = self.shares.sort_values(ascending=False)
        parts = [f"{d} {s:.0%}" for d, s in largest[largest >= 0.005].head(6).items()]
        return (
            f"next: {', '.join(parts)}; predicted {self.value:.4g} ± {self.error:.2g}, expected improvement "
            f"{self.improvement:.2g} over {self.incumbent:.4g}"
        )


def optimum(
    response: Response, *, caps: Mapping[str, float] | None, draws: int, level: float, extrapolate: bool
) -> Optimum:
    """See ``Response.optimum``."""
    if draws < 0 or not 0 < level < 1:
        raise InputError(f"draws={draws}, level={level}", "draws of at least 0 and a level between 0 and 1")
    low, high = _allowed(response, caps, extrapolate)
    runs, sign = response.shares.to_numpy(), 1.0 if response.goal == "max" else -1.0

    def find(surface: Surface, climbs: int, stream: int) -> np.ndarray:
        rng = np.random.default_rng([response.seed, 11, stream])
        return best(lambda x: sign * surface.predict(x), low, high, rng, start=runs, climbs=climbs)

    found = find(response.surface, 5, 0)
    refits = resampled(response.shares, response.metric, response.surface, draws=draws, seed=response.seed)
    places = np.array([find(one, 1, i + 1) for i, one in enumerate(refits)]).reshape(-1, len(low))
    seen = sign * response.surface.predict(runs)
    both = np.vstack([found, runs[np.argmax(seen)]])
    heights = np.array([one.predict(both) for one in refits]).reshape(-1, 2)
    value = float(response.surface.predict(both[:1])[0])
    tails = [(1 - level) / 2, (1 + level) / 2]
    nothing = np.full((2, len(low)), np.nan)
    domains = list(response.domains)
    edges = np.quantile(places, tails, axis=0) if draws else nothing
    at_best = np.quantile(heights[:, 0], tails) if draws else nothing[:, 0]
    return Optimum(
        method=response.method,
        goal=response.goal,
        shares=pd.Series(found, domains, name="share"),
        value=value,
        low=float(at_best[0]),
        high=float(at_best[1]),
        gain=float(sign * value - seen.max()),
        sure=float(np.mean(sign * (heights[:, 0] - heights[:, 1]) > 0)) if draws else float("nan"),
        level=level,
        at_cap=tuple(d for d, s, h in zip(domains, found, high, strict=True) if h < 1 and s > h - 1e-3),
        region=pd.DataFrame({"share": found, "low": edges[0], "high": edges[1]}, index=domains),
        draws=pd.DataFrame(places, columns=domains),
    )


def next_point(
    response: Response, *, caps: Mapping[str, float] | None = None, extrapolate: bool = False
) -> NextPoint:
    """Expected improvement (Jones, Schonlau and Welch 1998) with a plug-in for noisy runs (Picheny 2013).

    The surface's own error is used, not the noise of runs: a repetition of a known mixture improves nothing.
    """
    low, high = _allowed(response, caps, extrapolate)
    runs, sign = response.shares.to_numpy(), 1.0 if response.goal == "max" else -1.0
    incumbent = float((sign * response.surface.predict(runs)).max())

    def improvement(x: np.ndarray) -> np.ndarray:
        error = np.maximum(response.spread(x), 1e-12)
        gain = sign * response.surface.predict(x) - incumbent
        return gain * norm.cdf(gain / error) + error * norm.pdf(gain / error)

    rng = np.random.default_rng([response.seed, 13])
    at = best(improvement, low, high, rng, start=runs, candidates=400, climbs=2)
    return NextPoint(
        response.method, response.goal, pd.Series(at, list(response.domains), name="share"),
        float(improvement(at[None])[0]), float(response.surface.predict(at[None])[0]),
        float(response.spread(at[None])[0]), sign * incumbent,
    )  # fmt: skip


def _allowed(
    response: Response, caps: Mapping[str, float] | None, extrapolate: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the search: the caps, and where the runs' shares lie."""
    low, high = bounds(response.domains, caps)
    if extrapolate:
        return low, high
    seen = response.shares.to_numpy()
    tight_low, tight_high = np.maximum(low, seen.min(axis=0)), np.minimum(high, seen.max(axis=0))
    if (tight_low > tight_high + 1e-9).any() or tight_high.sum() < 1 - 1e-9 or tight_low.sum() > 1 + 1e-9:
        raise InputError(
            f"caps={dict(caps or {})}, which no mixture within the runs' shares keeps",
            "caps that overlap with what was tried",
            "pass extrapolate=True to look beyond the runs",
        )
    return tight_low, np.maximum(tight_low, tight_high)
