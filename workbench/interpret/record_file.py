"""How records of what happened inside lie on disk: a folder with the answer, numbers and one JSON"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from ..answer import Answer
from ..errors import InputError
from ..files import write_bytes

__all__ = ["load_record", "save_record"]

NAME, VERSION = "record.json", 1


def save_record(
    path: str | Path,
    kind: str,
    *,
    answer: Answer,
    arrays: Mapping[str, np.ndarray] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a record into a folder; the JSON is put in place last, so that a crash leaves no mixture.

    Args:
        path: the folder, made if needed; a record that is there is replaced.
        kind: name of the format.
        answer: the answer that the record is about.
        arrays: its numbers.
        facts: what else it holds, as JSON values.

    Raises:
        InputError: if the folder holds something else.
    """
    folder = Path(path).expanduser()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / NAME).is_file()):
        raise InputError(
            f"path={str(path)!r} holds something else", "a new folder, or one with such a record"
        )
    folder.mkdir(parents=True, exist_ok=True)
    data = save_arrays({name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()})
    name = f"arrays-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    answer.save(folder / "answer")
    write_bytes(folder / name, data)
    record = {"format": kind, "version": VERSION, "arrays": name, "facts": dict(facts or {})}
    write_bytes(folder / NAME, json.dumps(record, indent=1, ensure_ascii=False).encode())
    for old in folder.glob("arrays-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)
    return folder


def load_record(path: str | Path, kind: str) -> tuple[Answer, dict[str, Any], dict[str, Any]]:
    """Read back what `save_record` wrote: answer, arrays, facts.

    Raises:
        InputError: if it is not there, damaged, or of another format.
    """
    folder = Path(path).expanduser()
    try:
        record = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if record["format"] != kind or record["version"] != VERSION:
            raise InputError(f"path={str(path)!r} has another format", f"{kind} version {VERSION}")
        if (name := record["arrays"]) != os.path.basename(name):
            raise InputError(f"path={str(path)!r} names the file {name!r}", "a file in the same folder")
        arrays = load_arrays((folder / name).read_bytes())
        return Answer.load(folder / "answer"), arrays, record["facts"]
    except OSError as error:
        raise InputError(
            f"path={str(path)!r}: {error.strerror or error}", f"a folder with a {kind}"
        ) from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"path={str(path)!r} is damaged: {type(error).__name__}: {error}", "a record that was saved"
        ) from None
