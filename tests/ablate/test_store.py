"""The store: one writer, whole files, one table; what is damaged is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ablate_tiny import TINY

from workbench import ablate
from workbench.ablate.store import held, write_json
from workbench.errors import BusyError, DiskError, InputError


@pytest.fixture
def copy(finished: ablate.Run, tmp_path: Path) -> Path:
    """A store with the finished run, to be damaged."""
    shutil.copytree(finished.folder, tmp_path / finished.folder.name)
    return tmp_path


def test_all_runs_are_one_table_with_their_recipes(copy: Path) -> None:
    other = TINY.replace(seed=9)
    write_json(copy / other.hash / "recipe.json", other.to_dict())
    table = ablate.runs(copy)
    assert table.groupby("run").size().to_dict() == {TINY.hash: 6, other.hash: 1}
    assert table.set_index("run").loc[other.hash, "state"] == "stopped"
    whole = table[table.run == TINY.hash]
    assert whole["share.general"].unique().tolist() == [0.5]
    assert whole["architecture.width"].unique().tolist() == [32]
    assert whole.accuracy.notna().all()


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("result.json", lambda text: text.replace('"accuracy": 0', '"accuracy": 1', 1), "was edited"),
        ("result.json", lambda text: text[: len(text) // 2], "damaged"),
        ("result.json", lambda text: "[]", "JSON object"),
        ("result.json", lambda text: "[" * 5000, "too deeply"),
        ("recipe.json", lambda text: text.replace('"seed": 0', '"seed": 5'), "hash is the folder's name"),
        ("recipe.json", lambda text: text.replace('"seed"', '"sed"'), "did you mean 'seed'"),
        ("recipe.json", lambda text: None, "missing"),
    ],
)
def test_a_folder_edited_by_hand_is_named_and_nothing_is_dropped(copy: Path, name, damage, told) -> None:
    path = copy / TINY.hash / name
    text = damage(path.read_text())
    assert text != path.read_text()
    path.unlink() if text is None else path.write_text(text)
    with pytest.warns(UserWarning, match=TINY.hash):
        table = ablate.runs(copy)
    assert table.state.tolist() == ["damaged"]
    assert told in table.problem[0]
    with pytest.raises(InputError):
        ablate.Run.load(copy / TINY.hash)
    made = ablate.sweep([TINY], copy, progress=False) if name == "result.json" else None
    assert made is None or TINY.hash in made.failed


def test_one_process_writes_a_run_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    place = tmp_path / "run"
    code = (
        "import sys, time; from pathlib import Path; from workbench.ablate.store import held\n"
        f"with held(Path({str(place)!r})): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {process.pid}"), held(place):
            pass
    finally:
        process.kill()
        process.wait()
    with held(place, wait=5):
        assert json.loads((place / "holder.json").read_text())["pid"] != process.pid


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def first() -> None:
        with held(tmp_path / "run"):
            order.append("first")
            time.sleep(0.5)
            order.append("first ends")

    thread = threading.Thread(target=first)
    thread.start()
    while not order:
        time.sleep(0.01)
    with held(tmp_path / "run", wait=10):
        order.append("second")
    thread.join()
    assert order == ["first", "first ends", "second"]


def test_files_are_read_whole_while_they_are_written(tmp_path: Path) -> None:
    path, stop = tmp_path / "state.json", threading.Event()
    write_json(path, {"n": 0, "fill": "x" * 20000})

    def write() -> None:
        n = 0
        while not stop.is_set():
            write_json(path, {"n": (n := n + 1), "fill": "x" * 20000})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            assert len(json.loads(path.read_text())["fill"]) == 20000
    finally:
        stop.set()
        writer.join()


def test_an_empty_table_has_the_columns_that_a_query_asks_for(tmp_path: Path) -> None:
    table = ablate.runs(tmp_path)
    assert table.empty
    assert table.query("mode == 'auto' and seed == 0 and state == 'finished'").empty
    assert {"share.maths", "architecture.width", "commit", "accuracy"} <= set(table)


def test_the_table_says_what_each_run_was_made_with(copy: Path) -> None:
    table = ablate.runs(copy)
    for name in ("date", "workbench", "code_sha256", "processor", "instructions"):
        assert table[name].notna().all(), name
    assert table["start_sha256"].isna().all(), "it began fresh"


def test_a_busy_run_is_told_by_the_kind_of_its_error(tmp_path: Path) -> None:
    with (
        held(tmp_path / "run"),
        pytest.raises(BusyError, match="is being written by process"),
        held(tmp_path / "run"),
    ):
        pass
    with pytest.raises(DiskError), held(Path(__file__) / "run"):
        pass


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        ablate.runs(tmp_path / "none")
    assert ablate.runs(tmp_path).empty
