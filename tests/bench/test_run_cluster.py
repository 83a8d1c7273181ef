"""A run on a Ray cluster gives what a run here gives, and asks nothing twice."""

from __future__ import annotations

import pytest
from bench_fakes import FakeVLM, yes_no

import workbench
from workbench import bench
from workbench.errors import CapabilityError


def test_what_no_worker_can_load_is_refused(tmp_path) -> None:
    with pytest.raises(CapabilityError, match="Ray cluster"):
        bench.run(FakeVLM(), yes_no(2), folder=tmp_path, engine="ray", progress=False)


@pytest.mark.slow
def test_a_run_on_a_local_cluster_gives_the_same_replies(tmp_path) -> None:
    ray = pytest.importorskip("ray", reason="a cluster needs Ray")
    vlm = workbench.load(progress=False)
    asked = (vlm, ["synth:read_sign@1", "synth:chain@1"], ["nothink", "think"])
    options = {"limit": 4, "max_tokens": 64, "batch_size": 2, "cache": False, "progress": False}
    here = bench.run(*asked, folder=tmp_path / "here", **options)
    shared = bench.run(*asked, folder=tmp_path / "shared", engine="ray", workers=2, **options)
    assert not ray.is_initialized()  # the cluster that was started for the run has ended with it
    same = ["benchmark", "item", "mode", "response", "thought", "value", "tokens"]
    assert shared.frame()[same].equals(here.frame()[same])
    lines = (tmp_path / "shared" / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 16
