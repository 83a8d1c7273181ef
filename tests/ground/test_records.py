"""Records as plain values and back, with their types checked."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from workbench.errors import InputError
from workbench.records import build, plain, value_of, with_format, without_format
from workbench.types import Mode


@dataclass(frozen=True)
class Inner:
    start: int
    stop: int


@dataclass(frozen=True)
class Outer:
    name: str
    score: float
    mode: Mode
    spans: tuple[Inner, ...] = ()
    notes: dict[str, list[int]] = field(default_factory=dict)
    extra: str | None = None


RECORD = Outer("a", math.nan, Mode.of("think"), (Inner(0, 2), Inner(2, 5)), {"x": [1, 2]})


def test_a_record_comes_back_through_json() -> None:
    text = json.dumps(plain(RECORD), allow_nan=False)
    again = build(Outer, json.loads(text), "record")
    assert math.isnan(again.score)
    assert again.mode is Mode.of("think")
    assert again.spans == RECORD.spans
    assert again.notes == RECORD.notes
    assert again.extra is None
    assert plain(again) == plain(RECORD)


def test_numpy_values_are_plain() -> None:
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": (np.int64(2), {np.bool_(True)})}
    assert json.dumps(plain(value)) == '{"a": 0.5, "b": [0, 1, 2], "c": [2, [true]]}'


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": 5}, r"name"),
        ({"score": "high"}, r"score"),
        ({"spans": [{"start": 0, "stop": 1e18}]}, r"stop"),
        ({"spans": [{"start": 0}]}, r"stop"),
        ({"spans": {"start": 0}}, r"spans"),
        ({"notes": {"x": ["1"]}}, r"notes"),
        ({"mode": "fast"}, r"fast"),
        ({"scores": 1.0}, r"did you mean 'score'"),
    ],
)
def test_values_of_another_type_are_refused_by_name(change: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match):
        build(Outer, {**plain(RECORD), **change}, "record")


def test_what_is_no_mapping_and_what_misses_a_field_is_refused() -> None:
    for value in (None, [], "text", 5):
        with pytest.raises(InputError, match="a mapping"):
            build(Outer, value, "record")
    with pytest.raises(InputError, match="name"):
        build(Outer, {"score": 1.0, "mode": "auto"}, "record")
    assert build(Outer, RECORD, "record") is RECORD


def test_the_format_is_told_apart_from_another_and_from_a_newer_one() -> None:
    document = with_format({"a": 1}, "workbench.test")
    assert without_format(document, "workbench.test", "x") == {"a": 1}
    with pytest.raises(InputError, match="another format"):
        without_format(document, "workbench.other", "x")
    with pytest.raises(InputError, match="update the workbench"):
        without_format({**document, "version": 2}, "workbench.test", "x")
    for damaged in (None, [], {}, {"format": ["x"], "version": {}}):
        with pytest.raises(InputError, match="another format"):
            without_format(damaged, "workbench.test", "x")


@dataclass(frozen=True)
class Nest:
    inner: Inner
    many: tuple[Outer, ...] = ()


def test_a_complete_record_has_all_fields_inside_too() -> None:
    value = plain(Nest(Inner(0, 1), (RECORD,)))
    assert plain(build(Nest, value, "nest", complete=True)) == value
    del value["many"][0]["extra"]
    assert build(Nest, value, "nest").many[0].extra is None
    with pytest.raises(InputError, match=r"many\[0\] lacks extra"):
        build(Nest, value, "nest", complete=True)
    value["many"][0] |= {"extra": None, "more": 1}
    with pytest.raises(InputError, match=r"many\[0\] has no field 'more'"):
        build(Nest, value, "nest", complete=True)


def test_a_value_is_of_its_fields_type_again() -> None:
    assert value_of(tuple[int, ...] | None, [1, 2], "heads") == (1, 2)
    assert value_of(tuple[int, ...] | None, None, "heads") is None
    assert math.isnan(value_of(float, None, "score"))
    with pytest.raises(InputError, match=r"score: Expected `float`, got `str`.*Expected: float"):
        value_of(float, "much", "score")
