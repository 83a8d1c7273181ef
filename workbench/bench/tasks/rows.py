"""Rows of a benchmark as it lies on disk: parquet, JSON and JSON lines, pictures inside, beside or zipped"""

from __future__ import annotations

import base64
import functools
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, UnidentifiedImageError

from ...errors import InputError

__all__ = ["Beside", "EncodedPicture", "ParquetPicture", "ZipPicture", "picture_size", "read_rows"]

LARGEST = 200_000_000  # bytes that one picture in a zip may unpack to


@dataclass(frozen=True)
class ParquetPicture:
    """A picture in a cell of a parquet file, read when it is needed."""

    path: str
    column: str
    group: int
    row: int
    position: int = -1  # in a cell that holds a list of pictures

    def read(self) -> bytes:
        """The picture's file, as it was stored."""
        cell = _column(self.path, self.group, self.column)[self.row].as_py()
        cell = cell[self.position] if self.position >= 0 else cell
        return bytes(cell["bytes"]) if isinstance(cell, dict) else bytes(cell)


@dataclass(frozen=True)
class ZipPicture:
    """A picture in a zip, read when it is needed; nothing is unpacked to the disk."""

    path: str
    member: str

    def read(self) -> bytes:
        """The picture's file.

        Raises:
            InputError: if it is not there, damaged, or unpacks to more than a picture can be.
        """
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                data = file.read(LARGEST + 1)
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.member!r} in {self.path!r}: {error}", "a picture in the zip") from None
        if len(data) > LARGEST:
            raise InputError(
                f"{self.member!r} in {self.path!r} unpacks to over {LARGEST:,} bytes", "a picture"
            )
        return data


@dataclass(frozen=True)
class EncodedPicture:
    """A picture written as base64 text into a row."""

    text: str

    def read(self) -> bytes:
        """The picture's file."""
        try:
            return base64.b64decode(self.text, validate=False)
        except ValueError as error:
            raise InputError(f"a picture in base64: {error}", "base64 text") from None


@functools.lru_cache(maxsize=4)
def _column(path: str, group: int, column: str) -> Any:
    return _parquet_file(path).read_row_group(group, columns=[column]).column(0)


def _parquet_file(path: str) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path!r} is damaged or no parquet file: {error}", "a parquet file", "fetch it again"
        ) from None


def read_rows(folder: Path, patterns: Sequence[str]) -> list[dict[str, Any]]:
    """All rows of the files that match, in the files' order; each knows its file by ``"__file__"``.

    Args:
        folder: where the benchmark lies.
        patterns: of file names below it; the first that matches anything counts.

    Raises:
        InputError: if no file matches, or one is damaged.
    """
    for pattern in patterns:
        if files := sorted(path for path in folder.glob(pattern) if path.is_file()):
            return [row for path in files for row in _rows_of(path)]
    there = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) if folder.is_dir() else "no folder"
    raise InputError(
        f"folder={str(folder)!r} ({there})", f"a file like {' or '.join(patterns)}", "check the folder"
    )


def _rows_of(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.suffix == ".parquet":
            yield from _parquet_rows(path)
            return
        text = path.read_text(encoding="utf-8")
        found = (
            [json.loads(line) for line in text.splitlines() if line.strip()]
            if path.suffix == ".jsonl"
            else json.loads(text)
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{str(path)!r} is damaged: {error}", "JSON, or a JSON object a line", "fetch it again"
        ) from None
    rows = [{"id": key, **row} for key, row in found.items()] if isinstance(found, dict) else found
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(
                f"row {number} of {str(path)!r} is {type(row).__name__}", "an object with the columns"
            )
        yield {**row, "__file__": path}


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    file = _parquet_file(str(path))
    kinds = {field.name: _picture_kind(field.type) for field in file.schema_arrow}
    plain = [name for name, kind in kinds.items() if not kind]
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group, columns=plain).to_pylist()
        masks = {name: _column(str(path), group, name) for name, kind in kinds.items() if kind}
        for number in range(file.metadata.row_group(group).num_rows):
            row = dict(rows[number]) if rows else {}
            for name, cells in masks.items():
                cell = cells[number]
                if not cell.is_valid:
                    row[name] = None
                elif kinds[name] == "list":
                    several = range(len(cell))
                    row[name] = [ParquetPicture(str(path), name, group, number, at) for at in several]
                else:
                    row[name] = ParquetPicture(str(path), name, group, number)
            yield {**row, "__file__": path}


def _picture_kind(kind: Any) -> str:
    """ "one" for a column of pictures (a struct with bytes, or bytes), "list" for lists of them, else ""."""
    from pyarrow import types

    def is_picture(t: Any) -> bool:
        if types.is_binary(t) or types.is_large_binary(t):
            return True
        return bool(types.is_struct(t)) and any(t.field(i).name == "bytes" for i in range(t.num_fields))

    if is_picture(kind):
        return "one"
    listed = types.is_list(kind) or types.is_large_list(kind)
    return "list" if listed and is_picture(kind.value_type) else ""


class Beside:
    """Pictures that a row names: a file below the benchmark's folder, or a member of a zip in it."""

    def __init__(self, folder: Path, under: Sequence[str] = ("", "images", "screenspotv2_image")) -> None:
        self._folder, self._under = folder.resolve(), under
        self._members: dict[str, tuple[str, str]] = {}
        for path in sorted(folder.glob("*.zip")):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    self._members.setdefault(PurePosixPath(member).name, (str(path), member))

    def find(self, name: str) -> Path | ZipPicture:
        """The picture of this name.

        Raises:
            InputError: if it is nowhere, or its name leads out of the folder.
        """
        for under in self._under:
            path = (self._folder / under / name).resolve()
            if not path.is_relative_to(self._folder):
                raise InputError(f"picture {name!r} leads out of the benchmark's folder", "a name below it")
            if path.is_file():
                return path
        if found := self._members.get(PurePosixPath(name).name):
            return ZipPicture(*found)
        raise InputError(
            f"picture {name!r} is not in {str(self._folder)!r}",
            "the pictures beside the rows, or in a zip there",
        )


def picture_size(picture: Any) -> tuple[int, int]:
    """(width, height) of a picture as it will be seen, from its header alone.

    Raises:
        InputError: if it is no picture.
    """
    data = picture.read() if hasattr(picture, "read") and not isinstance(picture, Image.Image) else picture
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # orientation: lying on its side
            return (height, width) if turned else (width, height)
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"a picture that cannot be read: {error}", "a picture") from None
