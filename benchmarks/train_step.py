"""Training step of the built-in model: plain attention products against the fused kernel, in one run.

python benchmarks/train_step.py --threads 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from workbench.train.card import hardware
from workbench.train.data import Mix, batches
from workbench.train.loop import TrainConfig, Trainer
from workbench.train.nano import build_nano, nano_encoder
from workbench.train.tokenizer import build_tokenizer

KERNELS = {"plain": SDPBackend.MATH, "fused": SDPBackend.FLASH_ATTENTION}


def main() -> None:
    """Time alternating rounds of both, and print their medians and ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = build_tokenizer()
    encoder = nano_encoder(tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(encoder_steps=0)
        trainer = Trainer(build_nano(tokenizer), encoder, config, Path(folder))
        drawn = list(islice(batches(encoder, Mix(), "benchmark", size=options.batch), 3))

        def seconds() -> float:
            begun = time.perf_counter()
            for batch in drawn:
                trainer.update(batch)
            return (time.perf_counter() - begun) / len(drawn)

        seconds()
        rounds: dict[str, list[float]] = {name: [] for name in KERNELS}
        for _ in range(options.rounds):
            for name, kernel in KERNELS.items():
                with sdpa_kernel(kernel):
                    rounds[name].append(seconds())
    median = {name: statistics.median(values) for name, values in rounds.items()}
    result = {
        "seconds_per_step": {k: round(v, 4) for k, v in median.items()},
        "fused_over_plain": round(median["fused"] / median["plain"], 3),
        "conversations_per_second": round(options.batch / median["fused"], 1),
        "tokens": [tuple(b.input_ids.shape) for b in drawn],
        "threads": options.threads,
        "hardware": hardware(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
