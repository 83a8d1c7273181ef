"""Replies on disk as they come: one JSON line each, a torn last line tolerated

Replies that need not be asked again: what tells two askings apart, where replies are kept
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError

__all__ = ["Cache", "Journal", "asking_key", "cache_home", "is_remote", "model_fingerprint", "only_writer"]


SYNC = 1.0  # seconds; a reply takes about as long, and a sync some milliseconds
FORMAT = "workbench.bench.store/1"


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


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold a folder, so that no second process writes into it; let go when this one ends.

    Raises:
        InputError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # no such locks on Windows; there, two runs into one folder are the user's care
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"folder={str(folder)!r} is being written by another process",
                "one run at a time in a folder",
                "wait for the other run, or pass another folder=",
            ) from None
        yield


#: Values of each tensor that go into a fingerprint, evenly spaced; reading all of a 15B model takes minutes.
SAMPLED = 64


def cache_home() -> Path:
    """Folder of cached replies and of runs without a folder of their own.

    ``WORKBENCH_CACHE`` if it is set, else ``vlm-workbench`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    if own := os.environ.get("WORKBENCH_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "vlm-workbench"


def model_fingerprint(vlm: Any) -> str:
    """Sixteen characters that stand for a model: its weights, precision and picture settings.

    Of a model here: names, shapes and `SAMPLED` values of every tensor, so that a retrained checkpoint of
    the same name is another model.  Of a model on a server, which shows no weights: its address and name.
    """
    weights = _weights(vlm)
    if weights is None:
        seen = hashlib.sha256(json.dumps(["remote", vlm.source, vlm.name]).encode())
        return seen.hexdigest()[:16]
    known = vlm.__dict__.get("_fingerprint")
    if known and known[0] is weights:
        return str(known[1])
    seen = hashlib.sha256()
    for name, tensor in weights.state_dict().items():
        seen.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        if tensor.is_meta or not tensor.numel():  # offloaded to disk: name and shape have to do
            continue
        flat = tensor.detach().reshape(-1)
        sampled = flat[:: max(1, flat.numel() // SAMPLED)]
        values = sampled.float() if sampled.is_floating_point() else sampled
        seen.update(values.cpu().numpy().tobytes())
    pictures = getattr(vlm.processor, "image_processor", None)
    settings = {} if pictures is None else pictures.to_dict()
    seen.update(json.dumps(settings, sort_keys=True, default=str).encode())
    found = seen.hexdigest()[:16]
    vlm.__dict__["_fingerprint"] = (weights, found)
    return found


def is_remote(vlm: Any) -> bool:
    """Whether a model answers from elsewhere: it streams, but there is nothing here to look into."""
    return _weights(vlm) is None and hasattr(vlm, "stream")


def _weights(vlm: Any) -> Any:
    """The Transformers model, or None where there is none to look into."""
    from ..errors import CapabilityError

    try:
        model = getattr(vlm, "model", None)
    except CapabilityError:
        return None
    return model if hasattr(model, "state_dict") else None


def asking_key(
    model: str, question: str, pictures: Sequence[str], mode: str, settings: dict[str, Any]
) -> str:
    """What tells one asking from another: model, question, pictures, mode and settings.

    The size of a batch is not in it: a reply in a batch is the one that would come alone.
    """
    told = [1, model, question, list(pictures), mode, sorted(settings.items())]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[
        :32
    ]


class Cache:
    """Replies of one model, kept across runs.

    Args:
        folder: where caches lie; None keeps nothing.
        model: the model's fingerprint.
    """

    def __init__(self, folder: str | Path | None, model: str) -> None:
        self._journal = None if folder is None else Journal(Path(folder) / f"{model}.jsonl", shared=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """The reply to an asking, or None."""
        return None if self._journal is None else self._journal.entries.get(key)

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        """Keep replies; failures are not kept."""
        if self._journal is not None:
            self._journal.append([entry for entry in entries if not entry.get("error")])

    def close(self) -> None:
        """Close the file."""
        if self._journal is not None:
            self._journal.close()
