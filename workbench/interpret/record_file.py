"""How records of what happened inside lie on disk: a folder with the answer, numbers and one JSON"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from ..answer import Answer
from ..errors import InputError
from ..files import local_path, own_folder, read_bytes, read_json, write_bytes, write_json
from ..records import with_format, without_format

__all__ = ["load_numbers", "load_record", "making", "save_record"]

NAME = "record.json"


def save_record(
    path: str | Path,
    kind: str,
    *,
    answer: Answer | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a record into a folder; the JSON is put in place last, so that a crash leaves no mixture.

    Args:
        path: the folder, made if needed; a record that is there is replaced.
        kind: name of the format.
        answer: the answer that the record is about; None for a record about many, which keeps none.
        arrays: its numbers.
        facts: what else it holds, as JSON values.

    Raises:
        InputError: if the folder holds something else.
    """
    folder = own_folder(path, NAME, "a new folder, or one with such a record")
    data = save_arrays({name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()})
    name = f"arrays-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    if answer is not None:
        answer.save(folder / "answer")
    write_bytes(folder / name, data)
    write_json(folder / NAME, with_format({"arrays": name, "facts": dict(facts or {})}, kind))
    for old in folder.glob("arrays-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)
    return folder


def load_record(path: str | Path, kind: str) -> tuple[Answer, dict[str, Any], dict[str, Any]]:
    """Read back what `save_record` wrote: answer, arrays, facts.

    Raises:
        InputError: if it is not there, damaged, or of another format.
    """
    arrays, facts = load_numbers(path, kind)
    return Answer.load(local_path(path) / "answer"), arrays, facts


def load_numbers(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read back what `save_record` wrote without an answer: arrays, facts.

    Raises:
        InputError: if it is not there, damaged, or of another format.
    """
    folder, where = local_path(path), f"path={str(path)!r}"
    record = without_format(read_json(folder / NAME, expect=dict), kind, where)
    with making(path):
        if (name := record["arrays"]) != os.path.basename(name):
            raise InputError(f"{where} names the file {name!r}", "a file in the same folder")
        return load_arrays(read_bytes(folder / name)), dict(record["facts"])


@contextlib.contextmanager
def making(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong while a record is made of a file's values into one error.

    Raises:
        InputError: that the file is damaged.
    """
    try:
        yield
    except InputError:
        raise
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"path={str(path)!r} is damaged: {type(error).__name__}: {error}", "a record that was saved"
        ) from None
