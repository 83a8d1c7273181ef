"""An append-only file of results as they come: one JSON object a line, and a torn last line is tolerated.

One module for what must survive a kill: a benchmark's replies, the cache of replies, a leaderboard's rows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import InputError

__all__ = ["Journal"]

SYNC = 1.0  # seconds; a reply takes about as long, and a sync some milliseconds
FORMAT = "workbench.bench.journal/1"


class Journal:
    """An append-only file of replies, the latest of each key counts.

    Each line is a JSON object with ``key``, handed to the system in one call, so a process that is killed
    loses nothing that it wrote.  It is synced to the disk every `SYNC` seconds and when it is closed: a
    machine that loses its power leaves whole lines and at most one torn one at the end, which is cut off when
    the journal is next written to, and not read.

    Args:
        path: the file; made with the first line.
        shared: several processes may append to it: damaged lines are passed over and nothing is ever cut off.

    Raises:
        InputError: for a damaged line that is not the last one, unless it is shared.
    """

    def __init__(self, path: str | Path, *, shared: bool = False) -> None:
        self.path, self.shared = Path(path), shared
        self.entries: dict[str, dict[str, Any]] = {}
        self.torn = 0
        whole = 0
        if self.path.exists():
            for entry, end in self._read():
                self.entries[entry["key"]] = entry
                whole = end
            self.torn = self.path.stat().st_size - whole
        self._whole = whole
        self._file: int | None = None
        self._synced = time.monotonic()

    def _read(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Entries with the position behind each; ends before a torn last line."""
        end = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    entry = json.loads(line)
                    entry["key"]
                except (ValueError, TypeError, KeyError):
                    if not line.endswith(b"\n"):
                        return
                    if self.shared:
                        end += len(line)
                        continue
                    raise InputError(
                        f"line {number} of {str(self.path)!r} is damaged",
                        f"a journal ({FORMAT}): one JSON object a line",
                        "delete that line; its item is then asked again",
                    ) from None
                if not line.endswith(b"\n"):  # whole JSON, but the line's end was lost: it is asked again
                    return
                end += len(line)
                yield entry, end

    def append(self, entries: Iterable[dict[str, Any]]) -> None:
        """Add replies; when this returns, nothing that happens to this process can lose them."""
        entries = list(entries)
        if not entries:
            return
        lines = "\n" * (self.torn > 0 and self.shared and self._file is None)
        lines += "".join(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n" for entry in entries)
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.torn and not self.shared:
                os.truncate(self.path, self._whole)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        data = lines.encode("utf-8", "surrogatepass")
        while data:
            data = data[os.write(self._file, data) :]
        now = time.monotonic()
        if not self.shared and now - self._synced >= SYNC:
            os.fsync(self._file)
            self._synced = now
        self.entries.update((entry["key"], entry) for entry in entries)

    def close(self) -> None:
        """Close the file; another `append` opens it again."""
        if self._file is not None:
            if not self.shared:
                os.fsync(self._file)
            os.close(self._file)
            self._file = None
            self.torn = 0
