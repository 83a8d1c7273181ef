"""Benchmarks: run or import them, score and re-score, and see what the results really say.

>>> from workbench import bench
>>> bench.score("ChartQA", "about 14%", "0.14").value
>>> results = bench.load_results("logs/model_ChartQA_TEST.xlsx")  # or a log of lmms-eval, Inspect, Eureka
>>> again = bench.rescore(results, "lmms-eval")                   # the same responses under other rules
>>> again.flips                                                   # the items that moved, with their pictures
>>> bench.between(results, "mode", "think", "nothink")            # paired by item, Holm over benchmarks
>>> bench.mode_lens(results)                                      # helps, hurts, the model's own choice
>>> print(bench.claims()[0])                                      # the published tables, audited

`Results` is the one record for runs and imports: ``results.frame()`` has one row an item and mode.
Names are imported when they are first used; records load without torch and without a model.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import published, statistics
    from .blind import answerable_blind, blind_control
    from .browser import export_failures
    from .cache import cache_home
    from .cases import cases
    from .contamination import contamination, picture_hash, synth_pictures
    from .export import export_lmms_eval
    from .importers import load_results
    from .published import claims
    from .records import COLUMNS, KEY, Results, answer_row
    from .report import report
    from .rescoring import Rescored, rescore
    from .run import run
    from .run_folder import open_run
    from .scorers import BENCHMARKS, RULES, Score, by_category, hallusion
    from .scoring import score
    from .statistics import (
        between,
        efficiency,
        mode_lens,
        paired,
        pareto,
        plan,
        router_curve,
        router_gain,
        scores,
    )
    from .tasks.catalog import task, task_names
    from .tasks.task import Item, Task

__all__ = [
    "BENCHMARKS",
    "COLUMNS",
    "Item",
    "KEY",
    "RULES",
    "Rescored",
    "Results",
    "Score",
    "Task",
    "answer_row",
    "answerable_blind",
    "between",
    "blind_control",
    "by_category",
    "cache_home",
    "cases",
    "claims",
    "contamination",
    "efficiency",
    "export_failures",
    "export_lmms_eval",
    "hallusion",
    "load_results",
    "mode_lens",
    "open_run",
    "paired",
    "pareto",
    "picture_hash",
    "plan",
    "published",
    "report",
    "rescore",
    "router_curve",
    "router_gain",
    "run",
    "score",
    "scores",
    "statistics",
    "synth_pictures",
    "task",
    "task_names",
]

_ROOMS = ("published", "statistics")

_HOME = {
    "claims": "published",
    **dict.fromkeys(("between", "efficiency", "mode_lens", "paired", "pareto", "plan"), "statistics"),
    **dict.fromkeys(("router_curve", "router_gain", "scores"), "statistics"),
    "cache_home": "cache",
    "picture_hash": "contamination",
    "synth_pictures": "contamination",
    "contamination": "contamination",
    "answerable_blind": "blind",
    "blind_control": "blind",
    "cases": "cases",
    "export_failures": "browser",
    "report": "report",
    "BENCHMARKS": "scorers",
    "RULES": "scorers",
    "Score": "scorers",
    "by_category": "scorers",
    "hallusion": "scorers",
    "Rescored": "rescoring",
    "rescore": "rescoring",
    "score": "scoring",
    "load_results": "importers",
    "export_lmms_eval": "export",
    "task_names": "tasks.catalog",
    "task": "tasks.catalog",
    "run": "run",
    "open_run": "run_folder",
    "Task": "tasks.task",
    "Item": "tasks.task",
    "COLUMNS": "records",
    "KEY": "records",
    "Results": "records",
    "answer_row": "records",
}


def __getattr__(name: str) -> Any:
    """Import a name of this room when it is first used."""
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Room(ModuleType):
    """Keeps ``bench.run`` the function: importing the module of that name would put itself in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room
