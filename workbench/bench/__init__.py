"""Benchmarks: run or import them, score and re-score, and see what the results really say.

>>> from workbench import bench
>>> bench.score("ChartQA", "about 14%", "0.14").value
>>> results = bench.load_results("logs/model_ChartQA_TEST.xlsx")  # or a log of lmms-eval, Inspect, Eureka
>>> again = bench.rescore(results, "lmms-eval")                   # the same responses under another protocol
>>> again.flips                                                   # the items that moved, with their pictures
>>> bench.compare(results, mode=("think", "nothink"))            # paired by item, Holm over benchmarks
>>> bench.mode_lens(results)                                      # helps, hurts, the model's own choice
>>> print(bench.claims()[0])                                      # the published tables, audited

`Results` is the one record for runs and imports: ``results.frame()`` has one row per item and mode.
Names are imported when they are first used; records load without torch and without a model.
"""

from ..names import face

__getattr__, __dir__, __all__ = face(
    __name__,
    __file__,
    between="statistics.paired:between",
    paired="compare",
    plan="power",
    RULES="PROTOCOLS",
    picture_hash="image_hash",
    synth_pictures="synth_images",
)
