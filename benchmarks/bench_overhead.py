"""What a benchmark run costs besides the model: scheduling overhead, and what batches gain.

python benchmarks/bench_overhead.py --threads 2 --items 64

Overhead is the time of ``bench.run`` outside ``vlm.ask_many``: keys, pictures, journal, cache, progress,
scoring. It is given in seconds, which mean something on a quiet machine only, and in processor time, which
does not count waiting for other programs or the disk. It is a cost a reply, ``overhead_ms_a_reply``, whatever
the model: the share is largest for the built-in model in large batches, the quickest there is. Runs
alternate over batch sizes, with nothing cached.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from result import keep

import workbench
from workbench import bench
from workbench.train.card import hardware

OUT = Path(__file__).resolve().parent.parent / "data" / "benchmarks" / "bench_overhead.json"


class Timed:
    """A model whose time inside ``ask_many`` is summed."""

    def __init__(self, vlm: Any) -> None:
        self._vlm, self.seconds, self.processor_seconds = vlm, 0.0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vlm, name)

    def ask_many(self, *args: Any, **options: Any) -> Any:
        """Ask, and note how long it took."""
        begun, worked = time.perf_counter(), time.process_time()
        try:
            return self._vlm.ask_many(*args, **options)
        finally:
            self.seconds += time.perf_counter() - begun
            self.processor_seconds += time.process_time() - worked


def measure(vlm: Any, task: bench.Task, batch_size: int) -> dict[str, float]:
    """One run from nothing: seconds in all and in the model."""
    timed = Timed(vlm)
    with tempfile.TemporaryDirectory() as folder:
        begun, worked = time.perf_counter(), time.process_time()
        bench.run(
            timed,
            task,
            folder=Path(folder) / "run",
            cache=Path(folder) / "cache",
            max_tokens=128,
            batch_size=batch_size,
            progress=False,
        )
        total, work = time.perf_counter() - begun, time.process_time() - worked
    return {
        "seconds": total,
        "model_seconds": timed.seconds,
        "processor": work,
        "model_processor": timed.processor_seconds,
    }


def main() -> None:
    """Alternate rounds over batch sizes; medians into data/benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    vlm, task = workbench.load(progress=False), bench.task("suite", n=options.items)
    measure(vlm, task.head(4), 4)  # warm
    rounds: dict[int, list[dict[str, float]]] = {size: [] for size in options.batch}
    for _ in range(options.rounds):
        for size in options.batch:
            rounds[size].append(measure(vlm, task, size))
    replies = 3 * len(task)
    rows = []
    for size, found in rounds.items():
        model = statistics.median(r["model_seconds"] for r in found)
        row: dict[str, Any] = {"batch_size": size, "replies_per_second": round(replies / model, 2)}
        for name, of in (("seconds", "model_seconds"), ("processor", "model_processor")):
            spent = [100 * (r[name] - r[of]) / r[of] for r in found]
            row[f"overhead_percent_{name}"] = round(statistics.median(spent), 2)
            row[f"overhead_percent_{name}_rounds"] = [round(s, 2) for s in spent]
        extra = [1000 * (r["processor"] - r["model_processor"]) / replies for r in found]
        row["overhead_ms_a_reply"] = round(statistics.median(extra), 2)
        rows.append(row)
    base = rows[0]["replies_per_second"]
    for row in rows:
        row["times_as_fast"] = round(row["replies_per_second"] / base, 2)
    result = {
        "what": "bench.run on the shipped suite, built-in model, three modes",
        "items": len(task),
        "rounds": options.rounds,
        "threads": options.threads,
        "by_batch_size": rows,
        "load_average": round(os.getloadavg()[0], 1),
        "hardware": hardware(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    keep(result, OUT)


if __name__ == "__main__":
    main()
