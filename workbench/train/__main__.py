"""Train and measure the built-in model: ``python -m workbench.train --work runs/nano --out data/nano``.

The run goes on from its last checkpoint; what is in ``--out`` is replaced only when all is done.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from ..errors import InputError
from ..models.build import progress_bar
from ..models.load import load
from ..models.phi4_rv import Phi4RVForConditionalGeneration
from ..synth import WORLD_1
from ..terminal import run_one, write
from .card import COMMANDS, add_robustness, write_card
from .data import Encoder
from .evaluate import EVALUATION_SEED, apart, evaluate, robustness, summarise
from .loop import Trainer, count, phased_trainer
from .nano import EDITIONS, Edition, build_nano, grow, nano_encoder, start_folder, warm_start


def _train(
    *,
    work: Annotated[Path, typer.Option(help="Folder of the run: checkpoints and log.")],
    out: Annotated[Path, typer.Option(help="Folder for the finished model.")],
    world: Annotated[int, typer.Option(help="The drawn world that the model sees: 1 or 2.")] = 1,
    init: Annotated[
        Path | None, typer.Option(help="Begin with this model's weights, for instance data/nano.")
    ] = None,
    n: Annotated[int, typer.Option(help="Evaluation questions a family and mode.")] = 500,
    device: Annotated[str | None, typer.Option(help="Where to train; a GPU, where there is one.")] = None,
    note: Annotated[str | None, typer.Option(help="A sentence for the card, on how this run went.")] = None,
    snapshot: Annotated[
        Path | None, typer.Option(help="Only write the model of the last checkpoint to this folder.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that draw; 0: a thread.")] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Train and measure the built-in model.

    The run goes on from its last checkpoint; what is in --out is replaced only when all is done.
    """
    if world not in EDITIONS:
        raise InputError(f"--world {world}", f"one of {', '.join(map(str, EDITIONS))}")
    if threads:
        torch.set_num_threads(threads)
    edition, folder = EDITIONS[world], work / "model"
    trainer, encoder = _trainer(edition, work, init=init, device=device, workers=workers)
    if snapshot is not None:
        trainer.restore()
        shutil.copytree(folder, snapshot, dirs_exist_ok=True)
        _save(trainer.model.bfloat16(), snapshot)
        write(f"step {trainer.step} of {trainer.total} in {snapshot}")
        return
    log = work / "log.jsonl"

    def report(metrics: dict) -> None:
        with log.open("a") as file:
            file.write(json.dumps(metrics) + "\n")
        write(metrics)

    trainer.run(on_metrics=report)
    _save(trainer.model, folder)
    began = f"Began with the weights of {init.name}." if init else ""
    counted = count(encoder, edition.recipe)
    measure(folder, trainer, edition, counted=counted, n=n, note=f"{began} {note or ''}".strip())
    install(folder, out)


def _trainer(
    edition: Edition, work: Path, *, init: Path | None, device: str | None, workers: int
) -> tuple[Trainer, Encoder]:
    """The trainer of an edition's run, at its beginning, and what writes drawings for it."""
    tokenizer = start_folder(work / "model", edition)
    model = build_nano(
        tokenizer,
        seed=edition.recipe.seed,
        width=edition.width,
        depth=edition.depth,
        tower=edition.tower,
        places=edition.places,
        most_patches=edition.most_patches,
    )
    if init is not None:
        (warm_start if edition.world == WORLD_1 else grow)(model, tokenizer, init)
    encoder = nano_encoder(tokenizer, edition)
    trainer = phased_trainer(
        model,
        encoder,
        config=edition.recipe,
        folder=work,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        workers=workers,
    )
    return trainer, encoder


def _save(model: Phi4RVForConditionalGeneration, folder: Path) -> None:
    """Write a model's weights and configuration."""
    with progress_bar(folder.name, 1, show=False):
        model.eval().to("cpu").save_pretrained(folder)


def measure(
    folder: Path, trainer: Trainer, edition: Edition, *, counted: dict[str, float], n: int, note: str = ""
) -> None:
    """Ask the finished model through the workbench's own front door, and write its card."""
    vlm = load(str(folder), device="cpu")
    world = edition.world
    scores = summarise(evaluate(vlm, n=n, world=world), by=("family", "domain", "several_steps", "mode"))
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
        world=world.version,
        **apart(vlm, world, n=n),
        command=COMMANDS[world.version],
    )
    table = robustness(vlm, n=max(1, n // 5), world=world)
    add_robustness(folder, table, n=max(1, n // 5), world=world.version)
    write(scores.to_string())


def install(folder: Path, out: Path) -> None:
    """Put the finished folder in its place in one step."""
    new = out.with_name(out.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(folder, new)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(new, out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from a shell; its exit status."""
    examples = [
        "--work runs/nano --out data/nano",
        "--world 2 --init data/nano --work runs/nano --out runs/nano2",
        "--world 2 --work runs/nano --out runs/nano2 --snapshot runs/now",
    ]
    return run_one(_train, arguments, name="python -m workbench.train", examples=examples)


if __name__ == "__main__":
    raise SystemExit(main())
