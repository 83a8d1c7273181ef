"""What importers share: JSON lines read one by one, replies split, archives checked before they are read"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import InputError
from ..scorers import recognise

__all__ = [
    "Notes",
    "checked_zip",
    "damaged",
    "json_lines",
    "load_json",
    "named",
    "number",
    "options_in",
    "split_reply",
]

LARGEST_MEMBER = 1 << 30  # bytes of one unpacked member of an archive
LARGEST_ARCHIVE = 16 << 30  # bytes of all members together
SUSPICIOUS = 64 << 20  # from this size on, a member may not be packed more than RATIO times
RATIO = 200


@dataclass
class Notes:
    """What an importer noticed, counted; it becomes ``Results.warnings``."""

    counts: Counter[str] = field(default_factory=Counter)
    once: list[str] = field(default_factory=list)

    def count(self, what: str, n: int = 1) -> None:
        """Count an occurrence of something."""
        self.counts[what] += n

    def add(self, text: str) -> None:
        """Note something that concerns the log as a whole."""
        self.once.append(text)

    def warnings(self, name: str, rows: int) -> list[str]:
        """The notes on the file of that name, as sentences."""
        return [*self.once, *(f"{name}: {n} of {rows} rows: {what}" for what, n in self.counts.items())]


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


_OPTION = re.compile(r"(?m)^[ \t]{0,8}(?:\(([A-Z])\)|([A-Z])[.):])[ \t]{1,8}(\S[^\n]{0,2000})$")


def options_in(prompt: str) -> dict[str, str]:
    """The options that a prompt lists, one a line from A on: ``A. red`` or ``(A) red``."""
    found: dict[str, str] = {}
    for match in _OPTION.finditer(prompt):
        letter = match.group(1) or match.group(2)
        if letter == "A":
            found = {}
        if letter == chr(ord("A") + len(found)):
            found[letter] = match.group(3).strip()
    return found if len(found) >= 2 else {}


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
