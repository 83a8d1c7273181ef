"""Logs as the harnesses really write them: Zstandard archives, several runs in a folder, judges, totals."""

from __future__ import annotations

import csv
import json
import math
import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from workbench.bench import Results, load_results, rescore
from workbench.bench.importers import common
from workbench.bench.importers.vlmevalkit import model_and_dataset
from workbench.errors import CapabilityError, InputError

LOGS = Path(__file__).resolve().parent.parent / "data" / "bench"
FRESH = LOGS / "fresh"
INSPECT = sorted((FRESH / "inspect").glob("*mmstar*.eval"))
GRADED, BARE = sorted((FRESH / "inspect").glob("*graded*.eval"), key=lambda p: p.stat().st_size)[::-1]


# -- Inspect, as it is written now ------------------------------------------------------------------


def test_a_log_of_inspect_with_zstandard_members_is_read() -> None:
    with zipfile.ZipFile(INSPECT[0]) as archive:
        assert {member.compress_type for member in archive.infolist()} == {common.ZSTANDARD}
    results = load_results(INSPECT[0])
    frame = results.frame()
    assert list(frame["item"]) == ["q0", "q1", "q2", "q3"]
    assert list(frame["value"]) == [1, 0, 1, 0]
    assert list(frame["gold"]) == ["A", "C", "B", "D"]
    assert frame["details"][0]["options"] == {"A": "red", "B": "blue", "C": "green", "D": "grey"}
    assert frame["category"][0] == "colour"
    assert results.images(0)[0].size == (32, 24)  # the log holds the picture itself


def test_thoughts_and_their_tokens_are_those_of_the_model() -> None:
    frame = load_results(INSPECT[1]).frame()
    assert set(frame["thought"]) == {"It is drawn so."}
    assert frame["response"][0] == "ANSWER: A"
    assert (frame["tokens"][0], frame["thought_tokens"][0], frame["answer_tokens"][0]) == (9, 4, 5)


def test_a_graders_tokens_are_not_the_models_and_its_scale_is_not_guessed() -> None:
    results = load_results(GRADED)
    frame = results.frame()
    assert set(frame["tokens"]) == {5}  # 405 with the grader's
    assert set(frame["prompt_tokens"]) == {40}
    assert frame["logged"].isna().all()
    assert [details["log_score"] for details in frame["details"]] == [8, 3]
    assert any("a mark outside 0 to 1" in w for w in results.warnings)


def test_a_log_without_samples_says_so() -> None:
    with pytest.raises(InputError, match=r"holds no samples .*--no-log-samples"):
        load_results(BARE)


def test_a_folder_of_fresh_logs_is_read_whole() -> None:
    results = load_results(FRESH / "inspect")
    assert len(results) == 10
    assert any(BARE.name in w and "holds no samples" in w for w in results.warnings)
    assert not any(w.startswith("totals:") for w in results.warnings)


def _zip(path: Path, name: str, packed: bytes, size: int, crc: int) -> Path:
    """An archive with one member of method 93 and a stated size, as if a stranger had written it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, packed)
        member = archive.infolist()[0]
        member.compress_type, member.file_size, member.CRC = common.ZSTANDARD, size, crc
    return path


def test_several_frames_are_read_and_a_member_that_lies_about_its_size_is_not(tmp_path: Path) -> None:
    zstd = pytest.importorskip("backports.zstd")
    text = b'{"eval": {}}' * 100
    frames = zstd.compress(text[:500]) + zstd.compress(text[500:])
    path = _zip(tmp_path / "two.zip", "header.json", frames, len(text), zlib.crc32(text))
    with common.checked_zip(path) as archive:
        assert common.read_member(path, archive, "header.json") == text
    bomb = zstd.compress(bytes(50_000_000))
    path = _zip(tmp_path / "bomb.zip", "header.json", bomb, 1000, 0)
    with common.checked_zip(path) as archive, pytest.raises(InputError, match="does not unpack to what"):
        common.read_member(path, archive, "header.json")
    path = _zip(tmp_path / "torn.zip", "header.json", frames[:40], len(text), zlib.crc32(text))
    with common.checked_zip(path) as archive, pytest.raises(InputError, match="is damaged"):
        common.read_member(path, archive, "header.json")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "backports", None)
    with pytest.raises(CapabilityError, match="vlm-workbench\\[bench\\]"):
        load_results(INSPECT[0])


# -- several runs in a folder -----------------------------------------------------------------------


def _runs(results: Results) -> dict[str, int]:
    return results.frame()["run"].value_counts().to_dict()


def test_two_inspect_runs_of_one_task_lose_no_row(tmp_path: Path) -> None:
    for log in INSPECT:
        shutil.copy(log, tmp_path)
    results = load_results(tmp_path)
    assert len(results) == 8
    runs = _runs(results)
    assert len(runs) == 2
    assert all(run.startswith("mockllm/model 20") for run in runs)
    assert any("2 logs hold the same items and are runs of their own" in w for w in results.warnings)
    shutil.copy(INSPECT[0], tmp_path / "copy.eval")  # even a copy is not dropped in silence
    assert len(load_results(tmp_path)) == 12


def _lmms(folder: Path, date: str, args: str, replies: Sequence[str]) -> None:
    for task in ("chartqa", "ai2d"):
        rows = [
            {"doc_id": at, "target": "5", "filtered_resps": reply, "relaxed_overall": float(reply == "5")}
            for at, reply in enumerate(replies)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{date}_samples_{task}.jsonl").write_text(lines, "utf-8")
    (folder / f"{date}_results.json").write_text(
        json.dumps({"results": {}, "configs": {}, "model_name": "M", "config": {"model_args": args}}), "utf-8"
    )


def test_two_runs_of_lmms_eval_are_told_apart_by_date_and_arguments(tmp_path: Path) -> None:
    _lmms(tmp_path, "20260301_101530", "pretrained=M,enable_thinking=True", ["5", "6"])
    _lmms(tmp_path, "20260302_101530", "pretrained=M", ["5", "5"])
    results = load_results(tmp_path)
    assert len(results) == 8
    assert _runs(results) == {"M 20260301_101530 enable_thinking=True": 4, "M 20260302_101530": 4}


def test_fresh_runs_of_lmms_eval_are_read_whole_and_agree_with_their_totals() -> None:
    results = load_results(FRESH / "lmms-eval")
    frame = results.frame()
    assert len(results) == 8
    thinking, other = sorted(set(frame["run"]), key=lambda run: "enable_thinking" not in run)
    assert thinking.endswith("response=A,enable_thinking=True")
    assert set(frame.loc[frame["run"] == other, "thought"]) == {"Look."}
    assert set(frame.loc[frame["run"] == other, "response"]) == {"B"}
    assert set(frame["category"]) == {"math", "instance reasoning"}
    assert frame["details"][0]["options"]["B"] == "blue"
    assert frame["value"].mean() == 0.25
    assert not any(w.startswith("totals:") for w in results.warnings)


def test_one_run_keeps_the_models_name(tmp_path: Path) -> None:
    _lmms(tmp_path, "20260301_101530", "pretrained=M", ["5", "6"])
    assert _runs(load_results(tmp_path)) == {"M": 4}


def _eureka(folder: Path, replies: Sequence[Any], **more: Any) -> None:
    folder.mkdir(parents=True)
    rows = [
        {"uid": at, "prompt": "How much?", "model_output": reply, "is_valid": reply is not None,
         "ground_truth": "5", "answer_type": "integer", "n_output_tokens": 3, **more}
        for at, reply in enumerate(replies)
    ]  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "inference_result.jsonl").write_text(lines, "utf-8")


def test_eurekas_models_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for model in ("phi", "gpt"):
        for date in ("2026-01-01-10-00-00.1", "2026-01-02-10-00-00.1"):
            _eureka(tmp_path / "MATHVISTA_PIPELINE" / model / date / "inference_result", ["5", "6", None])
    results = load_results(tmp_path)
    frame = results.frame()
    assert len(results) == 12
    assert set(frame["model"]) == {"phi", "gpt"}
    assert len(set(frame["run"])) == 4
    failed = frame[frame["item"] == "2"]
    assert failed["response"].isna().all()
    assert failed["value"].isna().all()  # a request that failed is not a wrong reply


def test_a_judges_stage_is_its_verdict_not_the_models_reply(tmp_path: Path) -> None:
    run = tmp_path / "MathVista_Pipeline" / "2026-01-01-10-00-00.1"
    _eureka(run / "inference_result", ["The answer is 5", "6", "7"])
    _eureka(run / "eval_inference_result", ["5", "6", "7"], prompt="Extract")
    _eureka(run / "eval_inference_result_two", ["1", "0", "maybe"], prompt="Judge")
    results = load_results(tmp_path)
    frame = results.frame()
    assert list(frame["response"]) == ["The answer is 5", "6", "7"]
    assert set(frame["question"]) == {"How much?"}
    assert list(frame["logged"][:2]) == [1, 0]
    assert math.isnan(frame["logged"][2])
    with pytest.raises(InputError, match="holds a judge's replies"):
        load_results(run / "eval_inference_result_two" / "inference_result.jsonl")


def _report(run: Path, name: str, report: Any) -> None:
    (run / "eval_report").mkdir(exist_ok=True)
    (run / "eval_report" / name).write_text(json.dumps(report), "utf-8")


@pytest.mark.parametrize("stated", [0.5, 0.75])
def test_eurekas_report_is_compared_with_its_judges_verdicts(tmp_path: Path, stated: float) -> None:
    run = tmp_path / "MathVista_Pipeline" / "2026-01-01-10-00-00.1"
    _eureka(run / "inference_result", ["5", "6", "7", "5"])
    _eureka(run / "eval_inference_result", ["1", "0", "0", "1"], prompt="Judge")
    _report(run, "averageaggregator_101010_MathVista_Score_report.json", {"score": stated})
    _report(run, "averageaggregator_101011_By_Type_report.json", {"score": {"integer_task": 0.123}})
    _report(run, "countaggregator_101012_on_answer_type_report.json", {"answer_type": {"integer": 4}})
    told = [w for w in load_results(tmp_path).warnings if w.startswith("totals")]
    assert len(told) == (stated != 0.5)
    assert all("the mean of score" in w and "0.75, its rows give 0.5" in w for w in told)


@pytest.mark.parametrize(("counts", "right"), [
    ({"correct": 2, "incorrect": 1, "none": 1}, True),
    ({"correct": 0.5, "incorrect": 0.25, "none": 0.25}, True),
    ({"correct": 0.667, "incorrect": 0.333}, True),  # where failed requests were left out
    ({"correct": 3, "incorrect": 1}, False),
])  # fmt: skip
def test_eurekas_metric_gives_each_row_its_score(
    tmp_path: Path, counts: dict[str, float], right: bool
) -> None:
    run = tmp_path / "ChartQA_PIPELINE" / "M" / "2026-01-01-10-00-00.1"
    _eureka(run / "inference_result", ["5", "6", "five", None])
    lines = (run / "inference_result" / "inference_result.jsonl").read_text("utf-8").splitlines()
    scored = [json.loads(line) | {"ExactMatch_result": said} for line, said in
              zip(lines, ("correct", "incorrect", "correct", "none"), strict=True)]  # fmt: skip
    (run / "eval_report").mkdir()
    path = run / "eval_report" / "metric_results.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in scored), "utf-8")
    _report(run, "countaggregator_101010_on_ExactMatch_result_report.json", {"ExactMatch_result": counts})
    results = load_results(tmp_path)
    frame = results.frame()
    assert list(frame["logged"][:3]) == [1, 0, 1]
    assert math.isnan(frame["logged"][3])  # and no row twice
    told = [w for w in results.warnings if w.startswith("totals")]
    explained = [w for w in told if "counting rows without a score as wrong gives the log's number" in w]
    if right:
        assert told == explained
        assert len(told) == ("none" in counts)
    else:
        assert told
        assert not explained
    alone = load_results(path).frame()
    assert list(alone["logged"][:3]) == [1, 0, 1]


# -- VLMEvalKit -------------------------------------------------------------------------------------


def _table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


VISTA = [
    {
        "index": 1,
        "question": "How much?",
        "answer": "8",
        "answer_type": "integer",
        "prediction": "8 cm",
    },
    {"index": 2, "question": "How much?", "answer": "1.5", "answer_type": "float", "prediction": "1.5 m"},
]


def test_what_a_judge_extracted_is_compared_as_the_harness_does(tmp_path: Path) -> None:
    rows = [{**row, "res": row["answer"], "log": "Succeed"} for row in VISTA]
    path = _table(tmp_path / "M_MathVista_MINI_deepseek-v3.tsv", rows)
    _table(tmp_path / "M_MathVista_MINI_deepseek-v3_score.csv", [{"Task&Skill": "Overall", "acc": "100.0"}])
    results = load_results(path)
    assert list(results.frame()["value"]) == [1, 1]
    assert results.protocol == "logged"
    assert (set(results.frame()["benchmark"]), set(results.frame()["model"])) == ({"MathVista"}, {"M"})
    assert not any(w.startswith("totals:") for w in results.warnings)


def test_totals_that_the_rows_do_not_give_are_told(tmp_path: Path) -> None:
    rows = [{**row, "hit": hit} for row, hit in zip(VISTA, (1, 0))]
    path = _table(tmp_path / "M_MathVista_MINI.tsv", rows)
    _table(tmp_path / "M_MathVista_MINI_score.csv", [{"Task&Skill": "Overall", "acc": "75.0"}])
    (said,) = [w for w in load_results(path).warnings if w.startswith("totals:")]
    assert "acc = 75, its rows give 0.5 (mean of 2 of 2 rows)" in said


def test_totals_that_count_missing_values_as_wrong_are_explained(tmp_path: Path) -> None:
    rows = [{**VISTA[0], "hit": "1"}, {**VISTA[1], "hit": ""}]
    path = _table(tmp_path / "M_MathVista_MINI.tsv", rows)
    _table(tmp_path / "M_MathVista_MINI_score.csv", [{"Task&Skill": "Overall", "acc": "50.0"}])
    (said,) = [w for w in load_results(path).warnings if w.startswith("totals:")]
    assert said.endswith("counting rows without a score as wrong gives the log's number")


def test_a_file_with_values_counts_before_one_with_extractions(tmp_path: Path) -> None:
    rows = [{**row, "question_type": "free-form"} for row in VISTA]
    _table(tmp_path / "M_MathVerse_MINI.tsv", rows)
    _table(tmp_path / "M_MathVerse_MINI_gpt-4o_extract.tsv", [{**r, "extract": r["answer"]} for r in rows])
    _table(tmp_path / "M_MathVerse_MINI_gpt-4o_score.tsv", [{**r, "score": "True"} for r in rows])
    results = load_results(tmp_path)
    assert len(results) == 2
    assert list(results.frame()["logged"]) == [1, 1]


@pytest.mark.parametrize(
    ("stem", "told"),
    [
        ("Qwen3-VL-8B_MathVision_MINI_deepseek-v3", ("Qwen3-VL-8B", "MathVision_MINI")),
        ("Qwen3-VL-8B_MathVision_MINI_deepseek-v3_score", ("Qwen3-VL-8B", "MathVision_MINI")),
        ("my_model_v2_MMMU_DEV_VAL_qwen2.5-72b_result", ("my_model_v2", "MMMU_DEV_VAL")),
        ("M_DocVQA_VAL", ("M", "DocVQA_VAL")),
    ],
)
def test_any_judges_name_leaves_the_data_sets(stem: str, told: tuple[str, str]) -> None:
    assert model_and_dataset(stem) == told


def test_items_of_several_splits_stay_apart(tmp_path: Path) -> None:
    base = {"question": "Which?\nA. one\nB. two", "answer": "A", "prediction": "A"}
    rows = [{"index": n, **base, "split": "dev" if n < 2 else "validation"} for n in range(5)]
    results = load_results(_table(tmp_path / "M_MMMU_DEV_VAL.tsv", rows))
    assert results.frame()["version"].value_counts().to_dict() == {"validation": 3, "dev": 2}


def test_links_to_a_log_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "T1").mkdir()
    path = _table(tmp_path / "T1" / "M_MathVista_MINI.tsv", VISTA)
    (tmp_path / path.name).symlink_to(path)
    results = load_results(tmp_path)
    assert len(results) == 2
    assert any("1 files are links" in w for w in results.warnings)


def test_two_folders_with_the_same_items_are_two_runs(tmp_path: Path) -> None:
    for name, reply in (("T1", "8"), ("T2", "9")):
        (tmp_path / name).mkdir()
        _table(tmp_path / name / "M_MathVista_MINI.tsv", [{**VISTA[0], "prediction": reply}])
    results = load_results(tmp_path)
    assert dict(zip(results.frame()["run"], results.frame()["response"])) == {
        "M T1/M_MathVista_MINI": "8", "M T2/M_MathVista_MINI": "9",
    }  # fmt: skip


def test_turned_options_are_one_cluster(tmp_path: Path) -> None:
    base = {"question": "Which?", "A": "cat", "B": "dog", "answer": "A", "prediction": "A"}
    rows = [{"index": n + turn, **base} for n in (3, 4) for turn in (0, 1_000_000)]
    frame = load_results(_table(tmp_path / "M_MMBench_DEV_EN.tsv", rows)).frame()
    assert list(frame["cluster"]) == ["question 3", "question 3", "question 4", "question 4"]


# -- one reader of an item's options ----------------------------------------------------------------


def test_options_on_one_line_are_read_from_a_log_as_from_the_data_set(tmp_path: Path) -> None:
    question = "What colour?\nOptions: A: red, B: blue, C: green, D: black\nAnswer with the letter."
    sample = {
        "doc_id": 0, "target": "A", "input": question, "filtered_resps": "red",
        "instance reasoning": {"question_id": 0, "l2_category": "x", "score": 0.0},
        "average": {"question_id": 0, "l2_category": "x", "score": 0.0},
    }  # fmt: skip
    (tmp_path / "x_samples_mmstar.jsonl").write_text(json.dumps(sample), "utf-8")
    results = load_results(tmp_path / "x_samples_mmstar.jsonl")
    (row,) = results.rows()
    assert row["details"]["options"] == {"A": "red", "B": "blue", "C": "green", "D": "black"}
    assert row["category"] == "instance reasoning"
    assert row["logged"] == 0
    assert rescore(results, "workbench").frame()["value"][0] == 1


# -- EvalScope and OpenCompass -----------------------------------------------------------------------


def _evalscope(root: Path, replies: Sequence[str], report: float) -> None:
    for part in ("predictions", "reviews", "reports"):
        (root / part / "M").mkdir(parents=True)
    question = [{"type": "text", "text": "What colour?\nA) red\nB) blue"}]
    thinking = [{"type": "reasoning", "reasoning": "It is red."}, {"type": "text", "text": "A"}]
    predictions, reviews = [], []
    for at, reply in enumerate(replies):
        content = thinking if at == 0 else reply
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": content}]
        usage = {"input_tokens": 40, "output_tokens": 9, "reasoning_tokens": 4 if at == 0 else None}
        output = {"choices": [{"message": messages[1], "stop_reason": "stop"}], "usage": usage, "time": 1.5}
        predictions.append({"index": at, "model": "M", "model_output": output, "messages": messages})
        score = {"value": {"acc": float(reply == "A")}, "extracted_prediction": reply, "prediction": reply}
        scored = {"score": score, "sample_id": at, "group_id": at}
        reviews.append({"index": at, "target": "A", "messages": messages, "sample_score": scored})
    for part, rows in (("predictions", predictions), ("reviews", reviews)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (root / part / "M" / "mm_star_math.jsonl").write_text(lines, "utf-8")
    subset = {"name": "math", "score": report, "num": len(replies)}
    told = {"metrics": [{"name": "mean_acc", "categories": [{"name": ["default"], "subsets": [subset]}]}]}
    (root / "reports" / "M" / "mm_star.json").write_text(json.dumps(told), "utf-8")


def test_evalscopes_reviews_are_read_with_what_its_predictions_tell(tmp_path: Path) -> None:
    _evalscope(tmp_path / "20260101_120000", ["A", "B"], 0.5)
    results = load_results(tmp_path)
    frame = results.frame()
    assert list(frame["item"]) == ["math/0", "math/1"]
    assert set(frame["benchmark"]) == {"MMStar"}
    assert (list(frame["value"]), results.protocol) == ([1, 0], "logged")
    assert (frame["thought"][0], frame["response"][0], frame["thought_tokens"][0]) == ("It is red.", "A", 4)
    assert frame["details"][0]["options"] == {"A": "red", "B": "blue"}
    assert set(frame["seconds"]) == {1.5}
    assert not any(w.startswith("totals:") for w in results.warnings)


def test_evalscopes_runs_stay_apart_and_its_report_is_compared(tmp_path: Path) -> None:
    _evalscope(tmp_path / "20260101_120000", ["A", "B"], 0.5)
    _evalscope(tmp_path / "20260102_120000", ["A", "A"], 0.5)
    results = load_results(tmp_path)
    assert set(_runs(results)) == {"M 20260101_120000", "M 20260102_120000"}
    (said,) = [w for w in results.warnings if w.startswith("totals:")]
    assert "mean_acc of math = 0.5, its rows give 1" in said


def test_opencompass_predictions_are_read_with_the_evaluators_verdicts(tmp_path: Path) -> None:
    root = tmp_path / "20260101_120000"
    for part in ("predictions", "results"):
        (root / part / "M").mkdir(parents=True)
    turn = {"role": "HUMAN", "prompt": "Which?\nA. red\nB. blue"}
    rows = {
        str(at): {"origin_prompt": [turn], "prediction": f"<think>Look.</think>{reply}", "gold": "A"}
        for at, reply in enumerate("AB")
    }
    (root / "predictions" / "M" / "MMStar.json").write_text(json.dumps(rows, indent=4), "utf-8")
    verdicts = {str(at): {"pred": reply, "correct": reply == "A"} for at, reply in enumerate("AB")}
    told = {"accuracy": 50.0, "details": verdicts}
    (root / "results" / "M" / "MMStar.json").write_text(json.dumps(told), "utf-8")
    results = load_results(tmp_path)
    frame = results.frame()
    assert (list(frame["value"]), list(frame["response"]), set(frame["thought"])) == (
        [1, 0],
        ["A", "B"],
        {"Look."},
    )
    assert (set(frame["model"]), set(frame["harness"])) == ({"M"}, {"opencompass"})
    assert frame["details"][0]["options"] == {"A": "red", "B": "blue"}
    assert not any(w.startswith("totals:") for w in results.warnings)
    bare = load_results(root / "predictions" / "M" / "MMStar.json", protocol="workbench")
    assert list(bare.frame()["value"]) == [1, 0]
