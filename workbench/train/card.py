"""The built-in model's card: what trained it, for how long, and what it measured, in one file."""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import CheckpointError
from ..models.sources import BUILT_IN
from ..provenance import hardware
from .aims import aims
from .loop import TrainConfig

__all__ = ["COMMANDS", "add_robustness", "hardware", "write_card"]


#: What trains the built-in model of each drawn world again.
COMMANDS = {
    1: "python -m workbench.train --work runs/nano --out data/nano",
    2: "python -m workbench.train --world 2 --init data/nano --work runs/nano-2 --out data/nano-2",
}


def write_card(
    folder: Path,
    *,
    config: TrainConfig,
    run: dict[str, Any],
    scores: pd.DataFrame,
    n: int,
    seed: int,
    world: int = 1,
    command: str = COMMANDS[1],
    **apart: Any,
) -> None:
    """Write card.json and README.md beside the weights.

    Args:
        folder: where the weights are.
        config: the training run's configuration.
        run: steps, seconds, parameters and the like of the training run.
        scores: `workbench.train.evaluate.summarise` by family, several_steps and mode.
        n, seed: questions per family and mode, and their seed.
        world: the drawn world that the model was trained for and measured in.
        command: what trains it again.
        **apart: what else was measured, from `workbench.train.evaluate.apart`.
    """
    card = {
        "model": BUILT_IN[world - 1],
        "date": datetime.now(UTC).date().isoformat(),
        "recipe": asdict(config),
        "run": run,
        "hardware": hardware(),
        "world": world,
        "command": command,
        "evaluation": {"n": n, "seed": seed, "scores": scores.round(4).to_dict(orient="records"), **apart},
    }
    _write(folder, card)


def add_robustness(folder: Path, table: pd.DataFrame, *, n: int, world: int) -> None:
    """Add the robustness table to the card beside a model's weights, or put it in place of an older one.

    Args:
        folder: where the weights and their card are.
        table: from `workbench.train.evaluate.robustness`.
        n: questions a family and row.
        world: the drawn world in which they were asked.

    Raises:
        CheckpointError: if the folder has no card.
    """
    path = folder / "card.json"
    if not path.exists():
        raise CheckpointError(
            f"{folder} has no card.json", "a built-in model with its card", "train it first"
        )
    card = json.loads(path.read_text(encoding="utf-8"))
    rows = json.loads(table.round(4).to_json(orient="records"))
    _write(folder, card | {"robustness": {"n": n, "world": world, "rows": rows}})


def _write(folder: Path, card: dict[str, Any]) -> None:
    text = json.dumps(card, indent=2, default=str) + "\n"
    _replace(folder / "card.json", text)
    read = json.loads(text)
    _replace(folder / "README.md", _readme(read, pd.DataFrame(read["evaluation"]["scores"])))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _percent(row: pd.Series) -> str:
    return f"{100 * row.accuracy:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"


def _true(row: pd.Series) -> str:
    """Share of thoughts of which every sentence is true of the drawing, and the same among right answers."""
    if pd.isna(row.get("true")):
        return "not measured"
    asked = f" ({row.true_n:.0f} asked)" if pd.notna(row.get("true_n")) else ""
    return f"{100 * row.true:.1f}; {100 * row.true_if_right:.1f} where right{asked}"


def _table(scores: pd.DataFrame) -> str:
    lines = [
        "| family | steps | direct | thinking | whole thought true | auto | auto thinks on "
        "| tokens direct / thinking |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for family, rows in scores.groupby("family", sort=False):
        mode = rows.set_index("mode")
        several = bool(mode["several_steps"].iloc[0])
        lines.append(
            f"| {family} | {'several' if several else 'one'} | {_percent(mode.loc['nothink'])} "
            f"| {_percent(mode.loc['think'])} | {_true(mode.loc['think'])} | {_percent(mode.loc['auto'])} "
            f"| {100 * mode.loc['auto'].thinks:.1f}% "
            f"| {mode.loc['nothink'].tokens:.1f} / {mode.loc['think'].tokens:.1f} |"
        )
    return "\n".join(lines)


def _readme(card: dict[str, Any], scores: pd.DataFrame) -> str:
    run, machine, recipe = card["run"], card["hardware"], card["recipe"]
    asked = card["evaluation"]
    held = "\n".join(f"- {'reached' if a.reached else '**not reached**'}: {a.text}" for a in aims(card))
    place = machine["gpu"] or f"{machine['cores']} CPU cores"
    told = f"- {run['seconds'] / 60:.0f} minutes on {place}, torch {machine['torch']}, {card['date']}."
    told = textwrap.fill(told + run["note"], 110, subsequent_indent="  ")
    return f"""---
license: mit
pipeline_tag: image-text-to-text
---
# {card["model"]}: {_what(card)}

{run["parameters"]:,} parameters in the classes of Phi-4-reasoning-vision (`workbench.models.phi4_rv`): a
SigLIP2 NaFlex tower, an MLP projector and a Phi-3 decoder, with the same control tokens and the same three
modes. It exists so that every part of the workbench runs on a laptop with no download. It knows the drawn
world of `workbench.synth` and nothing else: about a photograph or a real screenshot it will answer with
confidence, and wrongly.

## Training

- Data: `workbench.synth`, drawn fresh, never twice; about {run["pictures"]:,.0f} pictures with
  {run["questions"]:,.0f} questions, {100 * run["think_share"]:.0f}% of them with a thought. The evaluation's
  seeds are never used in training.
- Two stages: {recipe["encoder_steps"]:,} steps of the encoder alone on telling what each patch shows (synth
  knows it; this stands in for a pretrained encoder), then {recipe["steps"]:,} steps of all parts, with that
  loss kept at weight {recipe["auxiliary"]}. Muon and AdamW at {recipe["lr"]}{_restart(recipe)}, seed
  {recipe["seed"]}.
  Phases of the data and everything else: `recipe` in card.json.
- Two heads of the decoder were **taught where to look** (`workbench/train/losses.py`, weight
  {recipe.get("attention_supervision", recipe.get("guide"))}): head 0 of layer 2 at the evidence of a
  perception question, head 3 of layer 1 at the same place of a first picture. So this model's attention is
  more legible than that of a model trained on replies alone.
{told}
- Again: `{card.get("command", COMMANDS[1])}`.

## Measured

{asked["n"]} fresh questions a family, the same in each mode (seed {asked["seed"]}), greedy; percent right
with 95% Wilson intervals. "Several" steps: each step needs the one before.

{_table(scores)}

What was aimed at, and whether it holds:

{held}

{_robustness(card)}
## Limits

{_limits(card)}
- Pictures over {run["most_patches"]} patches of 16x16 pixels are scaled down to that, which most real
  pictures do not survive.
"""


def _restart(recipe: dict[str, Any]) -> str:
    """The warm restart of the learning rate, where there was one."""
    if not recipe.get("restart"):
        return ""
    step, peak = recipe["restart"]
    return f" (from step {step:,} once more at {peak})"


def _what(card: dict[str, Any]) -> str:
    if card.get("world", 1) == 1:
        return "the built-in model"
    return "a built-in model that reads text wherever it stands"


def _limits(card: dict[str, Any]) -> str:
    """What it does not read, by the world that it was trained for."""
    if card.get("world", 1) == 1:
        return (
            "- It reads the words, letters and numbers of its own world (`workbench/synth/words.py`), in one "
            "typeface,\n  on the grid of 4 pixels on which they were drawn.\n"
            "- Each question was trained in one to three wordings; others may be misread."
        )
    return (
        "- It reads the words, letters and numbers of its own world, in some typefaces of 8 to 24 pixels.\n"
        "- Questions were trained in the wordings of `workbench/synth/wordings.py`; others may be misread."
    )


def _robustness(card: dict[str, Any]) -> str:
    """The robustness table in Markdown; nothing where it was not measured."""
    if "robustness" not in card:
        return ""
    asked = card["robustness"]
    lines = [
        "## When a picture or a question is not as it was drawn",
        "",
        f"{asked['n']} questions a family (drawn world {asked['world']}), one step asked directly, several",
        "steps with a thought; percent right over all families with 95% Wilson intervals. Where colours are",
        "lost, questions about colours are left out. Held-out typefaces and wordings were never trained.",
        "",
        "| what was done | questions | right | points from as drawn |",
        "| --- | --- | --- | --- |",
    ]
    for row in asked["rows"]:
        right = f"{100 * row['accuracy']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        lines.append(f"| {row['perturbation']} | {row['n']} | {right} | {row['points']:+.1f} |")
    return "\n".join(lines) + "\n"
