"""The work of one run: build the model, train it by its recipe, save and measure it.

All that a run needs PyTorch for; `workbench.ablate.run` imports it when there is something to train.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import nn

from .. import synth
from ..errors import DiskError, InputError
from ..files import new_folder, write_text, writing
from ..models.phi4_rv import Phi4RVForConditionalGeneration
from ..provenance import provenance
from ..train.data import Batch, Encoder, collate
from ..train.evaluate import EVALUATION_SEED, LONGEST_REPLY, Scored, summarise
from ..train.loop import Trainer
from ..train.losses import AttentionSupervision, AuxiliaryHeads, Forward, Term, reply_loss, token_losses
from ..train.optim import Schedule
from ..types import Mode
from .recipe import DOMAINS, Domain, Mixture, Reasoning, Recipe, part_of
from .store import FILES, WEIGHTS, file_digest, read_json, read_lines, start_weights, write_json
from .stream import Plan, make_plan, write_example
from .variant import (
    VariantForward,
    base_folder,
    build_model,
    encoder_of,
    open_model,
    save_model,
)

__all__ = ["Metrics", "Work", "flops_per_sample", "part_sizes", "recipe_trainer", "samples_of", "step_flops"]


def recipe_trainer(
    model: Phi4RVForConditionalGeneration,
    encoder: Encoder,
    *,
    plan: Plan,
    folder: Path,
    checkpoint: int = 200,
    device: str = "cpu",
) -> Trainer:
    """A trainer for the stages of a recipe, any step resumable, its work counted.

    Args:
        model: the small model.
        encoder: writes drawings as ids.
        plan: records and stages.
        folder: where the checkpoint lies.
        checkpoint: steps between checkpoints; what is learned does not depend on it.
        device: where to train.
    """
    recipe, optimiser = plan.recipe, plan.recipe.optimiser
    heads = AuxiliaryHeads.of(model, encoder, seed=recipe.seed)
    supervision = AttentionSupervision(model.model.language_model)
    alone = [Term(heads.loss)]
    together = [Term(heads.loss, optimiser.auxiliary), Term(reply_loss)]
    together.append(Term(supervision.loss, optimiser.attention_supervision))
    kind = Forward if recipe.architecture.standard else VariantForward
    schedule = Schedule(
        plan.steps, optimiser.lr, max(1, round(optimiser.warmup * plan.steps)), optimiser.decay
    )
    sizes = part_sizes(model)
    return Trainer(
        model,
        heads,
        folder=folder,
        schedule=schedule,
        forward=lambda batch: kind(model, batch, image_token=encoder.image_token),
        batches=lambda step: plan.batches(encoder, step),
        terms=lambda step: alone if plan.stage(step).kind == "encoder" else together,
        learning=lambda step: _learning(model, heads, plan, step),
        count=lambda step, drawn: _amount(encoder, plan, sizes, step, drawn),
        checkpoint=checkpoint,
        weight_decay=optimiser.weight_decay,
        clip=optimiser.clip,
        device=device,
    )


def trained_parts(plan: Plan, step: int) -> tuple[str, ...]:
    """Parts of the model that learn in a step."""
    stage = plan.stage(step)
    frozen = plan.recipe.architecture.freeze_encoder and stage.kind != "encoder"
    return tuple(part for part in stage.trains if not (frozen and part == "encoder"))


def _learning(
    model: Phi4RVForConditionalGeneration, heads: nn.Module, plan: Plan, step: int
) -> Iterator[nn.Parameter]:
    """The parameters that learn in a step: those of its parts, and what the encoder needs to be told."""
    parts = trained_parts(plan, step)
    yield from (p for name, p in model.named_parameters() if part_of(name) in parts)
    if "encoder" in parts:
        yield from heads.parameters()
    if plan.stage(step).kind == "encoder":  # what it is told in, and through: else it would learn nothing
        yield from model.get_input_embeddings().parameters()
        yield from model.model.multi_modal_projector.parameters()


def _amount(
    encoder: Encoder, plan: Plan, sizes: dict[str, int], step: int, drawn: Sequence[Batch]
) -> dict[str, float]:
    """What the batches of a step amount to: tokens, patches, records, questions and FLOPs."""
    stage, parts = plan.stage(step), trained_parts(plan, step)
    made = {"tokens": 0, "patches": 0, "records": 0, "questions": 0, "flops": 0.0}
    for batch in drawn:
        tokens, patches = int(batch.attention_mask.sum()), int(batch.pixel_attention_mask.sum())
        shown = int((batch.input_ids == encoder.image_token).sum())
        made["tokens"] += tokens
        made["patches"] += patches
        made["records"] += len(batch.input_ids) * stage.records
        made["questions"] += encoder.replies(batch.input_ids)
        made["flops"] += step_flops(sizes, tokens, patches, shown, parts, alone=stage.kind == "encoder")
    return made


def part_sizes(model: Phi4RVForConditionalGeneration) -> dict[str, int]:
    """Weights of each part that are multiplied at every position: no embeddings, no layer that never runs."""
    sizes = {"encoder": 0, "projector": 0, "decoder": 0}
    unused = f"vision_tower.encoder.layers.{model.config.vision_config.num_hidden_layers - 1}."
    for name, parameter in model.named_parameters():
        looked_up = "embed" in name and "patch_embedding" not in name
        if not (looked_up or unused in name or "post_layernorm" in name):
            sizes[part_of(name)] += parameter.numel()
    return sizes


def step_flops(
    sizes: dict[str, int],
    tokens: float,
    patches: float,
    shown: float,
    parts: tuple[str, ...],
    *,
    alone: bool = False,
) -> float:
    """Floating-point operations of training on some tokens and patches, two a multiply-add.

    Two for each weight and position forward, two more for the gradient of what comes in, two for that of the
    weights that learn (Kaplan et al. 2020); attention scores, small at these lengths, are left out.

    Args:
        sizes: weights of encoder, projector and decoder.
        tokens: positions of the decoder, patches among them.
        patches: positions of the encoder, over all views of all pictures.
        shown: positions of the projector: the decoder's image tokens.
        parts: which learn.
        alone: the decoder does not run.
    """
    order = ("encoder", "projector") if alone else ("encoder", "projector", "decoder")
    places = {"encoder": patches, "projector": shown, "decoder": tokens}
    total, behind = 0.0, False
    for part in order:  # a gradient comes in only where something before it, or the part itself, learns
        learns = part in parts or (alone and part == "projector")
        total += (2 + 2 * (behind or learns) + 2 * learns) * sizes[part] * places[part]
        behind = behind or learns
    return total


#: Records from which the cost of one is reckoned.
SAMPLED = 128


def flops_per_sample(recipe: Recipe, encoder: Encoder, *, sizes: dict[str, int]) -> float:
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


def samples_of(recipe: Recipe, encoder: Encoder, *, sizes: dict[str, int]) -> int:
    """Records that a recipe's budget pays for.

    Raises:
        InputError: if it does not pay for one, or for more passes than a domain's cap allows.
    """
    if recipe.budget.samples is not None:
        return recipe.budget.samples
    assert recipe.budget.flops is not None
    each = flops_per_sample(recipe, encoder, sizes=sizes)
    samples = int(recipe.budget.flops // each)
    if samples < 1:
        raise InputError(
            f"budget.flops={recipe.budget.flops:g}", f"at least {each:.3g}, what one sample costs"
        )
    recipe.check_passes(samples)
    return samples


class Metrics:
    """Lines of metrics as they come, and the run's state beside them.

    Args:
        place: the run's folder.
        step: where the run goes on; later lines of an earlier session are dropped.
        every: steps between lines.
        report: called with each line too.
    """

    def __init__(
        self, place: Path, step: int, every: int, report: Callable[[dict[str, Any]], None] | None
    ) -> None:
        self._place, self._every, self._report = place, every, report
        self._path = place / FILES["metrics"]
        kept = [line for line in read_lines(self._path) if line["step"] <= step]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept), "metrics")

    def note(self, step: int, steps: int, metrics: dict[str, Any]) -> None:
        """A step is done."""
        if step % self._every and step != steps:
            return
        line = {"step": step, "steps": steps, **metrics}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        write_json(self._place / FILES["state"], {"state": "running", "time": time.time(), **line})
        if self._report is not None:
            self._report(line)


def start_memory(device: str) -> None:
    """Begin to measure the most memory anew, where the system allows it."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):  # Linux; elsewhere it is the most since the process began
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int:
    """Most bytes since `start_memory`: of the GPU where there is one, else resident in this process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if os.name != "posix":
        return int(psutil.Process().memory_info().rss)
    import resource  # not on Windows

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


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
        self.encoder = encoder = encoder_of(recipe.architecture, tokenizer)
        model = build_model(recipe, tokenizer, start=self._start)
        self.samples = samples_of(recipe, encoder, sizes=part_sizes(model))
        self.plan = make_plan(recipe, self.samples)
        self.trainer = recipe_trainer(
            model,
            encoder,
            plan=self.plan,
            folder=place / FILES["train"],
            checkpoint=checkpoint,
            device=device,
        )
        self.steps = self.plan.steps
        if (place / FILES["train"] / "checkpoint.json").exists():
            self.trainer.restore()
        self._sessions = self._note_session()

    def _note_session(self) -> list[dict[str, Any]]:
        """Add this session to those that the run took; a run may move to another machine and go on."""
        path = self.place / "sessions.json"
        sessions = read_json(path)["sessions"] if path.exists() else []
        session = {"from_step": self.trainer.step, "device": self.device, **provenance()}
        session["bf16"] = self.trainer.bf16
        session["tokenizer_sha256"] = file_digest(self._base / "tokenizer.json")
        if self._start is not None:
            session["start_sha256"] = file_digest(self._start / WEIGHTS)
        if any(s.get("start_sha256") != session.get("start_sha256") for s in sessions):
            raise InputError(
                f"start={self.recipe.start!r} holds other weights than when run {self.place.name} began",
                "the same weights for all of a run",
                f"delete {str(self.place)!r} to begin anew",
            )
        if sessions and sessions[-1].get("code_sha256") != session["code_sha256"]:
            warnings.warn(
                f"run {self.place.name} began under other code (commit {sessions[-1].get('commit')}) and "
                "goes on under this one",
                stacklevel=2,
            )
        sessions = [s for s in sessions if s["from_step"] < self.trainer.step] + [session]
        write_json(path, {"sessions": sessions})
        return sessions

    def train(self, lines: Metrics) -> None:
        """Train to the end."""

        def report(line: dict[str, Any]) -> None:
            step = line.pop("step")
            kind = self.plan.stage(step - 1).kind
            lines.note(step, self.steps, {"stage": kind, **line, **self.trainer.work})

        self.trainer.run(on_metrics=report, every=1)

    def measure(self) -> dict[str, Any]:
        """Save the model, ask it all domains in all modes, and put the result together."""
        memory = peak_memory(self.device)
        self._save()
        folder = self.place / FILES["model"]
        begun = time.perf_counter()
        vlm = open_model(folder, device=self.device)
        scored = ask_all(vlm, self.recipe)
        vlm.unload()
        losses = held_out_losses(self.trainer, self.encoder, self.recipe)
        ended = time.perf_counter()
        work, trainer = self.trainer.work, self.trainer
        bits: dict[tuple[str, str], str] = defaultdict(str)
        for one in scored:  # a question's place is the same in every run and mode
            bits[one.sample.family, str(one.answer.mode)] += str(int(one.right))
        return {
            "domains": [
                {**row, **losses[row["domain"]]} for row in _rows(summarise(scored, by=("domain", "mode")))
            ],
            "families": [
                {**row, "bits": bits[row["family"], row["mode"]], **losses[row["domain"]]}
                for row in _rows(summarise(scored, by=("domain", "family", "mode")))
            ],
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
        model = self.trainer.model.eval().to("cpu")
        with new_folder(self.place / FILES["model"], "model") as new, writing(new, "model"):
            shutil.copytree(self._base, new, dirs_exist_ok=True)
            try:
                save_model(model, self.recipe.architecture, new)
            except SafetensorError as error:  # it has no number of the system's: a write of our own does
                (new / "probe").write_bytes(bytes(sum(p.nbytes for p in model.parameters())))
                raise DiskError(f"model={str(new)!r}: {error}", "a place for the finished model") from error


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


#: Conversations a domain and kind of reply, on which the held-out loss is measured.
HELD_OUT = 48


def held_out_losses(trainer: Trainer, encoder: Encoder, recipe: Recipe) -> dict[str, dict[str, float]]:
    """Loss on conversations of each domain that no run trains on, in nats a token of the replies.

    What Data Mixing Laws (arXiv 2403.16952) and RegMix (arXiv 2407.01492) regress: smoother than accuracy,
    and comparable over all runs of the same families and difficulty.  Domains without a family are left out.

    Returns:
        Domain -> ``held_out_direct`` and ``held_out_thinking``: of replies without thoughts, and with them.
    """
    families = recipe.domain_families()
    counts = {domain: Domain(records=HELD_OUT) for domain in DOMAINS if families[domain]}
    drawn = Recipe(
        mixture=Mixture(**counts),
        reasoning=Reasoning(share=0.0),
        families=recipe.families,
        difficulty=recipe.difficulty,
        seed=EVALUATION_SEED,
    )
    made: dict[str, dict[str, float]] = {}
    model = trainer.model.eval()
    for domain in counts:
        made[domain] = {}
        for name, share in (("held_out_direct", 0.0), ("held_out_thinking", 1.0)):
            total, count = 0.0, 0
            for first in range(0, HELD_OUT, 12):
                records = [[(domain, number)] for number in range(first, min(first + 12, HELD_OUT))]
                examples = [write_example(encoder, drawn, records=one, reasoning=share) for one in records]
                with torch.no_grad():
                    losses, _, _ = token_losses(
                        trainer.forward(collate(examples, encoder.pad).to(model.device))
                    )
                total, count = total + losses.sum().item(), count + len(losses)
            made[domain][name] = round(total / count, 6)
    return made


def _rows(table: Any) -> list[dict[str, Any]]:
    """Rows of a table as JSON holds them: no NaN."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=6))
    return rows
