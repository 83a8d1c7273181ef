"""VLMEvalKit's prediction files: ``{model}_{dataset}.xlsx|tsv|csv|json``, one row per item

Columns (``vlmeval/inference.py``, ``vlmeval/dataset``): ``index, question, answer, prediction``, with
``thinking`` where SPLIT_THINK was set, the options in columns A, B, ..., ``category``, ``split``, ``bbox``.
Files that a scorer wrote add ``hit``, ``score`` or ``eval_score``; those of a judge that only extracts, as
for MathVista and MathVision, add ``res``, and ``post_check`` compares it.  Totals lie beside them in
``_acc.csv`` and ``_score.json|csv``.
"""

from __future__ import annotations

import ast
import csv
import json
import re
import string
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from ...errors import InputError
from ..scorers import recognise
from ..scorers.base import Asked
from ..scorers.choice import options_in
from ..scorers.maths import mathvision_checked, mathvista_checked
from .common import Notes, Total, checked_zip, damaged, load_json, number, split_reply

__all__ = [
    "CELL_LIMIT",
    "is_prediction_table",
    "model_and_dataset",
    "read_vlmevalkit",
    "stage",
    "table_rows",
    "totals_beside",
]

CELL_LIMIT = 32_767
"""Characters that a cell of an xlsx file can hold; what is longer was cut when the file was written."""

_VALUES = ("hit", "score", "eval_score", "verifier_score")
_TURN = 1_000_000  # what an index grows by where the options are turned (circular evaluation)
_PARTS = {"dev", "val", "validation", "test", "testmini", "mini", "train"}  # splits that are other items
_FIELD_LIMIT = 64 << 20  # characters of one field of a tsv file (the module's own limit is 131,072)
_TAIL = re.compile(
    r"_(?:exact_matching|openai|(?:chat)?gpt-?[\w.-]*|auxmatch|detailed_results|results?|extract|score)$",
    re.IGNORECASE,
)


def is_prediction_table(columns: list[str]) -> bool:
    """Whether a table's columns are those of a prediction file."""
    names = {str(name).strip().lower() for name in columns if name is not None}
    return {"index", "prediction"} <= names


def read_vlmevalkit(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows of a prediction file as columns of a results table.

    Raises:
        InputError: if it is damaged, or has no column ``index`` or ``prediction``.
    """
    model, dataset = model_and_dataset(path.stem)
    notes.totals += [total for rows in totals_beside(path).values() for total in _stated(rows)]
    rows = []
    for raw in table_rows(path, notes):
        row = {str(k).strip(): v for k, v in raw.items() if k is not None}
        low = {k if k in string.ascii_uppercase else k.lower(): v for k, v in row.items()}
        if "index" not in low or "prediction" not in low:
            raise InputError(
                f"{path.name} has the columns {', '.join(list(row)[:12])}", "index and prediction among them",
                "pass the prediction file of VLMEvalKit, {model}_{dataset}.xlsx",
            )  # fmt: skip
        rows.append(low)
    circular = _circular(rows)
    if circular:
        notes.add(
            f"circular: {len(rows)} rows turn the options of {len(circular)} questions, each one cluster"
        )
    for at, low in enumerate(rows, 1):
        made = _row(low, model, dataset, at, notes, xlsx=path.suffix == ".xlsx")
        group = made["item"].isdecimal() and int(made["item"]) % _TURN
        yield {**made, "cluster": f"question {group}"} if circular and group in circular else made


def _circular(rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """The questions that are asked again with their options turned: a turn's index is a million higher."""
    ids = {int(text) for row in rows if (text := _text(row["index"])).isdecimal()}
    return {one % _TURN for one in ids if one >= _TURN and one % _TURN in ids}


def stage(path: Path) -> int:
    """How far a scorer has come with a file: 0 predictions, 1 a judge's extractions, 2 values."""
    names = {str(name).strip().lower() for name in next(iter(table_rows(path, Notes())), {})}
    return 2 if names & set(_VALUES) else 1 if names & {"res", "extract", "extracted"} else 0


def _row(
    row: Mapping[str, Any], model: str, dataset: str, at: int, notes: Notes, *, xlsx: bool
) -> dict[str, Any]:
    item = _text(row["index"])
    if not item:
        notes.count("no id (index); they are named by their place, and cannot be paired with another run")
        item = f"row {at}"
    reply = _text(row["prediction"])
    cut = xlsx and any(len(v) >= CELL_LIMIT for v in row.values() if isinstance(v, str))
    if cut:
        notes.count(f"a cell is full at {CELL_LIMIT:,} characters and was cut when the xlsx file was written")
    thought, response = (row.get("thinking") and _text(row["thinking"])) or None, reply
    if thought is None:
        thought, response = split_reply(reply)
    gold, details, split = _gold(row), _details(row, dataset, cut), _text(row.get("split"))
    value = next((v for name in _VALUES if 0 <= (v := number(row.get(name))) <= 1), float("nan"))
    why = ""
    if value != value and "res" in row and gold is not None:
        value = post_check(dataset, _text(row["res"]), gold, details)
        why = "" if value != value else "what the judge extracted, compared as VLMEvalKit does"
    return {
        "model": model,
        "harness": "vlmevalkit",
        "benchmark": dataset,
        "item": item,
        "question": _text(row.get("question")),
        "gold": gold,
        "version": split if split.lower() in _PARTS else "",
        "response": response,
        "thought": thought,
        "logged": value,
        "why": why,
        "parsed": _text(row.get("extracted") or row.get("extract") or row.get("res")) or None,
        "cluster": _text(row.get("image_path")),
        "category": _text(row.get("category") or row.get("l2-category") or row.get("data_type"))
        or ("" if split.lower() in _PARTS else split),
        "images": [_text(row["image_path"])] if row.get("image_path") else [],
        "details": details,
    }


def post_check(dataset: str, extraction: str, gold: str, details: Mapping[str, Any]) -> float:
    """What VLMEvalKit makes of a judge's extraction; NaN for a benchmark of which it makes nothing."""
    found = recognise(dataset)
    checks = {"MathVista": mathvista_checked, "MathVision": mathvision_checked}
    if found is None or found[0] not in checks:
        return float("nan")
    options, kind = details.get("options") or {}, str(details.get("answer_type") or "")
    asked = Asked(found[0], extraction, (gold,), options=options, answer_type=kind)
    return checks[found[0]](asked, extraction).value


def _gold(row: Mapping[str, Any]) -> str | None:
    """The right answer; for a choice of MathVista its letter, for ScreenSpot its box."""
    for name in ("answer_option", "answer", "bbox"):
        if text := _text(row.get(name)):
            return text
    return None


def _details(row: Mapping[str, Any], dataset: str, cut: bool) -> dict[str, Any]:
    details: dict[str, Any] = {}
    letters = {c: _text(row[c]) for c in sorted(row) if len(c) == 1 and c.isupper() and _text(row[c])}
    if not letters and _text(row.get("choices")).startswith("["):
        letters = {chr(ord("A") + i): str(v) for i, v in enumerate(_literal(_text(row["choices"])))}
    if letters:
        details["options"] = letters
    elif listed := options_in(_text(row.get("question_for_eval") or row.get("question"))):
        details["options"] = listed
    for name in (
        "answer_type",
        "question_type",
        "precision",
        "set_id",
        "figure_id",
        "question_id",
        "l2-category",
    ):
        if _text(row.get(name)):
            details[name] = _text(row[name])
    if row.get("bbox"):
        details["gold_format"] = "xyxy" if "pro" in dataset.lower() else "xywh"
    if cut:
        details["cut"] = True
    return details


def _literal(text: str) -> list[Any]:
    try:
        value = ast.literal_eval(text[:20_000])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return value[:26] if isinstance(value, list) else []


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def model_and_dataset(stem: str) -> tuple[str, str]:
    """("Qwen3-VL-8B", "ChartQA_TEST") of "Qwen3-VL-8B_ChartQA_TEST_gpt-4o_result", whoever the judge was."""
    while _TAIL.search(stem):
        stem = _TAIL.sub("", stem)
    parts = stem.split("_")
    for end in range(len(parts), 0, -1):
        for start in range(end):
            name = "_".join(parts[start:end])
            if recognise(name):
                return "_".join(parts[:start]), name
    return (parts[0], "_".join(parts[1:])) if len(parts) > 1 else ("", stem)


def table_rows(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """Rows of a table as dicts, one at a time.

    Raises:
        InputError: if it is damaged, or an xlsx file and openpyxl is missing.
    """
    kind = path.suffix.lower()
    if kind == ".xlsx":
        yield from _xlsx_rows(path)
    elif kind == ".json":
        data = load_json(path)
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            raise damaged(path, "not a list of rows")
        yield from data
    else:
        yield from _delimited_rows(path, "," if kind == ".csv" else "\t", notes)


def _xlsx_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise InputError(
            f"{path.name} is an xlsx file, and openpyxl is not installed", "openpyxl",
            "run: pip install 'vlm-workbench[bench]'",
        ) from None  # fmt: skip
    checked_zip(path).close()
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (LookupError, ValueError, OSError, SyntaxError, EOFError, BadZipFile, zlib.error) as error:
        raise damaged(path, f"not a workbook ({type(error).__name__}: {error})") from None
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        header = [str(name) if name is not None else None for name in next(rows, ())]
        for row in rows:
            if any(cell is not None for cell in row):
                yield {name: cell for name, cell in zip(header, row) if name is not None}
    except (LookupError, ValueError, OSError, SyntaxError, EOFError, BadZipFile, zlib.error) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from None
    finally:
        book.close()


def _delimited_rows(path: Path, delimiter: str, notes: Notes) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, _FIELD_LIMIT))
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            short: tuple[int, int] | None = None
            for row in reader:
                if not row:
                    continue
                if short:
                    raise damaged(
                        path, f"the row at line {short[0]} has {short[1]} fields, not {len(header)}"
                    )
                if len(row) != len(header):
                    short = (reader.line_num, len(row))
                    continue
                yield dict(zip(header, row))
        except csv.Error as error:
            raise damaged(path, f"line {reader.line_num}: {error} (cut in the middle?)") from None
    if short:
        notes.add(
            f"cut: the last row of {path.name} has {short[1]} of {len(header)} fields and is left out (1 row)"
        )


def totals_beside(path: Path) -> dict[str, Any]:
    """The totals that VLMEvalKit wrote beside a prediction file: file name -> its rows, or its object."""
    found: dict[str, Any] = {}
    for other in sorted(path.parent.glob("*")):
        match = re.search(r"_(acc|score)(_\w*)?\.(csv|json)$", other.name)
        if not match or other == path or not other.is_file() or other.stat().st_size >= 1 << 20:
            continue
        stem = other.name[: match.start()]
        if not (path.stem.startswith(stem) or stem.startswith(path.stem)):
            continue
        if match.group(3) == "csv":
            with other.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
            if not rows or not {"index", "prediction"} <= set(rows[0]):
                found[other.name] = rows
        else:
            try:
                found[other.name] = json.loads(other.read_text(encoding="utf-8"))
            except ValueError:
                continue
    return found


_MEANS = ("Overall", "overall", "aAcc", "acc", "Final Score Norm")


def _stated(totals: Any) -> list[Total]:
    """The means of all items, or of a split, that a file of totals states.

    Layouts: ``split, Overall, ...`` with one row per split; ``Task&Skill, ..., acc`` with a row "Overall";
        for
    HallusionBench ``split, aAcc, ...`` with a row "Overall"; a JSON object with one of these names.
    """
    rows = totals if isinstance(totals, list) else [totals]
    rows = [row for row in rows if isinstance(row, dict)]
    whole = [row for row in rows if "Overall" in row.values()] or rows
    found = []
    for row in whole:
        name = next((name for name in _MEANS if name in row), None)
        split = str(row.get("split") or "")
        only = {"version": split} if len(whole) > 1 and split else {}
        if name and (len(whole) == 1 or only) and (total := Total.of(name, row[name], only)):
            found.append(total)
    return found
