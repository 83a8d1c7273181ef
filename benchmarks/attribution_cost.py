"""Cost of one-pass attribution: each method's time as a multiple of a forward pass of the same question

python benchmarks/attribution_cost.py --threads 1 --out data/benchmarks/attribution_cost.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from result import keep

import workbench
from workbench.interpret.methods import TABLE
from workbench.interpret.methods.job import Job
from workbench.interpret.regions import make_regions
from workbench.interpret.scoring import Scorer
from workbench.train.card import hardware

METHODS = ("attn_lrp", "embedding_x_gradient", "chefer", "input_x_gradient", "tam")
LIMIT = 3.0  # forward passes that AttnLRP may cost


def timed(work: Callable[[], object], device: torch.device) -> float:
    """CPU seconds of this process; on a GPU, seconds on the clock."""
    if device.type != "cuda":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    clock = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - clock


def compare(vlm: Any, *, rounds: int, seed: int) -> dict[str, Any]:
    """Alternating rounds of all methods and a forward pass on one question about one picture."""
    sample = workbench.synth.sample("gui_links", 1, seed=seed)[0]
    answer = vlm.ask(sample.images, sample.question, mode="nothink")
    scorer = Scorer(vlm, answer)
    inputs = scorer.prompt.rows(answer.token_ids, 1)
    pixels = scorer.prompt.pixels.to(vlm.device, vlm.dtype)

    def forward() -> None:
        with torch.inference_mode():
            vlm.model(**inputs, pixel_values=pixels, use_cache=False)

    def attributing(name: str) -> Callable[[], object]:
        method = TABLE.find(name)

        def run() -> object:
            fresh = Scorer(vlm, answer)  # nothing kept from the last round
            job = Job(name, fresh, make_regions(answer), "mean", 0, dict(method.options))
            return method.function()(job)

        return run

    works = {"forward": forward, **{name: attributing(name) for name in METHODS}}
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(timed(work, vlm.device))
    ratios = {
        name: [own / one for own, one in zip(seconds[name], seconds["forward"], strict=True)]
        for name in METHODS
    }
    return {
        "tokens": len(answer.token_ids),
        "rounds": rounds,
        "cpu_seconds": {name: round(statistics.median(all_), 4) for name, all_ in seconds.items()},
        "forward_passes": {
            name: {
                "median": round(statistics.median(all_), 2),
                "lowest": round(min(all_), 2),
                "highest": round(max(all_), 2),
            }
            for name, all_ in ratios.items()
        },
        "within_limit": statistics.median(ratios["attn_lrp"]) <= LIMIT,
    }


def main() -> None:
    """Measure, print, and write where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    vlm = workbench.load(options.model, device=options.device, progress=False)
    keep(
        {
            **compare(vlm, rounds=options.rounds, seed=options.seed),
            "model": vlm.name,
            "device": str(vlm.device),
            "precision": str(vlm.dtype).removeprefix("torch."),
            "threads": options.threads,
            "load_before": round(os.getloadavg()[0], 1),
            "hardware": hardware(),
            "date": datetime.now(UTC).date().isoformat(),
        },
        options.out,
    )


if __name__ == "__main__":
    main()
