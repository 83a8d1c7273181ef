"""Eureka's logs: ``logs/{pipeline}/{model}/{date}/inference_result/inference_result.jsonl``, a line per item

A line holds ``uid, prompt, model_output, is_valid, response_time, n_output_tokens``
(``eureka_ml_insights/core/inference.py``); the data set's own columns stand beside those, and
``data_point_id`` and ``data_repeat_id`` where items were repeated.  A pipeline with a judge has further
stages, ``eval_inference_result`` and the like, whose replies are never taken for the model's.  Its last
stage, ``eval_report``, holds the rows once more with their scores (``metric_results.jsonl``) and means of
them (``*_report.json``; ``eureka_ml_insights/metrics/reports.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import read_json
from ..scorers import recognise
from ..scorers.choice import options_in
from .common import Notes, Total, json_lines, number, split_reply

__all__ = ["is_judges", "is_row", "is_scored", "read_eureka"]

_GOLD = ("ground_truth", "answer_label", "target", "answer", "gold", "label", "correct_answer")


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a row of an inference result."""
    return "model_output" in row and ("uid" in row or "is_valid" in row)


_JUDGES = re.compile(r"eval|extract|judge|scor|grad", re.IGNORECASE)
_FILE = "inference_result.jsonl"
_SCORED = "metric_results.jsonl"


def is_judges(path: Path) -> bool:
    """Whether a file lies in a judge's stage of a pipeline."""
    return path.name == _FILE and bool(_JUDGES.search(path.absolute().parent.name))


def is_scored(path: Path) -> bool:
    """Whether a file holds the rows of an inference result that lies beside it, once more with scores."""
    return path.name == _SCORED and any(not is_judges(file) for file in _beside(path, _FILE))


def _beside(path: Path, name: str) -> list[Path]:
    """The files of a name in all stages of a file's pipeline."""
    return sorted(path.absolute().parent.parent.glob(f"*/{name}"))


def read_eureka(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows of an inference result as columns of a results table; a judge's verdict is ``logged``.

    Raises:
        InputError: if a line in the middle is damaged, or the replies are a judge's.
    """
    if is_judges(path):
        raise InputError(
            f"{path.parent.name}/{path.name} holds a judge's replies",
            "the model's own stage",
            "pass the pipeline's folder, or inference_result/inference_result.jsonl in it",
        )
    benchmark, model = _named(path, notes)
    verdicts, why = _verdicts(path)
    notes.totals += _stated(path)
    for at, row in enumerate(json_lines(path, notes), 1):
        item = next((row[k] for k in ("data_point_id", "uid") if row.get(k) not in (None, "")), None)
        if item is None:
            notes.count("no id (uid); they are named by their place, and cannot be paired with another run")
            item = f"row {at}"
        valid = bool(row.get("is_valid", True)) and row.get("model_output") is not None
        if not valid:
            notes.count("no valid reply (is_valid is false)")
        thought, response = split_reply(str(row["model_output"])) if valid else (None, None)
        prompt = str(row.get("prompt") or "")
        gold = next((row[k] for k in _GOLD if row.get(k) not in (None, "")), None)
        verdict = verdicts.get(_identity(row), math.nan) if valid else math.nan
        yield {
            "model": str(row.get("model_name") or row.get("model") or model),
            "harness": "eureka",
            "benchmark": benchmark,
            "item": str(item),
            "epoch": _epoch(row.get("data_repeat_id")),
            "hash": str(row.get("prompt_hash") or ""),
            "question": prompt,
            "gold": gold,
            "response": response,
            "thought": thought,
            "logged": verdict,
            "why": "" if math.isnan(verdict) else why,
            "tokens": row.get("n_output_tokens"),
            "seconds": row.get("response_time"),
            "category": str(row.get("category") or row.get("subject") or row.get("task") or ""),
            "details": _details(row, prompt),
        }


def _identity(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row.get("data_point_id", row.get("uid"))), str(row.get("data_repeat_id"))


def _verdicts(path: Path) -> tuple[dict[tuple[str, str], float], str]:
    """What Eureka itself says of each row, as a number of 0 to 1, and who said so: its metric, or a judge."""
    found: dict[tuple[str, str], float] = {}
    for file in _beside(path, _SCORED):
        for row in json_lines(file, Notes()):
            for column in filter(_is_score, row):
                found[_identity(row)] = _score(row[column])
    if found:
        return found, "the score of Eureka's metric"
    stages = [file for file in _beside(path, _FILE) if is_judges(file)]
    for file in sorted(stages, key=lambda file: len(file.parent.name)):  # ..._two is named after the first
        for row in json_lines(file, Notes()):
            value = _score(str(row.get("model_output")).strip()) if row.get("is_valid", True) else math.nan
            if not math.isnan(value):
                found[_identity(row)] = value
    return found, "the verdict of Eureka's judge"


def _is_score(column: str) -> bool:
    """Whether a column holds scores: a metric's, named after its class, or a judge's."""
    return column == "score" or re.fullmatch(r"[A-Z]\w*_result", column) is not None


def _score(value: Any) -> float:
    """A row's score as a number of 0 to 1; NaN for "none" (no valid reply) and all else."""
    named = {"correct": 1.0, "incorrect": 0.0}.get(str(value).lower())
    known = number(value) if named is None else named
    return known if 0 <= known <= 1 else math.nan


def _stated(path: Path) -> list[Total]:
    """The means over all rows that Eureka's reports state: an average, or how many are "correct".

    Each number is rounded to three digits.  Reports on groups, spreads and other columns are left out.
    """
    found = []
    for file in _beside(path, "*_report.json"):
        report = read_json(file, expect=(dict, list))
        scores = {c: told for c, told in report.items() if _is_score(c)} if isinstance(report, dict) else {}
        for column, told in scores.items():
            name = f"the mean of {column} in {file.parent.name}/{file.name}"
            if isinstance(told, dict) and {"correct", "incorrect"} & set(told):
                counts = {key: number(count) for key, count in told.items()}
                share = (
                    counts.get("correct", 0.0) / sum(counts.values()) if any(counts.values()) else math.nan
                )
                found.append(Total(name, share, 0.002))
            elif not math.isnan(number(told)):
                found.append(Total(name, number(told), 0.0005 + 1e-9))
    return found


def _details(row: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    details = {
        k: row[k] for k in ("answer_type", "question_type", "precision") if row.get(k) not in (None, "")
    }
    choices = row.get("target_options") or row.get("choices") or row.get("options")
    if isinstance(choices, list) and 2 <= len(choices) <= 26:
        details["options"] = {chr(ord("A") + i): str(c) for i, c in enumerate(choices)}
    elif options := options_in(prompt):
        details["options"] = options
    return details


def _epoch(name: object) -> int:
    match = re.search(r"(\d+)$", str(name)) if name is not None else None
    return int(match.group(1)) if match else 0


def _named(path: Path, notes: Notes) -> tuple[str, str]:
    """(benchmark, model) from the path: ``MathVista_Pipeline/{model}/{date}/inference_result``.

    What stands between the pipeline's folder and the stage's tells one run from another.
    """
    between: list[str] = []
    for folder in path.absolute().parents:
        words = re.split(r"[_\-. ]+", folder.name)
        found = next((recognised for word in words if word and (recognised := recognise(word))), None)
        if found:
            notes.run = "/".join(reversed(between))
            dated = [part for part in between if re.match(r"\d{4}-\d\d-\d\d", part)]
            models = [part for part in reversed(between) if part not in dated]
            return found[0], "/".join(models)
        if "inference_result" not in folder.name:
            between.append(folder.name)
    return path.absolute().parent.name, ""
