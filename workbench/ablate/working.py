"""The work of one run: build, train, save and measure the model; the only module of a run that needs torch

From a budget in FLOPs to samples: what a sample costs, from a sample of the plan
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from .. import synth
from ..errors import InputError
from ..train.data import Encoder
from ..train.evaluate import EVALUATION_SEED, LONGEST_REPLY, Scored, summarise
from ..types import Mode
from .recipe import Recipe
from .run import peak_memory, provenance, start_memory
from .store import FILES, write_json
from .stream import make_plan, write_example
from .training import RecipeTrainer, part_sizes, step_flops
from .variant import (
    base_folder,
    build_model,
    encoder_of,
    file_digest,
    open_model,
    save_model,
    start_weights,
)

if TYPE_CHECKING:
    from .run import Metrics

__all__ = ["Work", "flops_per_sample", "samples_of"]


#: Records from which the cost of one is reckoned.
SAMPLED = 128


def flops_per_sample(recipe: Recipe, encoder: Encoder, sizes: dict[str, int]) -> float:
    """Training FLOPs of a record, averaged over domains and stages.

    Args:
        recipe: what is drawn, and the stages.
        encoder: writes drawings as ids.
        sizes: weights of encoder, projector and decoder.
    """
    plan = make_plan(recipe, SAMPLED * 4)
    frozen = recipe.architecture.freeze_encoder
    total = 0.0
    for stage, asked in zip(plan.stages, recipe.stages, strict=True):
        if not asked.share:
            continue
        count = max(1, round(SAMPLED * asked.share))
        tokens = shown = patches = 0
        for i in range(count):
            places = [(i * stage.records + k) % len(plan.domains) for k in range(stage.records)]
            example = write_example(encoder, recipe, plan.records(places), stage.kind, stage.reasoning)
            tokens += len(example.ids)
            shown += example.ids.count(encoder.image_token)
            patches += sum(len(p) for p in example.patches)
        alone = stage.kind == "encoder"
        parts = tuple(p for p in stage.trains if not (frozen and p == "encoder" and not alone))
        cost = step_flops(sizes, tokens, patches, shown, parts, alone=alone)
        total += asked.share * cost / (count * stage.records)
    return total


def samples_of(recipe: Recipe, encoder: Encoder, sizes: dict[str, int]) -> int:
    """Records that a recipe's budget pays for.

    Raises:
        InputError: if it does not pay for one, or for more passes than a domain's cap allows.
    """
    if recipe.budget.samples is not None:
        return recipe.budget.samples
    assert recipe.budget.flops is not None
    each = flops_per_sample(recipe, encoder, sizes)
    samples = int(recipe.budget.flops // each)
    if samples < 1:
        raise InputError(
            f"budget.flops={recipe.budget.flops:g}", f"at least {each:.3g}, what one sample costs"
        )
    recipe.check_passes(samples)
    return samples


WEIGHTS = "model.safetensors"

#: More than any trace needs at difficulty 1, three steps at most.
EASY_REPLY = 64


class Work:
    """A recipe on its way, in a folder that this process holds; resumes what it finds there.

    Args:
        recipe: what to train.
        place: the run's folder.
        device: where to train.
        checkpoint: steps between checkpoints.
    """

    def __init__(self, recipe: Recipe, place: Path, *, device: str, checkpoint: int) -> None:
        self.recipe, self.place, self.device = recipe, place, device
        self._begun = time.perf_counter()
        start_memory(device)
        self._base = base_folder(place.parent)
        tokenizer = Tokenizer.from_file(str(self._base / "tokenizer.json"))
        self._start = start_weights(recipe, place.parent)
        encoder = encoder_of(recipe.architecture, tokenizer)
        model = build_model(recipe, tokenizer, self._start)
        self.samples = samples_of(recipe, encoder, part_sizes(model))
        plan = make_plan(recipe, self.samples)
        self.trainer = RecipeTrainer(
            model, encoder, plan, place / FILES["train"], checkpoint=checkpoint, device=device
        )
        self.steps = plan.steps
        if (place / FILES["train"] / "checkpoint.json").exists():
            self.trainer.restore()
        self._sessions = self._note_session()

    def _note_session(self) -> list[dict[str, Any]]:
        """Add this session to those that the run took; a run may move to another machine and go on."""
        path = self.place / "sessions.json"
        sessions = json.loads(path.read_text())["sessions"] if path.exists() else []
        session = {"from_step": self.trainer.step, "device": self.device, **provenance()}
        session["bf16"] = self.trainer.bf16
        if self._start is not None:
            session["start_sha256"] = file_digest(self._start / WEIGHTS)
        if any(s.get("start_sha256") != session.get("start_sha256") for s in sessions):
            raise InputError(
                f"start={self.recipe.start!r} holds other weights than when run {self.place.name} began",
                "the same weights for all of a run",
                f"delete {str(self.place)!r} to begin anew",
            )
        sessions = [s for s in sessions if s["from_step"] < self.trainer.step] + [session]
        write_json(path, {"sessions": sessions})
        return sessions

    def train(self, lines: Metrics) -> None:
        """Train to the end."""
        trainer, begun = self.trainer, time.perf_counter()
        before = trainer.seconds

        def after(step: int, metrics: dict[str, float]) -> None:
            spent = before + time.perf_counter() - begun
            kind = trainer.plan.stage(step - 1).kind
            lines.note(step, self.steps, {"stage": kind, "seconds": round(spent, 2), **metrics})

        trainer.after = after
        trainer.run(report=lambda _: None)

    def measure(self) -> dict[str, Any]:
        """Save the model, ask it all domains in all modes, and put the result together."""
        memory = peak_memory(self.device)
        self._save()
        folder = self.place / FILES["model"]
        begun = time.perf_counter()
        vlm = open_model(folder, device=self.device)
        scored = ask_all(vlm, self.recipe)
        vlm.unload()
        ended = time.perf_counter()
        work, trainer = self.trainer.work, self.trainer
        return {
            "domains": _rows(summarise(scored, by=("domain", "mode"))),
            "families": _rows(summarise(scored, by=("domain", "family", "mode"))),
            "totals": {
                "samples": work["records"],
                "questions": work["questions"],
                "steps": self.steps,
                "tokens": work["tokens"],
                "patches": work["patches"],
                "flops": work["flops"],
                "seconds": round(trainer.seconds, 3),
                "evaluation_seconds": round(ended - begun, 3),
                "session_seconds": round(ended - self._begun, 3),
                "peak_memory": memory,
                "parameters": sum(p.numel() for p in trainer.model.parameters()),
                "weights_sha256": file_digest(folder / WEIGHTS),
            },
            "provenance": self._sessions,
        }

    def _save(self) -> None:
        """The finished model, as a folder that `workbench.load` takes."""
        folder = self.place / FILES["model"]
        new = self.place / "model.new"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(self._base, new)
        save_model(self.trainer.model.eval().to("cpu"), self.recipe.architecture, new)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(new, folder)


def ask_all(vlm: Any, recipe: Recipe) -> list[Scored]:
    """Fresh questions of all families in each mode; families share batches, as many have few questions."""
    families = [f for names in recipe.domain_families().values() for f in names]
    drawn = {"seed": EVALUATION_SEED, "difficulty": recipe.difficulty}
    samples = [s for f in families for s in synth.sample(f, recipe.evaluation, **drawn)]  # type: ignore[arg-type]
    scored = []
    for mode in map(Mode, recipe.modes):
        answers = vlm.ask_many(
            [s.images for s in samples],
            [s.question for s in samples],
            mode=mode,
            batch_size=96,
            max_tokens=EASY_REPLY if recipe.difficulty == 1 else LONGEST_REPLY,
            progress=False,
        )
        scored += [Scored(s, a) for s, a in zip(samples, answers, strict=True)]
    return scored


def _rows(table: Any) -> list[dict[str, Any]]:
    """Rows of a table as JSON holds them: no NaN."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=6))
    return rows
