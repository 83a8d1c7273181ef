"""EvalScope's logs: ``{date}/reviews/{model}/{benchmark}_{subset}.jsonl``, one line a scored sample

A line holds ``index, target, messages, sample_score`` (``evalscope/api/evaluator/cache.py``); tokens, seconds
and thoughts stand under the same index in ``predictions/{model}/``, totals in ``reports/{model}/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..scorers import recognise
from ..scorers.choice import options_in
from .common import Notes, Total, json_lines, load_json, number
from .inspect_log import input_of, output_of

__all__ = ["is_prediction", "is_review", "read_evalscope"]


def is_review(row: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a scored sample."""
    return isinstance(row.get("sample_score"), dict) and "index" in row


def is_prediction(row: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a reply that is not scored."""
    return isinstance(row.get("model_output"), dict) and "index" in row and "messages" in row


def read_evalscope(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows of reviews (or of predictions alone) as columns of a results table.

    Raises:
        InputError: if a line in the middle is damaged.
    """
    model = path.absolute().parent.name
    root = path.absolute().parents[2] if len(path.absolute().parents) > 2 else path.absolute().parent
    notes.run = root.name
    report, benchmark, subset = _report(path, root, model)
    beside = root / "predictions" / model / path.name
    replies: dict[str, Mapping[str, Any]] = {}
    if beside.is_file() and beside != path.absolute():
        replies = {str(row.get("index")): row for row in json_lines(beside, Notes())}
    metric = ""
    for row in json_lines(path, notes):
        score = (row.get("sample_score") or {}).get("score") or {}
        value = score.get("value")
        values: dict[str, Any] = value if isinstance(value, dict) else {}
        metric = str(score.get("main_score_name") or next(iter(values), ""))
        yield {
            **_row(row, replies.get(str(row.get("index")), row), notes),
            **_verdict(score, values, metric),
            "model": str(row.get("model") or model),
            "harness": "evalscope",
            "benchmark": benchmark,
            "item": f"{subset}/{row.get('index')}"
            if subset not in ("", "default")
            else str(row.get("index")),
            "category": subset if subset != "default" else "",
        }
    notes.totals += _stated(report, metric, subset)


def _row(review: Mapping[str, Any], reply: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    messages = [m for m in review.get("messages") or [] if isinstance(m, dict)]
    asked = [m for m in messages if m.get("role") != "assistant"]
    question, pictures = input_of({"input": asked}, notes)
    output = reply.get("model_output")
    if not isinstance(output, dict):  # no predictions beside: the reply stands in the conversation
        said = [m for m in messages if m.get("role") == "assistant"]
        output = {"choices": [{"message": said[-1]}]} if said else {}
    thought, response, stopped = output_of({"output": output})
    used = output.get("usage") or {}
    total, thinking = used.get("output_tokens"), used.get("reasoning_tokens")
    options = options_in(question)
    return {
        "question": question,
        "gold": None if review.get("target") in (None, "") else _gold(review["target"]),
        "response": response,
        "thought": thought,
        "stopped": stopped,
        "prompt_tokens": used.get("input_tokens") or None,
        "tokens": total or None,
        "thought_tokens": thinking or None,
        "answer_tokens": total - thinking if total and thinking else None,
        "seconds": output.get("time"),
        "images": pictures,
        "details": {"options": options} if options else {},
    }


def _gold(target: Any) -> str:
    return target if isinstance(target, str) else json.dumps(target, ensure_ascii=False)


def _verdict(score: Mapping[str, Any], values: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """What the harness made of the reply; a score that it calls unusable is not known."""
    value = number(values.get(metric))
    parsed = score.get("extracted_prediction")
    return {
        "logged": value if 0 <= value <= 1 else float("nan"),
        "parsed": None if parsed is None else str(parsed),
        "why": f"EvalScope's {metric}" if metric else "",
    }


def _report(path: Path, root: Path, model: str) -> tuple[Mapping[str, Any], str, str]:
    """(report, benchmark, subset) of a file ``{benchmark}_{subset}``; either may hold ``_``."""
    parts = path.stem.split("_")
    for end in range(len(parts), 0, -1):
        name, subset = "_".join(parts[:end]), "_".join(parts[end:])
        file = root / "reports" / model / f"{name}.json"
        if file.is_file():
            data = load_json(file)
            return (data if isinstance(data, dict) else {}), name, subset
    for end in range(len(parts), 0, -1):
        if recognise("_".join(parts[:end])):
            return {}, "_".join(parts[:end]), "_".join(parts[end:])
    return {}, path.stem, ""


def _stated(report: Mapping[str, Any], metric: str, subset: str) -> list[Total]:
    """The mean of this subset that the report states."""
    found = []
    for one in report.get("metrics") or []:
        identity = one.get("identity") if isinstance(one.get("identity"), dict) else {}
        name = str(one.get("name") or one.get("legacy_name") or identity.get("name") or "")
        if metric and metric not in name and name not in metric:
            continue
        for category in one.get("categories") or []:
            for part in category.get("subsets") or []:
                if part.get("name") == subset and (
                    total := Total.of(f"{name} of {subset}", part.get("score"))
                ):
                    found.append(total)
    return found
