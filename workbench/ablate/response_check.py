"""Whether a fit can be trusted: nested cross-validation, learning curves, refits to resampled runs"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from ..errors import InputError
from .methods import METHODS, TABLE, Surface, method_of
from .response_data import checked_metric, checked_shares, enough, groups

__all__ = ["CrossValidation", "cross_validate", "learning_curve", "rank_correlation", "resampled"]


@dataclass(frozen=True)
class CrossValidation:
    """What a method predicted for runs that it had not seen.

    Nested: penalty, offset, number of trees, lengths and noise are chosen anew inside each training part,
    from its runs alone. Runs of the same mixture are always in the same part, so that a repetition cannot
    tell what it repeats.

    Attributes:
        spearman: rank correlation of prediction and measurement over all left-out runs, with a 95% interval
            from resampled mixtures. Runs beside each other in one design are not independent draws of a
            new design, so it says how sure *these* runs make the number. A clearly negative value of few
            runs is no anti-knowledge: a fit that says the mean of the others says less where a high run is
            left out.
        rmse, mae: root mean square and mean absolute miss, in the metric's unit.
        baseline: rmse of always saying the training part's mean.
        parts: a row a fold and repeat: runs, spearman, rmse.
        predictions: the mean left-out prediction of each run.
    """

    method: str
    runs: int
    folds: int
    repeats: int
    seed: int
    spearman: float
    low: float
    high: float
    rmse: float
    mae: float
    baseline: float
    parts: pd.DataFrame = field(repr=False)
    predictions: pd.Series = field(repr=False)

    @property
    def explained(self) -> float:
        """Share of the left-out variance that the fit explains; below zero it is worse than the mean."""
        return 1 - (self.rmse / self.baseline) ** 2

    def __str__(self) -> str:
        worth = "" if self.explained > 0 else "; no better than the mean of the runs"
        return (
            f"{self.method}: Spearman {self.spearman:.3f} ({self.low:.3f} to {self.high:.3f}) left out, "
            f"error {self.rmse:.4g} (the mean alone: {self.baseline:.4g}); {self.runs} runs{worth}"
        )


def cross_validate(
    shares: Any, metric: Any, method: str = "log-ridge", *, folds: int = 5, repeats: int = 1, seed: int = 0
) -> CrossValidation:
    """Nested cross-validation of one method.

    Raises:
        InputError: as ``fit_response``; fewer than two folds, or fewer different mixtures than folds.
    """
    method = method_of(method)
    frame = checked_shares(shares)
    series = checked_metric(metric, frame.index)
    enough(frame, method)
    kind, x, y = groups(frame), frame.to_numpy(), series.to_numpy()
    if folds < 2 or repeats < 1 or len(set(kind)) < folds:
        raise InputError(
            f"folds={folds}, repeats={repeats} with {len(set(kind))} different mixtures",
            "at least two folds, one repeat, and a mixture a fold",
        )
    told, means, parts = np.zeros(len(y)), np.zeros(len(y)), []
    for repeat in range(repeats):
        for number, left in enumerate(_folds(kind, folds, seed + repeat)):
            seen = ~left
            surface = TABLE[method].build(seed=seed).fit(x[seen], y[seen])
            predicted = surface.predict(x[left])
            told[left] += predicted / repeats
            means[left] += y[seen].mean() / repeats
            miss = float(np.sqrt(np.mean((predicted - y[left]) ** 2)))
            rank = rank_correlation(predicted, y[left])
            parts.append(
                {"repeat": repeat, "fold": number, "runs": int(left.sum()), "spearman": rank, "rmse": miss}
            )
    low, high = _rank_interval(told, y, kind, seed)
    return CrossValidation(
        method, len(y), folds, repeats, seed, rank_correlation(told, y), low, high,
        float(np.sqrt(np.mean((told - y) ** 2))), float(np.mean(np.abs(told - y))),
        float(np.sqrt(np.mean((means - y) ** 2))), pd.DataFrame(parts),
        pd.Series(told, frame.index, name=series.name),
    )  # fmt: skip


def learning_curve(
    shares: Any,
    metric: Any,
    *,
    methods: Iterable[str] = METHODS,
    sizes: Sequence[int] = (32, 64, 128, 256),
    held_out: int = 128,
    repeats: int = 3,
    seed: int = 0,
    unseen: tuple[Any, Any] | None = None,
) -> pd.DataFrame:
    """Spearman and error on held-out runs by method and number of training runs.

    Args:
        sizes: training runs; a method that needs more leaves its row out.
        held_out: runs that are kept back in each repeat, where ``unseen`` is not given.
        repeats: random choices of the training (and held-out) runs.
        unseen: ``(shares, metric)`` of other runs to predict instead of held-out ones.

    Returns:
        ``method, runs, repeat, spearman, rmse``, a row a fit.

    Raises:
        InputError: for more training and held-out runs than there are, or no size that any method can use.
    """
    frame = checked_shares(shares)
    y, names = checked_metric(metric, frame.index).to_numpy(), [method_of(m) for m in methods]
    x, room = frame.to_numpy(), len(frame) - (0 if unseen else held_out)
    if not sizes or max(sizes) > room or held_out < 3:
        raise InputError(
            f"sizes up to {max(sizes, default=0)}", f"at least one, none above {room} of {len(y)} runs"
        )
    test = None
    if unseen is not None:
        other = checked_shares(unseen[0], list(frame.columns))
        test = other.to_numpy(), checked_metric(unseen[1], other.index).to_numpy()
    rows = []
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat]).permutation(len(y))
        at, truth = test or (x[order[room:]], y[order[room:]])
        for size in sizes:
            rows += _fits(
                x[order[:size]], y[order[:size]], at, truth, names, seed, {"runs": size, "repeat": repeat}
            )
    if not rows:
        raise InputError(f"sizes={tuple(sizes)}", f"as many runs as one of {', '.join(names)} needs")
    return pd.DataFrame(rows)


def _fits(
    x: np.ndarray, y: np.ndarray, at: np.ndarray, truth: np.ndarray, names: list[str], seed: int, about: dict
) -> list[dict]:
    rows = []
    for name in names:
        if len(y) < TABLE[name].fewest(x.shape[1]):
            continue
        told = TABLE[name].build(seed=seed).fit(x, y).predict(at)
        miss = float(np.sqrt(np.mean((told - truth) ** 2)))
        rows.append({"method": name, **about, "spearman": rank_correlation(told, truth), "rmse": miss})
    return rows


def rank_correlation(told: np.ndarray, truth: np.ndarray) -> float:
    """Spearman's correlation; 0 for a prediction that is the same everywhere, as it ranks nothing."""
    if np.ptp(told) == 0 or np.ptp(truth) == 0 or len(told) < 2:
        return 0.0
    return float(spearmanr(told, truth).statistic)


def resampled(
    shares: pd.DataFrame, metric: pd.Series, surface: Surface, *, draws: int, seed: int
) -> list[Surface]:
    """Refits, with the chosen settings, to mixtures drawn with replacement (Efron 1979), all their runs."""
    rng, kind = np.random.default_rng([seed, 7]), groups(shares)
    x, y = shares.to_numpy(), metric.to_numpy()
    found: list[Surface] = []
    members = [np.flatnonzero(kind == k) for k in range(kind.max() + 1)]
    while len(found) < draws:
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        if np.ptp(y[rows]) > 0:
            found.append(surface.again().fit(x[rows], y[rows]))
    return found


def _folds(kind: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """Masks of left-out runs; runs of one mixture stay together."""
    order = np.random.default_rng([seed, 3]).permutation(kind.max() + 1)
    return [(order % folds == fold)[kind] for fold in range(folds)]


def _rank_interval(told: np.ndarray, y: np.ndarray, kind: np.ndarray, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng([seed, 5])
    members = [np.flatnonzero(kind == k) for k in range(kind.max() + 1)]
    found = []
    for _ in range(400):
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        found.append(rank_correlation(told[rows], y[rows]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
