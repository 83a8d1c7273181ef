"""The folder of a run: what was asked, the replies, the pictures; and the results made from them"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .engines import Asking
from .journal import Journal
from .records import Results
from .results_file import write_beside
from .tasks.pictures import keep_picture
from .tasks.task import Task

__all__ = ["open_run", "write_items"]

FORMAT = {"format": "workbench.bench.run", "version": 1}
NAME = "run.jsonl"
PICTURES = "pictures"


def write_items(
    folder: Path,
    tasks: Sequence[Task],
    askings: Sequence[Asking],
    *,
    about: Mapping[str, Any],
    warnings: Sequence[str],
    rules: str,
) -> None:
    """Write down what a run asks, and its pictures: its results then need neither the tasks nor the model."""
    by_name = {task.name: task for task in tasks}
    header = {
        **FORMAT,
        "about": {
            **about,
            "tasks": {t.name: {"version": t.version, "origin": t.origin, "chance": t.chance} for t in tasks},
        },
        "warnings": list(warnings),
        "rules": rules,
    }
    lines = [header]
    kept: dict[tuple[str, str], list[str]] = {}
    for asking in askings:
        task, item = by_name[asking.task], asking.item
        if (task.name, item.id) not in kept:
            kept[task.name, item.id] = [
                _kept(picture, digest, folder)
                for picture, digest in zip(item.images, item.digests(), strict=True)
            ]
        lines.append(
            {
                "key": asking.key,
                "benchmark": task.name,
                "version": task.version,
                "item": item.id,
                "mode": asking.mode,
                "control": asking.blind,
                "question": asking.question,
                "gold": item.gold,
                "cluster": item.cluster,
                "category": item.category,
                "images": kept[task.name, item.id],
                "scorer": task.scorer,
                "details": {**item.scoring, **_evidence(item)},
            }
        )
    write_beside(
        folder / NAME,
        ((json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass") for line in lines),
    )


def _kept(picture: Any, digest: str, folder: Path) -> str:
    path = keep_picture(picture, digest, folder / PICTURES)
    return path if Path(path).is_absolute() else f"{PICTURES}/{path}"


def _evidence(item: Any) -> dict[str, Any]:
    evidence: dict[str, Any] = {}
    if item.boxes:
        evidence["boxes"] = [list(box) for box in item.boxes]
    if item.picture:
        evidence["picture"] = item.picture
    if item.size:
        evidence.setdefault("image_size", list(item.scoring.get("image_size", item.size)))
    return evidence


def open_run(folder: str | Path, *, rules: str | None = None) -> Results:
    """The results of a run so far, finished or not; needs neither its tasks nor its model.

    Args:
        folder: of the run.
        rules: whose scoring rules; None for those that the run was made with.

    Raises:
        InputError: if there is no run in the folder, or it is damaged.
    """
    place = Path(folder).expanduser()
    header, items = _read_items(place)
    journal = Journal(place / "journal.jsonl")
    chosen = rules or header["rules"]
    rows, unasked, failed = [], 0, []
    for entry in items:
        reply = journal.entries.get(entry["key"])
        if reply is None:
            unasked += 1
            continue
        if "error" in reply:
            failed.append(f"{entry['benchmark']}/{entry['item']} in mode {entry['mode']}: {reply['error']}")
        rows.append(_row(entry, reply, header["about"], chosen))
    warnings = list(header["warnings"])
    if unasked:
        warnings.append(f"not asked yet: {unasked} of {len(items)}; the same call of run goes on")
    if failed:
        warnings.append(f"failed: {len(failed)} of {len(items)} could not be asked (the first: {failed[0]})")
    table: Any = rows
    if not rows:
        import pandas as pd

        table = pd.DataFrame(columns=["benchmark", "item", "mode"])
    return Results.of(table, folder=place, warnings=warnings, about={**header["about"], "folder": str(place)})


def _read_items(place: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        with (place / NAME).open(encoding="utf-8", errors="surrogatepass") as file:
            lines: Iterator[Any] = (json.loads(line) for line in file)
            header = next(lines, None)
            if not isinstance(header, dict) or {k: header.get(k) for k in FORMAT} != FORMAT:
                raise InputError(f"{str(place / NAME)!r} has another format", f"{FORMAT}")
            return header, list(lines)
    except OSError as error:
        raise InputError(
            f"no run in {str(place)!r}: {error.strerror}",
            "a folder that workbench.bench.run wrote",
            "check folder=",
        ) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{str(place / NAME)!r} is damaged: {error}", "a run's items", "make the same call of run again"
        ) from None


def _row(
    entry: Mapping[str, Any], reply: Mapping[str, Any], about: Mapping[str, Any], rules: str
) -> dict[str, Any]:
    """A row of the table: what was asked, the reply, and its score."""
    names = ("benchmark", "version", "item", "mode", "control", "question", "cluster", "category", "images")
    row: dict[str, Any] = {name: entry[name] for name in names}
    gold = entry["gold"]
    row.update(
        gold=gold if isinstance(gold, str) else json.dumps(gold, ensure_ascii=False),
        harness="workbench",
        model=about["model"],
        rules=rules,
        details={**entry["details"], "scorer": entry["scorer"]},
    )
    if "error" in reply:
        return {**row, "response": None, "value": math.nan, "why": f"not asked: {reply['error']}"}
    told = (
        "thought",
        "stopped",
        "created",
        "prompt_tokens",
        "image_tokens",
        "thought_tokens",
        "answer_tokens",
    )
    row.update({name: reply[name] for name in (*told, "seconds", "seconds_to_first_token", "p_think")})
    row["details"] |= {"at_once": reply["at_once"], "cached": bool(reply.get("cached"))}
    row["response"] = reply["text"]
    return {**row, **_scored(entry, reply["text"], rules)}


def _scored(entry: Mapping[str, Any], text: str, rules: str) -> dict[str, Any]:
    from .scoring import SCORING, score

    item = {name: value for name, value in entry["details"].items() if name in SCORING}
    made = score(entry["scorer"], text, entry["gold"], rules=rules, **{"category": entry["category"], **item})
    return {"value": made.value, "parsed": made.parsed, "why": made.why}
