"""Gradient-boosted trees (LightGBM); an optional dependency, imported when it is used"""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np

from ...errors import CapabilityError

__all__ = ["Trees"]

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
