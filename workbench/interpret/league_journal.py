"""What a league has measured so far: one JSON line a question and mode, which survives a kill"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError

__all__ = ["Journal"]

NAME = "journal.jsonl"


class Journal:
    """A file that only grows; its first line says what is being measured.

    Args:
        folder: where it lies; made if needed.
        header: what is measured: settings and model.  A journal of something else is refused.

    Raises:
        InputError: if the folder holds the journal of another league.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self.done: dict[tuple[int, str], list[dict[str, Any]]] = {}
        if self.path.exists():
            self._read(dict(header))
        else:
            self._append({"header": dict(header)})

    def add(self, unit: tuple[int, str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Note one question's rows; on disk when this returns."""
        self.done[unit] = [dict(row) for row in rows]
        self._append({"unit": list(unit), "rows": self.done[unit]})

    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the order of the questions."""
        return [row for unit in sorted(self.done) for row in self.done[unit]]

    def remove(self) -> None:
        """Forget it: the league is finished and lies elsewhere."""
        self.path.unlink(missing_ok=True)

    def _read(self, header: dict[str, Any]) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]  # a kill may leave half a line
        found = json.loads(whole[0])["header"] if whole else None
        if found is None:
            self.path.unlink()
            return self._append({"header": header})
        if found != header:
            changed = sorted(k for k in header.keys() | found.keys() if header.get(k) != found.get(k))
            raise InputError(
                f"{self.path} belongs to a league with other {', '.join(changed)}",
                "the same settings and model",
                "pass another --out, or remove the journal to begin anew",
            )
        for line in map(json.loads, whole[1:]):
            self.done[(line["unit"][0], line["unit"][1])] = line["rows"]
        if len(whole) < len(lines):
            os.truncate(self.path, sum(map(len, whole)))
        return None

    def _append(self, record: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
