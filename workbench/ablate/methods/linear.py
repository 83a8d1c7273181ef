"""Fits that are linear in something: shares, shares and their logarithms, shares and their products"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["LogRidge", "Quadratic", "Ridge"]

PENALTIES = tuple(10.0**power for power in np.arange(-6, 4, 0.5))

#: What is added to a share before its logarithm: below it, less data is as good as none.
OFFSETS = (1e-3, 3e-3, 1e-2, 3e-2)


class Ridge:
    """Linear in the shares; the penalty is the one with the best leave-one-out error.

    Its best mixture is always a corner of what is allowed: one domain as full as its cap.
    """

    def __init__(
        self, *, seed: int = 0, penalties: tuple[float, ...] = PENALTIES, offset: float | None = None
    ) -> None:
        self.penalties, self.offset = penalties, offset

    def features(self, x: np.ndarray) -> np.ndarray:
        """Columns in which the fit is linear, ``[mixtures, features]``."""
        return x

    def fit(self, x: np.ndarray, y: np.ndarray) -> Ridge:
        self.model = make_pipeline(StandardScaler(), RidgeCV(np.array(self.penalties)))
        self.model.fit(self.features(x), y)
        return self

    @property
    def penalty(self) -> float:
        """The chosen penalty."""
        return float(self.model[-1].alpha_)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict(self.features(x))

    def spread(self, x: np.ndarray) -> np.ndarray | None:
        return None

    def again(self) -> Ridge:
        return type(self)(penalties=(self.penalty,), offset=self.offset)


class LogRidge(Ridge):
    """Linear in the shares and in the logarithms of shares plus an offset.

    The first records of a domain count for more than the last ones. Penalty and offset are those with the
    best leave-one-out error.
    """

    def features(self, x: np.ndarray) -> np.ndarray:
        assert self.offset is not None
        return np.hstack([x, np.log(x + self.offset)])

    def fit(self, x: np.ndarray, y: np.ndarray) -> LogRidge:
        if self.offset is not None:
            super().fit(x, y)
            return self
        tried = {}
        for offset in OFFSETS:
            one = LogRidge(penalties=self.penalties, offset=offset)
            one.fit(x, y)
            tried[offset] = (one.model[-1].best_score_, one)
        self.offset = max(tried, key=lambda offset: tried[offset][0])
        self.model = tried[self.offset][1].model
        return self


class Quadratic(Ridge):
    """Linear in the shares and in the products of each two (Scheffe's quadratic mixture polynomial).

    Squares are left out: where shares sum to one they are sums of the other terms.
    """

    def features(self, x: np.ndarray) -> np.ndarray:
        first, second = np.triu_indices(x.shape[1], k=1)
        return np.hstack([x, x[:, first] * x[:, second]])
