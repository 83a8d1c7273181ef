"""Logs that are cut, unsafe, doubled or incomplete: a clear error or a counted warning, no silent drop."""

from __future__ import annotations

import builtins
import csv
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from workbench.bench import load_results
from workbench.bench.importers import common
from workbench.errors import InputError

LOGS = Path(__file__).resolve().parent.parent / "data" / "bench"
VLM = LOGS / "vlmevalkit"
LMMS = LOGS / "lmms_eval" / "Qwen__Qwen3-VL-8B-Instruct"
INSPECT = next(LOGS.glob("*.eval"))
EUREKA = LOGS / "eureka" / "MathVista_Experiment" / "inference_result.jsonl"


def cut(source: Path, target: Path, share: float) -> Path:
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
    return path


def rows_of(n: int, **more: Any) -> list[dict[str, Any]]:
    return [{"index": i, "question": "?", "answer": "5", "prediction": "5", **more} for i in range(n)]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "source",
    [
        VLM / "gemma-3-12b_HallusionBench_auxmatch.xlsx",
        VLM / "Phi-4-reasoning-vision_MMStar_exact_matching_result.json",
        INSPECT,
    ],
    ids=["xlsx", "json", "eval"],
)
def test_a_document_that_is_cut_is_an_error(tmp_path: Path, source: Path, share: float) -> None:
    with pytest.raises(InputError, match="damaged: not (a )?complete"):
        load_results(cut(source, tmp_path / source.name, share))


@pytest.mark.parametrize(
    "source", [EUREKA, LMMS / "20260301_101530_samples_chartqa.jsonl"], ids=["eureka", "lmms"]
)
def test_lines_that_end_early_are_counted(tmp_path: Path, source: Path) -> None:
    whole = load_results(source, benchmark="ChartQA")
    results = load_results(cut(source, tmp_path / source.name, 0.95), benchmark="ChartQA")
    assert len(results) == len(whole) - 1
    assert any("cut: line 3" in w and "1 row is missing" in w for w in results.warnings)


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    lines = EUREKA.read_text().splitlines()
    lines[1] = lines[1][:40]
    (tmp_path / "inference_result.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match="line 2 is not a JSON object"):
        load_results(tmp_path / "inference_result.jsonl")


def test_a_table_that_ends_in_a_quoted_field_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cut in the middle"):
        load_results(
            cut(VLM / "Qwen3-VL-8B-Instruct_ChartQA_TEST.tsv", tmp_path / "m_ChartQA_TEST.tsv", 0.95)
        )


def test_a_last_row_with_too_few_fields_is_counted_and_one_in_the_middle_is_an_error(tmp_path: Path) -> None:
    text = "index\tquestion\tanswer\tprediction\n1\t?\t5\t5\n2\t?\t5\n"
    (tmp_path / "m_ChartQA_TEST.tsv").write_text(text)
    results = load_results(tmp_path / "m_ChartQA_TEST.tsv")
    assert len(results) == 1
    assert any("3 of 4 fields and is left out (1 row)" in w for w in results.warnings)
    (tmp_path / "m_ChartQA_TEST.tsv").write_text(text + "3\t?\t5\t5\n")
    with pytest.raises(InputError, match="has 3 fields, not 4"):
        load_results(tmp_path / "m_ChartQA_TEST.tsv")


def test_repeated_ids_are_counted_with_those_that_contradict_each_other(tmp_path: Path) -> None:
    rows = rows_of(3)
    rows[2]["index"], rows[2]["prediction"] = 1, "6"
    results = load_results(table(tmp_path / "m_ChartQA_TEST.tsv", rows))
    assert len(results) == 2
    assert any("1 rows repeat an item" in w and "1 items had different" in w for w in results.warnings)


def test_missing_ids_are_named_by_their_place_and_counted(tmp_path: Path) -> None:
    rows = rows_of(3)
    rows[1]["index"] = ""
    results = load_results(table(tmp_path / "m_ChartQA_TEST.tsv", rows))
    assert list(results.frame()["item"]) == ["0", "row 2", "2"]
    assert any("1 of 3 rows: no id" in w for w in results.warnings)


def test_missing_gold_answers_and_nan_scores_are_counted(tmp_path: Path) -> None:
    rows = rows_of(3)
    rows[0]["answer"] = ""
    results = load_results(table(tmp_path / "m_ChartQA_TEST.tsv", rows))
    text = "\n".join(results.warnings)
    assert "1 rows: no gold answer" in text
    assert "not scored: 1 of 3" in text
    results = load_results(table(tmp_path / "n_ChartQA_TEST.tsv", rows_of(3, score="nan")))
    assert list(results.frame()["value"]) == [
        1,
        1,
        1,
    ]  # a score that is NaN is no score: the protocol gives it


def test_fewer_samples_than_the_totals_speak_of_are_noted(tmp_path: Path) -> None:
    for file in LMMS.glob("*"):
        shutil.copy(file, tmp_path)
    path = tmp_path / "20260301_101530_samples_chartqa.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    results = load_results(path)
    assert any("speak of 3 samples of chartqa; 2 are here" in w for w in results.warnings)


def archive(path: Path, members: dict[str, str], *, source: Path = INSPECT) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in members:
                new.writestr(name, old.read(name))
        for name, text in members.items():
            if text:
                new.writestr(name, text)
    return path


@pytest.mark.parametrize(
    "name", ["../evil.json", "samples/../../evil.json", "/etc/evil.json", "C:\\evil", "..\\evil"]
)
def test_an_archive_with_names_that_lead_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out of the archive"):
        load_results(archive(tmp_path / "x.eval", {name: "{}"}))
    assert not list(tmp_path.parent.glob("evil*"))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("header.json", "{}")
        with bomb.open("samples/1_epoch_1.json", "w", force_zip64=True) as member:
            for _ in range(common.SUSPICIOUS // (1 << 20) + 1):
                member.write(bytes(1 << 20))
    with pytest.raises(InputError, match="zip bomb"):
        load_results(path)


def test_an_xlsx_bomb_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "m_ChartQA_TEST.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("xl/workbook.xml", "<x/>")
        with bomb.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as member:
            for _ in range(common.SUSPICIOUS // (1 << 20) + 1):
                member.write(bytes(1 << 20))
    with pytest.raises(InputError, match="zip bomb"):
        load_results(path)


def test_an_inspect_log_that_did_not_end_is_read_with_a_warning(tmp_path: Path) -> None:
    results = load_results(archive(tmp_path / "x.eval", {"header.json": "", "summaries.json": ""}))
    assert len(results) == 3
    assert any(w.startswith("unfinished") for w in results.warnings)


def test_an_inspect_log_with_fewer_samples_or_a_damaged_one(tmp_path: Path) -> None:
    name = "samples/validation_Accounting_2_epoch_1.json"
    results = load_results(archive(tmp_path / "x.eval", {name: ""}))
    assert any("speaks of 3 samples; 2 are here" in w for w in results.warnings)
    with pytest.raises(InputError, match="not JSON"):
        load_results(archive(tmp_path / "y.eval", {name: '{"id": 1, '}))


def test_cells_that_xlsx_cut_are_counted_and_marked(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(("index", "question", "answer", "prediction"))
    book.active.append((1, "?", "5", "5"))
    book.active.append((2, "?", "5", "x" * 40_000))  # openpyxl cuts it as Excel does
    book.save(tmp_path / "m_ChartQA_TEST.xlsx")
    results = load_results(tmp_path / "m_ChartQA_TEST.xlsx")
    assert [len(text) for text in results.frame()["response"]] == [1, 32_767]
    assert any("1 of 2 rows: a cell is full at 32,767 characters" in w for w in results.warnings)
    assert results.frame()["details"][1]["cut"] is True


def test_long_replies_in_other_formats_are_whole(tmp_path: Path) -> None:
    long = "x" * 200_000
    results = load_results(table(tmp_path / "m_ChartQA_TEST.tsv", rows_of(2, prediction=long)))
    assert len(results.frame()["response"][0]) == 200_000
    assert not [w for w in results.warnings if "32,767" in w]


def test_xlsx_without_openpyxl_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'vlm-workbench\[bench\]'"):
        load_results(VLM / "gemma-3-12b_HallusionBench_auxmatch.xlsx")


def test_picture_paths_that_lead_out_of_the_folder_are_left_out(tmp_path: Path) -> None:
    rows = [*rows_of(1, image_path="../secret.png"), *rows_of(1, image_path="pics/a.png")]
    rows[1]["index"] = 7
    results = load_results(table(tmp_path / "m_ChartQA_TEST.tsv", rows))
    assert list(results.frame()["images"]) == [(), ("pics/a.png",)]
    assert any("1 of 2 rows: the picture's path leads out" in w for w in results.warnings)


def test_an_empty_log_and_deeply_nested_json_are_errors(tmp_path: Path) -> None:
    (tmp_path / "m_ChartQA_TEST.tsv").write_text("index\tprediction\n")
    with pytest.raises(InputError, match="holds no items"):
        load_results(tmp_path / "m_ChartQA_TEST.tsv")
    (tmp_path / "deep.json").write_text('{"results": ' + "[" * 100_000)
    with pytest.raises(InputError, match="not complete JSON"):
        load_results(tmp_path / "deep.json")


def test_mixed_versions_of_a_benchmark_are_counted(tmp_path: Path) -> None:
    table(tmp_path / "m_ScreenSpot_v2_Mobile.tsv", rows_of(1))
    table(tmp_path / "m_ScreenSpot_v2_Web.tsv", rows_of(2))
    results = load_results(tmp_path)
    assert set(results.frame()["version"]) == {"Mobile", "Web"}
    assert any(w.startswith("mixed versions: ScreenSpot_v2 has rows of 2 versions") for w in results.warnings)


def test_numbers_and_odd_values_of_a_log_do_no_harm(tmp_path: Path) -> None:
    sample = {"doc_id": "a/b", "target": 5, "filtered_resps": [], "token_counts": None, "x": {"score": "yes"}}
    (tmp_path / "x_samples_chartqa.jsonl").write_text(json.dumps(sample))
    results = load_results(tmp_path / "x_samples_chartqa.jsonl")
    assert results.frame()["response"][0] is None
    assert any("no response" in w for w in results.warnings)
