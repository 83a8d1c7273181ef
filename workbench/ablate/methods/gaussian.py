"""A Gaussian process over mixtures: a smooth surface that knows how far it is from any run"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel
from sklearn.preprocessing import StandardScaler

__all__ = ["Gaussian"]

#: As in the log-ridge: distances between small shares are distances between their logarithms.
OFFSET = 1e-2

#: Rows that choose lengths and noise: the time grows with the third power of the rows, and these are enough.
CHOOSING = 150


class Gaussian:
    """A linear trend plus a Matern 5/2 surface plus noise, over the logarithms of shares.

    Lengths, variances and noise are those of the largest marginal likelihood (Rasmussen and Williams 2006,
    chapter 5) of at most `CHOOSING` rows drawn by the seed; the surface then goes through all rows.
    `spread` is the surface's posterior standard error, without the noise of runs.
    """

    def __init__(self, *, seed: int = 0, kernel: Any = None) -> None:
        self.seed, self.kernel = seed, kernel

    def fit(self, x: np.ndarray, y: np.ndarray) -> Gaussian:
        self.scale = StandardScaler().fit(np.log(x + OFFSET))
        self.middle, self.size = float(np.mean(y)), float(np.std(y)) or 1.0
        at, height = self.scale.transform(np.log(x + OFFSET)), (y - self.middle) / self.size
        if self.kernel is None:
            chosen = np.random.default_rng(self.seed).permutation(len(y))[:CHOOSING]
            self.kernel = self._choose(at[chosen], height[chosen])
        self.model = GaussianProcessRegressor(self.kernel, alpha=1e-8, optimizer=None).fit(at, height)
        return self

    def _choose(self, at: np.ndarray, height: np.ndarray) -> Any:
        """The kernel with the largest marginal likelihood."""
        width = np.sqrt(at.shape[1])
        start = (
            ConstantKernel(1.0, (1e-3, 1e3)) * Matern(2.0 * width, (0.3 * width, 30 * width), nu=2.5)
            + ConstantKernel(0.3, (1e-4, 1e3)) * DotProduct(1.0, (1e-2, 1e2))
            + WhiteKernel(0.05, (1e-6, 1e1))
        )
        with warnings.catch_warnings():
            # a bound that is reached means "no noise" or "only a trend": both are findings, not failures
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = GaussianProcessRegressor(start, alpha=1e-8, random_state=self.seed).fit(at, height)
        return found.kernel_

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.middle + self.size * self.model.predict(self.scale.transform(np.log(x + OFFSET)))

    def spread(self, x: np.ndarray) -> np.ndarray | None:
        at = self.scale.transform(np.log(x + OFFSET))
        _, error = self.model.predict(at, return_std=True)
        noise = self.kernel.k2.noise_level
        return self.size * np.sqrt(np.maximum(error**2 - noise, 1e-12))

    def again(self) -> Gaussian:
        return Gaussian(seed=self.seed, kernel=self.kernel)
