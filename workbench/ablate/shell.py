"""The verbs of ``workbench ablate`` and ``workbench runs``: what they print"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from .store import runs
from .sweep import read_sweep, sweep

__all__ = ["list_runs", "run_sweep"]

_TOLD = ("run", "state", "domain", "mode", "n", "accuracy", "low", "high", "tokens", "problem")


def run_sweep(path: str, *, folder: str, **options: Any) -> tuple[str, int]:
    """Run what a file asks for; the table of its runs as text, and how many failed.

    Args:
        path: a recipe or a sweep, YAML or JSON; see `read_sweep`.
        folder: of the runs.
        **options: as for `workbench.ablate.sweep`.
    """
    made = sweep(read_sweep(path), folder, **options)
    failures = [f"run {name} failed: {why}" for name, why in made.failed.items()]
    return "\n".join([_text(made.frame()), "", str(made), *failures]), len(made.failed)


def list_runs(folder: str, *, save: str | None = None) -> str:
    """All runs of a folder, as text.

    Args:
        folder: of the runs.
        save: write the whole table, every field of the recipes in it, to a .csv or .parquet file.
    """
    table = runs(folder)
    if save:
        target = Path(save)
        table.to_parquet(target) if target.suffix == ".parquet" else table.to_csv(target, index=False)
    return _text(table) if len(table) else f"no runs in {folder!r}"


def _text(table: pd.DataFrame) -> str:
    shown = table[[name for name in _TOLD if name in table]]
    shown = shown.drop(columns=[n for n in ("problem",) if n in shown and not shown[n].any()])
    return shown.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="")
