"""How records of what happened inside lie on disk: a folder with the answer, numbers and one JSON"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from ..answer import Answer
from ..errors import InputError
from ..files import local_path, own_folder, read_bytes, read_json, write_bytes, write_json
from ..records import plain, refuse_unknown, value_of, with_format, without_format

__all__ = ["SavedByField", "load_numbers", "load_record", "making", "save_record"]

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


class SavedByField:
    """A frozen dataclass that lies on disk field by field, as each field's annotation says.

    Arrays go into one file, a field ``answer`` and further answers into folders of their names, tables and
    all else into the JSON.  A class names its ``FORMAT``.
    """

    FORMAT: ClassVar[str]

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path``; it loads without a model."""
        kinds = _fields(type(self))
        parts = {kind: [name for name, found in kinds.items() if found is kind] for kind in _OWN_FORM}
        facts = {name: plain(getattr(self, name)) for name, kind in kinds.items() if kind not in _OWN_FORM}
        facts |= {name: plain(getattr(self, name).to_dict(orient="list")) for name in parts[pd.DataFrame]}
        arrays = {name: getattr(self, name) for name in parts[np.ndarray]}
        answer: Answer | None = getattr(self, "answer", None)
        folder = save_record(path, self.FORMAT, answer=answer, arrays=arrays, facts=facts)
        for name in parts[Answer]:
            if name != "answer":
                getattr(self, name).save(folder / name)
        return folder

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """
        arrays, facts = load_numbers(path, cls.FORMAT)
        kinds, where = _fields(cls), f"path={str(path)!r}"
        with making(path):
            refuse_unknown((*arrays, *facts), kinds, where)
            made: dict[str, Any] = {}
            for name, kind in kinds.items():
                if kind is Answer:
                    made[name] = Answer.load(local_path(path) / name)
                elif kind is np.ndarray:
                    made[name] = arrays[name]
                elif name in facts:
                    fact = facts[name]
                    table = kind is pd.DataFrame
                    made[name] = pd.DataFrame(fact) if table else value_of(kind, fact, f"{where}, {name}")
            return cls(**made)


_OWN_FORM = (Answer, np.ndarray, pd.DataFrame)


def _fields(kind: type) -> dict[str, Any]:
    """The fields of a dataclass with their types."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
