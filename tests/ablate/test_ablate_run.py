"""A run measures itself, goes on after kill -9 with the same weights, and stops well on a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from ablate_tiny import TINY
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from workbench import ablate
from workbench.ablate import training
from workbench.ablate.recipe import part_of
from workbench.ablate.stream import make_plan, write_example
from workbench.errors import DiskError, DivergenceError, InputError, WorkbenchError
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
    families = finished.frame(by="family")
    for row in families.itertuples():
        assert len(row.bits) == row.n
        assert set(row.bits) <= {"0", "1"}
        assert row.bits.count("1") == row.right
    for name in ("held_out_direct", "held_out_thinking"):  # a model that learned nothing guesses among 1,280
        assert table[name].between(4, 9).all()
        assert table.groupby("domain")[name].nunique().eq(1).all()
        assert table[name].nunique() == 2
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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_the_run_with_what_it_has(store: Path, monkeypatch, number: int) -> None:
    save, replace = Trainer.save, os.replace

    def full(*_):
        raise OSError(number, os.strerror(number))

    def fills(self):
        monkeypatch.setattr(os, "replace", full if self.step > 4 else replace)
        save(self)

    monkeypatch.setattr(Trainer, "save", fills)
    with pytest.raises(DiskError, match="disk is full.*goes on from there"):
        ablate.run(TINY, store, checkpoint=4)
    monkeypatch.setattr(os, "replace", replace)
    state = json.loads((store / TINY.hash / "train" / "checkpoint.json").read_text())
    assert state["step"] == 4
    assert not list((store / TINY.hash).glob("**/*.tmp"))


def test_a_finished_model_that_the_disk_has_no_room_for_is_told_without_reading_an_error(
    store, monkeypatch
) -> None:
    def save_model(model, architecture, folder):
        raise SafetensorError("Error while serializing")

    def write_bytes(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training, "save_model", save_model)
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(DiskError, match="disk is full"):
        ablate.run(TINY.replace(budget=2), store)


def test_a_store_in_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="Not a directory"):
        ablate.run(TINY, tmp_path / "file" / "runs")


def test_a_run_that_diverges_fails_with_a_clear_word_and_can_be_asked_about(store: Path) -> None:
    hot = TINY.replace(
        optimiser={"lr": 10, "batch": 2, "warmup": 0}, stages=[{"kind": "all", "share": 1}], budget=40
    )
    for _ in range(2):  # the same call again says the same
        with pytest.raises(DivergenceError, match="lower the learning rate"):
            ablate.run(hot, store, checkpoint=2)
    table = ablate.runs(store)
    assert table.state.tolist() == ["failed"]
    assert "diverged" in table.problem[0]


def test_a_finished_run_is_not_taken_for_one_of_other_start_weights(
    store: Path, finished, tmp_path: Path
) -> None:
    start = shutil.copytree(finished.folder / "model", tmp_path / "start")
    recipe = TINY.replace(start=str(start), seed=1, budget=2, modes=["nothink"])
    first = ablate.run(recipe, store)
    assert ablate.run(recipe, store) == first
    weights = load_file(start / "model.safetensors")
    save_file({k: v + 1e-3 for k, v in weights.items()}, start / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="began with other weights"):
        ablate.run(recipe, store)
    made = ablate.sweep([recipe], store, progress=False)
    assert "began with other weights" in made.failed[recipe.hash]
    shutil.rmtree(start)
    assert ablate.run(recipe, store) == first, "weights that are gone cannot differ"


def test_a_finished_run_of_other_code_is_told(store: Path, monkeypatch) -> None:
    recipe = TINY.replace(budget=2, modes=["nothink"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ablate.run(recipe, store)
        ablate.run(recipe, store)
        ablate.sweep([recipe], store, progress=False)
    monkeypatch.setattr(sys.modules["workbench.ablate.run"], "code", lambda: {"code_sha256": "another"})
    with pytest.warns(UserWarning, match=f"run {recipe.hash} made by other code"):
        ablate.run(recipe, store)
    with pytest.warns(UserWarning, match="made by other code") as told:
        ablate.sweep([recipe], store, progress=False)
    assert len(told) == 1


def test_a_budget_in_flops_buys_about_that_many(store: Path, monkeypatch) -> None:
    recipe = TINY.replace(budget={"flops": 3e8})
    work = training.Work(recipe, store / recipe.hash, device="cpu", checkpoint=10)
    monkeypatch.setattr(work.trainer, "save", lambda: None)
    work.trainer.run(on_metrics=lambda _: None)
    assert work.trainer.work["flops"] == pytest.approx(3e8, rel=0.2)
    with pytest.raises(InputError, match="what one sample costs"):
        training.Work(TINY.replace(budget={"flops": 1.0}), store / "x", device="cpu", checkpoint=10)


def test_the_held_out_loss_is_that_of_the_same_questions_in_every_run(store: Path, monkeypatch) -> None:
    drawn: list[list] = []

    def written(encoder, recipe, **options):
        drawn.append((recipe.seed, options["records"], recipe.families, options["reasoning"]))
        return write_example(encoder, recipe, **options)

    losses = {}
    for number, recipe in enumerate((TINY, TINY.replace(seed=7, reasoning=0.4, start="nano"))):
        recipe = recipe.replace(architecture={"width": 160, "depth": 4, "vision_layer": 4}, modes=["nothink"])
        work = training.Work(recipe, store / recipe.hash, device="cpu", checkpoint=10)
        with monkeypatch.context() as patched:
            patched.setattr(training, "write_example", written)
            losses[number] = training.held_out_losses(work.trainer, work.encoder, recipe)
    half = len(drawn) // 2
    assert drawn[:half] == drawn[half:]
    assert {seed for seed, *_ in drawn} == {training.EVALUATION_SEED}
    fresh, trained = losses[0]["maths"], losses[1]["maths"]
    assert trained["held_out_thinking"] < 0.5 < 5 < fresh["held_out_thinking"], (
        "the built-in model knows chains"
    )
    assert trained["held_out_thinking"] < trained["held_out_direct"]


def test_weights_that_do_not_fit_are_refused(store: Path, finished: ablate.Run) -> None:
    start = str(finished.folder / "model")
    with pytest.raises(WorkbenchError, match="does not fit"):
        ablate.run(TINY.replace(start=start, architecture={"width": 64}), store)
    with pytest.raises(InputError, match="model.safetensors"):
        ablate.run(TINY.replace(start=str(store)), store)
