"""`load_results`: other harnesses' logs as `Results`, recognised by what is in them, not by their names"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...errors import InputError
from ...files import local_path
from ...names import verb
from ...plugins import Table
from ..results import Results, table_of
from ..run import NAME as RUN_FILE
from ..run import open_run
from ..scorers import PROTOCOLS
from ..scoring import rescore
from . import eureka, inspect_log, lmms_eval, vlmevalkit
from .common import Notes, damaged, named

__all__ = ["IMPORTERS", "Importer", "load_results", "recognised", "register_importer"]

_FORMATS = "a log of VLMEvalKit, lmms-eval, Inspect or Eureka, or a file that Results.save wrote"
_OWN_PROTOCOLS = {"vlmevalkit": "vlmevalkit", "lmms-eval": "lmms-eval"}

Reader = Callable[[Path, Notes], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Importer:
    """How one harness's logs are read.

    Args:
        read: from a file to rows as `Results` holds them; what a reader should know goes into the notes.
        recognises: whether a file is such a log, from its path and its first bytes; None for the harnesses
            that `recognised` knows itself.
    """

    read: Reader
    recognises: Callable[[Path, bytes], bool] | None = None


IMPORTERS: Table[Importer] = Table(
    "importer",
    {
        "vlmevalkit": Importer(vlmevalkit.read_vlmevalkit),
        "lmms-eval": Importer(lmms_eval.read_samples),
        "inspect": Importer(inspect_log.read_inspect),
        "eureka": Importer(eureka.read_eureka),
    },
)
"""Name of a harness -> how its logs are read; `register_importer` adds one."""


def register_importer(harness: str, read: Reader, *, recognises: Callable[[Path, bytes], bool]) -> None:
    """Add a harness whose logs `load_results` reads.

    Args:
        harness: its name; it becomes the rows' ``harness``.
        read: called with a file and the `Notes`; yields a mapping per item with at least ``item``, ``gold``
            and ``response`` (see `workbench.bench.COLUMNS` for all).
        recognises: called with a file's path and its first 4096 bytes, before the workbench's own check.

    Raises:
        InputError: for a name that is taken, or functions that cannot be called.
    """
    if not (callable(read) and callable(recognises)):
        raise InputError(f"importer {harness!r}: read={read!r}, recognises={recognises!r}", "two functions")
    IMPORTERS.register(harness, Importer(read, recognises))


@verb(rules="protocol")
def load_results(
    path: str | Path,
    *,
    protocol: str | None = None,
    benchmark: str | None = None,
    model: str | None = None,
    run: str | None = None,
    mode: str | None = None,
    images: str | Path | None = None,
) -> Results:
    """Read a log of VLMEvalKit, lmms-eval, Inspect or Eureka, or all logs in a folder.

    A row's value is the one that the log holds (``protocol`` "logged"), else that of the harness's own
    protocol (ours for Inspect and Eureka).  What a reader should know is counted in ``warnings``: cut cells,
    a cut last line, repeated or missing ids, rows without a score.  Rows are never dropped in silence.

    Args:
        path: a file, or a folder (searched with its subfolders; what is no log is counted). The folder of a
            run of our own is opened as `open_run` does.
        protocol: score all rows by these instead ("workbench", "vlmevalkit", "lmms-eval").
        benchmark: the benchmark's name, where the log's own name does not tell.
        model, run: names to use instead of the log's.
        mode: the mode that the model was asked in.  Logs do not tell; None stands for "auto", as a harness
            forces nothing (and for the mode itself in a log that `export_lmms_eval` wrote).
        images: folder that the log's picture references start from.

    Raises:
        InputError: if it is not there, not recognised, unsafe (an archive with ``../`` or a zip bomb), or
            damaged in a way that would lose rows.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise InputError(f"protocol={protocol!r}", f"None, or one of {', '.join(map(repr, PROTOCOLS))}")
    source = local_path(path)
    if not source.exists():
        raise InputError(f"path={str(path)!r} is not there", _FORMATS)
    if (source / RUN_FILE).is_file():
        names = {"benchmark": benchmark, "model": model, "run": run, "mode": mode}
        own = open_run(source, protocol=protocol)
        return own.replaced(own.table.assign(**{name: text for name, text in names.items() if text}))
    notes = Notes()
    parts = []
    for file, kind in _files(source, notes):
        if kind == "workbench":
            parts.append(Results.load(file))
            continue
        parts.append(
            _load(file, kind, Notes(), benchmark=benchmark, model=model, run=run, mode=mode, images=images)
        )
    results = parts[0] if len(parts) == 1 else Results.concat(parts, duplicates="first")
    about = parts[0].about if len(parts) == 1 else {"sources": [dict(part.about) for part in parts]}
    warnings = [*notes.once, *results.warnings]
    return _valued(Results(results.table, results.folder, tuple(warnings), about), protocol)


def _files(source: Path, notes: Notes) -> list[tuple[Path, str]]:
    """The files to read with their kinds; of a folder, what is no log is noted."""
    if source.is_file():
        kind = recognised(source)
        if kind == "lmms-eval totals":
            return [(file, "lmms-eval") for file in lmms_eval.sample_files(source)]
        if kind in ("totals", ""):
            what = "holds totals only, no replies" if kind else "is not recognised"
            raise InputError(f"{source.name} {what}", _FORMATS, _hint(source))
        return [(source, kind)]
    found, others = [], []
    for file in sorted(p for p in source.rglob("*") if p.is_file() and not p.name.startswith(".")):
        kind = recognised(file)
        if kind == "workbench" or kind in IMPORTERS:
            found.append((file, kind))
        elif not kind:
            others.append(file.name)
    if not found:
        raise InputError(f"no log in the folder {str(source)!r}", _FORMATS)
    found = _without_copies(found, notes)
    if others:
        notes.add(f"{len(others)} other files in the folder are no logs: {', '.join(others[:5])}")
    return found


def _without_copies(found: list[tuple[Path, str]], notes: Notes) -> list[tuple[Path, str]]:
    """Of VLMEvalKit's files for one model and data set, the one that a scorer wrote, else the predictions."""
    best: dict[tuple[Any, ...], Path] = {}
    for file, kind in found:
        key: tuple[Any, ...] = (file,)
        if kind == "vlmevalkit":
            key = (file.parent, *vlmevalkit.model_and_dataset(file.stem))
        if key not in best or len(file.stem) > len(best[key].stem):
            best[key] = file
    kept = [(file, kind) for file, kind in found if file in best.values()]
    if len(kept) < len(found):
        notes.add(f"{len(found) - len(kept)} files hold the same items as a file that a scorer made of them")
    return kept


def _load(file: Path, kind: str, notes: Notes, **given: Any) -> Results:
    rows = list(IMPORTERS[kind].read(file, notes))
    if not rows:
        raise damaged(file, "it holds no items")
    table = table_of(rows)
    log_name = str(table["benchmark"].iloc[0])
    name, split = named([given["benchmark"] or log_name, *log_name.split("/")[::-1]])
    table["benchmark"] = given["benchmark"] or name
    versions = table["version"] if "version" in table else pd.Series([""] * len(table))
    table["version"] = [" ".join(part for part in (split, version) if part) for version in versions]
    if given["mode"] or "mode" not in table:
        table["mode"] = given["mode"] or "auto"
    for column in ("model", "run"):
        if given[column]:
            table[column] = given[column]
    folder = given["images"] if given["images"] is not None else file.parent
    if "images" in table:
        table["images"] = pd.Series(
            [_safe_refs(refs, notes) for refs in table["images"]], index=table.index, dtype=object
        )
    about = {"source": file.name, "harness": kind, **_totals(file, kind)}
    return Results.of(
        table, folder=folder, warnings=notes.warnings(file.name, len(table)), about=about, duplicates="first"
    )


def _safe_refs(refs: Any, notes: Notes) -> tuple[str, ...]:
    """Picture references that stay below the folder; a log may not point elsewhere on this machine."""
    kept = []
    for ref in refs if isinstance(refs, (list, tuple)) else []:
        parts = Path(str(ref).replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts:
            notes.count("the picture's path leads out of the log's folder and is left out")
        else:
            kept.append(parts.as_posix())
    return tuple(kept)


def _totals(file: Path, kind: str) -> dict[str, Any]:
    if kind == "vlmevalkit":
        return {"totals": vlmevalkit.totals_beside(file)}
    if kind == "lmms-eval":
        totals = lmms_eval.totals_of(lmms_eval.results_beside(file), lmms_eval.task_of(file))
        return {"totals": totals}
    return {}


def _valued(results: Results, protocol: str | None) -> Results:
    """Values: by the protocol that was asked for, else the log's own, else those of its harness."""
    if protocol is not None:
        again = rescore(results, protocol)
        return Results(again.table, again.folder, again.warnings, again.about)
    table, warnings = results.table.copy(), list(results.warnings)
    logged = table["logged"].between(0, 1)
    fresh = logged & (table["protocol"] == "")
    table.loc[fresh, "value"] = table.loc[fresh, "logged"]
    table.loc[fresh, "protocol"] = "logged"
    table.loc[fresh & (table["why"] == ""), "why"] = "the log's own value"
    open_rows = (table["protocol"] == "") & table["value"].isna()
    for harness in sorted(set(table.loc[open_rows, "harness"])):
        wanted = open_rows & (table["harness"] == harness)
        own = _OWN_PROTOCOLS.get(harness, "workbench")
        again = rescore(Results(table[wanted].reset_index(drop=True), results.folder), own)
        again.table["protocol"] = again.table["protocol"].where(again.table["value"].notna(), "")
        for column in ("value", "parsed", "why", "protocol"):
            table.loc[wanted, column] = again.table[column].to_numpy()
        warnings += [w for w in again.warnings if w not in warnings]
    return Results.of(table, folder=results.folder, warnings=_lasting(warnings), about=results.about)


def _lasting(warnings: Iterable[str]) -> list[str]:
    return [w for w in warnings if not w.startswith(("not scored:", "mixed versions:", "mixed protocols:"))]


def recognised(path: Path) -> str:
    """The kind of a file by its content: "vlmevalkit", "lmms-eval", "lmms-eval totals", "inspect", "eureka",
    "workbench", "totals", a registered harness, or "" for anything else."""
    with path.open("rb") as file:
        start = file.read(4096)
    for name, importer in IMPORTERS.plugged().items():
        if importer.recognises is not None and importer.recognises(path, start):
            return name
    if start.startswith(b"PAR1"):
        return "workbench"
    if start.startswith(b"PK") or path.suffix == ".eval":
        return _archive_kind(path)
    text = start.decode("utf-8-sig", errors="replace").lstrip()
    if text.startswith(("{", "[")):
        return _json_kind(path, text)
    return _table_kind(text)


def _archive_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise damaged(path, f"not a complete zip archive ({error})") from None
    if inspect_log.is_archive(names):
        return "inspect"
    return "vlmevalkit" if "xl/workbook.xml" in names else ""


def _json_kind(path: Path, text: str) -> str:
    first = _first_object(path)
    if first is not None:
        if first.get("format") == "workbench.results":
            return "workbench"
        if lmms_eval.is_sample(first):
            return "lmms-eval"
        if eureka.is_row(first):
            return "eureka"
    return _document_kind(path, text)


def _first_object(path: Path) -> dict[str, Any] | None:
    """The first line as a JSON object; None where it is none (a document over several lines)."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(64 << 20)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _document_kind(path: Path, text: str) -> str:
    head = text[:4096]
    if head.startswith("["):
        return "vlmevalkit" if '"prediction"' in _start_of(path, 1 << 20) else ""
    try:
        data = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RecursionError):
        if any(f'"{key}"' in head for key in ("results", "eval", "doc_id", "model_output", "filtered_resps")):
            raise damaged(path, "not complete JSON (cut in the middle?)") from None
        return ""
    if lmms_eval.is_results(data):
        return "lmms-eval totals"
    if inspect_log.is_log(data):
        return "inspect"
    return (
        "totals" if isinstance(data, dict) and any("Overall" in k or "acc" in k.lower() for k in data) else ""
    )


def _start_of(path: Path, size: int) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(size)


def _table_kind(text: str) -> str:
    line = text.split("\n", 1)[0].rstrip("\r")
    for delimiter in ("\t", ","):
        header = next(csv.reader([line], delimiter=delimiter), [])
        if vlmevalkit.is_prediction_table(header):
            return "vlmevalkit"
        if {"Overall", "split"} <= set(header) or "Overall" in header or "aAcc" in header:
            return "totals"
    return ""


def _hint(path: Path) -> str:
    if path.name.endswith((".csv", ".json")) and ("_acc" in path.stem or "_score" in path.stem):
        return "pass the prediction file beside it ({model}_{dataset}.xlsx, .tsv or .json)"
    return "pass the file that holds the replies"
