"""Two workers on two cores against one, and what the engine adds to a run.

python benchmarks/sweep.py --out data/benchmarks/sweep.json

A worker imports PyTorch and Transformers once, however many runs it then works at; the more runs a sweep
has, the less of that falls to each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from result import keep

from workbench import ablate
from workbench.train.card import hardware
from workbench.train.nano import start_folder

WORKERS = (1, 2)


def recipes(options: argparse.Namespace) -> list[ablate.Recipe]:
    """Equal runs that differ in their seed."""
    recipe = ablate.Recipe(
        architecture={"width": options.width, "depth": 2, "vision_layer": 2},
        families=("read_sign", "chain", "gui_links"),
        budget=options.samples,
        optimiser={"batch": 8},
        evaluation=options.questions,
    )
    return [recipe.replace(seed=seed) for seed in range(options.runs)]


def timed(base: Path, folder: Path, workers: int, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of one sweep from nothing, and of each run those that are neither step nor question."""
    folder.mkdir()
    shutil.copytree(base, folder / ".base")
    begun = time.perf_counter()
    made = ablate.sweep(recipes(options), folder, workers=workers, every=50, progress=False)
    seconds = time.perf_counter() - begun
    assert not made.failed, made.failed
    totals = [ablate.Run.load(folder / name).totals for name in made.finished]
    worked = [t["seconds"] + t["evaluation_seconds"] for t in totals]
    within = [t["session_seconds"] - w for t, w in zip(totals, worked, strict=True)]
    # What the sweep took beyond its runs' own work, spread over them; the imports of a worker are in it.
    outside = seconds * workers - sum(t["session_seconds"] for t in totals)
    return {
        "seconds": round(seconds, 2),
        "overhead_within_a_run": round(statistics.median(within), 3),
        "overhead_of_the_engine_per_run": round(outside / len(totals), 3),
        "start_of_a_worker_is_spread_over_runs": len(totals),
    }


def start(times: int = 3) -> float:
    """Seconds until a worker begins: a fresh process with all that a run imports."""
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        command = [sys.executable, "-c", "import workbench.ablate.training"]
        subprocess.run(command, check=True, capture_output=True)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def main() -> None:
    """Alternate one worker and two, and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--note", default="", help="the machine's state, for whoever reads the file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a worker alone works in this process; each worker has one core
    rounds: dict[int, list[dict[str, float]]] = {n: [] for n in WORKERS}
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "base"
        start_folder(base)
        for number in range(options.rounds):
            for workers in WORKERS:
                folder = Path(name) / f"{workers}-{number}"
                rounds[workers].append(timed(base, folder, workers, options))
                load.append(os.getloadavg()[0])
    seconds = {n: statistics.median(r["seconds"] for r in rounds[n]) for n in WORKERS}
    result = {
        "one_over_two_workers": round(seconds[1] / seconds[2], 3),
        "rounds": {str(n): rounds[n] for n in WORKERS},
        "seconds_until_a_worker_begins": round(start(), 2),
        "load_average": [round(value, 1) for value in load],
        "cores": os.cpu_count(),
        "settings": {k: v for k, v in vars(options).items() if k not in ("out", "note")},
        "note": options.note,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
    }
    keep(result, options.out)


if __name__ == "__main__":
    main()
