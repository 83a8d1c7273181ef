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

from ..models.build import progress_bar
from ..models.load import load
from .card import add_robustness, write_card
from .evaluate import EVALUATION_SEED, evaluate, summarise
from .loop import Trainer, count, phased_trainer
from .nano import EDITIONS, Edition, build_nano, grow, nano_encoder, start_folder, warm_start
from .robustness import robustness


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m workbench.train", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the run: checkpoints and log")
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument(
        "--world", type=int, choices=sorted(EDITIONS), default=1, help="the drawn world that the model sees"
    )
    parser.add_argument("--init", type=Path, help="begin with this model's weights, for instance data/nano")
    parser.add_argument("--n", type=int, default=500, help="evaluation questions per family and mode")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--note", default="", help="a sentence for the card, on how this run went")
    parser.add_argument(
        "--snapshot", type=Path, help="only write the model of the last checkpoint to this folder"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that draw; 0: a thread")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = options.work / "model"
    edition = EDITIONS[options.world]
    tokenizer = start_folder(folder, edition)
    model = build_nano(
        tokenizer,
        seed=edition.recipe.seed,
        width=edition.width,
        depth=edition.depth,
        tower=edition.tower,
        places=edition.places,
        most_patches=edition.most_patches,
    )
    if options.init:
        (warm_start if options.world == 1 else grow)(model, tokenizer, options.init)
    encoder = nano_encoder(tokenizer, edition)
    trainer = phased_trainer(
        model,
        encoder,
        config=edition.recipe,
        folder=options.work,
        device=options.device,
        workers=options.workers,
    )
    if options.snapshot:
        trainer.restore()
        start_folder(options.snapshot, edition)
        model.eval().to("cpu").bfloat16().save_pretrained(options.snapshot)
        print(f"step {trainer.step} of {trainer.total} in {options.snapshot}")
        return
    log = options.work / "log.jsonl"

    def report(metrics: dict) -> None:
        with log.open("a") as file:
            file.write(json.dumps(metrics) + "\n")
        print(metrics, flush=True)

    trainer.run(on_metrics=report)
    with progress_bar(folder.name, 1, show=False):
        model.eval().to("cpu").save_pretrained(folder)
    began = f"Began with the weights of {options.init.name}." if options.init else ""
    counted = count(encoder, edition.recipe)
    measure(folder, trainer, edition, counted=counted, n=options.n, note=f"{began} {options.note}".strip())
    install(folder, options.out)


def measure(
    folder: Path, trainer: Trainer, edition: Edition, *, counted: dict[str, float], n: int, note: str = ""
) -> None:
    """Ask the finished model through the workbench's own front door, and write its card."""
    vlm = load(str(folder), device="cpu")
    scores = summarise(
        evaluate(vlm, n=n, world=edition.world), by=("family", "domain", "several_steps", "mode")
    )
    run = {
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "seconds": trainer.seconds,
        "most_patches": edition.most_patches,
        "note": f" {note}" if note else "",
        **counted,
    }
    write_card(
        folder,
        config=edition.recipe,
        run=run,
        scores=scores,
        n=n,
        seed=EVALUATION_SEED,
        world=edition.world.version,
        command=f"python -m workbench.train --world {edition.world.version} --work runs/nano --out data/nano",
    )
    table = robustness(vlm, n=max(1, n // 5), world=edition.world)
    add_robustness(folder, table, n=max(1, n // 5), world=edition.world.version)
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
