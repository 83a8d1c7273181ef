"""The verbs of ``workbench bench``: run, rescore, compare, report"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from .importers import load_results
from .results import Results

__all__ = ["compare_results", "read_any", "report_results", "rescore_results", "run_tasks"]


def read_any(path: str | Path, *, name: str = "") -> Results:
    """Results from a run's folder, a file that `Results.save` wrote, or another harness's log.

    Raises:
        InputError: if it is none of these, or damaged.
    """
    place = Path(path).expanduser()
    results = Results.load(place) if _is_saved(place) else load_results(place)
    if not name:
        return results
    return results.replaced(results.frame().assign(run=name))


def _is_saved(place: Path) -> bool:
    """Whether `Results.save` wrote a file: its header says so."""
    if not place.is_file() or place.suffix not in (".jsonl", ".parquet"):
        return False
    with place.open("rb") as file:
        return place.suffix == ".parquet" or b'"workbench.results"' in file.readline(200)


def run_tasks(
    load: Callable[[], Any], tasks: Sequence[str], *, data: str | None = None, **options: Any
) -> str:
    """Run tasks; what came out, as text.

    Args:
        load: gives the model; called when the tasks are there, so that a wrong name costs no waiting.
        tasks: names of tasks.
        data: folder of a benchmark of the field; None for the Hub.
        **options: as for `workbench.bench.run`.

    Raises:
        InputError: for ``data`` with several tasks, since each benchmark has its own folder.
    """
    from .run import run
    from .tasks.catalog import resolve, task

    if data is not None and len(tasks) != 1:
        raise InputError(f"--data with {len(tasks)} tasks", "one task a folder", "run them one after another")
    chosen = resolve(tasks if data is None else task(tasks[0], folder=data))
    results = run(load(), chosen, **options)
    _warn(results)
    return f"{_scores(results)}\n\nkept in {results.folder}"


def rescore_results(path: str, rules: str, *, save: str | None = None) -> str:
    """Score under other rules; the scores before and after, and the items that flip, as text."""
    from .scoring import rescore

    before = read_any(path)
    after = rescore(before, rules)
    _warn(after)
    if save:
        after.save(save)
    flips = after.flips[["benchmark", "item", "mode", "gold", "response", "before", "after"]]
    listed = flips.to_string(index=False, max_colwidth=40) if len(flips) else "none"
    scored = f"{before.rules or 'the log'}:\n{_scores(before)}\n\n{rules}:\n{_scores(after)}"
    return f"{scored}\n\nflips ({len(flips)}):\n{listed}"


def compare_results(first: str, second: str) -> str:
    """Two runs item by item: differences with intervals, corrected over benchmarks, as text."""
    from .statistics import paired

    table = paired(read_any(first), read_any(second))
    names = [n for n in ("benchmark", "mode") if n in table]
    told = table[[*names, "n", "first", "second", "difference", "low", "high", "p_holm", "says"]]
    return told.to_string(index=False, float_format=lambda value: f"{value:.3f}")


def report_results(paths: Sequence[str], output: str, *, title: str, failures: int) -> str:
    """Write one HTML file from several runs or logs; where it lies."""
    from .report import report

    if not paths:
        raise InputError("no runs", "at least one folder or file")
    several = len(paths) > 1
    parts = [read_any(path, name=Path(path).stem if several else "") for path in paths]
    results = parts[0] if not several else Results.concat(parts)
    return str(report(results, output, title=title, failures=failures))


def _scores(results: Results) -> str:
    from .statistics import scores

    if not results.table["value"].notna().any():
        return "no row has a score"
    table = scores(results)
    names = [n for n in ("run", "benchmark", "mode") if n in table and (n != "run" or table[n].nunique() > 1)]
    told: pd.DataFrame = table[[*names, "n", "value", "low", "high"]]
    return told.to_string(index=False, float_format=lambda value: f"{value:.3f}")


def _warn(results: Results) -> None:
    for warning in results.warnings:
        print(f"workbench bench: {warning}", file=sys.stderr)
