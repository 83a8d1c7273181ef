"""The contract of an importer: what `load_results` relies on.

It runs on every importer that was registered with an example (``register_importer(..., example=...)``: a
function that writes a small log into a folder).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.bench import load_results
from workbench.bench.importers import IMPORTERS, recognised
from workbench.errors import WorkbenchError

OTHERS = {
    "chat.jsonl": '{"role": "user", "content": "hello"}\n',
    "x_samples_chartqa.jsonl": '{"doc_id": 0, "target": "5", "filtered_resps": "5"}\n',
    "inference_result.jsonl": '{"uid": 0, "model_output": "5", "is_valid": true}\n',
    "M_ChartQA_TEST.tsv": "index\tquestion\tanswer\tprediction\n1\tHow much?\t5\t5\n",
    "notes.txt": "hello\n",
    "empty.json": "",
}


@pytest.fixture(params=[name for name, one in IMPORTERS.plugged().items() if one.example] or [""])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """(harness, its example log)."""
    if not request.param:
        pytest.skip("no importer was registered with an example")
    make = IMPORTERS[request.param].example
    assert make is not None
    return request.param, make(tmp_path)


def test_its_log_is_recognised_and_read(log: tuple[str, Path]) -> None:
    harness, path = log
    assert recognised(path) == harness
    results = load_results(path)
    frame = results.frame()
    assert len(frame)
    assert set(frame["harness"]) == {harness}
    assert frame["response"].notna().any()
    assert (frame["item"] != "").all()
    assert frame["value"].dropna().between(0, 1).all()


def test_the_same_log_gives_the_same_rows(log: tuple[str, Path]) -> None:
    first, second = (load_results(log[1]).frame() for _ in range(2))
    assert first.equals(second)


def test_it_leaves_other_logs_alone(log: tuple[str, Path], tmp_path: Path) -> None:
    for name, text in OTHERS.items():
        path = tmp_path / "others" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        assert recognised(path) != log[0], name


def test_a_log_that_is_cut_is_an_error_or_a_warning(log: tuple[str, Path], tmp_path: Path) -> None:
    whole = load_results(log[1])
    data = log[1].read_bytes()
    path = tmp_path / "cut" / log[1].name
    path.parent.mkdir()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(data[: int(share * len(data))])
        try:
            cut = load_results(path)
        except WorkbenchError:
            continue
        assert len(cut) == len(whole) or cut.warnings, "rows are missing, and nothing says so"
