"""Records from plain mappings and back: unknown fields are refused with the closest name"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import InputError

__all__ = ["build", "closest", "plain", "refuse_unknown"]

T = TypeVar("T")


def closest(name: str, names: list[str]) -> str:
    """The advice to use the most similar of some names; all of them where none is similar."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(names)}"


def refuse_unknown(given: Mapping[str, Any], names: list[str], where: str) -> None:
    """Refuse keys that are not among the names.

    Raises:
        InputError: with the first unknown key, the names, and the closest of them.
    """
    for key in given:
        if key not in names:
            raise InputError(
                f"{where} has no field {key!r}", f"of: {', '.join(names)}", closest(str(key), names)
            )


def build(kind: type[T], value: Any, where: str) -> T:
    """A record of a kind from a mapping of its fields, or the record itself.

    Raises:
        InputError: for what is neither, and for unknown fields.
    """
    if isinstance(value, kind):
        return value
    written = {key(field): field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    names = list(written.values())
    if not isinstance(value, Mapping):
        raise InputError(f"{where}={value!r}", f"a mapping with some of {', '.join(names)}")
    given = {written.get(name, name): part for name, part in value.items()}
    refuse_unknown(given, names, where)
    return kind(**given)


def key(field: dataclasses.Field[Any]) -> str:
    """The key of a field in JSON and YAML: its name, or the one under which recipes were hashed before."""
    return str(field.metadata.get("written", field.name))


def plain(value: Any) -> Any:
    """Records as dicts, tuples as lists: what JSON and YAML hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key(f): plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
