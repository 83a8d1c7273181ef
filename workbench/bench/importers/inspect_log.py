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

from .common import Notes, checked_zip, damaged, load_json, number, options_in, split_reply

__all__ = ["is_archive", "is_log", "read_inspect"]

_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # correct, partial, incorrect, no answer
_STOPPED = {"stop": "end", "max_tokens": "length", "model_length": "length"}


def is_archive(names: list[str]) -> bool:
    """Whether an archive's members are those of an Inspect log."""
    return "header.json" in names or "_journal/start.json" in names


def is_log(data: Any) -> bool:
    """Whether a JSON document is an Inspect log."""
    return isinstance(data, dict) and isinstance(data.get("eval"), dict) and "samples" in data


def read_inspect(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows of a log as columns of a results table.

    Raises:
        InputError: if it is damaged, unsafe, or packed in a way that this Python cannot unpack.
    """
    if zipfile.is_zipfile(path) or path.suffix == ".eval":
        with checked_zip(path) as archive:
            yield from _rows(_header(path, archive, notes), _samples(path, archive), notes)
    else:
        data = load_json(path)
        yield from _rows(data, iter(data.get("samples") or []), notes)


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
        data = json.loads(archive.read(name))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"{name} is not JSON ({str(error)[:80]})") from None
    except NotImplementedError as error:
        raise damaged(path, f"{name}: {error}", "convert it: inspect log convert --to json") from None
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise damaged(path, f"{name}: {error}") from None
    if not isinstance(data, dict):
        raise damaged(path, f"{name} is not a JSON object")
    return data


def _rows(
    header: Mapping[str, Any], samples: Iterator[dict[str, Any]], notes: Notes
) -> Iterator[dict[str, Any]]:
    spec = header.get("eval") or {}
    rows = 0
    for at, sample in enumerate(samples, 1):
        rows += 1
        yield _row(sample, spec, at, notes)
    status = header.get("status")
    if status not in (None, "success", "started"):
        notes.add(f"status: the log says that the evaluation ended with {status!r}")
    results = header.get("results") or {}
    total = results.get("total_samples")
    if total is not None and int(total) != rows:
        notes.add(f"incomplete: the header speaks of {total} samples; {rows} are here")


def _row(sample: Mapping[str, Any], spec: Mapping[str, Any], at: int, notes: Notes) -> dict[str, Any]:
    item = sample.get("id")
    if item is None or item == "":
        notes.count("no id; they are named by their place, and cannot be paired with another run")
        item = f"row {at}"
    question, pictures = _input(sample.get("input"))
    target = sample.get("target")
    thought, response, stopped = _output(sample)
    if response is None:
        notes.count("no reply (the sample ended with an error)")
    value, parsed, why = _score(sample.get("scores") or {}, notes)
    usage = [u for u in (sample.get("model_usage") or {}).values() if isinstance(u, dict)]
    thinking = sum(u.get("reasoning_tokens") or 0 for u in usage)
    tokens = sum(u.get("output_tokens") or 0 for u in usage) if usage else None
    choices = sample.get("choices") or []
    options = {chr(ord("A") + i): str(c) for i, c in enumerate(choices[:26])} or options_in(question)
    metadata = sample.get("metadata") or {}
    return {
        "model": str(spec.get("model") or ""),
        "harness": "inspect",
        "benchmark": str(spec.get("task") or ""),
        "version": str(spec.get("task_version") or ""),
        "item": str(item),
        "epoch": max(0, int(sample.get("epoch") or 1) - 1),
        "question": question,
        "gold": _target(target),
        "response": response,
        "thought": thought,
        "logged": value,
        "parsed": parsed,
        "why": why,
        "stopped": stopped,
        "category": str(metadata.get("category") or metadata.get("subject") or ""),
        "created": str(sample.get("completed_at") or spec.get("created") or ""),
        "prompt_tokens": sum(u.get("input_tokens") or 0 for u in usage) if usage else None,
        "tokens": tokens,
        "thought_tokens": thinking if thinking else None,
        "answer_tokens": tokens - thinking if tokens is not None and thinking else None,
        "seconds": sample.get("total_time"),
        "details": {
            **({"options": options} if options else {}),
            **({"pictures": pictures} if pictures else {}),
        },
    }


def _target(target: Any) -> str | None:
    if isinstance(target, list):
        texts = [str(t) for t in target]
        return texts[0] if len(texts) == 1 else (json.dumps(texts, ensure_ascii=False) if texts else None)
    return None if target in (None, "") else str(target)


def _input(value: Any) -> tuple[str, int]:
    """(text, number of pictures) of a sample's input: a text, or messages with parts."""
    if isinstance(value, str):
        return value, 0
    texts, pictures = [], 0
    for message in value if isinstance(value, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if isinstance(part, dict) and part.get("type") == "text":
                texts.append(str(part.get("text") or ""))
            elif isinstance(part, dict) and part.get("type") == "image":
                pictures += 1
    return "\n".join(texts), pictures


def _output(sample: Mapping[str, Any]) -> tuple[str | None, str | None, str]:
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


def _score(scores: Mapping[str, Any], notes: Notes) -> tuple[float, str | None, str]:
    """(value, parsed, why) by the first scorer."""
    if len(scores) > 1:
        notes.count(f"{len(scores)} scorers; the first, {next(iter(scores))!r}, gives the logged value")
    for name, found in scores.items():
        found = found if isinstance(found, dict) else {"value": found}
        raw = found.get("value")
        value = _LETTERS.get(raw, math.nan) if isinstance(raw, str) and raw in _LETTERS else number(raw)
        answer = found.get("answer")
        why = f"Inspect's scorer {name}"
        return (value if 0 <= value <= 1 else math.nan), None if answer is None else str(answer), why
    return math.nan, None, ""
