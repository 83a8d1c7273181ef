"""A run measures itself, goes on after kill -9 with the same weights, and stops well on a full disk."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ablate_tiny import TINY
from safetensors.torch import load_file

from workbench import ablate
from workbench.ablate import training
from workbench.ablate.recipe import part_of
from workbench.ablate.stream import make_plan
from workbench.errors import InputError, WorkbenchError
from workbench.train.loop import Trainer

SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
from ablate_tiny import TINY
from workbench import ablate
from workbench.train.loop import Trainer

update = Trainer.update
def slowly(self, batch):
    time.sleep(0.2)
    return update(self, batch)
Trainer.update = slowly
ablate.run(TINY, {folder!r}, checkpoint=2, every=1)
"""


def test_a_run_measures_every_domain_in_every_mode(finished: ablate.Run) -> None:
    table = finished.frame()
    assert set(zip(table.domain, table["mode"], strict=True)) == {
        (d, m) for d in ("general", "maths") for m in ("auto", "think", "nothink")
    }
    assert ((table.low <= table.accuracy) & (table.accuracy <= table.high)).all()
    assert len(finished.frame(by="family")) == 6
    totals = finished.totals
    assert totals["samples"] == 24
    assert min(totals["flops"], totals["seconds"]) > 0
    assert totals["peak_memory"] > 1e7
    assert {"host", "torch", "commit", "threads", "from_step"} <= finished.provenance[0].keys()
    assert finished.metrics().step.iloc[-1] == totals["steps"]
    assert not (finished.folder / "train").exists(), "a checkpoint is of no use after the end"


def test_a_finished_run_is_read_not_repeated(finished: ablate.Run, monkeypatch) -> None:
    module = sys.modules["workbench.ablate.run"]  # `ablate.run` is the function
    monkeypatch.setattr(module, "_run_here", lambda *_: pytest.fail("it was run again"))
    assert ablate.run(TINY, finished.folder.parent) == finished


def test_stages_train_the_parts_that_they_name(store: Path, monkeypatch) -> None:
    changed: dict[str, set[str]] = {}
    update = Trainer.update
    plan = make_plan(TINY, 24)

    def watched(self, batch):
        before = {k: v.clone() for k, v in self.model.named_parameters()}
        metrics = update(self, batch)
        kind = plan.stage(self.step).kind
        after = dict(self.model.named_parameters())
        moved = {part_of(k) for k, v in after.items() if not torch.equal(v, before[k])}
        changed.setdefault(kind, set()).update(moved)
        return metrics

    monkeypatch.setattr(Trainer, "update", watched)
    monkeypatch.setattr("workbench.ablate.training.ask_all", lambda *_: pytest.fail("far enough"))
    with pytest.raises(BaseException, match="far enough"):
        ablate.run(TINY.replace(architecture={"freeze_encoder": True}), store)
    assert changed["projector"] == {"projector"}
    assert changed["all"] == {"projector", "decoder"}
    assert "encoder" in changed["encoder"]


@pytest.mark.slow  # two processes import torch
def test_a_killed_run_ends_with_the_same_weights(store: Path, finished: ablate.Run) -> None:
    code = SCRIPT.format(here=str(Path(__file__).parent), folder=str(store))
    place = store / TINY.hash
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        while not (place / "train" / "checkpoint.json").exists():
            assert process.poll() is None, "the run ended by itself"
            time.sleep(0.01)
        time.sleep(0.3)  # into the steps behind the checkpoint
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert not (place / "result.json").exists()
    again = ablate.run(TINY, store, checkpoint=3, every=2)
    assert again.provenance[-1]["from_step"] > 0
    whole, cut = (load_file(r.folder / "model" / "model.safetensors") for r in (finished, again))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(v, cut[k]) for k, v in whole.items())
    assert {k: again.totals[k] for k in ("tokens", "flops", "samples")} == {
        k: finished.totals[k] for k in ("tokens", "flops", "samples")
    }
    steps = again.metrics().step
    assert steps.is_monotonic_increasing
    assert steps.is_unique


@pytest.mark.parametrize("wrapped", [OSError(errno.ENOSPC, "full"), RuntimeError("I/O error: (os error 28)")])
def test_a_full_disk_stops_the_run_with_what_it_has(store: Path, monkeypatch, wrapped) -> None:
    save = Trainer.save

    def fills(self):
        if self.step > 4:
            raise wrapped
        save(self)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "save", fills)
        with pytest.raises(WorkbenchError, match="disk is full.*goes on from there"):
            ablate.run(TINY, store, checkpoint=4)
    state = json.loads((store / TINY.hash / "train" / "checkpoint.json").read_text())
    assert state["step"] == 4
    assert ablate.runs(store).state.tolist() == ["failed"]


def test_a_budget_in_flops_buys_about_that_many(store: Path, monkeypatch) -> None:
    recipe = TINY.replace(budget={"flops": 3e8})
    work = training.Work(recipe, store / recipe.hash, device="cpu", checkpoint=10)
    monkeypatch.setattr(work.trainer, "save", lambda: None)
    work.trainer.run(on_metrics=lambda _: None)
    assert work.trainer.work["flops"] == pytest.approx(3e8, rel=0.2)
    with pytest.raises(InputError, match="what one sample costs"):
        training.Work(TINY.replace(budget={"flops": 1.0}), store / "x", device="cpu", checkpoint=10)


def test_weights_that_do_not_fit_are_refused(store: Path, finished: ablate.Run) -> None:
    start = str(finished.folder / "model")
    with pytest.raises(WorkbenchError, match="does not fit"):
        ablate.run(TINY.replace(start=start, architecture={"width": 64}), store)
    with pytest.raises(InputError, match="model.safetensors"):
        ablate.run(TINY.replace(start=str(store)), store)
