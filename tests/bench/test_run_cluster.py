"""A run on a Ray cluster gives what a run here gives, and asks nothing twice."""

from __future__ import annotations

from collections import Counter, deque
from types import SimpleNamespace

import pytest
from bench_fakes import FakeVLM, yes_no

import workbench
from workbench import bench
from workbench.bench.engines import Asking, _share_out
from workbench.errors import CapabilityError, WorkbenchError


def test_what_no_worker_can_load_is_refused(tmp_path) -> None:
    with pytest.raises(CapabilityError, match="Ray cluster"):
        bench.run(FakeVLM(), yes_no(2), folder=tmp_path, engine="ray", progress=False)


class FakeRay:
    """Futures that are done when they are asked for; a worker dies when ``dies`` says so."""

    class exceptions:  # noqa: N801 - named as Ray names it
        class RayActorError(Exception):
            pass

        class RayTaskError(Exception):
            cause = None

    def __init__(self, dies=lambda batch, tries: False):
        self.dies, self.tries, self.at_once, self.most = dies, Counter(), 0, 0

    def worker(self):
        return SimpleNamespace(ask=SimpleNamespace(remote=self._begin))

    def _begin(self, batch):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        return tuple(asking.key for asking in batch)

    def wait(self, futures, num_returns):
        return futures[-1:], futures[:-1]  # the last one is done first: order must not matter

    def get(self, keys):
        self.at_once -= 1
        self.tries[keys] += 1
        if self.dies(keys, self.tries[keys]):
            raise self.exceptions.RayActorError("the worker died\nwith a long trace")
        return [(key, {"text": key}) for key in keys]


def batches_of(n: int, size: int = 2):
    askings = [Asking(f"k{i}", "t", bench.Item(f"k{i}", "?", "x"), "?", "auto") for i in range(n)]
    return deque((0, askings[i : i + size]) for i in range(0, n, size))


def test_batches_are_shared_out_and_one_whose_worker_died_is_tried_elsewhere() -> None:
    ray = FakeRay(dies=lambda keys, tries: keys[0] == "k4" and tries < 3)
    replies = [r for some in _share_out(ray, [ray.worker(), ray.worker()], batches_of(9)) for r in some]
    assert Counter(asking.key for asking, _ in replies) == {f"k{i}": 1 for i in range(9)}
    assert all(fields["text"] == asking.key for asking, fields in replies)
    assert ray.most == 2
    assert ray.tries["k4", "k5"] == 3


def test_a_batch_that_ends_its_workers_again_and_again_ends_the_run() -> None:
    ray = FakeRay(dies=lambda keys, tries: keys[0] == "k2")
    with pytest.raises(WorkbenchError, match="3 times: the worker died"):
        list(_share_out(ray, [ray.worker()], batches_of(4)))


@pytest.mark.slow
def test_a_run_on_a_local_cluster_gives_the_same_replies(tmp_path) -> None:
    ray = pytest.importorskip("ray", reason="a cluster needs Ray")
    vlm = workbench.load(progress=False)
    asked = (vlm, ["synth:read_sign@1", "synth:chain@1"], ["nothink", "think"])
    options = {"limit": 4, "max_tokens": 64, "batch_size": 2, "cache": False, "progress": False}
    here = bench.run(*asked, folder=tmp_path / "here", **options)
    for left in (2, 1, 0):  # on a busy machine Ray's own agents may take longer than Ray gives them
        try:
            shared = bench.run(*asked, folder=tmp_path / "shared", engine="ray", workers=2, **options)
            break
        except WorkbenchError:
            if not left:
                raise
    assert not ray.is_initialized()  # the cluster that was started for the run has ended with it
    same = ["benchmark", "item", "mode", "response", "thought", "value", "tokens"]
    assert shared.frame()[same].equals(here.frame()[same])
    lines = (tmp_path / "shared" / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 16
