"""lmms-eval's logs: ``{date}_results.json`` with the totals, and one ``{date}_samples_{task}.jsonl`` a task

A sample (``lmms_eval/loggers/evaluation_tracker.py``): ``doc_id, target, input, resps`` (left out where it
equals ``filtered_resps``), ``token_counts, doc_hash`` and the task's metrics; older versions keep ``doc``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..results import COLUMNS
from ..scorers.choice import options_in
from .common import Notes, Total, json_lines, load_json, number, split_reply

__all__ = ["is_results", "is_sample", "read_samples", "results_beside", "sample_files", "totals_of"]

_OWN = {
    *("doc_id", "doc", "target", "arguments", "input", "resps", "filtered_resps", "token_counts", "doc_hash"),
    *("input_media", "prompt_hash", "target_hash", "workbench"),
}
_INNER = ("score", "correct", "true_false", "is_correct", "acc")
_FIRST = ("relaxed_overall", "exact_match", "average", "overall")  # of several metrics, the overall one


def is_sample(row: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a logged sample."""
    return "doc_id" in row and ("filtered_resps" in row or "resps" in row)


def is_results(data: object) -> bool:
    """Whether a JSON document is a file of totals."""
    return isinstance(data, dict) and isinstance(data.get("results"), dict) and (
        "n-samples" in data or "configs" in data or "versions" in data
    )  # fmt: skip


def sample_files(results: Path) -> list[Path]:
    """The sample files that belong to a file of totals.

    Raises:
        InputError: if there are none.
    """
    date = results.name.removesuffix("results.json")
    found = sorted(results.parent.glob(f"{_escaped(date)}samples_*.jsonl"))
    if not found:
        raise InputError(
            f"{results.name} holds totals only, and no {date}samples_*.jsonl lies beside it",
            "the samples of the run",
            "run lmms-eval with --log_samples",
        )
    return found


def _escaped(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)


def results_beside(samples: Path) -> dict[str, Any]:
    """The totals of the run that a sample file belongs to; {} where they are not there."""
    date = samples.name.partition("samples_")[0]
    path = samples.with_name(f"{date}results.json")
    data = load_json(path) if path.is_file() else {}
    return data if is_results(data) else {}


def task_of(samples: Path) -> str:
    """``chartqa`` of ``20260101_120000_samples_chartqa.jsonl``."""
    return samples.stem.partition("samples_")[2] or samples.stem


def totals_of(results: Mapping[str, Any], task: str) -> dict[str, Any]:
    """What the totals say of a task: its metrics ("metric,filter" -> value), samples, version and model."""
    metrics = (results.get("results") or {}).get(task) or {}
    counts = (results.get("n-samples") or {}).get(task) or {}
    return {
        "metrics": {k: v for k, v in metrics.items() if isinstance(v, (int, float, str))},
        "n_samples": counts.get("effective", counts.get("original")),
        "version": (results.get("versions") or {}).get(task),
        "model": _model(results),
    }


def _model(results: Mapping[str, Any]) -> str:
    config = results.get("config") or {}
    args = config.get("model_args")
    named = re.search(r"(?:pretrained|model_version|model)=([^,]+)", args) if isinstance(args, str) else None
    return str(results.get("model_name") or (named.group(1) if named else "") or config.get("model") or "")


def read_samples(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows of a sample file as columns of a results table; repetitions become epochs.

    Raises:
        InputError: if a line in the middle is damaged, or a sample has no ``doc_id``.
    """
    task = task_of(path)
    document = results_beside(path)
    totals = totals_of(document, task)
    notes.run = _run(path, document)
    model = totals["model"] or path.parent.name
    rows, metric = 0, ""
    for at, sample in enumerate(json_lines(path, notes), 1):
        rows += 1
        item = sample.get("doc_id")
        if item is None or item == "":
            notes.count(
                "no id (doc_id); they are named by their place, and cannot be paired with another run"
            )
            item = f"row {at}"
        base = _row(sample, task, model, str(item))
        metric = metric or base.pop("metric")
        base.pop("metric", None)
        base["version"] = str(totals["version"]) if isinstance(totals["version"], (int, float)) else ""
        ours = sample.get("workbench")
        for row in _repetitions(sample, base):
            yield _exported(row, sample, ours) if isinstance(ours, dict) else row
    for name, value in totals["metrics"].items():
        if metric and name.partition(",")[0] == metric and (total := Total.of(name, value)):
            notes.totals.append(total)
    if totals["n_samples"] is not None and int(totals["n_samples"]) != rows:
        notes.add(f"incomplete: the totals speak of {totals['n_samples']} samples of {task}; {rows} are here")


def _run(path: Path, document: Mapping[str, Any]) -> str:
    """What tells a run from another of the same model: its date, and what the model was given."""
    date = path.name.partition("samples_")[0].strip("_")
    args = (document.get("config") or {}).get("model_args")
    given = args if isinstance(args, str) else ",".join(f"{k}={v}" for k, v in (args or {}).items())
    names = ("pretrained", "model", "model_version", "model_name")
    told = [part for part in given.split(",") if part and part.partition("=")[0].strip() not in names]
    return " ".join(filter(None, (date, ",".join(told))))


def _row(sample: Mapping[str, Any], task: str, model: str, item: str) -> dict[str, Any]:
    doc = sample.get("doc") if isinstance(sample.get("doc"), dict) else {}
    assert isinstance(doc, dict)
    question = sample.get("input")
    question = question[0] if isinstance(question, list) and question else question
    target = sample.get("target")
    value, parsed, metric = _logged(sample)
    return {
        "model": model,
        "harness": "lmms-eval",
        "benchmark": task,
        "item": item,
        "hash": str(sample.get("doc_hash") or ""),
        "question": question if isinstance(question, str) else str(doc.get("question") or ""),
        "gold": None if target is None or target == "" else str(target),
        "logged": value,
        "parsed": parsed,
        "metric": metric,
        "category": str(doc.get("category") or _category(sample, metric)),
        "details": _details(doc, question),
    }


def _details(doc: Mapping[str, Any], question: object) -> dict[str, Any]:
    details = {
        name: doc[name]
        for name in ("answer_type", "question_type", "precision", "set_id", "figure_id", "question_id")
        if doc.get(name) not in (None, "")
    }
    if options := options_in(question) if isinstance(question, str) else {}:
        details["options"] = options
    if doc.get("image_width") and doc.get("image_height"):
        details["image_size"] = [doc["image_width"], doc["image_height"]]
    return details


def _repetitions(sample: Mapping[str, Any], base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for each reply; almost always there is one."""
    raw = _texts(sample.get("resps", sample.get("filtered_resps")))
    counts = sample.get("token_counts")
    counts = counts if isinstance(counts, list) else [counts]
    for epoch, text in enumerate(raw or [None]):
        thought, response = (None, None) if text is None else split_reply(text)
        used = counts[epoch] if epoch < len(counts) and isinstance(counts[epoch], dict) else {}
        total, thinking = used.get("output_tokens"), used.get("reasoning_tokens")
        known = total is not None and thinking is not None
        yield {
            **base,
            "epoch": epoch,
            "response": response,
            "thought": thought,
            "prompt_tokens": used.get("input_tokens"),
            "tokens": total,
            "thought_tokens": thinking,
            "answer_tokens": (total or 0) - (thinking or 0) if known else None,
            "logged": base["logged"] if len(raw) < 2 else float("nan"),
        }


def _exported(row: dict[str, Any], sample: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """The row that `export_lmms_eval` wrote: what lmms-eval has no field for stands in ``ours``."""
    kept = {name: value for name, value in ours.items() if name in COLUMNS}
    theirs = {name: row[name] for name in ("model", "question", "prompt_tokens", "tokens")}
    reply = {"value": sample.get("score"), "response": sample.get("filtered_resps")}
    return {**dict.fromkeys(COLUMNS), **theirs, **reply, **kept}


def _texts(value: object) -> list[str]:
    """The replies in ``resps``: a text, a list of texts, or lists in lists."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return []


def _logged(sample: Mapping[str, Any]) -> tuple[float, str | None, str]:
    """The sample's value by the harness, what it parsed, and the metric that tells, where one does."""
    metrics = {k: v for k, v in sample.items() if k not in _OWN and "submission" not in k}
    order = sorted(metrics, key=lambda k: (not any(word in k for word in _FIRST), list(metrics).index(k)))
    for name in order:
        metric = metrics[name]
        inner = metric if isinstance(metric, dict) else {"score": metric}
        parsed = next(
            (inner[k] for k in ("parsed_pred", "extraction", "prediction", "pred") if k in inner), None
        )
        parsed = parsed[0] if isinstance(parsed, list) and parsed else parsed
        text = parsed if isinstance(parsed, str) else None
        if inner.get("question_type") == "multiple-choice" and "parsed_pred" in inner and "answer" in inner:
            return float(parsed == inner["answer"]), text, name
        for key in _INNER:
            if 0 <= (value := number(inner.get(key))) <= 1:
                return value, text, name
        if isinstance(inner.get("scores"), list) and inner["scores"]:
            return number(inner["scores"][0]), None, name
    return float("nan"), None, ""


def _category(sample: Mapping[str, Any], metric: str) -> str:
    """The item's category, where a metric tells it; MMStar names a metric after it."""
    for name, held in sample.items():
        if name not in _OWN and isinstance(held, dict):
            for wanted in ("category", "subdomain", "data_type"):
                if held.get(wanted):
                    return str(held[wanted])
            if name != metric and "l2_category" in held:
                return name
    return ""
