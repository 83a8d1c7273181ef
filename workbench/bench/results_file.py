"""How `Results` lie on disk: JSON lines with a header, or parquet with the same header in its metadata."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import InputError
from .columns import COLUMNS, NUMBERS, TEXT

if TYPE_CHECKING:
    from .records import Results

__all__ = ["read_results", "save_results", "write_beside"]

FORMAT = {"format": "workbench.results", "version": 1}
_META = b"workbench.results"


def save_results(results: Results, path: str | Path) -> Path:
    """Write results; see `Results.save`."""
    target = Path(path).expanduser()
    if target.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"path={str(path)!r}", "a name that ends in .jsonl or .parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    table = results.table.copy()
    table["images"] = pd.Series(
        [_near(results, refs, target.parent) for refs in table["images"]], dtype=object
    )
    header = {**FORMAT, "warnings": list(results.warnings), "about": dict(results.about)}
    if target.suffix == ".parquet":
        write_beside(target, _parquet(table, header))
    else:
        write_beside(target, _lines(table, header))
    return target


def read_results(path: str | Path) -> Results:
    """Read results back; see `Results.load`."""
    from .records import Results

    source = Path(path).expanduser()
    try:
        if source.suffix == ".parquet":
            header, table = _read_parquet(source)
        else:
            header, table = _read_lines(source)
        warnings, about = header.get("warnings", []), header.get("about", {})
    except OSError as error:
        raise InputError(
            f"path={str(path)!r}: {error.strerror or error}", "a file that Results.save wrote"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(source, str(error)) from None
    return Results.of(table, folder=source.parent, warnings=warnings, about=about)


def write_beside(target: Path, chunks: Iterator[bytes]) -> None:
    """Write bytes beside a file's place and move them there: a crash leaves the old file or the new one."""
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


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


def _is_absent(value: Any) -> bool:
    return value is None or value in ("", (), [], {}) or (isinstance(value, float) and math.isnan(value))


def _read_lines(source: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    rows = []
    with source.open(encoding="utf-8", errors="surrogatepass") as file:
        header = _header(source, file.readline())
        for number, line in enumerate(file, 2):
            try:
                row = json.loads(line)
            except ValueError:
                raise _damaged(source, f"line {number} is not JSON (cut in the middle?)") from None
            if not isinstance(row, dict):
                raise _damaged(source, f"line {number} is not an object")
            rows.append(row)
    return header, pd.DataFrame.from_records(rows)


def _header(source: Path, line: str | bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError:
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


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "a .parquet file without pyarrow",
            "pyarrow",
            "save as .jsonl, or run: pip install 'vlm-workbench[bench]'",
        ) from None
    return pyarrow


def _parquet(table: pd.DataFrame, header: Mapping[str, Any]) -> Iterator[bytes]:
    pa = _arrow()
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
    pa = _arrow()
    try:
        data = pa.parquet.read_table(source)
    except pa.ArrowInvalid as error:
        raise _damaged(source, str(error)) from None
    header = _header(source, (data.schema.metadata or {}).get(_META, b""))
    columns = {name: data.column(name).to_pylist() for name in data.schema.names}
    columns["details"] = [json.loads(v) for v in columns["details"]]
    columns.update({name: list(columns[name]) for name in TEXT})
    return header, pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in columns.items()})
