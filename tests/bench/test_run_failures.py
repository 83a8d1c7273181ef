"""What one item raises is one failed row; only many in a row end a run. Strangers' paths lead nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_fakes import FakeVLM, yes_no
from PIL import Image

from workbench import bench
from workbench.bench import Results, load_results
from workbench.bench.engines import GIVE_UP
from workbench.errors import WorkbenchError


class Fragile(FakeVLM):
    """Fails on some questions, in ways that no error of ours foresees."""

    def __init__(self, wrong: dict[str, BaseException]) -> None:
        super().__init__()
        self.wrong = wrong

    def ask_many(self, images, questions, **options):
        for question in questions:
            for part, error in self.wrong.items():
                if part in question:
                    raise error
        return super().ask_many(images, questions, **options)


def test_any_exception_of_one_item_is_one_failed_row_with_its_type(tmp_path: Path) -> None:
    wrong = {"Is 3": ZeroDivisionError("by zero"), "Is 5": RuntimeError("CUDA error"), "Is 6": KeyError("x")}
    results = bench.run(Fragile(wrong), yes_no(8), modes=["auto"], folder=tmp_path, progress=False)
    frame = results.frame().set_index("item")
    assert frame["response"].isna().sum() == 3
    assert frame["value"].isna().sum() == 3
    (said,) = [w for w in results.warnings if w.startswith("failed: 3 of 8")]
    assert any(f"{type(error).__name__}: {error}" in said for error in wrong.values())


def test_only_many_in_a_row_end_a_run(tmp_path: Path) -> None:
    vlm = Fragile({"Is": RuntimeError("no more memory")})
    with pytest.raises(WorkbenchError, match=f"{GIVE_UP + 7} items in a row failed.*RuntimeError"):
        bench.run(vlm, yes_no(60), modes=["auto"], folder=tmp_path, progress=False, batch_size=32)
    vlm.wrong = {}
    results = bench.run(vlm, yes_no(60), modes=["auto"], folder=tmp_path, progress=False)
    assert results.frame()["response"].notna().all()  # the same call went on


def _foreign(path: Path, ref: str, **more: object) -> Path:
    header = {"format": "workbench.results", "version": 1, "warnings": [], "about": {}, **more}
    row = {"benchmark": "B", "item": "1", "mode": "auto", "response": "x", "value": 0.0, "images": [ref]}
    path.write_text(json.dumps(header) + "\n" + json.dumps(row) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("kind", ["upward", "absolute", "upward with a seal", "backslash"])
def test_strangers_results_embed_no_picture_of_this_machine(tmp_path: Path, kind: str) -> None:
    private = tmp_path / "private.png"
    Image.new("RGB", (37, 19), "red").save(private)
    (tmp_path / "a" / "b").mkdir(parents=True)
    ref = {"absolute": str(private), "backslash": "..\\..\\private.png"}.get(kind, "../../private.png")
    more = {"seal": "0" * 64} if "seal" in kind else {}
    foreign = _foreign(tmp_path / "a" / "b" / "results.jsonl", ref, **more)
    for results in (Results.load(foreign), load_results(foreign)):
        assert list(results.frame()["images"]) == [()]
        assert any("1 paths lead out of the folder" in w for w in results.warnings)
        page = bench.report(results, tmp_path / "report.html").read_text("utf-8")
        assert "data:image" not in page


def test_what_this_machine_wrote_keeps_its_pictures(tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "1.png"
    picture.parent.mkdir()
    Image.new("RGB", (37, 19), "red").save(picture)
    row = {"benchmark": "B", "item": "1", "mode": "auto", "images": [str(picture)]}
    results = Results.of([row])
    (tmp_path / "elsewhere").mkdir()
    for name in ("r.jsonl", "r.parquet"):
        again = Results.load(results.save(tmp_path / "elsewhere" / name))
        assert again.images(0)[0].size == (37, 19)
        assert not any("pictures:" in w for w in again.warnings)
    changed = (tmp_path / "elsewhere" / "r.jsonl").read_text("utf-8").replace("1.png", "2.png")
    (tmp_path / "elsewhere" / "r.jsonl").write_text(changed, "utf-8")  # the seal is of the paths
    assert Results.load(tmp_path / "elsewhere" / "r.jsonl").frame()["images"][0] == ()


def test_a_strangers_run_folder_is_read_without_the_paths_that_lead_out(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    Image.new("RGB", (37, 19), "red").save(picture)
    task = bench.Task("t", [bench.Item("1", "What?", "yes", (str(picture),))], scorer="HallusionBench")
    own = bench.run(FakeVLM(), task, modes=["auto"], folder=tmp_path / "run", progress=False)
    assert own.images(0)[0].size == (37, 19)
    lines = (tmp_path / "run" / "run.jsonl").read_text("utf-8").splitlines()
    header = json.loads(lines[0])
    header["seal"] = ""
    (tmp_path / "run" / "run.jsonl").write_text("\n".join([json.dumps(header), *lines[1:]]) + "\n", "utf-8")
    assert bench.open_run(tmp_path / "run").frame()["images"][0] == ()
