"""Reading results: intervals, paired differences, power, the three-mode lens, a router, the Pareto front

>>> from workbench.bench import statistics
>>> statistics.scores(results)                               # with clustered intervals
>>> statistics.between(results, "mode", "think", "nothink")  # item by item, Holm over benchmarks
>>> statistics.mode_lens(results)                            # helps, hurts, oracle, the model's own choice
>>> statistics.plan({"MMMU": 900, "MathVista": 1000})        # what a run could show, before it is run

Every function takes `Results`, a data frame or a list of dicts, and gives a data frame. Accuracies and
differences are shares of 0 to 1.
"""

from __future__ import annotations

from .intervals import Interval, clustered_error, mean_interval, scores
from .lens import efficiency, matthews, mode_lens, modes_wide
from .paired import between, holm, mcnemar, paired, paired_interval
from .pareto import on_front, pareto
from .power import design_effect, detectable, items_needed, plan, power_of
from .router import router_curve, router_gain

__all__ = [
    "Interval",
    "between",
    "clustered_error",
    "design_effect",
    "detectable",
    "efficiency",
    "holm",
    "items_needed",
    "matthews",
    "mcnemar",
    "mean_interval",
    "mode_lens",
    "modes_wide",
    "on_front",
    "paired",
    "paired_interval",
    "pareto",
    "plan",
    "power_of",
    "router_curve",
    "router_gain",
    "scores",
]
