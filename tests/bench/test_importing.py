"""`load_results` on files with the harnesses' real layouts: what becomes of each field."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from workbench.bench import Results, hallusion, load_results, rescore
from workbench.errors import InputError

LOGS = Path(__file__).resolve().parent.parent / "data" / "bench"
CHARTS = LOGS / "vlmevalkit" / "Qwen3-VL-8B-Instruct_ChartQA_TEST.tsv"
STARS = LOGS / "vlmevalkit" / "Phi-4-reasoning-vision_MMStar_exact_matching_result.json"
FIGURES = LOGS / "vlmevalkit" / "gemma-3-12b_HallusionBench_auxmatch.xlsx"
LMMS = LOGS / "lmms_eval" / "Qwen__Qwen3-VL-8B-Instruct"
INSPECT = next(LOGS.glob("*.eval"))
EUREKA = LOGS / "eureka" / "MathVista_Experiment" / "inference_result.jsonl"


def test_predictions_of_vlmevalkit_are_scored_by_its_rules() -> None:
    results = load_results(CHARTS)
    frame = results.frame()
    assert set(frame["benchmark"]) == {"ChartQA"}
    assert set(frame["version"]) == {"TEST"}
    assert set(frame["model"]) == {"Qwen3-VL-8B-Instruct"}
    assert list(frame["item"]) == ["1", "2", "3", "4"]
    assert list(frame["value"]) == [0, 1, 1, 0]
    assert results.protocol == "vlmevalkit"
    assert frame["thought"][2] == "14 of 100.\nSo 14%."
    assert frame["response"][3] == 'It is, with "care",\t1999'
    assert list(frame["cluster"][:2]) == ["two_col_1.png"] * 2  # one picture, two questions
    assert results.about["totals"]["Qwen3-VL-8B-Instruct_ChartQA_TEST_acc.csv"][0]["Overall"] == "50.0"
    assert not results.warnings


def test_a_scorers_own_verdicts_are_kept_as_logged() -> None:
    results = load_results(STARS)
    frame = results.frame()
    assert results.protocol == "logged"
    assert list(frame["value"]) == list(frame["logged"]) == [1, 0, 0]
    assert frame["details"][0]["options"] == {"A": "cat", "B": "dog", "C": "car", "D": "bus"}
    assert set(frame["model"]) == {"Phi-4-reasoning-vision"}
    ours = rescore(results, "workbench")
    assert list(ours.flips["item"]) == ["1"]  # "A dog runs by the car": the car is the last option named


def test_a_workbook_with_thoughts_is_read_and_grouped() -> None:
    results = load_results(FIGURES)
    frame = results.frame()
    assert list(frame["value"]) == [1, 1, 0]
    assert frame["thought"][0] == "The bar is red."
    assert frame["thought"][1] is None
    assert list(frame["parsed"]) == ["Yes", "No", "Unknown"]
    found = hallusion(frame).iloc[0]
    assert (found["aAcc"], found["fAcc"], found["qAcc"]) == (pytest.approx(2 / 3), 0.5, 0.5)


@pytest.mark.parametrize("file", ["20260301_101530_results.json", "20260301_101530_samples_chartqa.jsonl"])
def test_samples_of_lmms_eval_keep_tokens_thoughts_and_values(file: str) -> None:
    results = load_results(LMMS / file)
    frame = results.where(benchmark="ChartQA").frame()
    assert list(frame["logged"]) == [1, 1, 0]
    assert list(frame["response"]) == ["14", "0.571", "The answer is 3"]
    assert frame["thought"][1] == "Read it off."
    assert (frame["tokens"][1], frame["thought_tokens"][1], frame["answer_tokens"][1]) == (9, 5, 4)
    assert math.isnan(frame["tokens"][2])
    assert set(frame["model"]) == {"Qwen/Qwen3-VL-8B-Instruct"}
    assert frame["hash"][0] == "a" * 64


def test_the_totals_of_lmms_eval_lead_to_all_its_tasks() -> None:
    results = load_results(LMMS / "20260301_101530_results.json")
    frame = results.frame()
    assert list(frame["benchmark"]) == ["AI2D"] * 2 + ["ChartQA"] * 3 + ["MMMU"]
    assert frame["details"][1]["options"]["B"] == "hawk"  # from the prompt
    assert frame["response"][0] == "A. frog"  # before the filter that leaves "A"
    assert frame["category"][5] == "Accounting"
    assert (frame["value"][5], frame["parsed"][5]) == (1, "B")
    assert len(results.about["sources"]) == 3


def test_an_inspect_log_is_read_with_its_reasoning_and_its_errors() -> None:
    results = load_results(INSPECT)
    frame = results.frame()
    assert set(frame["benchmark"]) == {"MMMU"}
    assert list(frame["value"][:2]) == [1, 0]
    assert math.isnan(frame["value"][2])
    assert frame["response"][2] is None
    assert frame["thought"][1] == "It barks."
    assert frame["thought_tokens"][1] == 22
    assert list(frame["gold"]) == ["B", "A", "A"]
    assert frame["stopped"][0] == "end"
    assert frame["details"][0]["options"] == {"A": "$6", "B": "$7", "C": "$8"}
    assert any("1 of 3 rows: no reply" in w for w in results.warnings)
    assert any("not scored: 1 of 3" in w for w in results.warnings)


def test_eurekas_results_keep_repetitions_and_failures() -> None:
    results = load_results(EUREKA)
    frame = results.frame()
    assert set(frame["benchmark"]) == {"MathVista"}  # from the folder's name
    assert list(zip(frame["item"], frame["epoch"])) == [("0", 0), ("0", 1), ("1", 0)]
    assert list(frame["value"][:2]) == [1, 0]
    assert frame["response"][2] is None
    assert frame["thought"][0] == "8 of 11"
    assert frame["seconds"][0] == 2.5
    assert any("1 of 3 rows: no valid reply" in w for w in results.warnings)


def test_a_folder_is_searched_and_what_is_no_log_is_counted(tmp_path: Path) -> None:
    for harness in ("eureka", "lmms_eval", "vlmevalkit"):
        shutil.copytree(LOGS / harness, tmp_path / harness)
    shutil.copy(INSPECT, tmp_path)
    shutil.copy(LOGS / "README.md", tmp_path)
    results = load_results(tmp_path)
    assert len(results) == 22
    assert set(results.frame()["harness"]) == {"vlmevalkit", "lmms-eval", "inspect", "eureka"}
    assert any(w.startswith("1 other files in the folder are no logs: README.md") for w in results.warnings)
    assert any(w.startswith("mixed versions: ChartQA") for w in results.warnings)


def test_predictions_that_a_scorer_went_on_with_are_not_read_twice(tmp_path: Path) -> None:
    shutil.copy(STARS, tmp_path)
    bare = [
        {k: v for k, v in row.items() if k not in ("hit", "log")} for row in json.loads(STARS.read_text())
    ]
    (tmp_path / "Phi-4-reasoning-vision_MMStar.json").write_text(json.dumps(bare))
    results = load_results(tmp_path)
    assert len(results) == 3
    assert results.protocol == "logged"
    assert any("1 files hold the same items" in w for w in results.warnings)


def test_names_modes_and_rules_can_be_given() -> None:
    results = load_results(
        CHARTS, model="M", run="R", mode="think", protocol="workbench", benchmark="ChartQA"
    )
    frame = results.frame()
    assert (set(frame["model"]), set(frame["run"]), set(frame["mode"])) == ({"M"}, {"R"}, {"think"})
    assert list(frame["value"]) == [1, 1, 1, 1]  # ours reads 977633, and 1999 is within 5% of 2010
    assert results.protocol == "workbench"


def test_content_decides_not_the_files_name(tmp_path: Path) -> None:
    shutil.copy(EUREKA, tmp_path / "log.txt")
    assert set(load_results(tmp_path / "log.txt", benchmark="MathVista").frame()["harness"]) == {"eureka"}
    shutil.copy(INSPECT, tmp_path / "log.zip")
    assert set(load_results(tmp_path / "log.zip").frame()["harness"]) == {"inspect"}


def test_a_saved_record_is_loaded_by_the_same_door(tmp_path: Path) -> None:
    results = load_results(CHARTS)
    for ending in ("jsonl", "parquet"):
        again = load_results(results.save(tmp_path / f"r.{ending}"))
        same = again.frame().drop(columns="images").equals(results.frame().drop(columns="images"))
        assert same  # the pictures' paths lead from the new place to the old one
    assert isinstance(again, Results)


def test_an_inspect_log_as_one_json_document_is_read_too(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(INSPECT) as archive:
        log = json.loads(archive.read("header.json"))
        names = [n for n in archive.namelist() if n.startswith("samples/")]
        log["samples"] = [json.loads(archive.read(name)) for name in names]
    (tmp_path / "log.json").write_text(json.dumps(log))
    columns = ["item", "response", "thought", "value", "gold"]
    assert load_results(tmp_path / "log.json").frame()[columns].equals(load_results(INSPECT).frame()[columns])


def test_repeated_replies_of_lmms_eval_become_epochs(tmp_path: Path) -> None:
    sample = {"doc_id": 0, "target": "5", "resps": ["5", "6"], "filtered_resps": "5", "relaxed_overall": 0.5}
    (tmp_path / "x_samples_chartqa.jsonl").write_text(json.dumps(sample))
    frame = load_results(tmp_path / "x_samples_chartqa.jsonl").frame()
    assert list(frame["epoch"]) == [0, 1]
    assert list(frame["value"]) == [1, 0]


def test_what_is_not_there_or_no_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        load_results(tmp_path / "nothing.xlsx")
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(InputError, match=r"notes\.txt is not recognised"):
        load_results(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="no log in the folder"):
        load_results(tmp_path)
    with pytest.raises(InputError, match="totals only"):
        load_results(LOGS / "vlmevalkit" / "Qwen3-VL-8B-Instruct_ChartQA_TEST_acc.csv")
    shutil.copy(LMMS / "20260301_101530_results.json", tmp_path)
    with pytest.raises(InputError, match="--log_samples"):
        load_results(tmp_path / "20260301_101530_results.json")
    with pytest.raises(InputError, match="protocol='best'"):
        load_results(CHARTS, protocol="best")
