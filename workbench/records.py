"""Turn records into plain values and back, with their types checked: the one codec of the workbench.

A record is a frozen dataclass.  `plain` gives what JSON and YAML hold; `build` makes the record again,
through msgspec, which checks every field against its annotation: a damaged or a stranger's file cannot put
text where a number belongs.  Unknown fields are refused by name: they come from a typing error or a newer
version.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np

from .errors import InputError

__all__ = [
    "build",
    "check_fields",
    "closest",
    "plain",
    "refuse_unknown",
    "value_of",
    "with_format",
    "without_format",
]

T = TypeVar("T")


def closest(name: str, names: Iterable[str]) -> str:
    """The question whether the most similar of some names was meant; "" where none is similar."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def refuse_unknown(given: Iterable[str], names: Iterable[str], where: str) -> None:
    """Refuse keys that are not among the names.

    Raises:
        InputError: with the first unknown key, the names, and the closest of them.
    """
    known = list(names)
    for key in given:
        if key not in known:
            raise InputError(
                f"{where} has no field {key!r}", f"one of {', '.join(known)}", closest(str(key), known)
            )


def plain(value: Any) -> Any:
    """A record as JSON and YAML hold it: records as dicts, tuples as lists, numpy's numbers as Python's.

    NaN becomes None, since JSON has no word for it; `build` gives NaN again where a float is expected.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def build(kind: type[T], value: Any, where: str, *, complete: bool = False) -> T:
    """A record of a kind from a mapping of its fields, or the record itself.

    Args:
        kind: a dataclass whose annotations say what each field holds.
        value: a mapping of its fields, records inside it as mappings too.
        where: how errors name it.
        complete: records inside it have all their fields, as `plain` writes them; else defaults stand in.

    Raises:
        InputError: for what is neither, for unknown fields, missing ones, and values of another type.
    """
    if isinstance(value, kind):
        return value
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if not isinstance(value, Mapping):
        raise InputError(f"{where}={value!r}", f"a mapping with some of {', '.join(names)}")
    refuse_unknown(value, names, where)
    try:
        record = msgspec.convert(_with_nan(kind, value), kind, strict=True)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}", f"a record with {', '.join(names)}") from None
    for name in value if complete else ():
        _same_fields(getattr(record, name), value[name], f"{where}, {name}")
    return record


def value_of(kind: Any, value: Any, where: str) -> Any:
    """A value of a type (of a field, say) from what `plain` made of it.

    Raises:
        InputError: for a value of another type.
    """
    try:
        return msgspec.convert(_with_nan(kind, value), kind, strict=True)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}", _named(kind)) from None


def _named(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)


def check_fields(record: T, where: str) -> T:
    """The record itself, once its plain fields (texts, numbers, tuples of them) are what they should be.

    For records that also hold what JSON does not, so that `build` cannot make them.

    Raises:
        InputError: naming the field.
    """
    for field in dataclasses.fields(record):  # type: ignore[arg-type]
        if (kind := _PLAIN.get(str(field.type))) is not None:
            try:
                msgspec.convert(getattr(record, field.name), kind, strict=True)
            except msgspec.ValidationError as error:
                raise InputError(f"{where}, {field.name}: {error}", str(field.type)) from None
    return record


_PLAIN: dict[str, Any] = {
    **{kind.__name__: kind for kind in (str, int, float, bool)},
    **{f"{kind.__name__} | None": kind | None for kind in (str, int, float, bool)},
    **{f"tuple[{kind.__name__}, ...]": tuple[kind, ...] for kind in (str, int, float)},  # type: ignore[valid-type]
    "tuple[float, float]": tuple[float, float],
}


def _with_nan(kind: Any, value: Any) -> Any:
    """The value with NaN for each None that stands where a float belongs."""
    if kind is float:
        return math.nan if value is None else value
    inner = typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        named = [one for one in inner if dataclasses.is_dataclass(one)]
        return _with_nan(named[0], value) if named else value
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        hints = typing.get_type_hints(kind)
        return {key: _with_nan(hints.get(key), item) for key, item in value.items()}
    if typing.get_origin(kind) in (list, tuple) and isinstance(value, (list, tuple)):
        return [_with_nan(inner[0], item) for item in value]
    return value


def _same_fields(record: Any, value: Any, where: str) -> None:
    """Refuse a record inside a record of which a field is missing or unknown."""
    if dataclasses.is_dataclass(record) and isinstance(value, Mapping):
        names = [field.name for field in dataclasses.fields(record)]
        refuse_unknown(value, names, where)
        if missing := [name for name in names if name not in value]:
            raise InputError(f"{where} lacks {', '.join(missing)}", f"a record with {', '.join(names)}")
        for name in names:
            _same_fields(getattr(record, name), value[name], f"{where}.{name}")
    elif isinstance(record, (list, tuple)) and isinstance(value, (list, tuple)):
        for number, (inner, given) in enumerate(zip(record, value)):
            _same_fields(inner, given, f"{where}[{number}]")


def with_format(record: Mapping[str, Any], name: str, version: int = 1) -> dict[str, Any]:
    """Plain values under the name and version of their format."""
    return {"format": name, "version": version, **record}


def without_format(data: Any, name: str, where: str, version: int = 1) -> dict[str, Any]:
    """The plain values of a document of one format.

    Raises:
        InputError: for another format or version.
    """
    found = (data.get("format"), data.get("version")) if isinstance(data, dict) else None
    if found != (name, version):
        said = f"{found[0]!r} version {found[1]!r}" if found else "no object"
        newer = found is not None and found[0] == name and isinstance(found[1], int) and found[1] > version
        raise InputError(
            f"{where} has another format: {said}",
            f"{name!r} version {version}",
            "update the workbench: a newer one wrote it" if newer else "",
        )
    return {key: item for key, item in data.items() if key not in ("format", "version")}
