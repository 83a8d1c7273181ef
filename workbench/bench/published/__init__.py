"""The published tables on Phi-4-reasoning-vision, audited: error bars, claims tested, ranks and averages

>>> from workbench.bench import published
>>> published.scores()              # Tables 3 and 4, an error bar on every number
>>> print(published.claims()[0])    # a claim, its arithmetic, and a verdict
>>> published.rank_stability()      # which ranks are luck
>>> published.four_of_ten()         # the article's four benchmarks beside all ten
>>> published.check(results)        # is a run or log within the error of the printed numbers?

Scores, differences and errors are in points (percent), as printed. The numbers lie in ``data/published``.
"""

from __future__ import annotations

from .check import check
from .claims import Claim, claims, claims_table
from .ranking import averages, four_of_ten, matrix, modes, rank_stability, subsets, tokens_against_score
from .tables import (
    FOUR,
    PHI,
    Margin,
    benchmarks,
    consistent,
    margin,
    mean_margin,
    mixture,
    models,
    resolution,
    scores,
)

__all__ = [
    "FOUR",
    "PHI",
    "Claim",
    "Margin",
    "averages",
    "benchmarks",
    "check",
    "claims",
    "claims_table",
    "consistent",
    "four_of_ten",
    "margin",
    "matrix",
    "mean_margin",
    "mixture",
    "models",
    "modes",
    "rank_stability",
    "resolution",
    "scores",
    "subsets",
    "tokens_against_score",
]
