"""Inspect's logs: an ``.eval`` archive (``header.json``, ``samples/*.json``), or the same as one document

Format: https://inspect.aisi.org.uk/eval-logs.html.  Members are read one at a time and never extracted.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..scorers.choice import options_in
from .common import NoReplies, Notes, Total, checked_zip, damaged, load_json, number, read_member, split_reply

__all__ = ["input_of", "is_archive", "is_log", "output_of", "read_inspect"]

_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # correct, partial, incorrect, no answer
_STOPPED = {
    "stop": "end",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
}


def is_archive(names: list[str]) -> bool:
    """Whether an archive's members are those of an Inspect log."""
    return "header.json" in names or "_journal/start.json" in names


def is_log(data: Any) -> bool:
    """Whether a JSON document is an Inspect log."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("eval"), dict)
        and bool({"samples", "status"} & set(data))
    )


def read_inspect(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows of a log as columns of a results table.

    Raises:
        InputError: if it is damaged or unsafe, holds no samples, or is packed in a way that cannot be read.
    """
    if zipfile.is_zipfile(path) or path.suffix == ".eval":
        with checked_zip(path) as archive:
            yield from _rows(path, _header(path, archive, notes), _samples(path, archive), notes)
    else:
        data = load_json(path)
        yield from _rows(path, data, iter(data.get("samples") or []), notes)


def _header(path: Path, archive: zipfile.ZipFile, notes: Notes) -> dict[str, Any]:
    names = set(archive.namelist())
    if "header.json" in names:
        return _member(path, archive, "header.json")
    if "_journal/start.json" in names:
        notes.add("unfinished: the log has no header.json (the evaluation did not come to its end)")
        return _member(path, archive, "_journal/start.json")
    raise damaged(path, "neither header.json nor _journal/start.json is in it")


def _samples(path: Path, archive: zipfile.ZipFile) -> Iterator[dict[str, Any]]:
    for name in archive.namelist():
        if name.startswith("samples/") and name.endswith(".json"):
            yield _member(path, archive, name)


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    try:
        data = json.loads(read_member(path, archive, name))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(path, f"{name} is not JSON ({str(error)[:80]})") from None
    if not isinstance(data, dict):
        raise damaged(path, f"{name} is not a JSON object")
    return data


def _rows(
    path: Path, header: Mapping[str, Any], samples: Iterator[dict[str, Any]], notes: Notes
) -> Iterator[dict[str, Any]]:
    spec, results = header.get("eval") or {}, header.get("results") or {}
    created = str(spec.get("created") or "")[:19]
    notes.run = " ".join(filter(None, (created, str(spec.get("run_id") or spec.get("eval_id") or ""))))
    rows, first = 0, ""
    for at, sample in enumerate(samples, 1):
        rows += 1
        first = first or next(iter(sample.get("scores") or {}), "")
        yield _row(sample, spec, at, notes)
    if not rows:
        raise NoReplies(
            f"{path.name} holds no samples (status {header.get('status')!r})",
            "a log with the replies",
            "run Inspect without --no-log-samples",
        )
    status = header.get("status")
    if status not in (None, "success", "started"):
        notes.add(f"status: the log says that the evaluation ended with {status!r}")
    total = results.get("total_samples")
    if total is not None and int(total) != rows:
        notes.add(f"incomplete: the header speaks of {total} samples; {rows} are here")
    notes.totals += _stated(results, first)


def _stated(results: Mapping[str, Any], scorer: str) -> list[Total]:
    """The means that the header states of the scorer whose values the rows have."""
    found = []
    for score in results.get("scores") or []:
        metrics = score.get("metrics") if isinstance(score, dict) and score.get("scorer") == scorer else None
        for name, metric in (metrics or {}).items():
            if name in ("accuracy", "mean") and isinstance(metric, dict):
                found.append(Total.of(f"{name} of {scorer}", metric.get("value")))
    return [total for total in found if total is not None]


def _row(sample: Mapping[str, Any], spec: Mapping[str, Any], at: int, notes: Notes) -> dict[str, Any]:
    item = sample.get("id")
    if item is None or item == "":
        notes.count("no id; they are named by their place, and cannot be paired with another run")
        item = f"row {at}"
    question, pictures = input_of(sample, notes)
    thought, response, stopped = output_of(sample)
    if response is None:
        notes.count("no reply (the sample ended with an error)")
    value, parsed, why, raw = _score(sample.get("scores") or {}, notes)
    choices = sample.get("choices") or []
    options = {chr(ord("A") + i): str(c) for i, c in enumerate(choices[:26])} or options_in(question)
    metadata = sample.get("metadata") or {}
    details = {"options": options, "log_score": raw}
    return {
        "model": str(spec.get("model") or ""),
        "harness": "inspect",
        "benchmark": str(spec.get("task") or ""),
        "version": str(spec.get("task_version") or ""),
        "item": str(item),
        "epoch": max(0, int(sample.get("epoch") or 1) - 1),
        "question": question,
        "gold": _target(sample.get("target")),
        "response": response,
        "thought": thought,
        "logged": value,
        "parsed": parsed,
        "why": why,
        "stopped": stopped,
        "category": str(metadata.get("category") or metadata.get("subject") or ""),
        "created": str(sample.get("completed_at") or spec.get("created") or ""),
        **_usage(sample, str(spec.get("model") or ""), notes),
        # the whole time includes waiting for a place among other requests
        "seconds": sample.get("working_time", sample.get("total_time")),
        "images": pictures,
        "details": {name: held for name, held in details.items() if held not in (None, {})},
    }


def _usage(sample: Mapping[str, Any], model: str, notes: Notes) -> dict[str, Any]:
    """Tokens of the model that was evaluated, without those of a grader."""
    turns = sum(isinstance(m, dict) and m.get("role") == "assistant" for m in sample.get("messages") or [])
    used = (sample.get("output") or {}).get("usage")
    if turns > 1 or not isinstance(used, dict):  # several calls: only their sum by model is there
        by_model = {k: u for k, u in (sample.get("model_usage") or {}).items() if isinstance(u, dict)}
        used = by_model.get(model) or (next(iter(by_model.values())) if len(by_model) == 1 else None)
        if by_model and used is None:
            notes.count(f"tokens of {', '.join(by_model)}, but not of {model}: not known")
    if used is None:
        return {}
    total, thinking = used.get("output_tokens"), used.get("reasoning_tokens")
    return {
        "prompt_tokens": used.get("input_tokens"),
        "tokens": total,
        "thought_tokens": thinking or None,
        "answer_tokens": total - thinking if total is not None and thinking else None,
    }


def _target(target: Any) -> str | None:
    if isinstance(target, list):
        texts = [str(t) for t in target]
        return texts[0] if len(texts) == 1 else (json.dumps(texts, ensure_ascii=False) if texts else None)
    return None if target in (None, "") else str(target)


def input_of(sample: Mapping[str, Any], notes: Notes) -> tuple[str, list[str]]:
    """(text, picture references) of a sample's input: a text, or messages with parts."""
    value = sample.get("input")
    if isinstance(value, str):
        return value, []
    texts, pictures = [], []
    for message in value if isinstance(value, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if isinstance(part, dict) and part.get("type") == "text":
                texts.append(str(_attached(sample, part.get("text")) or ""))
            elif isinstance(part, dict) and part.get("type") == "image":
                pictures += _picture(str(_attached(sample, part.get("image")) or ""), notes)
    return "\n".join(texts), pictures


def _attached(sample: Mapping[str, Any], value: Any) -> Any:
    """What ``attachment://...`` stands for; anything else is itself."""
    if isinstance(value, str) and value.startswith("attachment://"):
        return (sample.get("attachments") or {}).get(value.removeprefix("attachment://"))
    return value


def _picture(reference: str, notes: Notes) -> list[str]:
    """The reference of a picture, which is kept beside the cached replies where the log itself holds it."""
    if reference.startswith("data:"):
        return notes.keep_picture(reference.partition(",")[2])
    if not reference or "://" in reference:
        notes.count("a picture that the log only points to (an address, or an attachment that is not there)")
        return []
    return [reference]


def output_of(sample: Mapping[str, Any]) -> tuple[str | None, str | None, str]:
    """(thought, response, stopped) of a sample; the response is None where there was none."""
    choices = (sample.get("output") or {}).get("choices") or []
    if not choices or not isinstance(choices[0], dict):
        return None, None, ""
    stopped = _STOPPED.get(str(choices[0].get("stop_reason") or ""), "")
    content = (choices[0].get("message") or {}).get("content")
    if isinstance(content, str):
        return (*split_reply(content), stopped)
    parts = [p for p in content or [] if isinstance(p, dict)]
    thoughts = [str(p.get("reasoning") or "") for p in parts if p.get("type") == "reasoning"]
    text = "\n".join(str(p.get("text") or "") for p in parts if p.get("type") == "text")
    return ("\n".join(thoughts), text, stopped) if thoughts else (*split_reply(text), stopped)


def _score(scores: Mapping[str, Any], notes: Notes) -> tuple[float, str | None, str, float | None]:
    """(value, parsed, why, what the log says where that is no value of 0 to 1) by the first scorer."""
    if len(scores) > 1:
        notes.count(f"{len(scores)} scorers; the first, {next(iter(scores))!r}, gives the logged value")
    for name, found in scores.items():
        found = found if isinstance(found, dict) else {"value": found}
        raw = found.get("value")
        value = _LETTERS.get(raw, math.nan) if isinstance(raw, str) and raw in _LETTERS else number(raw)
        answer = found.get("answer")
        parsed = None if answer is None else str(answer)
        if math.isfinite(value) and not 0 <= value <= 1:
            notes.count(
                f"{name} gives a mark outside 0 to 1, of an unknown scale; it is in details['log_score']"
            )
            return math.nan, parsed, f"Inspect's scorer {name} gives {value:g}", value
        return value, parsed, f"Inspect's scorer {name}", None
    return math.nan, None, "", None
