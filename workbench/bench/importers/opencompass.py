"""OpenCompass's logs: ``{date}/predictions/{model}/{dataset}.json``, an object with a reply under each number

A reply holds ``origin_prompt, prediction`` and ``gold`` (``opencompass/openicl/icl_inferencer``); what was
right stands in ``results/{model}/{dataset}.json``, as ``details`` where ``--dump-eval-details`` was given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..scorers.choice import options_in
from .common import Notes, Total, damaged, load_json, number, split_reply

__all__ = ["is_predictions", "read_opencompass"]

_RIGHT = ("correct", "is_correct", "score")


def is_predictions(data: Any) -> bool:
    """Whether a JSON document is a file of predictions."""
    first = next(iter(data.values()), None) if isinstance(data, dict) else None
    return isinstance(first, dict) and "prediction" in first and ("origin_prompt" in first or "gold" in first)


def read_opencompass(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows of a file of predictions as columns of a results table.

    Raises:
        InputError: if it is damaged.
    """
    data = load_json(path)
    if not is_predictions(data):
        raise damaged(path, "no predictions in it")
    parents = path.absolute().parents
    notes.run = parents[2].name if len(parents) > 2 else ""
    results = _results(path)
    verdicts = _verdicts(results.get("details"))
    if total := Total.of("accuracy", results.get("accuracy", results.get("score"))):
        notes.totals.append(total)
    for number_, row in data.items():
        if not isinstance(row, dict):
            raise damaged(path, f"entry {number_!r} is no object")
        question = _prompt(row.get("origin_prompt"))
        said = row.get("prediction")
        said = said[0] if isinstance(said, list) and said else said
        thought, response = split_reply(str(said)) if said not in (None, []) else (None, None)
        gold, options = row.get("gold"), options_in(question)
        yield {
            "model": path.absolute().parent.name,
            "harness": "opencompass",
            "benchmark": re.sub(r"_\d+$", "", path.stem),
            "item": str(number_),
            "question": question,
            "gold": json.dumps(gold, ensure_ascii=False) if isinstance(gold, (list, dict)) else gold,
            "response": response,
            "thought": thought,
            "logged": verdicts.get(str(number_), float("nan")),
            "why": "OpenCompass's evaluator" if str(number_) in verdicts else "",
            "details": {"options": options} if options else {},
        }


def _prompt(value: Any) -> str:
    """A prompt that is a text, or a conversation."""
    if isinstance(value, list):
        return "\n".join(str(turn.get("prompt") or "") for turn in value if isinstance(turn, dict))
    return str(value or "")


def _results(path: Path) -> Mapping[str, Any]:
    """What the evaluator wrote for the same model and data set; {} where it is not there."""
    folder = path.absolute().parent
    file = folder.parent.parent / "results" / folder.name / path.name
    data = load_json(file) if file.is_file() else {}
    return data if isinstance(data, dict) else {}


def _verdicts(details: Any) -> dict[str, float]:
    """Item -> whether it was right, where the evaluator kept that."""
    rows = dict(enumerate(details)) if isinstance(details, list) else details
    found = {}
    for name, row in (rows if isinstance(rows, dict) else {}).items():
        row = row if isinstance(row, dict) else {}
        told = next((row[key] for key in _RIGHT if key in row), None)
        value = number(told[0] if isinstance(told, list) and told else told)
        if 0 <= value <= 1:
            found[str(name)] = value
    return found
