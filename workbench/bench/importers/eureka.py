"""Eureka's logs: ``inference_result.jsonl``, one line an item

A line holds ``uid, prompt, model_output, is_valid, response_time, n_output_tokens``
(``eureka_ml_insights/core/inference.py``); the data set's own columns stand beside those, and
``data_point_id`` and ``data_repeat_id`` where items were repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..scorers import recognise
from .common import Notes, json_lines, options_in, split_reply

__all__ = ["is_row", "read_eureka"]

_GOLD = ("ground_truth", "answer_label", "target", "answer", "gold", "label", "correct_answer")


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a row of an inference result."""
    return "model_output" in row and ("uid" in row or "is_valid" in row)


def read_eureka(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows of an inference result as columns of a results table.

    Raises:
        InputError: if a line in the middle is damaged.
    """
    benchmark = _benchmark(path)
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
        yield {
            "model": str(row.get("model_name") or row.get("model") or ""),
            "harness": "eureka",
            "benchmark": benchmark,
            "item": str(item),
            "epoch": _epoch(row.get("data_repeat_id")),
            "hash": str(row.get("prompt_hash") or ""),
            "question": prompt,
            "gold": gold,
            "response": response,
            "thought": thought,
            "tokens": row.get("n_output_tokens"),
            "seconds": row.get("response_time"),
            "category": str(row.get("category") or row.get("subject") or row.get("task") or ""),
            "details": _details(row, prompt),
        }


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


def _epoch(name: Any) -> int:
    match = re.search(r"(\d+)$", str(name)) if name is not None else None
    return int(match.group(1)) if match else 0


def _benchmark(path: Path) -> str:
    """The benchmark that a part of the path names ("MathVista_Experiment_Pipeline"), or the folder's name."""
    for folder in path.absolute().parents:
        words = re.split(r"[_\-. ]+", folder.name)
        for word in words:
            if word and (found := recognise(word)):
                return found[0]
    return path.absolute().parent.name
