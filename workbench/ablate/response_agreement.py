"""Several fits of the same runs side by side: what they agree on, and what others say of each one's advice"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError
from .methods import METHODS, TABLE, method_of
from .response import Response, fit_response
from .response_check import CrossValidation, rank_correlation
from .response_data import checked_shares, groups
from .simplex import bounds, spread_out

__all__ = ["Agreement", "agreement"]


@dataclass(frozen=True)
class Agreement:
    """Several fits of the same runs.

    Attributes:
        table: a row a method: ``spearman, low, high, rmse`` on left-out runs, ``value`` predicted at its own
            optimum, ``others``: the mean that the other methods predict there.
        ranks: Spearman of each two methods' predictions for mixtures all over the runs' range.
        optima: a row a method, a column a domain: where each puts the best mixture.
        crossed: a row a method's optimum, a column what each method predicts there.
        skipped: methods that these runs cannot carry.
        compromise: the mixture with the best mean over the methods, each in units of its own spread.
    """

    table: pd.DataFrame
    ranks: pd.DataFrame
    optima: pd.DataFrame
    crossed: pd.DataFrame
    compromise: pd.Series
    skipped: tuple[str, ...]
    goal: str
    fits: Mapping[str, Response] = field(repr=False)

    @property
    def best(self) -> str:
        """The method with the highest rank correlation on left-out runs."""
        return str(self.table["spearman"].idxmax())

    def __str__(self) -> str:
        apart = self.optima.max() - self.optima.min()
        pairs = self.ranks.to_numpy()[np.triu_indices(len(self.ranks), k=1)]
        ranked = (
            f"correlate by {pairs.min():.2f} to {pairs.max():.2f} (Spearman) over mixtures; "
            if len(pairs)
            else ""
        )
        return (
            f"{len(self.table)} fits {ranked}their optima differ most in {apart.idxmax()} "
            f"({self.optima[apart.idxmax()].min():.0%} to {self.optima[apart.idxmax()].max():.0%}); best on "
            f"left-out runs: {self.best} ({self.table.at[self.best, 'spearman']:.3f})"
        )


def agreement(
    shares: Any,
    metric: Any,
    *,
    methods: Iterable[str] | None = None,
    goal: str | None = None,
    caps: Mapping[str, float] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Agreement:
    """Fit several methods, cross-validate each, and compare what they say.

    Args:
        methods: of `METHODS`; None for all that these runs can carry and that are installed.
        caps: highest share of some domains.

    Raises:
        InputError: as ``fit_response``; if not even two methods can be fitted.
    """
    frame = checked_shares(shares)
    fits, skipped = _fits(frame, metric, methods, goal, seed)
    if len(fits) < 2:
        raise InputError(f"{len(fits)} methods that these {len(frame)} runs can carry", "at least two")
    names, first = list(fits), next(iter(fits.values()))
    checked = {name: fit.cross_validate(folds=folds) for name, fit in fits.items()}
    best = {name: fit.optimum(caps=caps, draws=0) for name, fit in fits.items()}
    optima = pd.DataFrame({name: one.shares for name, one in best.items()}).T
    crossed = pd.DataFrame({name: fits[name].predict(optima) for name in names})
    low, high = bounds(frame.columns, caps)
    low, high = np.maximum(low, frame.min().to_numpy()), np.minimum(high, frame.max().to_numpy())
    rng = np.random.default_rng([seed, 17])
    points = np.vstack([spread_out(2000, low, np.maximum(low, high), rng), optima.to_numpy()])
    told = pd.DataFrame({name: fit.surface.predict(points) for name, fit in fits.items()})
    ranks = pd.DataFrame(
        [[rank_correlation(told[a].to_numpy(), told[b].to_numpy()) for b in names] for a in names],
        names,
        names,
    )
    sign = 1.0 if first.goal == "max" else -1.0
    mean = (sign * (told - told.mean()) / told.std().replace(0, 1.0)).mean(axis=1)
    compromise = pd.Series(points[int(mean.to_numpy().argmax())], list(frame.columns), name="share")
    return Agreement(
        _table(checked, crossed), ranks, optima, crossed, compromise, tuple(skipped), first.goal, fits
    )


def _fits(
    frame: pd.DataFrame, metric: Any, methods: Iterable[str] | None, goal: str | None, seed: int
) -> tuple[dict[str, Response], list[str]]:
    """The fits that can be made; a method that was named is never left out silently."""
    if methods is not None:
        names = [method_of(name) for name in methods]
        return {name: fit_response(frame, metric, name, goal=goal, seed=seed) for name in names}, []
    have, width = len(set(groups(frame))), frame.shape[1]
    able = [name for name in METHODS if have >= max(3, TABLE[name].fewest(width)) and TABLE[name].installed()]
    fits = {name: fit_response(frame, metric, name, goal=goal, seed=seed) for name in able}
    return fits, [name for name in METHODS if name not in able]


def _table(checked: Mapping[str, CrossValidation], crossed: pd.DataFrame) -> pd.DataFrame:
    rows = {}
    for name, one in checked.items():
        others = [other for other in crossed.columns if other != name]
        rows[name] = {
            "spearman": one.spearman, "low": one.low, "high": one.high, "rmse": one.rmse,
            "value": crossed.at[name, name], "others": crossed.loc[name, others].mean(),
        }  # fmt: skip
    return pd.DataFrame(rows).T
