"""`Results`: what may be in it, what is refused or counted, and that files keep everything."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from workbench.answer import Answer
from workbench.bench import COLUMNS, Results, answer_row
from workbench.bench.results import cut_thoughts
from workbench.errors import InputError, ModeError
from workbench.types import Mode


def row(item: str = "1", **more: object) -> dict[str, object]:
    base = {
        "benchmark": "ChartQA",
        "item": item,
        "mode": "auto",
        "model": "m",
        "gold": "12",
        "response": "12",
    }
    return {**base, "value": 1.0, "protocol": "workbench", **more}


def test_a_frame_has_the_declared_columns_and_can_be_changed_freely() -> None:
    results = Results.of([row("1"), row("2", value=0.0)])
    frame = results.frame()
    assert list(frame.columns) == list(COLUMNS)
    frame["value"] = 0.5
    assert list(results.frame()["value"]) == [1.0, 0.0]
    assert list(frame["run"]) == ["m", "m"]
    assert list(frame["cluster"]) == ["1", "2"]  # an item is its own cluster unless told otherwise


def test_absent_text_is_none_and_absent_numbers_are_nan() -> None:
    first = next(Results.of([row(thought=None)]).rows())
    assert first["thought"] is None
    assert math.isnan(first["seconds"])
    assert first["epoch"] == 0
    assert first["images"] == ()
    assert first["details"] == {}


def test_output_tokens_are_the_sum_where_only_the_parts_are_known() -> None:
    frame = Results.of([row("1", thought_tokens=30, answer_tokens=4), row("2", tokens=7), row("3")]).frame()
    assert list(frame["tokens"][:2]) == [34, 7]
    assert math.isnan(frame["tokens"][2])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(), row()], "1 rows repeat an item"),
        ([row(""), row("2")], "1 of 2 rows have no item"),
        ([row(item=None)], "1 of 1 rows have no item"),
        ([row(value=1.5)], "value 1.5"),
        ([row(valeu=1)], "did you mean value"),
        ([{"benchmark": "ChartQA", "item": "1"}], "no column mode"),
        ([row(seconds="fast")], "column seconds"),
        ([row(duplicate=1, details=3)], "column 'duplicate'"),
        ([row(details=3)], "details=3"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Results.of(rows)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ModeError, match="fast"):
        Results.of([row(mode="fast")])


def test_duplicates_can_be_dropped_with_a_count() -> None:
    results = Results.of([row("1"), row("1", response="13", value=0.0), row("2")], duplicates="last")
    assert len(results) == 2
    assert list(results.frame()["response"]) == ["13", "12"]
    assert any("1 rows repeat" in w and "1 items had different responses" in w for w in results.warnings)


def test_modes_runs_and_repetitions_of_an_item_are_rows_of_their_own() -> None:
    rows = [row(), row(mode="think"), row(run="second"), row(epoch=1), row(control="blind"), row(harness="x")]
    assert len(Results.of(rows)) == 6


def test_missing_scores_mixed_versions_and_mixed_rules_are_counted() -> None:
    rows = [row("1", value=None), row("2", version="v1"), row("3", version="v2", protocol="lmms-eval")]
    text = "\n".join(Results.of(rows).warnings)
    assert "not scored: 1 of 3" in text
    assert "mixed versions: ChartQA has rows of 3 versions" in text
    assert "mixed protocols" in text


def test_what_is_observed_is_observed_anew_in_a_part() -> None:
    results = Results.of([row("1", value=None), row("2")], warnings=["cut: 3 cells"])
    part = results.where(item="2")
    assert part.warnings == ("cut: 3 cells",)
    assert (part + results.where(item="1")).warnings == (
        "cut: 3 cells",
        "not scored: 1 of 2 rows have no value (NaN)",
    )
    with pytest.raises(InputError, match="column 'itme'"):
        results.where(itme="2")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_saved_record_is_the_same_when_loaded(tmp_path: Path, ending: str) -> None:
    Image.new("RGB", (5, 4), "red").save(tmp_path / "a.png")
    rows = [
        row(
            "ä\u2028 ü", thought="so\nit is", details={"options": {"A": "x"}}, images=("a.png",), p_think=0.25
        ),
        row("2", value=None, response=None, gold=None, seconds=1.5, epoch=3),
    ]
    results = Results.of(rows, folder=tmp_path, warnings=["a warning"], about={"seed": 3})
    loaded = Results.load(results.save(tmp_path / f"r.{ending}"))
    assert loaded.frame().equals(results.frame())
    assert loaded.warnings == results.warnings
    assert loaded.about == {"seed": 3}
    assert loaded.images(0)[0].size == (5, 4)
    moved = Results.load(loaded.save(tmp_path / "elsewhere" / f"r.{ending}"))
    assert moved.images(0)[0].size == (5, 4)
    assert not list(tmp_path.glob(".*tmp"))


def test_an_empty_record_can_be_saved(tmp_path: Path) -> None:
    assert len(Results.load(Results.of([]).save(tmp_path / "r.jsonl"))) == 0


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    path = Results.of([row("1"), row("2")]).save(tmp_path / "r.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="line 3 is not JSON"):
        Results.load(path)
    path.write_text('{"a": 1}\n')
    with pytest.raises(InputError, match="load_results"):
        Results.load(path)
    (tmp_path / "r.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="damaged"):
        Results.load(tmp_path / "r.parquet")
    with pytest.raises(InputError, match="No such file"):
        Results.load(tmp_path / "nothing.jsonl")
    with pytest.raises(InputError, match="ends in .jsonl or .parquet"):
        Results.of([row()]).save(tmp_path / "r.csv")


def test_pictures_of_several_folders_stay_reachable_when_results_are_joined(tmp_path: Path) -> None:
    parts = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        Image.new("RGB", (number, 9)).save(folder / "a.png")
        parts.append(Results.of([row(str(number), images=("a.png",))], folder=folder))
    joined = Results.concat(parts)
    assert [joined.images(i)[0].size for i in (0, 1)] == [(1, 9), (2, 9)]


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png"):
        Results.of([row(images="gone.png")], folder=tmp_path).images(0)
    with pytest.raises(InputError, match="without a folder"):
        Results.of([row(images="gone.png")]).images(0)


def test_an_answer_fills_its_columns() -> None:
    answer = Answer(
        text="3", thought="1+2", mode=Mode.THINK, p_think=None, prompt_tokens=9, image_tokens=4,
        thought_tokens=5, answer_tokens=1, seconds=0.5, seconds_to_first_token=None, stopped="end",
        question="?", model="m",
    )  # fmt: skip
    filled = next(Results.of([{"benchmark": "b", "item": "1", **answer_row(answer)}]).rows())
    assert (filled["response"], filled["thought"], filled["tokens"], filled["mode"]) == (
        "3",
        "1+2",
        6,
        "think",
    )
    assert math.isnan(filled["p_think"])


def test_records_load_without_torch() -> None:
    code = "import sys\nfrom workbench.bench import Results\nResults.of([])\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_thoughts_that_were_cut_are_counted_apart() -> None:
    base = {"benchmark": "B", "mode": "think", "value": 0.0, "gold": "A"}
    made = [
        {**base, "item": "1", "thought": "so", "response": "", "stopped": "length"},
        {**base, "item": "2", "thought": "so", "response": "", "stopped": ""},  # a log that does not say why
        {**base, "item": "3", "thought": "so", "response": "A", "stopped": "length"},  # the answer was cut
        {**base, "item": "4", "thought": "so", "response": "", "stopped": "end"},
        {**base, "item": "5", "thought": None, "response": "", "stopped": "length"},
        {**base, "item": "6", "thought": "so", "response": None, "stopped": ""},
    ]
    results = Results.of(made)
    assert list(cut_thoughts(results.table)) == [True, True, False, False, False, False]
    assert any(w.startswith("cut while thinking: 2 of 5 thoughts") for w in results.warnings)
    assert any("(B think: 2)" in w for w in results.warnings)
