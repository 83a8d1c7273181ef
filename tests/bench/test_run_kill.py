"""A run that is killed while it works goes on with no item lost and none asked twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from bench_fakes import FakeVLM, yes_no

from workbench import bench

SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
from bench_fakes import FakeVLM, yes_no
from workbench import bench

def slowly(vlm, questions):
    time.sleep(0.05)

options = dict(batch_size=2, cache=False, progress=False)
bench.run(FakeVLM(before=slowly), yes_no(200), ["auto"], folder={folder!r}, **options)
"""


def answered(folder: Path) -> list[str]:
    path = folder / "journal.jsonl"
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [json.loads(line)["item"] for line in whole.splitlines()]


@pytest.mark.slow  # the process that is killed imports torch first
def test_a_killed_run_goes_on_where_it_stopped(tmp_path) -> None:
    code = SCRIPT.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        while len(answered(tmp_path)) < 6:
            assert process.poll() is None, "the run ended by itself"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    before = answered(tmp_path)
    assert 6 <= len(before) < 200
    vlm = FakeVLM()
    results = bench.run(
        vlm, yes_no(200), modes=["auto"], folder=tmp_path, batch_size=16, cache=False, progress=False
    )
    asked = [question.split()[1] for question, _ in vlm.asked]
    assert Counter([*before, *asked]) == {str(i): 1 for i in range(200)}
    assert sorted(results.frame()["item"]) == sorted(str(i) for i in range(200))
    assert answered(tmp_path) == [*before, *asked]
