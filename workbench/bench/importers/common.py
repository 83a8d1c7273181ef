"""What importers share: what a log says of itself, JSON lines, split replies, archives read with care"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import CapabilityError, InputError
from ..scorers import recognise
from ..store import cache_home
from ..tasks.task import keep_picture, picture_digest

__all__ = [
    "NoReplies",
    "Notes",
    "Total",
    "checked_zip",
    "damaged",
    "json_lines",
    "load_json",
    "named",
    "number",
    "read_member",
    "split_reply",
]

LARGEST_MEMBER = 1 << 30  # bytes of one unpacked member of an archive
LARGEST_ARCHIVE = 16 << 30  # bytes of all members together
SUSPICIOUS = 64 << 20  # from this size on, a member may not be packed more than RATIO times
RATIO = 200
PICTURES = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF")  # how a picture begins
ZSTANDARD = 93  # the zip method that Inspect writes since 0.3.206


@dataclass(frozen=True)
class Total:
    """A mean score that the log itself states.

    Args:
        name: where it stands and what it is called there.
        value: as it stands there, a share or a percentage.
        within: half a unit of its last digit.
        rows: column -> value of the rows that it is a mean of; all rows where empty.
    """

    name: str
    value: float
    within: float = 1e-6
    rows: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, stated: Any, rows: Mapping[str, str] | None = None) -> Total | None:
        """The total from a number or its text, whose digits tell how it was rounded; None if it is none."""
        value = number(str(stated).strip().rstrip("%"))
        if not math.isfinite(value):
            return None
        digits = len(str(stated).strip().rstrip("%").partition(".")[2]) if "e" not in str(stated) else 12
        return cls(name, value, 0.5 * 10.0 ** -min(digits, 12) + 1e-9, dict(rows or {}))

    def differs(self, mean: float) -> bool:
        """Whether a mean of 0 to 1 is another number than this one, read as a share or as a percentage."""
        return min(abs(self.value - mean) - self.within, abs(self.value - 100 * mean) - self.within) > 0


@dataclass
class Notes:
    """What an importer noticed beside the rows, and what the log says of itself.

    Args:
        counts: sentence -> rows that it is about; with `once` they become ``Results.warnings``.
        once: sentences about the log as a whole.
        run: what tells this log from another one of the same model and benchmark: a date, an id, a path.
        totals: the mean scores that the log states, to compare with its rows.
        kept: paths of the pictures that `keep_picture` wrote.
    """

    counts: Counter[str] = field(default_factory=Counter)
    once: list[str] = field(default_factory=list)
    run: str = ""
    totals: list[Total] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)

    def count(self, what: str, n: int = 1) -> None:
        """Count an occurrence of something."""
        self.counts[what] += n

    def add(self, text: str) -> None:
        """Note something that concerns the log as a whole."""
        self.once.append(text)

    def keep_picture(self, text: str) -> list[str]:
        """Keep a picture that a log holds as base64 in `cache_home`, under its digest.

        Returns:
            Its path, or nothing (counted) where it is no picture.
        """
        try:
            data = base64.b64decode(text, validate=True)
            if not data.startswith(PICTURES):
                raise ValueError
        except ValueError:
            self.count("a picture in the log cannot be read")
            return []
        folder = cache_home() / "pictures"
        try:
            self.kept.add(path := str(folder / keep_picture(data, picture_digest(data), folder)))
        except OSError as error:
            self.count(f"a picture in the log cannot be kept in {folder} ({error.strerror or error})")
            return []
        return [path]

    def warnings(self, name: str, rows: int) -> list[str]:
        """The notes on the file of that name, as sentences."""
        return [*self.once, *(f"{name}: {n} of {rows} rows: {what}" for what, n in self.counts.items())]


class NoReplies(InputError):
    """A log that states totals and holds no replies."""


def damaged(path: Path, reason: str, fix: str = "") -> InputError:
    """The error for a log that cannot be read to its end."""
    return InputError(
        f"{path.name} is damaged: {reason}",
        "a complete log",
        fix or "copy it again, or run the harness again",
    )


def json_lines(path: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; a last line that is cut is noted, any other is an error.

    Raises:
        InputError: for a line in the middle that is not a JSON object.
    """
    bad: tuple[int, str] | None = None
    with path.open(encoding="utf-8", errors="replace") as file:
        for number_, line in enumerate(file, 1):
            if not line.strip():
                continue
            if bad:
                raise damaged(path, f"line {bad[0]} is not a JSON object ({bad[1]})")
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                bad = (number_, str(error)[:80])
                continue
            if not isinstance(row, dict):
                raise damaged(path, f"line {number_} is a {type(row).__name__}, not an object")
            yield row
    if bad:
        if bad[0] == 1:
            raise damaged(path, f"its only line is not complete ({bad[1]})")
        notes.add(f"cut: line {bad[0]}, the last of {path.name}, is not complete and 1 row is missing")


def load_json(path: Path) -> Any:
    """A JSON document.

    Raises:
        InputError: if it is not one, or is cut.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not complete JSON ({str(error)[:80]})") from None


def checked_zip(path: Path) -> zipfile.ZipFile:
    """An archive whose members' names and sizes are harmless; its members are to be read, never extracted.

    Raises:
        InputError: for a damaged archive, a name that leads out of it, or sizes that no log has (a zip bomb).
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise damaged(path, f"not a complete zip archive ({error})") from None
    try:
        total = 0
        for member in archive.infolist():
            _check_name(path, member.filename)
            total += member.file_size
            packed = max(1, member.compress_size)
            blown_up = member.file_size > SUSPICIOUS and member.file_size / packed > RATIO
            if member.file_size > LARGEST_MEMBER or total > LARGEST_ARCHIVE or blown_up:
                raise InputError(
                    f"{path.name}: {member.filename!r} would unpack to {member.file_size / 2**20:,.0f} MiB "
                    f"from {member.compress_size / 2**20:,.2f} MiB",
                    "a log, not a zip bomb",
                    "do not open it; ask where it comes from",
                )
    except InputError:
        archive.close()
        raise
    return archive


def _check_name(path: Path, name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise InputError(
            f"{path.name}: member {name!r} leads out of the archive",
            "names inside the archive",
            "do not unpack it; ask where it comes from",
        )


def read_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """One member of an archive that `checked_zip` opened, never more than the size that it states.

    Raises:
        InputError: if it is damaged, larger than it states, or packed in a way that cannot be read here.
    """
    member = archive.getinfo(name)
    try:
        if member.compress_type == ZSTANDARD:
            return _unpack_zstandard(path, archive, member)
        return archive.read(member)
    except NotImplementedError as error:
        raise InputError(
            f"{path.name}: {name}: {error}",
            "members that are stored, deflated or packed with Zstandard",
            f"convert it: inspect log convert {path.name} --to json --output-dir converted",
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error) as error:
        raise damaged(path, f"{name}: {error}") from None


def _unpack_zstandard(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Unpack a member that is one Zstandard frame or several, up to the size that the archive states."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise CapabilityError(
            f"{path.name} is packed with Zstandard, and backports.zstd is not installed",
            "backports.zstd",
            "run: pip install 'vlm-workbench[bench]'",
        ) from None
    out, packed = bytearray(), _packed(archive, member)
    while packed:
        unpacker = zstd.ZstdDecompressor()
        try:
            out += unpacker.decompress(packed, max_length=member.file_size + 1 - len(out))
        except zstd.ZstdError as error:
            raise damaged(path, f"{member.filename}: {error}") from None
        if len(out) > member.file_size or not unpacker.eof:
            break
        packed = unpacker.unused_data
    if len(out) != member.file_size or zlib.crc32(out) != member.CRC:
        raise damaged(path, f"{member.filename} does not unpack to what the archive states")
    return bytes(out)


def _packed(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member's bytes as they lie in the archive, behind its local header of 30 bytes and two texts."""
    file = archive.fp
    assert file is not None
    file.seek(member.header_offset)
    name, extra = struct.unpack("<26xHH", file.read(30))
    file.seek(name + extra, 1)
    return file.read(member.compress_size)


def split_reply(text: str) -> tuple[str | None, str]:
    """(thought, response) of a raw reply; the thought is None where the reply has none.

    A thought that never ended leaves an empty response.
    """
    if "</think>" in text:
        thought, _, response = text.rpartition("</think>")
        return thought.replace("<think>", "", 1).strip(), response.strip()
    if text.lstrip().startswith("<think>"):
        return text.lstrip().removeprefix("<think>").strip(), ""
    return None, text


def number(value: Any) -> float:
    """A number that a log holds: numbers, booleans and their texts; NaN for anything else."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("true", "false"):
            return float(text == "true")
        try:
            return float(text)
        except ValueError:
            return math.nan
    return math.nan


def named(candidates: Sequence[str]) -> tuple[str, str]:
    """(benchmark, version) from the first name that is recognised, or the first name as it is."""
    for name in candidates:
        if found := recognise(name):
            return found
    return (candidates[0] if candidates else "", "")
