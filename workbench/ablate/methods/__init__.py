"""The methods of fitting a response to mixtures: one table, what each needs and where it comes from"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...errors import InputError

__all__ = ["METHODS", "TABLE", "Method", "Surface", "method_of"]


class Surface(Protocol):
    """A fit that has been told its settings or chooses them from the rows that it is given, and no others."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Surface:
        """Fit shares ``[runs, domains]`` to a metric ``[runs]``."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The metric ``[mixtures]`` at shares ``[mixtures, domains]``."""

    def spread(self, x: np.ndarray) -> np.ndarray | None:
        """Its own standard error ``[mixtures]``; None where a method has none and the bootstrap must tell."""

    def again(self) -> Surface:
        """An unfitted copy with the chosen settings fixed, for the bootstrap."""


@dataclass(frozen=True)
class Method:
    """One way to fit.

    Args:
        module: where in this package its class lies.
        surface: the class.
        fewest: from the number of domains, how many different mixtures it needs at the least.
        source: the paper or book.
        package: what it is made with.
    """

    module: str
    surface: str
    fewest: Callable[[int], int]
    source: str
    package: str = "sklearn"

    def installed(self) -> bool:
        """Whether the package that it is made with is there."""
        return importlib.util.find_spec(self.package) is not None

    def build(self, *, seed: int = 0) -> Surface:
        """An unfitted surface."""
        return getattr(importlib.import_module(f"{__name__}.{self.module}"), self.surface)(seed=seed)


TABLE: dict[str, Method] = {
    "ridge": Method("linear", "Ridge", lambda d: d + 1, "Hoerl and Kennard 1970; RegMix's linear fit"),
    "log-ridge": Method(
        "linear", "LogRidge", lambda d: d + 2, "Becker 1968's log terms; Cornell, Experiments with Mixtures"
    ),
    "quadratic": Method("linear", "Quadratic", lambda d: 2 * d, "Scheffe 1958, with a ridge penalty"),
    "LightGBM": Method(
        "trees",
        "Trees",
        lambda d: 20,
        "Ke et al. 2017; RegMix: Liu et al. 2024, arXiv 2407.01492",
        "lightgbm",
    ),
    "Gaussian process": Method("gaussian", "Gaussian", lambda d: d + 1, "Rasmussen and Williams 2006"),
}

METHODS: tuple[str, ...] = tuple(TABLE)
"""Names of all methods, from the stiffest to the most flexible."""


def method_of(name: str) -> str:
    """A method's name as `METHODS` writes it; case, spaces, hyphens and underscores do not matter.

    Raises:
        InputError: if there is no such method.
    """
    known = {_plain(method): method for method in METHODS} | {"gp": "Gaussian process"}
    if not isinstance(name, str) or _plain(name) not in known:
        raise InputError(f"method={name!r}", f"one of {', '.join(map(repr, METHODS))}")
    return known[_plain(name)]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
