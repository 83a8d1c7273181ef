"""The declared columns of a results table, and a plain table brought into that form."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ..errors import InputError
from ..types import Mode

__all__ = ["COLUMNS", "KEY", "NUMBERS", "TEXT", "table_of", "tidy"]

TEXT = {
    "run": "name of the run; the model's name unless told otherwise",
    "model": "name of the model",
    "harness": "who asked: workbench, vlmevalkit, lmms-eval, inspect or eureka",
    "benchmark": "name of the benchmark or task, without its split",
    "version": "which version of the benchmark's data: a split, a revision or a hash; '' if unknown",
    "item": "the item's id within the benchmark",
    "hash": "hash of the item's content, where a harness records one",
    "mode": "auto, think or nothink; auto for a log that forces neither",
    "control": "'' for the real question; 'blind' or 'grey' where the picture was withheld",
    "question": "what was asked",
    "gold": "the right answer as text; several as a JSON list, a box as [x1, y1, x2, y2]; None: not known",
    "response": "the reply without its thought; None where there was none",
    "thought": "the thought; None where there was none",
    "parsed": "what the rules read from the response; None where they read nothing",
    "why": "in words, how the value came about",
    "rules": "whose rules gave the value: workbench, vlmevalkit, lmms-eval; 'logged': the log's own value",
    "stopped": "why the reply ended: end, length, budget, interrupted; '' if unknown",
    "cluster": "items with the same cluster are not independent (they share a picture or a problem)",
    "category": "the item's category within the benchmark",
    "created": "UTC time of the reply, ISO 8601",
}
NUMBERS = {
    "value": "score from 0 to 1; NaN: not scored",
    "logged": "the score that the log itself holds; NaN where it holds none",
    "epoch": "0, or the number of the repetition where an item was asked several times",
    "prompt_tokens": "tokens of the prompt, pictures included",
    "image_tokens": "tokens of the prompt that stand for pictures",
    "thought_tokens": "tokens of the thought",
    "answer_tokens": "tokens of the answer",
    "tokens": "output tokens, thought and answer together",
    "seconds": "from the question to the last token",
    "seconds_to_first_token": "from the question to the first token",
    "p_think": "probability of opening a thought, before any mode was forced",
}
OBJECTS = {
    "images": "tuple of picture references: paths relative to Results.folder, or absolute",
    "details": "what a scorer takes besides (see `score`), and 'scorer' where it is not the benchmark's own",
}
COLUMNS: dict[str, str] = {**TEXT, **NUMBERS, **OBJECTS}
"""Name of each column of ``Results.frame()`` -> what it holds."""

KEY = ("run", "harness", "benchmark", "version", "item", "mode", "control", "epoch")
"""The columns that together name a row."""

_REQUIRED = ("benchmark", "item", "mode")
_MAY_BE_NONE = {"gold", "response", "thought", "parsed"}
_PREDICTED = {"epoch": 0.0}


def tidy(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """A table with exactly `COLUMNS` in their order and types, from rows that may lack most of them.

    Text columns are Python strings (or None where that means something), numbers are floats with NaN
    for "not known", ``epoch`` is an integer.

    Raises:
        InputError: for an unknown column, a missing one that is needed, an empty id or benchmark, an
            unknown mode, or a value outside 0 to 1.
    """
    table = rows if isinstance(rows, pd.DataFrame) else table_of(rows)
    _check_columns(table)
    columns: dict[str, pd.Series] = {}
    for name in TEXT:
        columns[name] = _text(table, name)
    for name in NUMBERS:
        columns[name] = _numbers(table, name)
    columns["images"] = _objects(table, "images", _refs)
    columns["details"] = _objects(table, "details", _details)
    clean = pd.DataFrame(columns).reset_index(drop=True)
    _fill(clean)
    _check(clean)
    return clean[list(COLUMNS)]


def table_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table of Python objects, as they are: pandas guesses no types, which is faster too."""
    given = list(rows)
    names = dict.fromkeys(name for row in given for name in row)
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in given], dtype=object) for name in names},
        index=range(len(given)),
    )


def _check_columns(table: pd.DataFrame) -> None:
    for name in table.columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(str(name), COLUMNS, n=3)
            fix = f"did you mean {' or '.join(near)}?" if near else "keep it in details"
            raise InputError(f"column {name!r}", "the columns of workbench.bench.COLUMNS", fix)
    if missing := [name for name in _REQUIRED if name not in table.columns and len(table)]:
        raise InputError(f"no column {', '.join(missing)}", f"at least {', '.join(_REQUIRED)}")


def _text(table: pd.DataFrame, name: str) -> pd.Series:
    absent = None if name in _MAY_BE_NONE else ""
    if name not in table.columns:
        return pd.Series([absent] * len(table), dtype=object)
    values = list(table[name])
    if not set(map(type, values)) - ({str} if absent == "" else {str, type(None)}):
        return pd.Series(values, dtype=object)  # as it should be already, which is the rule
    return pd.Series([_as_text(value, absent) for value in values], dtype=object)


def _as_text(value: Any, absent: str | None) -> str | None:
    if isinstance(value, Mode):
        return value.value
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return absent
    if isinstance(value, (list, tuple)):
        return json.dumps(list(value), ensure_ascii=False)
    return str(value)


def _numbers(table: pd.DataFrame, name: str) -> pd.Series:
    default = _PREDICTED.get(name, math.nan)
    if name not in table.columns:
        return pd.Series([default] * len(table), dtype="int64" if name == "epoch" else "float64")
    try:
        values = pd.Series(pd.to_numeric(table[name], errors="raise"), dtype="float64").fillna(default)
        return (
            values.astype("int64").reset_index(drop=True)
            if name == "epoch"
            else values.reset_index(drop=True)
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"column {name}: {error}", "numbers, or None where they are not known") from None


def _objects(table: pd.DataFrame, name: str, read: Any) -> pd.Series:
    given = table[name] if name in table.columns else [None] * len(table)
    return pd.Series([read(value) for value in given], dtype=object)


def _refs(value: Any) -> tuple[str, ...]:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ()
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)


def _details(value: Any) -> dict[str, Any]:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"details={value!r}", "a dict")
    return dict(value)


def _fill(table: pd.DataFrame) -> None:
    """What follows from other columns: the run's name, the output tokens, the cluster."""
    table["run"] = table["run"].where(table["run"] != "", table["model"])
    known = table["thought_tokens"].notna() | table["answer_tokens"].notna()
    both = table["thought_tokens"].fillna(0) + table["answer_tokens"].fillna(0)
    table["tokens"] = table["tokens"].where(table["tokens"].notna() | ~known, both)
    table["cluster"] = table["cluster"].where(table["cluster"] != "", table["item"])


def _check(table: pd.DataFrame) -> None:
    for name in ("benchmark", "item"):
        empty = table.index[table[name] == ""]
        if len(empty):
            raise InputError(
                f"{len(empty)} of {len(table)} rows have no {name} (the first is row {empty[0]})",
                f"a {name} in every row",
            )
    for mode in table["mode"].unique():
        Mode.of(mode)
    outside = table.index[(table["value"] < 0) | (table["value"] > 1)]
    if len(outside):
        value = table["value"][outside[0]]
        raise InputError(f"value {value:g} in row {outside[0]}", "scores from 0 to 1, or NaN")
