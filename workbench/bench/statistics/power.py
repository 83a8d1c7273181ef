"""Before a run: the smallest difference that it can show, and how many items a difference needs"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from ...errors import InputError

__all__ = ["design_effect", "detectable", "items_needed", "power", "power_of"]


def design_effect(items_a_cluster: float, within: float) -> float:
    """How many times larger the variance is because items come in clusters: 1 + (m - 1) * icc (Kish 1965).

    Args:
        items_a_cluster: mean number of items that share a picture or a problem.
        within: intraclass correlation of their scores, 0 (none) to 1 (all right or all wrong together).
    """
    if items_a_cluster < 1 or not 0 <= within <= 1:
        raise InputError(
            f"items_a_cluster={items_a_cluster!r}, within={within!r}", "at least 1 item, and 0 <= within <= 1"
        )
    return 1 + (items_a_cluster - 1) * within


def power_of(
    difference: float,
    items: float,
    *,
    accuracy: float = 0.5,
    paired: bool = True,
    correlation: float = 0.5,
    discordant: float | None = None,
    alpha: float = 0.05,
    comparisons: int = 1,
    effect: float = 1.0,
) -> float:
    """Probability that a true difference is found by a two-sided test.

    Paired: McNemar's test (Connor 1987). Unpaired: two independent shares (Fleiss 1981). The tail in
    which the sign comes out wrong is left out.

    Args:
        difference: true difference of the two accuracies, 0 to 1.
        items: questions in each run.
        accuracy: of the lower run.
        paired: the same questions in both runs, compared item by item.
        correlation: of the two runs' right-or-wrong (0.5 is usual for two good models; `compare` reports it).
        discordant: share of items that exactly one run gets right; overrides ``correlation``.
        alpha: level of the test over all comparisons; each gets ``alpha / comparisons`` (Holm's first step).
        comparisons: how many benchmarks are compared.
        effect: design effect of clusters, from `design_effect`.

    Raises:
        InputError: for numbers outside their range.
    """
    _checked(difference, items, accuracy, alpha, comparisons, effect)
    z, n = norm.ppf(1 - alpha / comparisons / 2), items / effect
    null, alternative = _spreads(difference, accuracy, paired, correlation, discordant)
    if alternative == 0:
        return float(difference * math.sqrt(n) > z * null)
    return float(norm.cdf((abs(difference) * math.sqrt(n) - z * null) / alternative))


def detectable(items: float, *, power: float = 0.8, accuracy: float = 0.5, **assumed: Any) -> float:
    """The smallest true difference (0 to 1) that a run of this size finds with this power.

    Args:
        items: questions in each run.
        power: probability of finding it.
        accuracy: of the lower run.
        **assumed: paired, correlation, discordant, alpha, comparisons, effect, as for `power_of`.

    Returns:
        The difference, or NaN if even the largest possible one would not be found.

    Example:
        >>> round(100 * detectable(1000, paired=False), 1)  # points, two runs of 1000 questions
        6.2
    """
    if not 0 < power < 1:
        raise InputError(f"power={power!r}", "a probability between 0 and 1")
    top = min(1 - accuracy, assumed.get("discordant") or 1.0) - 1e-9

    def lack(difference: float) -> float:
        return power_of(difference, items, accuracy=accuracy, **assumed) - power

    least = 1e-9
    if top <= least or lack(top) < 0:
        return math.nan
    return float(brentq(lack, least, top, xtol=1e-7))


def items_needed(difference: float, *, power: float = 0.8, **assumed: Any) -> int:
    """How many questions a run needs to find a difference with this power (`detectable` the other way round).

    Raises:
        InputError: for a difference of zero, which no number of questions shows.
    """
    if difference == 0:
        raise InputError("difference=0", "a difference that is not zero")
    low, high = 1, 2
    while power_of(difference, high, **assumed) < power:
        low, high = high, high * 2
        if high > 2**40:
            raise InputError(f"difference={difference!r}", "one that 10^12 questions can show")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(difference, middle, **assumed) >= power else (middle, high)
    return high


def power(
    items: Mapping[str, float], *, accuracy: Mapping[str, float] | float = 0.5, correlation: float = 0.5,
    power: float = 0.8, alpha: float = 0.05, effect: Mapping[str, float] | float = 1.0,
) -> pd.DataFrame:  # fmt: skip
    """What each benchmark can show, before anything is run.

    Args:
        items: questions of each benchmark.
        accuracy: expected, of all or of each benchmark.
        correlation: of the two runs' right-or-wrong, for the paired comparison.
        power, alpha: as for `detectable`.
        effect: design effect of clusters, of all or of each benchmark.

    Returns:
        A row a benchmark: ``items``, ``half_width`` of its 95% interval, the smallest detectable difference
        ``paired`` and ``unpaired``, and ``paired_holm``: paired, at Holm's first step over all
        benchmarks. Shares of 0 to 1.

    Raises:
        InputError: for a benchmark without items, or numbers outside their range.
    """
    found = []
    for name, n in items.items():
        p = accuracy.get(name, 0.5) if isinstance(accuracy, Mapping) else accuracy
        deff = effect.get(name, 1.0) if isinstance(effect, Mapping) else effect
        _checked(0.0, n, p, alpha, 1, deff)
        options = {"accuracy": p, "power": power, "alpha": alpha, "effect": deff}
        found.append(
            {
                "benchmark": name,
                "items": n,
                "half_width": float(norm.ppf(0.975)) * math.sqrt(p * (1 - p) * deff / n),
                "paired": detectable(n, correlation=correlation, **options),
                "unpaired": detectable(n, paired=False, **options),
                "paired_holm": detectable(n, correlation=correlation, comparisons=len(items), **options),
            }
        )
    return pd.DataFrame(found)


def _spreads(
    d: float, p: float, paired: bool, correlation: float, discordant: float | None
) -> tuple[float, float]:
    """Standard deviation of one item's difference without and with the true difference."""
    d, q = abs(d), p + abs(d)
    if not paired:
        middle = (p + q) / 2
        return math.sqrt(2 * middle * (1 - middle)), math.sqrt(p * (1 - p) + q * (1 - q))
    if discordant is None:
        if not -1 <= correlation <= 1:
            raise InputError(f"correlation={correlation!r}", "a correlation of -1 to 1")
        shared = correlation * math.sqrt(max(0.0, p * (1 - p) * q * (1 - q)))
        discordant = p * (1 - q) + q * (1 - p) - 2 * shared
        discordant = min(max(discordant, d), p + q, 2 - p - q) if d else max(discordant, 0.0)
    if not d - 1e-12 <= discordant <= 1:
        raise InputError(f"discordant={discordant!r}", f"a share of {d:g} to 1: no less than the difference")
    return math.sqrt(discordant), math.sqrt(max(0.0, discordant - d * d))


def _checked(d: float, items: float, p: float, alpha: float, comparisons: int, effect: float) -> None:
    if items < 1 or comparisons < 1 or effect <= 0:
        raise InputError(
            f"items={items!r}, comparisons={comparisons!r}, effect={effect!r}",
            "at least 1 item and comparison",
        )
    if not 0 <= p <= 1 or not 0 < alpha < 1 or p + abs(d) > 1 + 1e-9:
        raise InputError(
            f"accuracy={p!r}, difference={d!r}, alpha={alpha!r}",
            "shares, with accuracy + difference of at most 1",
            "divide percentages by 100",
        )
