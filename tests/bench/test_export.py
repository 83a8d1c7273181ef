"""Export to lmms-eval's layout, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.bench import Results, export_lmms_eval, load_results
from workbench.bench.importers.lmms_eval import is_results, is_sample
from workbench.errors import InputError

SHARED = [
    "benchmark",
    "item",
    "mode",
    "gold",
    "response",
    "thought",
    "value",
    "tokens",
    "details",
    "category",
]


def results() -> Results:
    base = {
        "benchmark": "ChartQA",
        "model": "org/m",
        "protocol": "workbench",
        "version": "TEST",
        "category": "human",
    }
    rows = [
        {
            "item": "7",
            "mode": "auto",
            "response": "12",
            "gold": "12",
            "value": 1.0,
            "tokens": 3,
            "question": "?",
        },
        {
            "item": "7",
            "mode": "think",
            "response": "13",
            "gold": "12",
            "value": 0.0,
            "thought": "a\nb",
            "hash": "h",
        },
        {
            "item": "8",
            "mode": "auto",
            "response": "",
            "gold": '["a", "b"]',
            "thought_tokens": 5,
            "value": 0.0,
        },
        {
            "item": "x-9",
            "mode": "auto",
            "response": None,
            "gold": None,
            "details": {"options": {"A": "\u2028"}},
        },
        {
            "item": "7",
            "mode": "auto",
            "response": "5",
            "gold": "12",
            "value": 0.0,
            "control": "grey",
            "p_think": 0.5,
        },
    ]
    return Results.of([{**base, **row} for row in rows])


def test_a_round_trip_keeps_every_row_and_column(tmp_path: Path) -> None:
    before = results()
    export_lmms_eval(before, tmp_path)
    after = load_results(tmp_path).frame()
    order = ["item", "mode", "control"]
    a = before.frame().sort_values(order).reset_index(drop=True)
    b = after.sort_values(order).reset_index(drop=True)
    columns = [name for name in a.columns if name not in ("images",)]
    for name in columns:
        assert list(a[name].astype(object).where(a[name].notna(), None)) == list(
            b[name].astype(object).where(b[name].notna(), None)
        ), name


def test_the_files_are_those_of_lmms_eval(tmp_path: Path) -> None:
    files = export_lmms_eval(results(), tmp_path, date="20260101_120000")
    names = {file.name for file in files}
    assert names == {
        "20260101_120000_results.json",
        "20260101_120000_samples_ChartQA.jsonl",
        "20260101_120000_samples_ChartQA_think.jsonl",
        "20260101_120000_samples_ChartQA_grey.jsonl",
    }
    assert {file.parent.name for file in files} == {"org_m"}
    totals = json.loads(next(f for f in files if f.name.endswith("results.json")).read_text())
    assert is_results(totals)
    assert totals["results"]["ChartQA"]["score,none"] == 0.5
    assert totals["n-samples"]["ChartQA"]["effective"] == 3
    for file in files:
        if file.suffix == ".jsonl":
            samples = [json.loads(line) for line in file.read_text().split("\n") if line]
            assert all(is_sample(sample) for sample in samples)
            assert all(
                {"doc_id", "target", "input", "filtered_resps", "doc_hash"} <= s.keys() for s in samples
            )
    think = json.loads(next(f for f in files if "think" in f.name).read_text())
    assert think["resps"] == ["<think>a\nb</think>13"]
    assert think["filtered_resps"] == "13"


def test_names_that_no_file_can_have_are_made_harmless(tmp_path: Path) -> None:
    row = {
        "benchmark": "../V*Bench",
        "item": "1",
        "mode": "auto",
        "run": "../../up",
        "response": "A",
        "gold": "A",
    }
    files = export_lmms_eval(Results.of([row]), tmp_path / "out")
    assert all(file.resolve().is_relative_to((tmp_path / "out").resolve()) for file in files)


def test_an_empty_export_or_an_odd_date_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without rows"):
        export_lmms_eval(Results.of([]), tmp_path)
    with pytest.raises(InputError, match="date="):
        export_lmms_eval(results(), tmp_path, date="../x")
