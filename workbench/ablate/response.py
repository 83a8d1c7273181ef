"""`fit_response`: how a metric answers to the shares of a training mixture, and what to believe of the fit

>>> response = fit_response(shares, accuracy, method="Gaussian process")
>>> response.predict(other_shares)
>>> print(response.cross_validate())    # how well it ranks mixtures that it has not seen
>>> print(response.optimum())           # the best mixture, with the region that the bootstrap gives it
>>> print(response.next_point())        # the run that is worth making next
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..errors import InputError
from .methods import METHODS, TABLE, Surface, method_of
from .response_check import CrossValidation, cross_validate, resampled
from .response_data import checked_metric, checked_shares, enough
from .response_search import NextPoint, Optimum, next_point, optimum

__all__ = ["METHODS", "Response", "fit_response"]

#: Metrics that are better when small, told by their name.
SMALLER = ("loss", "perplexity", "error", "bits_per_byte", "nll")


@dataclass(frozen=True)
class Response:
    """A fitted response. Make one with `fit_response`.

    Attributes:
        shares: the runs' mixtures, a row a run, a column a domain; rows sum to one.
        metric: what was measured, a number a run, in its own unit.
        method: one of `METHODS`.
        goal: "max" or "min": which metric is better.
        seed: of everything random here.
    """

    shares: pd.DataFrame
    metric: pd.Series
    method: str
    goal: str
    seed: int
    surface: Surface = field(repr=False)

    @property
    def domains(self) -> tuple[str, ...]:
        """The columns of the shares."""
        return tuple(self.shares.columns)

    def predict(self, shares: pd.DataFrame) -> pd.Series:
        """The metric at other mixtures.

        Args:
            shares: a row a mixture, with the columns of the fit in any order.

        Returns:
            A number a row, with its index.

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

    def cross_validate(self, *, folds: int = 5, repeats: int = 1, seed: int | None = None) -> CrossValidation:
        """How well the method ranks and predicts runs that it has not seen; see `CrossValidation`.

        Raises:
            InputError: for fewer than two folds, or fewer different mixtures than folds.
        """
        return cross_validate(
            self.shares, self.metric, self.method, folds=folds, repeats=repeats,
            seed=self.seed if seed is None else seed,
        )  # fmt: skip

    def optimum(
        self,
        *,
        caps: Mapping[str, float] | None = None,
        draws: int = 100,
        level: float = 0.95,
        extrapolate: bool = False,
    ) -> Optimum:
        """The mixture that the fit likes best, and the region where refits to resampled runs put it.

        Args:
            caps: highest share of some domains; `mixture.repetition_caps` makes them from records.
            draws: bootstrap resamples of the runs; 0 for none.
            level: of the region and of the interval.
            extrapolate: allow shares outside those of the runs, where the fit is a guess.

        Raises:
            InputError: for caps of unknown domains, or caps that leave no mixture.
        """
        return optimum(self, caps=caps, draws=draws, level=level, extrapolate=extrapolate)

    def next_point(self, *, caps: Mapping[str, float] | None = None, extrapolate: bool = False) -> NextPoint:
        """The mixture with the largest expected improvement over the best one so far.

        Raises:
            InputError: as `optimum`.
        """
        return next_point(self, caps=caps, extrapolate=extrapolate)

    def spread(self, x: np.ndarray) -> np.ndarray:
        """`error` at an array ``[mixtures, domains]``, unchecked."""
        own = self.surface.spread(x)
        if own is not None:
            return own
        return np.std([surface.predict(x) for surface in self._refits], axis=0, ddof=1)

    @cached_property
    def _refits(self) -> list[Surface]:
        return resampled(self.shares, self.metric, self.surface, draws=25, seed=self.seed)

    @cached_property
    def _checked(self) -> CrossValidation:
        return self.cross_validate()


def fit_response(
    shares: Any, metric: Any, method: str = "log-ridge", *, goal: str | None = None, seed: int = 0
) -> Response:
    """Fit how a metric answers to the shares of a mixture.

    No method is right everywhere: fit several (`workbench.ablate.agreement`), cross-validate, and believe
    what they agree on.

    Args:
        shares: DataFrame, a row a run, a column a domain; rows sum to one.
        metric: Series, a number a run, with the same index.
        method: one of `METHODS`; capitals, spaces and hyphens do not matter.
        goal: "max" or "min"; None: "min" if the metric's name says that it is a loss, perplexity or error.
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
    name = str(series.name).lower()
    if goal is None:
        goal = "min" if any(word in name for word in SMALLER) else "max"
    if goal not in ("max", "min"):
        raise InputError(f"goal={goal!r}", "'max' (an accuracy) or 'min' (a loss)")
    surface = TABLE[method].build(seed=seed).fit(frame.to_numpy(), series.to_numpy())
    return Response(frame, series, method, goal, seed, surface)
