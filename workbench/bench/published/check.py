"""Is a log within the error of the printed number?"""

from __future__ import annotations

import math

import pandas as pd

from ...errors import InputError
from ...stats import Interval, mean_interval
from ..results import Results
from ..statistics.intervals import clusters_of
from .tables import PHI, Z, scores

__all__ = ["check"]


def check(results: Results, *, entry: str | None = None) -> pd.DataFrame:
    """Hold results against the scores that Tables 3 and 4 print.

    Both are measurements on the same items, and which of them were right in the printed run is not known. So
    the error of the difference is that of two runs without any connection: rather too large than too small,
    and a difference beyond it is a real one.

    Args:
        results: of a run or an imported log; the mean of each benchmark and mode is compared.
        entry: a row of ``published.matrix()`` to compare with ("Qwen3-VL-8B-Instruct 4K"); None for
            Phi-4-reasoning-vision in the mode of the rows.

    Returns:
        One row per run, benchmark and mode: ``entry``, ``n`` scored items, ``printed_n``, ``score`` with
            ``low``
        and ``high`` (percent), ``printed``, ``difference`` and its 95% ``error`` (points), ``says`` ("within
        the error", "above" or "below"), and ``note`` where the items are not as many as in the table.

    Raises:
        InputError: for an unknown entry, or results without a benchmark of the tables.

    Example:
        >>> published.check(bench.load_results("logs"))[["benchmark", "difference", "says"]]  # doctest: +SKIP
    """
    printed = scores().set_index(["entry", "benchmark"])
    names = list(dict.fromkeys(printed.index.get_level_values("entry")))
    if entry is not None and entry not in names:
        raise InputError(f"entry={entry!r}", f"one of {', '.join(names)}")
    table = results.table
    table = table[table["value"].notna() & (table["control"] == "")]
    found = []
    for (run, benchmark, mode), rows in table.groupby(["run", "benchmark", "mode"], sort=False):
        key = (entry or f"{PHI} {mode}", benchmark)
        if key in printed.index:
            ours = mean_interval(rows["value"].to_numpy(float), clusters_of(rows))
            found.append(
                {"run": run, "benchmark": benchmark, "mode": mode, **_held(ours, key[0], printed.loc[key])}
            )
    if not found:
        there = ", ".join(dict.fromkeys(printed.index.get_level_values("benchmark")))
        raise InputError("results without a scored benchmark of the tables", f"rows of {there}")
    return pd.DataFrame(found)


def _held(ours: Interval, entry: str, printed: pd.Series) -> dict[str, object]:
    difference = 100 * ours.value - float(printed["score"])
    error = Z * math.hypot(100 * ours.error, float(printed["error"]))
    beyond = abs(difference) > error + 0.05  # the printed number is rounded to a tenth
    items = int(printed["items"])
    return {
        "entry": entry,
        "n": ours.items,
        "printed_n": items,
        "score": 100 * ours.value,
        "low": 100 * ours.low,
        "high": 100 * ours.high,
        "printed": float(printed["score"]),
        "difference": difference,
        "error": error,
        "says": ("above" if difference > 0 else "below") if beyond else "within the error",
        "note": "" if ours.items == items else f"{ours.items} items here, {items} in the table",
    }
