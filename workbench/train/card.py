"""The built-in model's card: what trained it, for how long, and what it measured, in one file."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import transformers

from .loop import TrainConfig

__all__ = ["hardware", "write_card"]

#: The card promises this much; `workbench.train` prints which promises hold.
GOALS = {"perception": 0.95, "steps": 0.95, "gap": 0.40, "think_on_steps": 0.90, "think_on_looks": 0.10}


def hardware() -> dict[str, Any]:
    """Machine and versions that a number was measured with."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def write_card(folder: Path, *, config: TrainConfig, run: dict[str, Any], scores: pd.DataFrame, n: int, seed: int) -> None:
    """Write card.json and README.md beside the weights.

    Args:
        folder: where the weights are.
        config: the training run's configuration.
        run: steps, seconds, parameters and the like of the training run.
        scores: `workbench.train.evaluate.summarise` by family, several_steps and mode.
        n, seed: questions per family and mode, and their seed.
    """
    card = {
        "model": "nano",
        "date": datetime.now(UTC).date().isoformat(),
        "recipe": asdict(config),
        "run": run,
        "hardware": hardware(),
        "evaluation": {"n": n, "seed": seed, "scores": scores.round(4).to_dict(orient="records")},
    }
    _replace(folder / "card.json", json.dumps(card, indent=2, default=str) + "\n")
    _replace(folder / "README.md", _readme(card, scores))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _percent(row: pd.Series) -> str:
    return f"{100 * row.accuracy:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"


def _table(scores: pd.DataFrame) -> str:
    lines = [
        "| family | steps | direct | thinking | auto | auto thinks on | tokens direct / thinking |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for family, rows in scores.groupby("family", sort=False):
        mode = rows.set_index("mode")
        several = bool(mode["several_steps"].iloc[0])
        lines.append(
            f"| {family} | {'several' if several else 'one'} | {_percent(mode.loc['nothink'])} "
            f"| {_percent(mode.loc['think'])} | {_percent(mode.loc['auto'])} | {100 * mode.loc['auto'].thinks:.1f}% "
            f"| {mode.loc['nothink'].tokens:.1f} / {mode.loc['think'].tokens:.1f} |"
        )
    return "\n".join(lines)


def _readme(card: dict[str, Any], scores: pd.DataFrame) -> str:
    run, machine, recipe = card["run"], card["hardware"], card["recipe"]
    return f"""---
license: mit
pipeline_tag: image-text-to-text
---
# nano: the built-in model

{run["parameters"]:,} parameters in the classes of Phi-4-reasoning-vision (`workbench.models.phi4_rv`): a SigLIP2 NaFlex
tower, an MLP projector and a Phi-3 decoder, with the same control tokens and the same three modes. It exists so that
every part of the workbench runs on a laptop with no download. It knows the drawn world of `workbench.synth` and nothing
else: about a photograph or a real screenshot it will answer with confidence, and wrongly.

## Training
- Data: `workbench.synth`, drawn fresh, never twice; {run["pictures"]:,} pictures with {run["questions"]:,} questions,
  of which {100 * run["think_share"]:.0f}% with a thought. The pictures of the evaluation have seeds that training never uses.
- Two stages: {recipe["encoder_steps"]:,} steps of the encoder alone on naming what each patch shows (synth knows it; this
  stands in for a pretrained encoder), then {recipe["steps"]:,} steps of all parts, that loss kept at weight
  {recipe["auxiliary"]}. {recipe["batch"]} conversations a step. Muon and AdamW at {recipe["lr"]}, seed {recipe["seed"]}.
- {run["seconds"] / 60:.0f} minutes on {machine["gpu"] or f"{machine['cores']} CPU cores"} (shared with other work), torch {machine["torch"]}, {card["date"]}.
- Again: `python -m workbench.train --work runs/nano --out data/nano`.

## Measured
{card["evaluation"]["n"]} fresh questions a family, the same in each mode (seed {card["evaluation"]["seed"]}), greedy; percent right with 95% Wilson
intervals. "Several" steps: each step needs the one before.

{_table(scores)}

## Limits
- It reads the words, letters and numbers of its own world (see `workbench/synth/words.py`), in one typeface.
- Each question was trained in two or three wordings; others may be misread.
- Pictures over {run["most_patches"]} patches of 16x16 pixels are scaled down to that, which most real pictures do not survive.
"""
