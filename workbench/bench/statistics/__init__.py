"""Reading results: intervals, paired differences, power, the three-mode lens, a router, the Pareto front

>>> from workbench.bench import statistics
>>> statistics.scores(results)                               # with clustered intervals
>>> statistics.compare(results, mode=("think", "nothink"))  # item by item, Holm over benchmarks
>>> statistics.mode_lens(results)                            # helps, hurts, oracle, the model's own choice
>>> statistics.power({"MMMU": 900, "MathVista": 1000})        # what a run could show, before it is run

Every function takes `Results`, a data frame or a list of dicts, and gives a data frame. Accuracies and
differences are shares of 0 to 1.
"""

from ...names import face

__getattr__, __dir__, __all__ = face(
    __name__, __file__, between="paired:between", paired="compare", plan="power"
)
