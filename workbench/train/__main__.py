"""Train and measure the built-in model: ``python -m workbench.train --work runs/nano --out data/nano``.

The run goes on from its last checkpoint; what is in ``--out`` is replaced only when all is done.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

import torch

from .evaluate import EVALUATION_SEED, evaluate, summarise
from .loop import Trainer, count
from .nano import MOST_PATCHES, RECIPE, build_nano, nano_encoder, start_folder, warm_start


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m workbench.train", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the run: checkpoints and log")
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument("--init", type=Path, help="begin with this model's weights, for instance data/nano")
    parser.add_argument("--n", type=int, default=500, help="evaluation questions per family and mode")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--note", default="", help="a sentence for the card, on how this run went")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = options.work / "model"
    tokenizer = start_folder(folder)
    model = build_nano(tokenizer, seed=RECIPE.seed)
    if options.init:
        warm_start(model, tokenizer, options.init)
    trainer = Trainer(model, nano_encoder(tokenizer), RECIPE, options.work, options.device)
    log = options.work / "log.jsonl"

    def report(metrics: dict) -> None:
        with log.open("a") as file:
            file.write(json.dumps(metrics) + "\n")
        print(metrics, flush=True)

    trainer.run(report=report)
    model.eval().to("cpu").save_pretrained(folder)
    began = f"Began with the weights of {options.init.name}." if options.init else ""
    measure(folder, trainer, n=options.n, note=f"{began} {options.note}".strip())
    install(folder, options.out)


def measure(folder: Path, trainer: Trainer, *, n: int, note: str = "") -> None:
    """Ask the finished model through the workbench's own front door, and write its card."""
    from ..models.load import load
    from .card import write_card

    vlm = load(str(folder), device="cpu")
    scores = summarise(evaluate(vlm, n=n), by=("family", "domain", "several_steps", "mode"))
    run = {
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "seconds": trainer.seconds,
        "most_patches": MOST_PATCHES,
        "note": f" {note}" if note else "",
        **count(trainer.encoder, RECIPE),
    }
    write_card(folder, config=RECIPE, run=run, scores=scores, n=n, seed=EVALUATION_SEED)
    print(scores.to_string())


def install(folder: Path, out: Path) -> None:
    """Put the finished folder in its place in one step."""
    new = out.with_name(out.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(folder, new)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(new, out)


if __name__ == "__main__":
    main()
