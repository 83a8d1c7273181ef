"""One readable training loop for the small models, in plain PyTorch.

What is drawn, which parameters learn and which terms make the loss are arguments of `Trainer`.
`phased_trainer` trains the built-in model: first the encoder learns to see (with auxiliary labels alone,
which stand in for a pretrained encoder), then all parts learn together.  Checkpoints are safetensors and
JSON, written beside and renamed; a run that was cut resumes at its last one.
"""

from __future__ import annotations

import json
import math
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialised
from torch import nn

from ..errors import CheckpointError, DivergenceError
from ..files import write_bytes, write_json
from .attention import PRODUCTS
from .data import Batch, Encoder, Mix, batches, batches_of, examples, one_thread
from .losses import AttentionSupervision, AuxiliaryHeads, Forward, Term, reply_loss
from .optim import Schedule, build_optimisers, fast_bf16

__all__ = ["Phase", "TrainConfig", "Trainer", "count", "phased_trainer"]

T = TypeVar("T")

#: A run is given up whose replies are this many times worse than guessing, for so many steps on end.
LOST, PATIENCE = 3.0, 10


def ahead(items: Iterator[T], count: int, most: int = 4) -> Iterator[T]:
    """The first ``count`` items, up to ``most`` of them made in a thread of their own before their turn."""
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, items) for _ in range(min(most, count)))
        for number in range(count):
            item = coming.popleft().result()
            if number + most < count:
                coming.append(pool.submit(next, items))
            yield item


def _means(told: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Weighted means of what some batches tell; not every batch tells everything."""
    names = dict.fromkeys(name for _, metrics in told for name in metrics)
    made = {}
    for name in names:
        some = [(count, metrics[name]) for count, metrics in told if name in metrics]
        made[name] = round(sum(n * value for n, value in some) / sum(n for n, _ in some), 4)
    return made


class Trainer:
    """Trains one model in one folder.

    Args:
        model: a Phi4RVForConditionalGeneration.
        heads: further weights that learn with it and lie in the checkpoint.
        folder: where the checkpoint lies.
        schedule: steps and learning rate.
        forward: a pass of the model over a batch.
        batches: from a step (a multiple of ``checkpoint``, or where a run goes on) to the batches of one
            optimiser step after another.
        terms: from a step to the terms of its loss, computed and summed in this order.
        learning: from a step to the parameters that learn in it; None for all, always.
        count: what a step amounts to (tokens, say), from its number and batches; sums of it are `work`.
        checkpoint: steps between checkpoints; what is learned does not depend on it.
        weight_decay: decoupled, times the learning rate.
        clip: largest norm of the gradient.
        bf16: autocast to bfloat16, and Muon's products; None where the hardware is fast at it.
        device: where to train.

    Attributes:
        step: steps that are done.
        seconds: spent on them, drawing included.
        work: sums of what ``count`` gave.
    """

    def __init__(
        self,
        model: Any,
        heads: nn.Module,
        *,
        folder: Path,
        schedule: Schedule,
        forward: Callable[[Batch], Forward],
        batches: Callable[[int], Iterator[list[Batch]]],
        terms: Callable[[int], Sequence[Term]],
        learning: Callable[[int], Iterable[nn.Parameter]] | None = None,
        count: Callable[[int, Sequence[Batch]], dict[str, float]] | None = None,
        checkpoint: int = 500,
        weight_decay: float = 0.02,
        clip: float = 1.0,
        bf16: bool | None = None,
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.model, self.heads, self.folder = model.to(device), heads.to(device), folder
        if self.device.type == "cpu":  # at these lengths plain products are faster than the fused kernel
            model.set_attn_implementation(PRODUCTS)
        self.schedule, self.checkpoint, self.clip = schedule, checkpoint, clip
        self.forward, self.batches, self.terms = forward, batches, terms
        self._learning, self._count = learning, count
        self.bf16 = fast_bf16(self.device) if bf16 is None else bf16
        self.optimisers = build_optimisers(
            [self.model, self.heads], lr=schedule.lr, weight_decay=weight_decay, bf16=self.bf16
        )
        self.step, self.seconds = 0, 0.0
        self._lost = 0
        self.work: dict[str, float] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.schedule.steps

    def run(self, *, on_metrics: Callable[[dict[str, Any]], None] = print, every: int = 50) -> None:
        """Train to the end, from the last checkpoint if there is one.

        Args:
            on_metrics: called with step, seconds and metrics.
            every: steps between reports.
        """
        if (self.folder / "checkpoint.json").exists():
            self.restore()
        self.model.train()
        while self.step < self.total:
            begun, before = time.perf_counter(), self.seconds
            for drawn in ahead(self.batches(self.step), min(self.checkpoint, self.total - self.step)):
                metrics = self.update([batch.to(self.device) for batch in drawn])
                self.step += 1
                self.seconds = before + time.perf_counter() - begun
                if self.step % every == 0:
                    on_metrics({"step": self.step, "seconds": round(self.seconds, 2), **metrics})
            if not self._lost:  # a run that may be diverging is not kept
                self.save()

    def update(self, drawn: Sequence[Batch]) -> dict[str, float]:
        """One optimiser step on several batches, each of which weighs as much as its conversations."""
        rate = self.schedule.rate(self.step)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        if self._learning is not None:
            for parameter in self._parameters():
                parameter.requires_grad_(False)
            for parameter in self._learning(self.step):
                parameter.requires_grad_(True)
        told: list[tuple[int, dict[str, float]]] = []
        conversations = sum(len(batch.input_ids) for batch in drawn)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):  # weights are cast once
            for batch in drawn:
                loss, metrics = self.loss(batch)
                (loss * (len(batch.input_ids) / conversations)).backward()
                told.append((len(batch.input_ids), metrics))
        norm = nn.utils.clip_grad_norm_(self._parameters(), self.clip)
        self._refuse_divergence({**_means(told), "norm": norm.item()})
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if self._count is not None:
            for name, amount in self._count(self.step, drawn).items():
                self.work[name] = self.work.get(name, 0) + amount
        return {**_means(told), "norm": round(norm.item(), 3), "lr": rate}

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """The sum of this step's terms on a batch, and what they tell of it."""
        seen = self.forward(batch)
        total: torch.Tensor | None = None
        metrics: dict[str, float] = {}
        for term in self.terms(self.step):
            loss, told = term.loss(seen)
            total = term.weight * loss if total is None else total + term.weight * loss
            metrics |= told
        assert total is not None, f"no terms at step {self.step}"
        return total, metrics

    def _refuse_divergence(self, metrics: dict[str, float]) -> None:
        """Stop before a step whose loss is no number, or a run whose replies are far worse than guessing."""
        broken = [name for name, value in metrics.items() if not math.isfinite(value)]
        guessing = math.log(self.model.config.text_config.vocab_size)
        self._lost = self._lost + 1 if metrics.get("reply", 0.0) > LOST * guessing else 0
        if not broken and self._lost < PATIENCE:
            return
        what = f"the reply loss has been above {LOST:g} times that of guessing for {PATIENCE} steps"
        if broken:
            what = f"{broken[0]} is {metrics[broken[0]]}"
        raise DivergenceError(
            f"training diverged at step {self.step + 1} of {self.total}: {what} "
            f"(learning rate {self.schedule.rate(self.step):.3g})",
            "a loss that falls",
            "lower the learning rate, or give it a longer warm-up; the last checkpoint is from before",
        )

    def _parameters(self) -> list[nn.Parameter]:
        return [p for o in self.optimisers for group in o.param_groups for p in group["params"]]

    def save(self) -> None:
        """Write a checkpoint beside the last one, then put it in its place.

        Raises:
            DivergenceError: for weights that are no numbers: they are not written.
            DiskError: if it cannot be written.
        """
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"heads.{k}": v for k, v in self.heads.state_dict().items()}
        for i, optimiser in enumerate(self.optimisers):
            for number, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{i}.{number}.{k}": v for k, v in state.items()}
        tensors = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
        if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise DivergenceError(
                f"training diverged by step {self.step} of {self.total}: {broken[0]} is no longer finite",
                "finite weights",
                "lower the learning rate, or give it a longer warm-up; the last checkpoint is from before",
            )
        told = {"step": self.step, "seconds": self.seconds, "work": self.work}
        header = {name: json.dumps(value) for name, value in told.items()}
        write_bytes(self.folder / "checkpoint.safetensors", serialised(tensors, header), "checkpoint")
        write_json(self.folder / "checkpoint.json", told, "checkpoint")

    def restore(self) -> None:
        """Go on from the checkpoint in the folder.

        Raises:
            CheckpointError: if it is damaged, or of another model.
        """
        file = self.folder / "checkpoint.safetensors"
        try:
            with safe_open(file, "pt") as header:
                told = {name: json.loads(value) for name, value in header.metadata().items()}
            self._take(load_file(file))
            self.step, self.seconds, self.work = told["step"], told["seconds"], told.get("work", {})
        except (SafetensorError, OSError, ValueError, KeyError, AttributeError, RuntimeError) as error:
            reason = textwrap.shorten(str(error), 200)  # a list of all tensors otherwise
            raise CheckpointError(
                f"the checkpoint in {str(self.folder)!r} cannot be read: {reason}",
                "the file as it was written, for the same model",
                f"delete {str(self.folder)!r}: the run then begins anew",
            ) from error

    def _take(self, tensors: dict[str, torch.Tensor]) -> None:
        """Load the tensors of a checkpoint into model, heads and optimisers."""
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "heads": {}}
        moments: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in self.optimisers]
        for name, tensor in tensors.items():
            part, rest = name.split(".", 1)
            if part == "optimiser":
                i, number, key = rest.split(".")
                moments[int(i)].setdefault(int(number), {})[key] = tensor
            else:
                parts[part][rest] = tensor
        self.model.load_state_dict(parts["model"])
        self.heads.load_state_dict(parts["heads"])
        for optimiser, found in zip(self.optimisers, moments, strict=True):
            optimiser.load_state_dict({**optimiser.state_dict(), "state": found})


@dataclass(frozen=True)
class Phase:
    """From step ``start`` on, batches of ``batch`` conversations are drawn from ``mix``."""

    start: int = 0
    batch: int = 32
    mix: Mix = field(default_factory=Mix)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that determines a training run besides the model's shape.

    Args:
        steps: optimiser steps after the encoder's own.
        encoder_steps: steps with the auxiliary loss only; the decoder is frozen.
        phases: what is drawn, in the order of their first steps, which begin with a checkpoint.
        lr: peak learning rate, of Muon (matched to AdamW's scale) and of AdamW.
        warmup: steps of linear warm-up.
        decay: share of the steps, at the end or before the restart, in which the rate falls to zero.
        restart: the step, encoder's included, at which the rate rises once more, and to what; or None.
        auxiliary: weight of the auxiliary loss when all parts learn.
        by_label: whether each label counts alike in it, or each aspect; see `losses.AuxiliaryHeads`.
        attention_supervision: weight of the attention supervision; see `losses.AttentionSupervision`.
        checkpoint_interval: steps between checkpoints; each interval has its own seeded stream of data.
        bf16: autocast to bfloat16, and Muon's products; None where the hardware is fast at it.
        seed: of the weights and of the data.
    """

    steps: int = 10_000
    encoder_steps: int = 1_000
    phases: tuple[Phase, ...] = (Phase(),)
    lr: float = 2e-3
    warmup: int = 200
    decay: float = 0.3
    restart: tuple[int, float] | None = None
    weight_decay: float = 0.02
    auxiliary: float = 0.3
    by_label: bool = False
    attention_supervision: float = 0.3
    clip: float = 1.0
    checkpoint_interval: int = 500
    bf16: bool | None = None
    seed: int = 0


def phased_trainer(
    model: Any,
    encoder: Encoder,
    *,
    config: TrainConfig,
    folder: Path,
    device: str = "cpu",
    workers: int = 0,
) -> Trainer:
    """A trainer that draws fresh conversations from phase to phase.

    Args:
        model: a Phi4RVForConditionalGeneration.
        encoder: writes drawings as ids for it.
        config: the run.
        folder: where the checkpoint lies.
        device: where to train.
        workers: processes that draw, for a device that is faster than one; what they draw is the same.

    Raises:
        CheckpointError: if the folder is of another run.
    """
    _describe(folder / "config.json", json.dumps(asdict(config), indent=2, default=str))
    heads = AuxiliaryHeads.of(model, encoder, seed=config.seed, by_label=config.by_label)
    supervision = AttentionSupervision(model.model.language_model)
    alone = [Term(heads.loss)]
    together = [Term(heads.loss, config.auxiliary), Term(reply_loss)]
    together.append(Term(supervision.loss, config.attention_supervision))

    drawers = ProcessPoolExecutor(workers, get_context("spawn"), one_thread) if workers else None

    def drawn(step: int) -> Iterator[list[Batch]]:
        interval = step // config.checkpoint_interval
        phase = [p for p in config.phases if p.start <= interval * config.checkpoint_interval][-1]
        seed, most = (
            f"{config.seed}/{interval}",
            config.checkpoint_interval - step % config.checkpoint_interval,
        )
        if drawers is None:
            return batches(encoder, phase.mix, seed=seed, size=phase.batch)
        return batches_of(drawers, encoder, phase.mix, seed, size=phase.batch, steps=most, ahead=2 * workers)

    return Trainer(
        model,
        heads,
        folder=folder,
        schedule=Schedule(
            config.encoder_steps + config.steps, config.lr, config.warmup, config.decay, config.restart
        ),
        forward=lambda batch: Forward(model, batch, image_token=encoder.image_token),
        batches=drawn,
        terms=lambda step: alone if step < config.encoder_steps else together,
        checkpoint=config.checkpoint_interval,
        weight_decay=config.weight_decay,
        clip=config.clip,
        bf16=config.bf16,
        device=device,
    )


def _describe(path: Path, text: str) -> None:
    """Keep a run's description; refuse to continue another run's folder."""
    if path.exists() and path.read_text() != text:
        raise CheckpointError(
            f"{path} describes another run",
            "the same configuration as when the run began",
            "use a new folder",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def count(encoder: Encoder, config: TrainConfig, sampled: int = 500) -> dict[str, float]:
    """Pictures, questions and the share of thoughts that a run draws, from a sample of each phase."""
    total = config.steps + config.encoder_steps
    ends = [*(p.start for p in config.phases[1:]), total]
    pictures = questions = thoughts = 0.0
    for phase, end in zip(config.phases, ends, strict=True):
        drawn = list(islice(examples(encoder, phase.mix, "count"), sampled))
        scale = phase.batch * max(0, min(end, total) - phase.start) / sampled
        closed = sum(e.ids.count(encoder.close) for e in drawn)
        pictures += scale * sum(len(e.patches) for e in drawn)
        questions += scale * (closed + sum(e.ids.count(encoder.direct) for e in drawn))
        thoughts += scale * closed
    return {
        "pictures": round(pictures, -3),
        "questions": round(questions, -3),
        "think_share": round(thoughts / questions, 4),
    }
