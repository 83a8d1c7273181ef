"""`fit_response`: how a metric answers to the shares of a training mixture, and what to believe of the fit

>>> response = fit_response(shares, accuracy, method="Gaussian process")
>>> response.predict(other_shares)
>>> print(response.cross_validate())    # how well it ranks mixtures that it has not seen
>>> print(response.optimum())           # the best mixture, with the region that the bootstrap gives it
>>> print(response.next_point())        # the run that is worth making next
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from ..errors import InputError
from ..names import Named, verb
from .fits import METHODS, TABLE, Surface, method_of
from .mixture import best, blended, bounds, checked_metric, checked_shares, groups

__all__ = [
    "Agreement",
    "CrossValidation",
    "METHODS",
    "NextPoint",
    "Optimum",
    "Response",
    "agreement",
    "cross_validate",
    "enough",
    "fit_response",
    "learning_curve",
    "next_point",
    "optimum",
    "rank_correlation",
    "resampled",
]


def enough(shares: pd.DataFrame, method: str) -> None:
    """Refuse a method that these runs cannot carry.

    Raises:
        InputError: naming how many different mixtures the method needs, and methods that need fewer.
    """
    have, width = len(set(groups(shares))), shares.shape[1]
    needed = max(3, TABLE[method].fewest(width))
    if have < needed:
        other = [m for m in TABLE if max(3, TABLE[m].fewest(width)) <= have]
        raise InputError(
            f"too few runs for {method!r}: {have} different mixtures of {width} domains",
            f"at least {needed}",
            f"use {' or '.join(map(repr, other))}, or run more mixtures" if other else "run more mixtures",
        )


@dataclass(frozen=True)
class CrossValidation(Named, repeats="n_repeats"):
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
        parts: one row per fold and repeat: runs, spearman, rmse.
        predictions: the mean left-out prediction of each run.
    """

    method: str
    runs: int
    folds: int
    n_repeats: int
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


@verb("method", repeats="n_repeats")
def cross_validate(
    shares: object,
    metric: object,
    *,
    method: str = "log-ridge",
    folds: int = 5,
    n_repeats: int = 1,
    seed: int = 0,
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
    if folds < 2 or n_repeats < 1 or len(set(kind)) < folds:
        raise InputError(
            f"folds={folds}, n_repeats={n_repeats} with {len(set(kind))} different mixtures",
            "at least two folds, one repeat, and a mixture a fold",
        )
    told, means, parts = np.zeros(len(y)), np.zeros(len(y)), []
    for repeat in range(n_repeats):
        for number, left in enumerate(_folds(kind, folds, seed + repeat)):
            seen = ~left
            surface = TABLE[method].build(seed=seed).fit(x[seen], y[seen])
            predicted = surface.predict(x[left])
            told[left] += predicted / n_repeats
            means[left] += y[seen].mean() / n_repeats
            miss = float(np.sqrt(np.mean((predicted - y[left]) ** 2)))
            rank = rank_correlation(predicted, y[left])
            parts.append(
                {"repeat": repeat, "fold": number, "runs": int(left.sum()), "spearman": rank, "rmse": miss}
            )
    low, high = _rank_interval(told, y, kind, seed)
    return CrossValidation(
        method, len(y), folds, n_repeats, seed, rank_correlation(told, y), low, high,
        float(np.sqrt(np.mean((told - y) ** 2))), float(np.mean(np.abs(told - y))),
        float(np.sqrt(np.mean((means - y) ** 2))), pd.DataFrame(parts),
        pd.Series(told, frame.index, name=series.name),
    )  # fmt: skip


@verb(repeats="n_repeats")
def learning_curve(
    shares: object,
    metric: object,
    *,
    methods: Iterable[str] = METHODS,
    sizes: Sequence[int] = (32, 64, 128, 256),
    held_out: int = 128,
    n_repeats: int = 3,
    seed: int = 0,
    unseen: tuple[Any, Any] | None = None,
) -> pd.DataFrame:
    """Spearman and error on held-out runs by method and number of training runs.

    Args:
        sizes: training runs; a method that needs more leaves its row out.
        held_out: runs that are kept back in each repeat, where ``unseen`` is not given.
        n_repeats: random choices of the training (and held-out) runs.
        unseen: ``(shares, metric)`` of other runs to predict instead of held-out ones.

    Returns:
        ``method, runs, repeat, spearman, rmse``, one row per fit.

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
    for repeat in range(n_repeats):
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
    shares: pd.DataFrame, metric: pd.Series, surface: Surface, *, n_resamples: int, seed: int
) -> list[Surface]:
    """Refits, with the chosen settings, to mixtures drawn with replacement (Efron 1979), all their runs."""
    rng, kind = np.random.default_rng([seed, 7]), groups(shares)
    x, y = shares.to_numpy(), metric.to_numpy()
    found: list[Surface] = []
    members = [np.flatnonzero(kind == k) for k in range(kind.max() + 1)]
    while len(found) < n_resamples:
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


@dataclass(frozen=True)
class Optimum(Named, draws="refits"):
    """The best mixture according to a fit.

    Attributes:
        shares: a share a domain.
        value: the predicted metric there, with its interval ``low`` to ``high``: how far refits spread at
            this mixture, about the value (a refit's own level is drawn to what was resampled).
        region: one row per domain: share, and ``low`` to ``high`` of its optimal share over refits and this
            fit.
        refits: the optimum of each refit, one row per draw, one column per domain.
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
    refits: pd.DataFrame = field(repr=False)

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
    response: Response,
    *,
    caps: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    n_resamples: int,
    level: float,
    extrapolate: bool,
) -> Optimum:
    """See ``Response.optimum``."""
    if n_resamples < 0 or not 0 < level < 1:
        raise InputError(
            f"n_resamples={n_resamples}, level={level}", "draws of at least 0 and a level between 0 and 1"
        )
    low, high = bounds(response.domains, caps, floors)
    runs, sign = response.shares.to_numpy(), response.sign

    def find(surface: Surface, climbs: int, stream: int) -> np.ndarray:
        rng = np.random.default_rng([response.seed, 11, stream])
        return best(
            lambda x: sign * surface.predict(x), low, high, rng, start=runs, within=not extrapolate,
            climbs=climbs,
        )  # fmt: skip

    found = find(response.surface, 5, 0)
    refits = resampled(
        response.shares, response.metric, response.surface, n_resamples=n_resamples, seed=response.seed
    )
    places = np.array([find(one, 1, i + 1) for i, one in enumerate(refits)]).reshape(-1, len(low))
    seen = sign * response.surface.predict(runs)
    both = np.vstack([found, runs[np.argmax(seen)]])
    heights = np.array([one.predict(both) for one in refits]).reshape(-1, 2)
    value = float(response.surface.predict(both[:1])[0])
    tails = [(1 - level) / 2, (1 + level) / 2]
    nothing = np.full((2, len(low)), np.nan)
    domains = list(response.domains)
    edges, at_best = nothing, nothing[:, 0]
    if n_resamples:
        low_edge, high_edge = np.quantile(places, tails, axis=0)
        edges = np.array([np.minimum(low_edge, found), np.maximum(high_edge, found)])
        at_best = value + np.quantile(heights[:, 0] - np.median(heights[:, 0]), tails)
    most = high if extrapolate else np.minimum(high, runs.max(axis=0))
    return Optimum(
        method=response.method,
        goal=str(response.goal),
        shares=pd.Series(found, domains, name="share"),
        value=value,
        low=float(at_best[0]),
        high=float(at_best[1]),
        gain=float(sign * value - seen.max()),
        sure=float(np.mean(sign * (heights[:, 0] - heights[:, 1]) > 0)) if n_resamples else float("nan"),
        level=level,
        at_cap=tuple(d for d, s, h in zip(domains, found, most, strict=True) if h < 1 and s > h - 1e-3),
        region=pd.DataFrame({"share": found, "low": edges[0], "high": edges[1]}, index=domains),
        refits=pd.DataFrame(places, columns=domains),
    )


def next_point(
    response: Response,
    *,
    caps: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    extrapolate: bool = False,
) -> NextPoint:
    """Expected improvement (Jones, Schonlau and Welch 1998) with a plug-in for noisy runs (Picheny 2013).

    The surface's own error is used, not the noise of runs: a repetition of a known mixture improves nothing.
    """
    low, high = bounds(response.domains, caps, floors)
    runs, sign = response.shares.to_numpy(), response.sign
    incumbent = float((sign * response.surface.predict(runs)).max())

    def improvement(x: np.ndarray) -> np.ndarray:
        error = np.maximum(response.spread(x), 1e-12)
        gain = sign * response.surface.predict(x) - incumbent
        return gain * norm.cdf(gain / error) + error * norm.pdf(gain / error)

    rng = np.random.default_rng([response.seed, 13])
    at = best(improvement, low, high, rng, start=runs, within=not extrapolate, candidates=400, climbs=2)
    return NextPoint(
        response.method, str(response.goal), pd.Series(at, list(response.domains), name="share"),
        float(improvement(at[None])[0]), float(response.surface.predict(at[None])[0]),
        float(response.spread(at[None])[0]), sign * incumbent,
    )  # fmt: skip


@dataclass(frozen=True)
class Response:
    """A fitted response. Make one with `fit_response`.

    Attributes:
        shares: the runs' mixtures, one row per run, one column per domain; rows sum to one.
        metric: what was measured, one number per run, in its own unit.
        method: one of `METHODS`.
        goal: "max" or "min": which metric is better; None where it was not said, and no best is asked for.
        seed: of everything random here.
    """

    shares: pd.DataFrame
    metric: pd.Series
    method: str
    goal: str | None
    seed: int
    surface: Surface = field(repr=False)

    @property
    def domains(self) -> tuple[str, ...]:
        """The columns of the shares."""
        return tuple(self.shares.columns)

    @property
    def sign(self) -> float:
        """1 where a larger metric is better, -1 where a smaller one is.

        Raises:
            InputError: if the fit was not told.
        """
        return {"max": 1.0, "min": -1.0}[_said(self.goal, self.metric.name)]

    def predict(self, shares: pd.DataFrame) -> pd.Series:
        """The metric at other mixtures.

        Args:
            shares: one row per mixture, with the columns of the fit in any order.

        Returns:
            One number per row, with its index.

        Raises:
            InputError: for missing or unknown columns, negative shares, or rows that do not sum to one.
        """
        frame = checked_shares(shares, self.domains)
        return pd.Series(self.surface.predict(frame.to_numpy()), frame.index, name=self.metric.name)

    def error(self, shares: pd.DataFrame) -> pd.Series:
        """Standard error of the surface itself at other mixtures, without the noise of one more run.

        The process's own for the Gaussian process, else the spread over refits to resampled runs.
        """
        frame = checked_shares(shares, self.domains)
        return pd.Series(self.spread(frame.to_numpy()), frame.index, name="error")

    def interval(self, shares: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
        """Prediction with the interval of the surface, and the wider one in which a new run should fall.

        Returns:
            ``value, error, low, high`` of the surface, and ``run_low, run_high``, which add what runs that
            were left out missed their prediction by (the noise of runs, and the fit's bias).

        Raises:
            InputError: as `predict`; a level outside 0 to 1; too few runs for cross-validation.
        """
        if not 0 < level < 1:
            raise InputError(f"level={level}", "a probability between 0 and 1")
        value, error, z = self.predict(shares), self.error(shares), float(norm.ppf(0.5 + level / 2))
        run = np.hypot(error, self._checked.rmse)
        columns = {"value": value, "error": error, "low": value - z * error, "high": value + z * error}
        return pd.DataFrame({**columns, "run_low": value - z * run, "run_high": value + z * run})

    @verb(repeats="n_repeats")
    def cross_validate(
        self, *, folds: int = 5, n_repeats: int = 1, seed: int | None = None
    ) -> CrossValidation:
        """How well the method ranks and predicts runs that it has not seen; see `CrossValidation`.

        Raises:
            InputError: for fewer than two folds, or fewer different mixtures than folds.
        """
        return cross_validate(
            self.shares, self.metric, method=self.method, folds=folds, n_repeats=n_repeats,
            seed=self.seed if seed is None else seed,
        )  # fmt: skip

    @verb(draws="n_resamples")
    def optimum(
        self,
        *,
        caps: Mapping[str, float] | None = None,
        floors: Mapping[str, float] | None = None,
        n_resamples: int = 100,
        level: float = 0.95,
        extrapolate: bool = False,
    ) -> Optimum:
        """The best mixture according to the fit, and the region where refits to resampled runs put it.

        Args:
            caps: highest share of some domains; `mixture.repetition_caps` makes them from records.
            floors: lowest share of some domains.
            n_resamples: bootstrap resamples of the runs; 0 for none.
            level: of the region and of the interval.
            extrapolate: allow mixtures that are no blend of the runs' own, where the fit is a guess.

        Raises:
            InputError: for a fit without a goal, bounds of unknown domains, or bounds that leave no mixture.
        """
        return optimum(
            self, caps=caps, floors=floors, n_resamples=n_resamples, level=level, extrapolate=extrapolate
        )

    def next_point(
        self,
        *,
        caps: Mapping[str, float] | None = None,
        floors: Mapping[str, float] | None = None,
        extrapolate: bool = False,
    ) -> NextPoint:
        """The mixture with the largest expected improvement over the best one so far.

        Args:
            caps, floors, extrapolate: as for `optimum`.

        Raises:
            InputError: as `optimum`.
        """
        return next_point(self, caps=caps, floors=floors, extrapolate=extrapolate)

    def spread(self, x: np.ndarray) -> np.ndarray:
        """`error` at an array ``[mixtures, domains]``, unchecked."""
        own = self.surface.spread(x)
        if own is not None:
            return own
        return np.std([surface.predict(x) for surface in self._refits], axis=0, ddof=1)

    @cached_property
    def _refits(self) -> list[Surface]:
        return resampled(self.shares, self.metric, self.surface, n_resamples=25, seed=self.seed)

    @cached_property
    def _checked(self) -> CrossValidation:
        return self.cross_validate()


@verb("method")
def fit_response(
    shares: object, metric: object, *, method: str = "log-ridge", goal: str | None = None, seed: int = 0
) -> Response:
    """Fit a metric as a function of the mixture's shares.

    No method is right everywhere: fit several (`workbench.ablate.agreement`), cross-validate, and believe
    what they agree on.

    Args:
        shares: DataFrame, one row per run, one column per domain; rows sum to one.
        metric: Series, one number per run, with the same index.
        method: one of `METHODS`; capitals, spaces and hyphens do not matter.
        goal: "max" (an accuracy) or "min" (a loss), for `Response.optimum` and `Response.next_point`; it is
            never guessed from the metric's name.
        seed: of resampling and of methods that draw.

    Raises:
        InputError: for an unknown method or goal; shares that are negative, do not sum to one, or lack a
            number; a metric with other rows or the same everywhere; too few runs for the method.
        CapabilityError: for LightGBM where it is not installed.

    Example:
        >>> fit_response(shares, accuracy, method="quadratic").optimum(caps={"math_science": 0.3})
    """
    method = method_of(method)
    frame = checked_shares(shares)
    series = checked_metric(metric, frame.index)
    enough(frame, method)
    if goal is not None:
        _said(goal, series.name)
    surface = TABLE[method].build(seed=seed).fit(frame.to_numpy(), series.to_numpy())
    return Response(frame, series, method, goal, seed, surface)


def _said(goal: str | None, metric: object) -> str:
    """The goal, if it is one; it is never guessed.

    Raises:
        InputError: for none, or another word.
    """
    if goal not in ("max", "min"):
        given = f"goal={goal!r}" if goal is not None else f"no goal for the metric {metric!r}"
        raise InputError(given, "goal='max' (an accuracy) or goal='min' (a loss)")
    return goal


@dataclass(frozen=True)
class Agreement:
    """Several fits of the same runs.

    Attributes:
        table: one row per method: ``spearman, low, high, rmse`` on left-out runs, ``value`` predicted at its
            own optimum, ``others``: the mean that the other methods predict there.
        ranks: Spearman of each two methods' predictions for mixtures all over the runs' range.
        optima: one row per method, one column per domain: where each puts the best mixture.
        crossed: one row per method's optimum, a column what each method predicts there.
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
    shares: object,
    metric: object,
    *,
    methods: Iterable[str] | None = None,
    goal: str | None = None,
    caps: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Agreement:
    """Fit several methods, cross-validate each, and compare what they say.

    Args:
        methods: of `METHODS`; None for all that these runs can carry and that are installed.
        caps, floors: highest and lowest share of some domains.

    Raises:
        InputError: as ``fit_response``; if not even two methods can be fitted.
    """
    frame = checked_shares(shares)
    _said(goal, getattr(metric, "name", None))
    fits, skipped = _all_fits(frame, metric, methods, goal, seed)
    if len(fits) < 2:
        raise InputError(f"{len(fits)} methods that these {len(frame)} runs can carry", "at least two")
    names, first = list(fits), next(iter(fits.values()))
    checked = {name: fit.cross_validate(folds=folds) for name, fit in fits.items()}
    best = {name: fit.optimum(caps=caps, floors=floors, n_resamples=0) for name, fit in fits.items()}
    optima = pd.DataFrame({name: one.shares for name, one in best.items()}).T
    crossed = pd.DataFrame({name: fits[name].predict(optima) for name in names})
    low, high = bounds(frame.columns, caps, floors)
    rng = np.random.default_rng([seed, 17])
    points = np.vstack([blended(2000, frame.to_numpy(), low, high, rng), optima.to_numpy()])
    told = pd.DataFrame({name: fit.surface.predict(points) for name, fit in fits.items()})
    ranks = pd.DataFrame(
        [[rank_correlation(told[a].to_numpy(), told[b].to_numpy()) for b in names] for a in names],
        names,
        names,
    )
    mean = (first.sign * (told - told.mean()) / told.std().replace(0, 1.0)).mean(axis=1)
    compromise = pd.Series(points[int(mean.to_numpy().argmax())], list(frame.columns), name="share")
    return Agreement(
        _table(checked, crossed), ranks, optima, crossed, compromise, tuple(skipped), str(goal), fits
    )


def _all_fits(
    frame: pd.DataFrame, metric: object, methods: Iterable[str] | None, goal: str | None, seed: int
) -> tuple[dict[str, Response], list[str]]:
    """The fits that can be made; a method that was named is never left out silently."""
    if methods is not None:
        names = [method_of(name) for name in methods]
        return {name: fit_response(frame, metric, method=name, goal=goal, seed=seed) for name in names}, []
    have, width = len(set(groups(frame))), frame.shape[1]
    able = [name for name in METHODS if have >= max(3, TABLE[name].fewest(width)) and TABLE[name].installed()]
    fits = {name: fit_response(frame, metric, method=name, goal=goal, seed=seed) for name in able}
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
