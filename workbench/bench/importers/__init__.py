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
from ..results import KEY, Results, table_of
from ..run import NAME as RUN_FILE
from ..run import open_run
from ..scorers import PROTOCOLS
from ..scoring import rescore
from ..store import leads_out
from . import eureka, evalscope, inspect_log, lmms_eval, opencompass, vlmevalkit
from .common import NoReplies, Notes, damaged, named

__all__ = ["IMPORTERS", "Importer", "Notes", "load_results", "recognised", "register_importer"]

_FORMATS = (
    "a log of VLMEvalKit, lmms-eval, Inspect, Eureka, EvalScope or OpenCompass, or what Results.save wrote"
)
_OWN_PROTOCOLS = {"vlmevalkit": "vlmevalkit", "lmms-eval": "lmms-eval"}

Reader = Callable[[Path, Notes], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Importer:
    """How one harness's logs are read.

    Args:
        read: from a file to rows as `Results` holds them; what a reader should know goes into the notes.
        recognises: whether a file is such a log, from its path and its first bytes; None for the harnesses
            that `recognised` knows itself.
        example: writes a small log into a folder, for the contract tests.
    """

    read: Reader
    recognises: Callable[[Path, bytes], bool] | None = None
    example: Callable[[Path], Path] | None = None


IMPORTERS: Table[Importer] = Table(
    "importer",
    {
        "vlmevalkit": Importer(vlmevalkit.read_vlmevalkit),
        "lmms-eval": Importer(lmms_eval.read_samples),
        "inspect": Importer(inspect_log.read_inspect),
        "eureka": Importer(eureka.read_eureka),
        "evalscope": Importer(evalscope.read_evalscope),
        "opencompass": Importer(opencompass.read_opencompass),
    },
)
"""Name of a harness -> how its logs are read; `register_importer` adds one."""


def register_importer(
    harness: str,
    read: Reader,
    *,
    recognises: Callable[[Path, bytes], bool],
    example: Callable[[Path], Path] | None = None,
) -> None:
    """Add a harness whose logs `load_results` reads.

    Args:
        harness: its name; it becomes the rows' ``harness``.
        read: called with a file and the `Notes`; yields a mapping per item with at least ``item``, ``gold``
            and ``response`` (see `workbench.bench.COLUMNS` for all).
        recognises: called with a file's path and its first 4096 bytes, before the workbench's own check.
        example: writes a small log into a folder and returns its path, for the contract tests
            (``pytest --pyargs workbench.contracts``).

    Raises:
        InputError: for a name that is taken, or functions that cannot be called.
    """
    if not (callable(read) and callable(recognises)):
        raise InputError(f"importer {harness!r}: read={read!r}, recognises={recognises!r}", "two functions")
    IMPORTERS.register(harness, Importer(read, recognises, example))


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
    """Read a log of VLMEvalKit, lmms-eval, Inspect, Eureka, EvalScope or OpenCompass, or a folder of them.

    A row's value is the one that the log holds (``protocol`` "logged"), else that of the harness's own
    protocol (ours for the others).  What a reader should know is counted in ``warnings``: cut cells,
    a cut last line, repeated or missing ids, rows without a score, and mean scores that the log states but
    its rows do not give.  Rows are never dropped in silence: of several logs with the same items, each is a
    ``run`` of its own, named after the model and the log's date, id or folder.

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
    logs = []
    for file, kind in _files(source, notes):
        told = Notes()
        if kind == "workbench":
            logs.append(_Log(file, Results.load(file), told))
            continue
        given = {"benchmark": benchmark, "model": model, "run": run, "mode": mode, "images": images}
        try:
            logs.append(_Log(file, _load(file, kind, told, **given), told))
        except NoReplies as error:
            if source.is_file():
                raise
            notes.add(error.given)
        except InputError:
            raise
        except (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            csv.Error,
        ) as error:
            # a value that no reader foresaw: a harness wrote it in another form, or the file is damaged
            raise damaged(file, f"{type(error).__name__}: {error}") from error
    if not logs:
        raise InputError(f"no log with replies in {str(source)!r}", _FORMATS)
    parts = _told_apart(logs, source, notes) if len(logs) > 1 else [logs[0].results]
    results = parts[0] if len(parts) == 1 else Results.concat(parts, duplicates="first")
    about = parts[0].about if len(parts) == 1 else {"sources": [dict(part.about) for part in parts]}
    valued = _valued(Results(results.table, results.folder, results.warnings, about), protocol)
    if protocol is None:
        notes.once += _unlike_the_totals(valued, logs, parts)
    return Results(valued.table, valued.folder, (*notes.once, *valued.warnings), valued.about)


@dataclass(frozen=True)
class _Log:
    """One file with what its importer read and noticed."""

    file: Path
    results: Results
    notes: Notes


def _told_apart(logs: list[_Log], source: Path, notes: Notes) -> list[Results]:
    """The results of several logs; where two of one ``run`` hold the same items, each log is its own run."""
    names = [_telling_names(logs, source), [_place(log, source) for log in logs]]
    parts = [log.results for log in logs]
    for labels in names:
        clashing = _clashing(parts)
        for at in clashing:
            table = parts[at].table
            whole = [" ".join(filter(None, (run, labels[at]))) for run in table["run"]]
            parts[at] = parts[at].replaced(table.assign(run=whole))
        if clashing:
            runs = sorted({run for at in clashing for run in parts[at].table["run"]})
            said = (
                f"{len(clashing)} logs hold the same items and are runs of their own: {', '.join(runs[:6])}"
            )
            notes.once = [n for n in notes.once if "are runs of their own" not in n] + [said]
    return parts


def _telling_names(logs: list[_Log], source: Path) -> list[str]:
    return [log.notes.run or _place(log, source) for log in logs]


def _place(log: _Log, source: Path) -> str:
    """A log's place below the folder that is read."""
    return log.file.relative_to(source).with_suffix("").as_posix() if source.is_dir() else log.file.stem


def _clashing(parts: list[Results]) -> list[int]:
    """The parts whose run holds an item that another part of the same run holds too."""
    holders: dict[tuple[Any, ...], set[int]] = {}
    runs: dict[str, set[int]] = {}
    for at, part in enumerate(parts):
        for key in part.table[list(KEY)].itertuples(index=False, name=None):
            holders.setdefault(key, set()).add(at)
            runs.setdefault(key[0], set()).add(at)
    twice = {key[0] for key, found in holders.items() if len(found) > 1}
    return sorted({at for run in twice for at in runs[run]})


def _unlike_the_totals(results: Results, logs: list[_Log], parts: list[Results]) -> list[str]:
    """A sentence for each mean that a log states and its rows do not give."""
    found = []
    for log, part in zip(logs, parts, strict=True):
        runs = set(part.table["run"])
        own = results.table[results.table["run"].isin(runs)]
        own = own[own["benchmark"].isin(set(part.table["benchmark"]))]
        for total in log.notes.totals:
            rows = own
            for column, value in total.rows.items():
                rows = rows[rows[column] == value]
            # the log's own values, where it holds any; a mean over repetitions counts every reply
            values = rows["logged"] if rows["logged"].notna().any() else rows["value"]
            if values.notna().any() and total.differs(float(values.mean())):
                as_wrong = not total.differs(float(values.fillna(0).mean()))
                found.append(
                    f"totals: {log.file.name}: the log states {total.name} = {total.value:g}, its rows give "
                    f"{values.mean():.4g} (mean of {int(values.notna().sum())} of {len(rows)} rows)"
                    + ("; counting rows without a score as wrong gives the log's number" if as_wrong else "")
                )
    return found


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
    for file in _each_once(source, notes):
        kind = recognised(file)
        if kind == "workbench" or kind in IMPORTERS:
            found.append((file, kind))
        elif not kind:
            others.append(file.name)
    if not found:
        raise InputError(f"no log in the folder {str(source)!r}", _FORMATS)
    found = _without_copies(_without_judges(found, notes), notes)
    if others:
        notes.add(f"{len(others)} other files in the folder are no logs: {', '.join(others[:5])}")
    return found


def _each_once(source: Path, notes: Notes) -> list[Path]:
    """The files below a folder, without links to files that are there already."""
    kept: dict[Path, Path] = {}
    files = sorted(p for p in source.rglob("*") if p.is_file() and not p.name.startswith("."))
    for file in sorted(files, key=lambda file: file.is_symlink()):
        kept.setdefault(file.resolve(), file)
    if len(kept) < len(files):
        notes.add(f"{len(files) - len(kept)} files are links to others in the folder and are read once")
    return sorted(kept.values())


def _without_judges(found: list[tuple[Path, str]], notes: Notes) -> list[tuple[Path, str]]:
    """Without a judge's stages of Eureka, and without what a file beside holds too: Eureka's rows with their
    scores, EvalScope's replies that its reviews repeat."""
    judges = {file for file, kind in found if kind == "eureka" and eureka.is_judges(file)}
    if judges and len(judges) < len(found):
        notes.add(f"{len(judges)} files hold the replies of a judge; its verdicts are the logged values")
        found = [(file, kind) for file, kind in found if file not in judges]
    twice = {"evalscope": _is_reviewed, "eureka": eureka.is_scored}
    return [(file, kind) for file, kind in found if kind not in twice or not twice[kind](file)]


def _is_reviewed(file: Path) -> bool:
    """Whether EvalScope's review of the same samples lies beside a file of predictions."""
    folder = file.parent
    return (
        folder.parent.name == "predictions"
        and (folder.parent.parent / "reviews" / folder.name / file.name).is_file()
    )


def _without_copies(found: list[tuple[Path, str]], notes: Notes) -> list[tuple[Path, str]]:
    """Of VLMEvalKit's files for one model and data set, the one that a scorer wrote, else the predictions."""
    best: dict[tuple[Any, ...], Path] = {}
    for file, kind in found:
        key: tuple[Any, ...] = (file,)
        if kind == "vlmevalkit":
            key = (file.parent, *vlmevalkit.model_and_dataset(file.stem))
        if key not in best or _rank(file) > _rank(best[key]):
            best[key] = file
    kept = [(file, kind) for file, kind in found if file in best.values()]
    if len(kept) < len(found):
        notes.add(f"{len(found) - len(kept)} files hold the same items as a file that a scorer made of them")
    return kept


def _rank(file: Path) -> tuple[int, int]:
    return vlmevalkit.stage(file), len(file.stem)


def _load(file: Path, kind: str, notes: Notes, **given: Any) -> Results:
    rows = list(IMPORTERS[kind].read(file, notes))
    if not rows:
        raise damaged(file, "it holds no items")
    table = table_of(rows)
    log_name = str(table["benchmark"].iloc[0])
    name, split = named([given["benchmark"] or log_name, *log_name.split("/")[::-1]])
    table["benchmark"] = given["benchmark"] or name
    versions = table["version"] if "version" in table else pd.Series([""] * len(table))
    if kind == "vlmevalkit" and (split == "" or len(set(versions)) > 1):
        split = ""  # DEV_VAL is dev for some rows and validation for others
    elif kind == "vlmevalkit":
        versions = pd.Series([""] * len(table))
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


def _safe_refs(refs: object, notes: Notes) -> tuple[str, ...]:
    """Picture references that stay below the folder; a log may not point elsewhere on this machine."""
    kept = []
    for ref in refs if isinstance(refs, (list, tuple)) else []:
        if leads_out(str(ref)) and str(ref) not in notes.kept:
            notes.count("the picture's path leads out of the log's folder and is left out")
        else:
            kept.append(Path(str(ref).replace("\\", "/")).as_posix())
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
    """The kind of a file by its content: a harness of `IMPORTERS`, "lmms-eval totals", "totals", "workbench"
    for results of our own, or "" for anything else."""
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
        if evalscope.is_review(first) or evalscope.is_prediction(first):
            return "evalscope"
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
    if opencompass.is_predictions(data):
        return "opencompass"
    return (
        "totals" if isinstance(data, dict) and any("Overall" in k or "acc" in k.lower() for k in data) else ""
    )


def _start_of(path: Path, size: int) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(size)


def _table_kind(text: str) -> str:
    line = text.split("\n", 1)[0].rstrip("\r")
    for delimiter in ("\t", ","):
        try:
            header = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            continue
        if vlmevalkit.is_prediction_table(header):
            return "vlmevalkit"
        if {"Overall", "split"} <= set(header) or "Overall" in header or "aAcc" in header:
            return "totals"
    return ""


def _hint(path: Path) -> str:
    if path.name.endswith((".csv", ".json")) and ("_acc" in path.stem or "_score" in path.stem):
        return "pass the prediction file beside it ({model}_{dataset}.xlsx, .tsv or .json)"
    return "pass the file that holds the replies"
