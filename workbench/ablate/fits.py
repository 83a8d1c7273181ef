"""Ways to fit a response to mixtures: one table of them, what each needs and where it comes from.

scikit-learn and LightGBM are imported when something is fitted: the table is read without them.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import CapabilityError, InputError

__all__ = [
    "Exponential",
    "METHODS",
    "TABLE",
    "Gaussian",
    "LogRidge",
    "Method",
    "Quadratic",
    "Ridge",
    "Surface",
    "Trees",
    "method_of",
]


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
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

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


class Exponential:
    """A constant plus or minus an exponential of a linear form of the shares (Ye et al. 2024).

    One law for one metric: ``c + k exp(t . shares)``, the form in which a validation loss falls as its own
    domains get a larger share (arXiv 2403.16952).  It is monotone along every line of mixtures: it has no top
    inside, as the ridge has none.
    """

    def __init__(self, *, seed: int = 0, start: np.ndarray | None = None, up: bool = True) -> None:
        self.start, self.up = start, up

    def fit(self, x: np.ndarray, y: np.ndarray) -> Exponential:
        from scipy.optimize import least_squares

        self.middle, self.size = float(np.mean(y)), float(np.std(y)) or 1.0
        x, height = _in_order(x, (y - self.middle) / self.size)
        kinds = [(self.start, self.up)] if self.start is not None else list(_starts(x, height))
        found = []
        for start, up in kinds:
            made = least_squares(_law_misses, start, _law_slopes, args=(x, height, up), max_nfev=200)
            found.append((made.cost, made.x, up))
        _, self.law, self.up = min(found, key=lambda one: one[0])
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.middle + self.size * _law(self.law, x, self.up)

    def spread(self, x: np.ndarray) -> np.ndarray | None:
        return None

    def again(self) -> Exponential:
        return Exponential(start=self.law, up=self.up)


#: What keeps the exponents of an exponential law finite where runs do not tell them apart.
LAW_PENALTY = 1e-3


def _law(law: np.ndarray, x: np.ndarray, up: bool) -> np.ndarray:
    bend = np.exp(np.clip(x @ law[1:], -50, 50))
    return law[0] + (bend if up else -bend)


def _law_misses(law: np.ndarray, x: np.ndarray, height: np.ndarray, up: bool) -> np.ndarray:
    """What a law misses each run by, and its penalty."""
    return np.r_[_law(law, x, up) - height, LAW_PENALTY * (law[1:] - law[1:].mean())]


def _law_slopes(law: np.ndarray, x: np.ndarray, height: np.ndarray, up: bool) -> np.ndarray:
    """Derivatives of `_law_misses` by the law's numbers."""
    bend = np.exp(np.clip(x @ law[1:], -50, 50)) * (1 if up else -1)
    width = x.shape[1]
    penalty = np.c_[np.zeros(width), LAW_PENALTY * (np.eye(width) - 1 / width)]
    return np.vstack([np.c_[np.ones(len(x)), bend[:, None] * x], penalty])


def _starts(x: np.ndarray, height: np.ndarray) -> Iterator[tuple[np.ndarray, bool]]:
    """Laws to begin with: asymptotes below and above the runs, the exponents then by least squares."""
    for up in (True, False):
        for gap in (0.05, 0.3, 1.0, 4.0):
            constant = height.min() - gap if up else height.max() + gap
            exponents = np.linalg.lstsq(x, np.log(np.abs(height - constant)), rcond=1e-6)[0]
            yield np.r_[constant, exponents], up


def _in_order(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs in an order of their own, so that a fit does not depend on the rows' order."""
    order = np.lexsort((y, *x.T[::-1]))
    return x[order], y[order]


class Quadratic(Ridge):
    """Linear in the shares and in the products of each two (Scheffe's quadratic mixture polynomial).

    Squares are left out: where shares sum to one they are sums of the other terms.
    """

    def features(self, x: np.ndarray) -> np.ndarray:
        first, second = np.triu_indices(x.shape[1], k=1)
        return np.hstack([x, x[:, first] * x[:, second]])


#: As in the log-ridge: distances between small shares are distances between their logarithms.
SMALL_SHARE = 1e-2

#: Rows that choose lengths and noise: the time grows with the third power of the rows, and these are enough.
CHOOSING_ROWS = 150


class Gaussian:
    """A linear trend plus a Matern 5/2 surface plus noise, over the logarithms of shares.

    Lengths, variances and noise are those of the largest marginal likelihood (Rasmussen and Williams 2006,
    chapter 5) of at most `CHOOSING_ROWS` rows drawn by the seed; the surface then goes through all rows.
    `spread` is the surface's posterior standard error, without the noise of runs.
    """

    def __init__(self, *, seed: int = 0, kernel: Any = None) -> None:
        self.seed, self.kernel = seed, kernel

    def fit(self, x: np.ndarray, y: np.ndarray) -> Gaussian:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.preprocessing import StandardScaler

        x, y = _in_order(x, y)
        self.scale = StandardScaler().fit(np.log(x + SMALL_SHARE))
        self.middle, self.size = float(np.mean(y)), float(np.std(y)) or 1.0
        at, height = self.scale.transform(np.log(x + SMALL_SHARE)), (y - self.middle) / self.size
        if self.kernel is None:
            chosen = np.random.default_rng(self.seed).permutation(len(y))[:CHOOSING_ROWS]
            self.kernel = self._choose(at[chosen], height[chosen])
        self.model = GaussianProcessRegressor(self.kernel, alpha=1e-8, optimizer=None).fit(at, height)
        return self

    def _choose(self, at: np.ndarray, height: np.ndarray) -> Any:
        """The kernel with the largest marginal likelihood."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

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
        return self.middle + self.size * self.model.predict(self.scale.transform(np.log(x + SMALL_SHARE)))

    def spread(self, x: np.ndarray) -> np.ndarray | None:
        at = self.scale.transform(np.log(x + SMALL_SHARE))
        _, error = self.model.predict(at, return_std=True)
        noise = self.kernel.k2.noise_level
        return self.size * np.sqrt(np.maximum(error**2 - noise, 1e-12))

    def again(self) -> Gaussian:
        return Gaussian(seed=self.seed, kernel=self.kernel)


MOST_TREES, RATE = 1000, 0.03


class Trees:
    """Boosted trees, as many as a fifth of the rows that is kept back likes best, then fitted on all rows.

    The authors of RegMix stop at what the *test* rows like best; here no row is used twice.
    """

    def __init__(self, *, seed: int = 0, trees: int | None = None) -> None:
        if importlib.util.find_spec("lightgbm") is None:
            raise CapabilityError(
                "method='LightGBM', and the package lightgbm is not installed",
                "an environment that has it, or another of workbench.ablate.METHODS",
                "pip install 'vlm-workbench[ablate]'",
            )
        self.seed, self.trees = seed, trees

    def fit(self, x: np.ndarray, y: np.ndarray) -> Trees:
        lightgbm = importlib.import_module("lightgbm")
        x, y = _in_order(x, y)
        if self.trees is None:
            order = np.random.default_rng(self.seed).permutation(len(y))
            kept_back, rest = order[: max(4, len(y) // 5)], order[max(4, len(y) // 5) :]
            trial = lightgbm.train(
                self._settings(len(rest)),
                lightgbm.Dataset(x[rest], y[rest]),
                MOST_TREES,
                valid_sets=[lightgbm.Dataset(x[kept_back], y[kept_back])],
                callbacks=[lightgbm.early_stopping(50, verbose=False)],
            )
            self.trees = max(10, int(trial.best_iteration or MOST_TREES))
        self.model = lightgbm.train(self._settings(len(y)), lightgbm.Dataset(x, y), self.trees)
        return self

    def _settings(self, rows: int) -> dict[str, object]:
        """Small leaves for few rows; one thread, so that the same seed gives the same trees anywhere."""
        leaf = max(2, min(10, rows // 10))
        return {
            "objective": "regression", "learning_rate": RATE, "num_leaves": 15, "bagging_fraction": 0.8,
            "bagging_freq": 1, "feature_fraction": 0.8, "min_data_in_leaf": leaf, "min_data_in_bin": 1,
            "feature_pre_filter": False, "seed": self.seed, "num_threads": 1, "verbosity": -1,
            "deterministic": True, "force_row_wise": True,
        }  # fmt: skip

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict(x))

    def spread(self, x: np.ndarray) -> np.ndarray | None:
        return None

    def again(self) -> Trees:
        return Trees(seed=self.seed, trees=self.trees)


@dataclass(frozen=True)
class Method:
    """One way to fit.

    Args:
        surface: the class.
        fewest: from the number of domains, how many different mixtures it needs at the least.
        source: the paper or book.
        package: what it is made with.
    """

    surface: Callable[..., Surface]
    fewest: Callable[[int], int]
    source: str
    package: str = "sklearn"

    def installed(self) -> bool:
        """Whether the package that it is made with is there."""
        return importlib.util.find_spec(self.package) is not None

    def build(self, *, seed: int = 0) -> Surface:
        """An unfitted surface."""
        return self.surface(seed=seed)


TABLE: dict[str, Method] = {
    "ridge": Method(Ridge, lambda d: d + 1, "Hoerl and Kennard 1970; RegMix's linear fit"),
    "log-ridge": Method(
        LogRidge, lambda d: d + 2, "Becker 1968's log terms; Cornell, Experiments with Mixtures"
    ),
    "exponential": Method(
        Exponential, lambda d: d + 3, "Ye et al. 2024, Data Mixing Laws, arXiv 2403.16952", "scipy"
    ),
    "quadratic": Method(Quadratic, lambda d: 2 * d, "Scheffe 1958, with a ridge penalty"),
    "LightGBM": Method(
        Trees, lambda d: 20, "Ke et al. 2017; RegMix: Liu et al. 2024, arXiv 2407.01492", "lightgbm"
    ),
    "Gaussian process": Method(Gaussian, lambda d: d + 1, "Rasmussen and Williams 2006"),
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
