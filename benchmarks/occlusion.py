"""Occlusion of 144 regions: ours against captum's FeatureAblation with its defaults, same model, same values.

python benchmarks/occlusion.py --threads 2 --out data/benchmarks/occlusion.json
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

import numpy as np
import torch
from captum.attr import FeatureAblation
from result import keep

import workbench
from workbench.interpret import attribute
from workbench.interpret.regions import make_regions
from workbench.interpret.scoring import Scorer
from workbench.train.card import hardware

GRID = (12, 12)


def captum_defaults(scorer: Scorer) -> Callable[[], np.ndarray]:
    """What a user of captum writes: the model's forward on ``pixel_values`` with a feature mask."""
    answer, span = scorer.answer, scorer.target.span
    inputs = scorer.prompt.rows(answer.token_ids[: span.stop], 1)
    device, dtype = scorer.vlm.device, scorer.vlm.dtype
    wanted = torch.tensor(answer.token_ids[span.start : span.stop], device=device)
    mask = torch.from_numpy(scorer.pixel_map.atoms(make_regions(answer, GRID)))
    mask = torch.where(mask < 0, 0, mask).to(device)  # none is outside for pictures that are read as a whole

    def score(pixels: torch.Tensor) -> torch.Tensor:
        logits = scorer.vlm.model(**inputs, pixel_values=pixels[0]).logits[0, span.start - 1 : span.stop - 1]
        return logits.float().log_softmax(-1).gather(1, wanted[:, None]).sum()[None]

    pixels = scorer.prompt.pixels.to(device, dtype)[None]
    filled = scorer.filled("mean").to(device, dtype)[None]

    def run() -> np.ndarray:
        with torch.no_grad():
            found = FeatureAblation(score).attribute(pixels, baselines=filled, feature_mask=mask[None])[0]
        flat, values = mask.ravel().cpu().numpy(), np.zeros(GRID[0] * GRID[1])
        values[flat] = found.float().ravel().cpu().numpy()  # captum repeats a region's value on its elements
        return values

    return run


def timed(work: Callable[[], np.ndarray], device: torch.device) -> tuple[float, float, np.ndarray]:
    """Wall-clock seconds, this process's CPU seconds, and the values."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    values = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu, values


def compare(vlm: Any, *, batch: int, rounds: int, seed: int) -> dict[str, Any]:
    """Alternating rounds of both on one question about one picture."""
    sample = workbench.synth.sample("gui_links", 1, seed=seed)[0]
    answer = vlm.ask(sample.images, sample.question, mode="nothink")
    # Ours is timed as a user calls it: encoding, the pixel map and the checks are in it.
    ours = lambda: attribute(vlm, answer, regions=GRID, batch_size=batch, progress=False).values  # noqa: E731
    theirs = captum_defaults(Scorer(vlm, answer))
    works = {"ours": ours, "captum": theirs}
    for work in works.values():
        work()
    walls: dict[str, list[float]] = {name: [] for name in works}
    cpus: dict[str, list[float]] = {name: [] for name in works}
    found: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        for name, work in works.items():
            wall, cpu, found[name] = timed(work, vlm.device)
            walls[name].append(wall)
            cpus[name].append(cpu)
    ratios = [t / o for t, o in zip(walls["captum"], walls["ours"], strict=True)]
    return {
        "regions": GRID[0] * GRID[1],
        "tokens": len(answer.token_ids),
        "image_tokens": answer.image_tokens,
        "batch_size": batch,
        "rounds": rounds,
        "seconds": {name: round(statistics.median(v), 4) for name, v in walls.items()},
        "cpu_seconds": {name: round(statistics.median(v), 4) for name, v in cpus.items()},
        "times_as_fast": {
            "median": round(statistics.median(ratios), 2),
            "lowest": round(min(ratios), 2),
            "highest": round(max(ratios), 2),
        },
        "largest_difference": float(np.abs(found["ours"] - found["captum"]).max()),
        "largest_value": float(np.abs(found["captum"]).max()),
    }


def main() -> None:
    """Measure, print, and write where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    vlm = workbench.load(options.model, device=options.device, progress=False)
    result = {
        **compare(vlm, batch=options.batch, rounds=options.rounds, seed=options.seed),
        "model": vlm.name,
        "device": str(vlm.device),
        "precision": str(vlm.dtype).removeprefix("torch."),
        "threads": options.threads,
        "load_before": round(os.getloadavg()[0], 1),
        "hardware": hardware(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    keep(result, options.out)


if __name__ == "__main__":
    main()
