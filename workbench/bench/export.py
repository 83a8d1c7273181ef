"""`export_lmms_eval`: results as the files that lmms-eval writes, so that its tools can read them"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import local_path, write_bytes
from .results import Results

__all__ = ["export_lmms_eval"]


def export_lmms_eval(results: Results, folder: str | Path, *, date: str = "20260101_000000") -> list[Path]:
    """Write ``{run}/{date}_results.json`` and a ``{date}_samples_{task}.jsonl`` for each benchmark and mode.

    lmms-eval knows no modes: a task is named ``ChartQA`` for the mode auto, else ``ChartQA_think``.  A sample
    keeps the fields of lmms-eval; what it has no field for (mode, item id, details, seconds ...) stands in
    ``workbench``, so that `load_results` gives back the same rows.  lmms-eval numbers samples; our ids stay
    in ``doc_id`` where they are numbers.

    Args:
        results: with one run or several; each run gets a folder.
        folder: made if needed.
        date: the stamp that lmms-eval puts before its files' names.

    Returns:
        The files.

    Raises:
        InputError: for no rows, or a date that is not fit for a file's name.
    """
    if not len(results):
        raise InputError("results without rows", "at least one")
    if not re.fullmatch(r"[\w-]{1,40}", date):
        raise InputError(f"date={date!r}", "letters, digits, _ and -")
    written = []
    for run, table in results.table.groupby("run", sort=False):
        place = local_path(folder) / _file_name(str(run) or "model")
        place.mkdir(parents=True, exist_ok=True)
        tasks = {
            _task(str(benchmark), str(mode), str(control)): rows
            for (benchmark, mode, control), rows in table.groupby(
                ["benchmark", "mode", "control"], sort=False
            )
        }
        for task, rows in tasks.items():
            path = place / f"{date}_samples_{task}.jsonl"
            write_bytes(path, _lines(rows))
            written.append(path)
        path = place / f"{date}_results.json"
        totals = json.dumps(_totals(str(table["model"].iloc[0]), tasks), indent=2, ensure_ascii=False)
        write_bytes(path, totals.encode("utf-8", "surrogatepass"))
        written.append(path)
    return written


def _task(benchmark: str, mode: str, control: str) -> str:
    extra = [part for part in (mode if mode != "auto" else "", control) if part]
    return _file_name("_".join([benchmark, *extra]))


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.@-]+", "_", name).strip(".") or "_"


def _totals(model: str, tasks: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    metrics = {}
    for task, rows in tasks.items():
        scored = rows["value"].dropna()
        error = float(scored.std(ddof=1) / len(scored) ** 0.5) if len(scored) > 1 else None
        metrics[task] = {
            "alias": task,
            "score,none": float(scored.mean()) if len(scored) else None,
            "score_stderr,none": error,
        }
    return {
        "results": metrics,
        "configs": {task: {"task": task, "metric_list": [{"metric": "score"}]} for task in tasks},
        "versions": {task: _only(rows["version"]) for task, rows in tasks.items()},
        "n-samples": {task: {"original": len(rows), "effective": len(rows)} for task, rows in tasks.items()},
        "higher_is_better": {task: {"score": True} for task in tasks},
        "config": {"model": "workbench", "model_args": f"pretrained={model}"},
        "model_name": model,
        "model_source": "workbench",
    }


def _only(values: pd.Series) -> str:
    names = sorted(set(values))
    return names[0] if len(names) == 1 else "; ".join(names)


def _lines(rows: pd.DataFrame) -> Iterator[bytes]:
    for number, row in enumerate(rows.to_dict("records")):
        line = json.dumps(_sample(row, number), ensure_ascii=False)
        yield (line + "\n").encode("utf-8", "surrogatepass")


_KEPT = (
    "run", "harness", "benchmark", "version", "item", "mode", "control", "epoch", "parsed", "why",
    "protocol", "stopped", "cluster", "category", "created", "seconds", "seconds_to_first_token",
    "p_think", "image_tokens", "logged", "details", "images", "gold", "thought", "thought_tokens",
    "answer_tokens", "hash",
)  # fmt: skip


def _sample(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    response, thought = row["response"], row["thought"]
    raw = response if thought is None else f"<think>{thought}</think>{response or ''}"
    digits = row["item"].isdecimal() and str(int(row["item"])) == row["item"]
    used = {"input_tokens": row["prompt_tokens"], "output_tokens": row["tokens"]}
    used["reasoning_tokens"] = row["thought_tokens"]
    sample = {
        "doc_id": int(row["item"]) if digits else number,
        "target": row["gold"] if row["gold"] is not None else "",
        "input": row["question"],
        "filtered_resps": response,
        "token_counts": [{name: int(n) for name, n in used.items() if n == n}],
        "doc_hash": row["hash"] or hashlib.sha256(f"{row['question']}\n{row['gold']}".encode()).hexdigest(),
        "score": row["value"] if row["value"] == row["value"] else None,
        "workbench": {name: value for name in _KEPT if (value := _json(row[name])) not in (None, "", [], {})},
    }
    if raw != response:
        sample["resps"] = [raw]
    return sample


def _json(value: object) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and value != value else value
