"""A sweep repeats nothing, survives what kills its workers, and shares a folder with another sweep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ablate_tiny import TINY

from workbench import ablate
from workbench.ablate import engines
from workbench.ablate.store import held
from workbench.ablate.sweep import SweepProgress
from workbench.bench.engines import LOCAL, _read_settings_anew
from workbench.errors import InputError, WorkbenchError

RECIPES = [TINY.replace(seed=seed) for seed in range(2)]


@pytest.fixture
def fake_run(monkeypatch):
    """Runs that end at once; the hashes that were run."""
    ran: list[str] = []

    def run(recipe, root, **options):
        with held(root / recipe.hash, wait=options["wait"]):
            ran.append(recipe.hash)
            if recipe.seed == 13:
                raise WorkbenchError("it cannot be run")

    monkeypatch.setattr(engines, "run", run)
    return ran


def test_a_sweep_runs_each_recipe_once_and_tells_what_failed(tmp_path: Path, fake_run) -> None:
    bad = TINY.replace(seed=13)
    made = ablate.sweep([*RECIPES, RECIPES[0], bad], tmp_path, progress=False)
    assert fake_run == [r.hash for r in (*RECIPES, bad)]
    assert made.failed == {bad.hash: "it cannot be run."}
    assert made.finished == tuple(r.hash for r in RECIPES)


def test_a_run_that_another_sweep_is_at_is_left_to_it(tmp_path: Path, fake_run) -> None:
    with held(tmp_path / RECIPES[0].hash):
        made = ablate.sweep(RECIPES, tmp_path, progress=False)
    assert made.skipped == (RECIPES[0].hash,)
    assert fake_run == [RECIPES[1].hash]


def test_a_finished_run_is_not_run_again(finished: ablate.Run, fake_run) -> None:
    made = ablate.sweep([TINY], finished.folder.parent, progress=False)
    assert (made.finished, made.repeated, fake_run) == ((TINY.hash,), 1, [])
    assert len(made.frame()) == 6


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch) -> None:
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(engines, "run", stopped)
    with pytest.raises(KeyboardInterrupt) as caught:
        ablate.sweep(RECIPES, tmp_path, progress=False)
    assert "same call goes on" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"engine": "slurm"}, "engine='slurm'"),
        ({"workers": 0}, "workers=0"),
        ({"address": "127.0.0.1:1"}, "engine='ray'"),
    ],
)
def test_what_a_sweep_cannot_do_is_refused(tmp_path: Path, options, told) -> None:
    with pytest.raises(InputError, match=told):
        ablate.sweep(RECIPES, tmp_path, **options)
    with pytest.raises(InputError, match="no recipes"):
        ablate.sweep([], tmp_path)
    with pytest.raises(InputError, match="list of recipes"):
        ablate.sweep(TINY, tmp_path)


def test_time_left_comes_from_the_steps_that_were_made(tmp_path: Path) -> None:
    from workbench.ablate.store import write_json

    waiting = {r.hash: r for r in RECIPES}
    with SweepProgress(tmp_path, waiting, done=0, show=False) as bar:
        assert bar.seconds_left() is None
        write_json(tmp_path / RECIPES[0].hash / "state.json", {"step": 5, "steps": 10})
        bar.look()
        assert bar.work_done() == pytest.approx(0.25)
        left, spent = bar.seconds_left(), time.perf_counter() - bar._begun
        assert left == pytest.approx(3 * spent, rel=0.2)


@pytest.mark.slow  # worker processes import torch
def test_a_worker_that_is_killed_costs_only_its_last_steps(store: Path) -> None:
    long = [r.replace(budget=80) for r in RECIPES]
    killed: list[int] = []

    def kill_one() -> None:
        checkpoint = store / long[0].hash / "train" / "checkpoint.json"
        holder = store / long[0].hash / "holder.json"
        while not killed:
            if checkpoint.exists() and holder.exists():
                killed.append(json.loads(holder.read_text())["pid"])
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.01)

    assert os.getpid() not in killed
    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    made = ablate.sweep(long, store, workers=2, checkpoint=2, every=1, progress=False)
    assert made.failed == {}
    assert killed
    assert set(made.frame().state) == {"finished"}
    sessions = ablate.Run.load(store / long[0].hash).provenance
    assert sessions[-1]["from_step"] > 0, "it went on from the checkpoint"


@pytest.mark.slow  # three processes import torch
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_is_ended_from_outside_takes_its_workers_along(store: Path, number: int) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from ablate_tiny import TINY\nfrom workbench import ablate\n"
        f"ablate.sweep([TINY.replace(budget=100000, seed=s) for s in range(2)], {str(store)!r}, workers=2,"
        " checkpoint=2, every=1, progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    holders = [store / TINY.replace(budget=100000, seed=s).hash / "holder.json" for s in range(2)]
    try:
        while not all((place.parent / "train" / "checkpoint.json").exists() for place in holders):
            assert process.poll() is None
            time.sleep(0.05)
        workers = [json.loads(place.read_text())["pid"] for place in holders]
        process.send_signal(number)
    finally:
        process.wait(60)
    for place, pid in zip(holders, workers, strict=True):
        assert pid != process.pid
        with held(place.parent, wait=30):  # the worker is gone, or holds its run for ever
            pass
    assert set(ablate.runs(store).state) == {"stopped"}


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="a cluster needs Ray")
    with pytest.raises(WorkbenchError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        ablate.sweep(RECIPES, tmp_path, engine="ray", address="127.0.0.1:1", progress=False)


def _two_nodes(tries: int = 5) -> tuple[Any, Any]:
    """A cluster of two nodes here, and its second one.

    Ray gives a node 30 s to start, which a busy machine may not keep; then the cluster is begun anew.
    """
    from ray.cluster_utils import Cluster

    here = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    for left in reversed(range(tries)):
        cluster = Cluster()
        try:
            cluster.add_node(**here, include_dashboard=False, wait=False)
            second = cluster.add_node(**here, wait=False)
            cluster.wait_for_nodes(timeout=120)
            return cluster, second
        except Exception:  # Ray raises a bare one
            cluster.shutdown()
            if not left:
                raise
    raise AssertionError("no tries")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_that_is_killed_costs_only_its_last_steps(store: Path) -> None:
    # Ray keeps the first token that a process shows it: set for good, as `connected` does, not for this test.
    for name, value in {**LOCAL, "RAY_AUTH_TOKEN": "a" * 64}.items():
        os.environ.setdefault(name, value)
    ray = pytest.importorskip("ray", reason="a cluster needs Ray")
    _read_settings_anew()
    cluster, second = _two_nodes()
    recipes = [TINY.replace(seed=seed, budget=80) for seed in range(3)]

    def kill_node() -> None:
        while sum((store / r.hash / "train" / "checkpoint.json").exists() for r in recipes) < 2:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill_node, daemon=True)
    killer.start()
    try:
        options = {"checkpoint": 2, "every": 1, "progress": False}
        made = ablate.sweep(recipes, store, engine="ray", address=cluster.address, **options)
        killer.join(60)
        assert not killer.is_alive(), "no node was killed while it worked"
        assert made.failed == {}
        assert set(made.frame().state) == {"finished"}
        sessions = [ablate.Run.load(store / r.hash).provenance for r in recipes]
        assert max(len(s) for s in sessions) > 1, "a run moved, and went on from its checkpoint"
        assert not ray.is_initialized()
    finally:
        cluster.shutdown()
