"""`Results`: what a model replied to every item of a benchmark, whoever asked, as one table.

The columns are declared, and a plain table is brought into that form.  On disk they are JSON lines with a
header, or parquet with the same header in its metadata.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..answer import WITHHELD, Answer
from ..errors import InputError
from ..files import local_path, write_bytes, writing
from ..images import open_image
from ..names import Named, later
from ..types import Mode
from .store import leads_out, seal, trusted

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = [
    "COLUMNS",
    "KEY",
    "NUMBERS",
    "Results",
    "TEXT",
    "answer_row",
    "cut_thoughts",
    "read_results",
    "save_results",
    "table_of",
    "tidy",
]


TEXT = {
    "run": "name of the run; the model's name unless told otherwise",
    "model": "name of the model",
    "harness": "who asked: workbench, vlmevalkit, lmms-eval, inspect, eureka, evalscope, opencompass",
    "benchmark": "name of the benchmark or task, without its split",
    "version": "which version of the benchmark's data: a split, a revision or a hash; '' if unknown",
    "item": "the item's id within the benchmark",
    "hash": "hash of the item's content, where a harness records one",
    "mode": "auto, think or nothink; auto for a log that forces neither",
    "control": "'' for the real question; 'blind' or 'grey' where the picture was withheld",
    "question": "what was asked",
    "gold": "the right answer as text; several as a JSON list, a box as [x1, y1, x2, y2]; None: not known",
    "response": "the reply without its thought; None where there was none",
    "thought": "the thought; None where there was none",
    "parsed": "what the protocol read from the response; None where it read nothing",
    "why": "in words, how the value came about",
    "protocol": "what gave the value: workbench, vlmevalkit, lmms-eval; 'logged': the log's own value",
    "stopped": "why the reply ended, as of Answer (end, length, budget, ...); '' if unknown",
    "cluster": "items with the same cluster are not independent (they share a picture or a problem)",
    "category": "the item's category within the benchmark",
    "created": "UTC time of the reply, ISO 8601",
}
NUMBERS = {
    "value": "score from 0 to 1; NaN: not scored",
    "logged": "the score that the log itself holds; NaN where it holds none",
    "epoch": "0, or the number of the repetition where an item was asked several times",
    "prompt_tokens": "tokens of the prompt, pictures included",
    "image_tokens": "tokens of the prompt that stand for pictures",
    "thought_tokens": "tokens of the thought",
    "answer_tokens": "tokens of the answer",
    "tokens": "output tokens, thought and answer together",
    "seconds": "from the question to the last token",
    "seconds_to_first_token": "from the question to the first token",
    "p_think": "probability of opening a thought, before any mode was forced",
}
OBJECTS = {
    "images": "tuple of picture references: paths relative to Results.folder, or absolute",
    "details": "what a scorer takes besides (see `score`), and 'scorer' where it is not the benchmark's own",
}
COLUMNS: dict[str, str] = {**TEXT, **NUMBERS, **OBJECTS}
"""Name of each column of ``Results.frame()`` -> what it holds."""

KEY = ("run", "harness", "benchmark", "version", "item", "mode", "control", "epoch")
"""The columns that together name a row."""

_OLD_COLUMNS = {"rules": "protocol"}  # as results were saved before
_REQUIRED = ("benchmark", "item", "mode")
_MAY_BE_NONE = {"gold", "response", "thought", "parsed"}
_PREDICTED = {"epoch": 0.0}


def tidy(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """A table with exactly `COLUMNS` in their order and types, from rows that may lack most of them.

    Text columns are Python strings (or None where that means something), numbers are floats with NaN
    for "not known", ``epoch`` is an integer.

    Raises:
        InputError: for an unknown column, a missing one that is needed, an empty id or benchmark, an
            unknown mode, or a value outside 0 to 1.
    """
    table = rows if isinstance(rows, pd.DataFrame) else table_of(rows)
    table = table.rename(columns=_OLD_COLUMNS)
    _check_columns(table)
    columns: dict[str, pd.Series] = {}
    for name in TEXT:
        columns[name] = _text(table, name)
    for name in NUMBERS:
        columns[name] = _numbers(table, name)
    columns["images"] = _objects(table, "images", _refs)
    columns["details"] = _objects(table, "details", _details)
    clean = pd.DataFrame(columns).reset_index(drop=True)
    _fill(clean)
    _check(clean)
    return clean[list(COLUMNS)]


def table_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table of Python objects, as they are: pandas guesses no types, which is faster too."""
    given = list(rows)
    names = dict.fromkeys(name for row in given for name in row)
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in given], dtype=object) for name in names},
        index=range(len(given)),
    )


def _check_columns(table: pd.DataFrame) -> None:
    for name in table.columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(str(name), COLUMNS, n=3)
            fix = f"did you mean {' or '.join(near)}?" if near else "keep it in details"
            raise InputError(f"column {name!r}", "the columns of workbench.bench.COLUMNS", fix)
    if missing := [name for name in _REQUIRED if name not in table.columns and len(table)]:
        raise InputError(f"no column {', '.join(missing)}", f"at least {', '.join(_REQUIRED)}")


def _text(table: pd.DataFrame, name: str) -> pd.Series:
    absent = None if name in _MAY_BE_NONE else ""
    if name not in table.columns:
        return pd.Series([absent] * len(table), dtype=object)
    values = list(table[name])
    if not set(map(type, values)) - ({str} if absent == "" else {str, type(None)}):
        return pd.Series(values, dtype=object)  # as it should be already, which is the rule
    return pd.Series([_as_text(value, absent) for value in values], dtype=object)


def _as_text(value: object, absent: str | None) -> str | None:
    if isinstance(value, Mode):
        return value.value
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return absent
    if isinstance(value, (list, tuple)):
        return json.dumps(list(value), ensure_ascii=False)
    return str(value)


def _numbers(table: pd.DataFrame, name: str) -> pd.Series:
    default = _PREDICTED.get(name, math.nan)
    if name not in table.columns:
        return pd.Series([default] * len(table), dtype="int64" if name == "epoch" else "float64")
    try:
        values = pd.Series(pd.to_numeric(table[name], errors="raise"), dtype="float64").fillna(default)
        return (
            values.astype("int64").reset_index(drop=True)
            if name == "epoch"
            else values.reset_index(drop=True)
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"column {name}: {error}", "numbers, or None where they are not known") from None


def _objects(table: pd.DataFrame, name: str, read: Any) -> pd.Series:
    given = table[name] if name in table.columns else [None] * len(table)
    return pd.Series([read(value) for value in given], dtype=object)


def _refs(value: Any) -> tuple[str, ...]:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ()
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)


def _details(value: object) -> dict[str, Any]:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"details={value!r}", "a dict")
    return dict(value)


def _fill(table: pd.DataFrame) -> None:
    """What follows from other columns: the run's name, the output tokens, the cluster."""
    table["run"] = table["run"].where(table["run"] != "", table["model"])
    known = table["thought_tokens"].notna() | table["answer_tokens"].notna()
    both = table["thought_tokens"].fillna(0) + table["answer_tokens"].fillna(0)
    table["tokens"] = table["tokens"].where(table["tokens"].notna() | ~known, both)
    table["cluster"] = table["cluster"].where(table["cluster"] != "", table["item"])


def _check(table: pd.DataFrame) -> None:
    for name in ("benchmark", "item"):
        empty = table.index[table[name] == ""]
        if len(empty):
            raise InputError(
                f"{len(empty)} of {len(table)} rows have no {name} (the first is row {empty[0]})",
                f"a {name} in every row",
            )
    for mode in table["mode"].unique():
        Mode.of(mode)
    outside = table.index[(table["value"] < 0) | (table["value"] > 1)]
    if len(outside):
        value = table["value"][outside[0]]
        raise InputError(f"value {value:g} in row {outside[0]}", "scores from 0 to 1, or NaN")


@dataclass(frozen=True, eq=False)
class Results(Named, rules="protocol"):
    """Every response of a run or of an imported log, with its score; make one with `Results.of`.

    Args:
        table: the columns of `COLUMNS`, one row per item and mode; `frame` gives a copy.
        folder: where relative picture references lie; None where there are no pictures.
        warnings: what a reader should know about these rows, each with its count.
        about: facts on the run or log as a whole (settings, hardware, the log's own totals).
    """

    table: pd.DataFrame
    folder: Path | None = None
    warnings: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, Any]] | pd.DataFrame,
        *,
        folder: str | Path | None = None,
        warnings: Sequence[str] = (),
        about: Mapping[str, Any] | None = None,
        duplicates: str = "error",
    ) -> Results:
        """Check rows and make the record.

        Args:
            rows: dicts, or a table, with some of `COLUMNS`; ``benchmark``, ``item`` and ``mode`` are needed.
            folder: where relative picture references lie.
            warnings: to keep, beside those that are found here.
            about: facts on the whole, as plain JSON values.
            duplicates: for rows with the same `KEY`: ``"error"``, or ``"first"`` or ``"last"`` to keep that
                one with a counted warning.

        Raises:
            InputError: for an unknown or missing column, an empty id, an unknown mode, a value outside
                0 to 1, or duplicates.
        """
        if duplicates not in ("error", "first", "last"):
            raise InputError(f"duplicates={duplicates!r}", "'error', 'first' or 'last'")
        table = tidy(rows)
        table, doubled = _without_duplicates(table, duplicates)
        found = [*warnings, *doubled, *_observed(table)]
        place = None if folder is None else local_path(folder)
        return cls(table, place, tuple(dict.fromkeys(found)), dict(about or {}))

    @classmethod
    def concat(cls, parts: Iterable[Results], *, duplicates: str = "error") -> Results:
        """Several results as one; picture references become absolute where the folders differ.

        Raises:
            InputError: if there are none, or two rows have the same `KEY` (unless ``duplicates`` says
                which to keep).
        """
        given = list(parts)
        if not given:
            raise InputError("no results", "at least one Results")
        folders = {part.folder for part in given}
        tables = [part.table if len(folders) == 1 else part._with_absolute_images() for part in given]
        kept = [w for part in given for w in part.warnings if not w.startswith(_OBSERVED)]
        about: dict[str, Any] = {}
        for part in given:
            about.update({k: v for k, v in part.about.items() if k not in about})
        table = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
        folder = given[0].folder if len(folders) == 1 else None
        return cls.of(table, folder=folder, warnings=kept, about=about, duplicates=duplicates)

    def __add__(self, other: Results) -> Results:
        return Results.concat([self, other])

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.table["benchmark"].unique()[:4])) or "no rows"
        scored = self.table["value"].dropna()
        mean = f", mean {scored.mean():.3f}" if len(scored) else ""
        warned = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"Results({len(self)} rows: {names}; protocol {self.protocol}{mean}{warned})"

    @property
    def protocol(self) -> str:
        """The protocol that gave the values; ``"mixed"`` where rows differ."""
        names = set(self.table["protocol"]) - {""}
        return next(iter(names)) if len(names) == 1 else ("mixed" if names else "")

    def plot(self, **options: Any) -> Figure:
        """Scores with their 95% intervals, one line per benchmark; options as for `workbench.viz.forest`."""
        return later("viz", "forest")(self, **options)

    def frame(self) -> pd.DataFrame:
        """A copy of the table: one row per item and mode, with the columns of `COLUMNS`."""
        return self.table.copy()

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows as dicts; None for text that is absent, NaN for numbers that are not known."""
        yield from self.table.to_dict("records")

    def where(self, **wanted: Any) -> Results:
        """The rows with these values: ``results.where(benchmark="ChartQA", mode=["auto", "think"])``.

        Raises:
            InputError: for a column that does not exist.
        """
        keep = pd.Series(True, index=self.table.index)
        for name, value in wanted.items():
            if name not in COLUMNS:
                raise InputError(f"column {name!r}", f"one of {', '.join(COLUMNS)}")
            values = [value] if isinstance(value, str) or not isinstance(value, (list, tuple, set)) else value
            keep &= self.table[name].isin(list(values))
        return self.replaced(self.table[keep].reset_index(drop=True))

    def replaced(self, table: pd.DataFrame, *, warnings: Sequence[str] = ()) -> Results:
        """The same record around another table (checked anew), for functions that change some columns."""
        kept = [w for w in self.warnings if not w.startswith(_OBSERVED)]
        return Results.of(table, folder=self.folder, warnings=[*kept, *warnings], about=self.about)

    def images(self, row: int | Mapping[str, Any]) -> list[Image]:
        """The pictures of one row, opened now.

        Args:
            row: position in the table, or a row (anything with ``["images"]``).

        Raises:
            InputError: if a picture is not there or cannot be read.
        """
        refs = self.table["images"].iloc[row] if isinstance(row, int) else row["images"]
        return [open_image(self.place(ref)) for ref in refs]

    def place(self, ref: str) -> Path:
        """Where a picture reference leads.

        Raises:
            InputError: for a relative one without a folder.
        """
        path = Path(ref)
        if not path.is_absolute() and self.folder is None:
            raise InputError(
                f"picture {ref!r} of results without a folder", "Results.folder", "pass folder=..."
            )
        return path if path.is_absolute() else Path(self.folder or "") / path

    def _with_absolute_images(self) -> pd.DataFrame:
        if self.folder is None:
            return self.table
        table = self.table.copy()
        table["images"] = pd.Series(
            [tuple(str(self.place(ref).absolute()) for ref in refs) for refs in table["images"]],
            dtype=object,
        )
        return table

    def save(self, path: str | Path) -> Path:
        """Save as ``.jsonl`` or (with pyarrow) ``.parquet``; the file's ending decides.

        Raises:
            InputError: for another ending.
        """

        return save_results(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or of another format.
        """

        return read_results(path)


_OBSERVED = (
    "not scored:",
    "withheld:",
    "cut while thinking:",
    "mixed versions:",
    "mixed protocols:",
)  # found anew in each table


def _without_duplicates(table: pd.DataFrame, duplicates: str) -> tuple[pd.DataFrame, list[str]]:
    repeated = table.duplicated(list(KEY), keep="first")
    if not repeated.any():
        return table, []
    first = table[repeated].iloc[0]
    name = f"{first['benchmark']} item {first['item']!r} in mode {first['mode']}"
    if duplicates == "error":
        raise InputError(
            f"{int(repeated.sum())} rows repeat an item that is already there (the first: {name})",
            f"one row for each {', '.join(KEY)}",
            "name the runs apart (run=...), number repetitions (epoch=...), or pass duplicates='last'",
        )
    every = table[table.duplicated(list(KEY), keep=False)]
    differ = int((every.groupby(list(KEY))["response"].nunique(dropna=False) > 1).sum())
    kept = table.drop_duplicates(list(KEY), keep=duplicates).reset_index(drop=True)
    return kept, [
        f"duplicates: {int(repeated.sum())} rows repeat an item (the first: {name}); the {duplicates} "
        f"of each was kept; {differ} items had different responses"
    ]


def _observed(table: pd.DataFrame) -> list[str]:
    found = []
    if missing := int(table["value"].isna().sum()):
        found.append(f"not scored: {missing} of {len(table)} rows have no value (NaN)")
    for why in sorted(WITHHELD & set(table["stopped"])):
        found.append(f"withheld: {int((table['stopped'] == why).sum())} of {len(table)} replies ({why})")
    cut = table[cut_thoughts(table)]
    if len(cut):
        each = cut.groupby(["benchmark", "mode"], sort=False).size()
        where = ", ".join(f"{name} {mode}: {n}" for (name, mode), n in each.items())
        thoughts = int(table["thought"].notna().sum())
        found.append(
            f"cut while thinking: {len(cut)} of {thoughts} thoughts ended at the limit of tokens and have no "
            f"answer ({where})"
        )
    for benchmark, versions in table.groupby("benchmark")["version"].unique().items():
        if len(versions) > 1:
            names = ", ".join(repr(v) for v in sorted(versions))
            found.append(f"mixed versions: {benchmark} has rows of {len(versions)} versions ({names})")
    protocols = sorted(set(table["protocol"]) - {""})
    if len(protocols) > 1:
        counts = ", ".join(f"{int((table['protocol'] == r).sum())} by {r}" for r in protocols)
        found.append(f"mixed protocols: the values come from {len(protocols)} protocols ({counts})")
    return found


def cut_thoughts(table: pd.DataFrame) -> pd.Series:
    """Which rows ended at the limit of tokens while the model was still thinking: they are wrong by default.

    A log that does not say why a reply ended counts where it holds a thought and nothing behind it.
    """
    thought = table["thought"].notna() & (table["thought"] != "")
    nothing = table["response"].notna() & (table["response"].astype(str).str.strip() == "")
    return thought & nothing & table["stopped"].isin(("length", ""))


def answer_row(answer: Answer) -> dict[str, Any]:
    """The columns that an `Answer` fills; the caller adds benchmark, item, gold, value and so on."""
    first = answer.seconds_to_first_token
    return {
        "model": answer.model,
        "harness": "workbench",
        "mode": answer.mode.value,
        "question": answer.question,
        "response": answer.text,
        "thought": answer.thought,
        "stopped": answer.stopped,
        "created": answer.created,
        "prompt_tokens": answer.prompt_tokens,
        "image_tokens": answer.image_tokens,
        "thought_tokens": answer.thought_tokens,
        "answer_tokens": answer.answer_tokens,
        "tokens": answer.reply_tokens,
        "seconds": answer.seconds,
        "seconds_to_first_token": math.nan if first is None else first,
        "p_think": math.nan if answer.p_think is None else answer.p_think,
    }


FORMAT = {"format": "workbench.results", "version": 1}
_META = b"workbench.results"


def save_results(results: Results, path: str | Path) -> Path:
    """Write results; see `Results.save`."""
    target = local_path(path)
    if target.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"path={str(path)!r}", "a name that ends in .jsonl or .parquet")
    with writing(path):
        target.parent.mkdir(parents=True, exist_ok=True)
    table = results.table.copy()
    table["images"] = pd.Series(
        [_near(results, refs, target.parent) for refs in table["images"]], dtype=object
    )
    outside = seal(ref for refs in table["images"] for ref in refs)
    header = {**FORMAT, "warnings": list(results.warnings), "about": dict(results.about), "seal": outside}
    if target.suffix == ".parquet":
        write_bytes(target, _parquet(table, header))
    else:
        write_bytes(target, _lines(table, header))
    return target


def read_results(path: str | Path) -> Results:
    """Read results back; see `Results.load`."""

    source = local_path(path)
    try:
        if source.suffix == ".parquet":
            header, table = _read_parquet(source)
        else:
            header, table = _read_lines(source)
        warnings, about = header.get("warnings", []), header.get("about", {})
        table, lost = without_strangers_paths(table, header.get("seal"))
        if not isinstance(about, dict) or not all(isinstance(one, str) for one in warnings):
            raise _damaged(source, "its header's warnings are no texts, or about is no object")
        warnings = [*warnings, *lost]
    except OSError as error:
        raise InputError(
            f"path={str(path)!r}: {error.strerror or error}", "a file that Results.save wrote"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(source, str(error)) from None
    return Results.of(table, folder=source.parent, warnings=warnings, about=about)


def without_strangers_paths(table: pd.DataFrame, sealed: object) -> tuple[pd.DataFrame, list[str]]:
    """The rows without picture references that lead out of their folder, unless this machine wrote them.

    Returns:
        The table, and a warning that counts what was left out.
    """
    if "images" not in table:
        return table, []
    given = [_refs(value) for value in table["images"]]
    if trusted((ref for refs in given for ref in refs), sealed):
        return table, []
    kept = [tuple(ref for ref in refs if not leads_out(ref)) for refs in given]
    lost = sum(len(refs) for refs in given) - sum(len(refs) for refs in kept)
    return table.assign(images=pd.Series(kept, index=table.index, dtype=object)), [
        f"pictures: {lost} paths lead out of the folder and were not written on this machine; left out"
    ]


def _near(results: Results, refs: tuple[str, ...], folder: Path) -> list[str]:
    """Picture references as seen from a folder: relative where the picture lies below it."""
    near, root = [], folder.absolute()
    for ref in refs:
        if results.folder is None and not Path(ref).is_absolute():
            near.append(ref)
            continue
        place = results.place(ref).absolute()
        near.append(place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place))
    return near


def _lines(table: pd.DataFrame, header: Mapping[str, Any]) -> Iterator[bytes]:
    yield (json.dumps(header, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
    for row in table.to_dict("records"):
        kept = {k: v for k, v in row.items() if not _is_absent(v)}
        yield (json.dumps(kept, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _is_absent(value: object) -> bool:
    return value is None or value in ("", (), [], {}) or (isinstance(value, float) and math.isnan(value))


def _read_lines(source: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    rows = []
    with source.open(encoding="utf-8", errors="surrogatepass") as file:
        header = _header(source, file.readline())
        for number, line in enumerate(file, 2):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise _damaged(source, f"line {number} is not JSON (cut in the middle?)") from None
            if not isinstance(row, dict):
                raise _damaged(source, f"line {number} is not an object")
            rows.append(row)
    return header, pd.DataFrame.from_records(rows)


def _header(source: Path, line: str | bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or {k: header.get(k) for k in FORMAT} != FORMAT:
        raise InputError(
            f"path={str(source)!r} has another format",
            f"{FORMAT['format']} version {FORMAT['version']}",
            "for another harness's log use workbench.bench.load_results",
        )
    return header


def _damaged(source: Path, reason: str) -> InputError:
    return InputError(
        f"path={str(source)!r} is damaged: {reason}",
        "a file that Results.save wrote",
        "save the results again",
    )


def _parquet(table: pd.DataFrame, header: Mapping[str, Any]) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet  # noqa: F401 - names pa.parquet

    types = {
        name: pa.list_(pa.string())
        if name == "images"
        else pa.int64()
        if name == "epoch"
        else pa.float64()
        if name in NUMBERS
        else pa.string()
        for name in COLUMNS
    }
    columns = {
        name: [json.dumps(v, ensure_ascii=False) for v in table[name]]
        if name == "details"
        else list(table[name])
        for name in COLUMNS
    }
    schema = pa.schema(list(types.items()), metadata={_META: json.dumps(header).encode()})
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table(columns, schema=schema), sink, compression="zstd")
    yield sink.getvalue().to_pybytes()


def _read_parquet(source: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    import pyarrow as pa
    import pyarrow.parquet  # noqa: F401 - names pa.parquet

    try:
        data = pa.parquet.read_table(source)
    except pa.ArrowInvalid as error:
        raise _damaged(source, str(error)) from None
    header = _header(source, (data.schema.metadata or {}).get(_META, b""))
    columns = {name: data.column(name).to_pylist() for name in data.schema.names}
    columns["details"] = [json.loads(v) for v in columns["details"]]
    columns.update({name: list(columns[name]) for name in TEXT})
    return header, pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in columns.items()})
