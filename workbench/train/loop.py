"""One readable training loop for the small models, in plain PyTorch.

Stages follow the report: first the encoder learns to see (here with the auxiliary loss alone,
which stands in for a pretrained encoder), then all parts learn together.  Checkpoints are
safetensors and JSON, written beside and renamed; a run that was cut resumes at its last one.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from ..errors import CheckpointError
from ..synth.canvas import PLACES
from ..synth.words import ASPECTS, NAMES, TOLD_BY
from .attention import PRODUCTS
from .data import Batch, Encoder, Mix, batches, examples
from .guide import Guide
from .muon import Muon

__all__ = ["AuxiliaryHeads", "Phase", "TrainConfig", "Trainer", "count", "learning_rate"]

IGNORE = -100

T = TypeVar("T")


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
        encoder_steps: steps with the auxiliary loss only; the decoder rests.
        phases: what is drawn, in the order of their first steps, which begin chapters.
        lr: peak learning rate, of Muon (matched to AdamW's scale) and of AdamW.
        warmup: steps of linear warm-up.
        decay: share of the steps, at the end, in which the rate falls to zero.
        auxiliary: weight of the auxiliary loss when all parts learn.
        guide: weight of the loss that guides where the decoder looks; see `Guide`.
        chapter: steps between checkpoints; each chapter has its own seeded stream of data.
        bf16: autocast to bfloat16, and Muon's products; None where the hardware is fast at it.
        seed: of the weights and of the data.
    """

    steps: int = 10_000
    encoder_steps: int = 1_000
    phases: tuple[Phase, ...] = (Phase(),)
    lr: float = 2e-3
    warmup: int = 200
    decay: float = 0.3
    weight_decay: float = 0.02
    auxiliary: float = 0.3
    guide: float = 0.3
    clip: float = 1.0
    chapter: int = 500
    bf16: bool | None = None
    seed: int = 0


def fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 fast; a CPU without units for it emulates it, very slowly."""
    if device.type != "cpu":
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def learning_rate(step: int, config: TrainConfig) -> float:
    """Warm-up, plateau, linear decay to zero; both stages share one schedule."""
    total = config.steps + config.encoder_steps
    down = max(1, round(config.decay * total))
    return config.lr * min(1.0, (step + 1) / config.warmup, max(0.0, (total - step) / down))


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


class AuxiliaryHeads(nn.Module):
    """Tells what each patch shows with the decoder's own word embeddings.

    For every aspect of `synth.words.ASPECTS` a patch's projected feature is compared with the embeddings of
    the names that can tell it: as it is for its text, kind and colour, and after a linear map of the
    aspect's own for the rest.  As the classes *are* token embeddings, the decoder can match words of the
    question with patches for all words at once; with classes of their own, it had to learn each word's
    match by itself.

    Where characters are told too, each place on a patch has a map of its own to their tokens.
    """

    def __init__(self, width: int, names: torch.Tensor, characters: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("names", names, persistent=False)
        other = [[name not in TOLD_BY.get(aspect, NAMES) for name in NAMES] for aspect in ASPECTS]
        self.register_buffer("other", torch.tensor(other), persistent=False)
        mapped = [aspect for aspect in ASPECTS if aspect not in TOLD_BY]
        self.maps = nn.ModuleDict({aspect: nn.Linear(width, width, bias=False) for aspect in mapped})
        for linear in self.maps.values():
            nn.init.zeros_(linear.weight)  # a new aspect begins by asking nothing of the encoder
        self.scale = nn.Parameter(torch.full((len(ASPECTS),), 3.0))
        self.register_buffer("characters", characters, persistent=False)
        if characters is not None:
            self.places = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(PLACES))
            for linear in self.places:
                nn.init.zeros_(linear.weight)

    def forward(
        self, features: torch.Tensor, content: torch.Tensor, embeddings: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Sum of the aspects' mean cross-entropies, and each one's accuracy.

        Args:
            features: ``[patches, width]``.
            content: indices into the names ``[patches, aspects]``, -100 where nothing is to be told.
            embeddings: the decoder's token embeddings ``[vocabulary, width]``.
        """
        total, right = features.new_zeros(()), {}
        classes = embeddings[self.names]
        for i, aspect in enumerate(ASPECTS):
            keep = content[:, i] != IGNORE
            if not keep.any():
                continue
            seen = self.maps[aspect](features[keep]) if aspect in self.maps else features[keep]
            logits = (F.linear(seen, classes).float() * self.scale[i]).masked_fill(self.other[i], -torch.inf)
            total = total + F.cross_entropy(logits, content[keep, i])
            right[aspect] = (logits.argmax(-1) == content[keep, i]).float().mean().item()
        if self.characters is not None:
            total = total + self._spelt(features, content[:, len(ASPECTS) :], embeddings, right)
        return total, right

    def _spelt(
        self, features: torch.Tensor, spelt: torch.Tensor, embeddings: torch.Tensor, right: dict[str, float]
    ) -> torch.Tensor:
        """Sum of the places' mean cross-entropies; ``right`` gets each one's accuracy."""
        total, classes = features.new_zeros(()), embeddings[self.characters]
        for place, linear in enumerate(self.places):
            keep = spelt[:, place] != IGNORE
            if keep.any():
                logits = F.linear(linear(features[keep]), classes).float() * 3.0
                total = total + F.cross_entropy(logits, spelt[keep, place])
                right[f"letter_{place + 1}"] = (logits.argmax(-1) == spelt[keep, place]).float().mean().item()
        return total


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


def optimisers(
    modules: list[nn.Module], config: TrainConfig, *, bf16: bool = False
) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, heads, norms and biases."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            hidden = parameter.ndim == 2 and not any(
                k in name for k in ("embed_tokens", "lm_head", "position_embedding")
            )
            (matrices if hidden else others).append(parameter)
    return [
        Muon(matrices, lr=config.lr, weight_decay=config.weight_decay, bf16=bf16),
        torch.optim.AdamW(others, lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay),
    ]


class Trainer:
    """Trains one model in one folder.

    Args:
        model: a Phi4RVForConditionalGeneration.
        encoder: writes drawings as ids for this model.
        config: the run.
        folder: where checkpoints and the log go.
        device: where to train.
    """

    def __init__(
        self, model: nn.Module, encoder: Encoder, config: TrainConfig, folder: Path, device: str = "cpu"
    ) -> None:
        self.model, self.encoder, self.config, self.folder = model.to(device), encoder, config, folder
        self.device = torch.device(device)
        if self.device.type == "cpu":  # at these lengths plain products are faster than the fused kernel
            model.set_attn_implementation(PRODUCTS)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            width = model.config.text_config.hidden_size
            self.heads = AuxiliaryHeads(width, encoder.name_tokens(), encoder.character_tokens()).to(device)
        self.guide = Guide(self.model.model.language_model)
        self.bf16 = fast_bf16(self.device) if config.bf16 is None else config.bf16
        self.optimisers = optimisers([self.model, self.heads], config, bf16=self.bf16)
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._write_once("config.json", json.dumps(asdict(config), indent=2, default=str))

    @property
    def total(self) -> int:
        """Steps of both stages."""
        return self.config.encoder_steps + self.config.steps

    def run(self, *, report: Callable[[dict], None] = print, every: int = 50) -> None:
        """Train to the end, from the last checkpoint if there is one."""
        if (self.folder / "checkpoint.json").exists():
            self.restore()
        self.model.train()
        while self.step < self.total:
            chapter, begun = self.step // self.config.chapter, time.perf_counter()
            left = min(self.config.chapter, self.total - self.step)
            for step in ahead(self._batches(chapter), left):
                metrics = self.update([batch.to(self.device) for batch in step])
                self.step += 1
                if self.step % every == 0:
                    spent = self.seconds + time.perf_counter() - begun
                    report({"step": self.step, "seconds": round(spent, 1), **metrics})
            self.seconds += time.perf_counter() - begun
            self.save()

    def _batches(self, chapter: int) -> Iterator[list[Batch]]:
        start = chapter * self.config.chapter
        phase = [p for p in self.config.phases if p.start <= start][-1]
        return batches(self.encoder, phase.mix, f"{self.config.seed}/{chapter}", size=phase.batch)

    def update(self, step: Sequence[Batch]) -> dict[str, float]:
        """One optimiser step on several batches, each of which weighs as much as its conversations."""
        rate = learning_rate(self.step, self.config)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        told: list[tuple[int, dict[str, float]]] = []
        count = sum(len(batch.input_ids) for batch in step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):  # weights are cast once
            for batch in step:
                loss, metrics = self.loss(batch, encoder_only=self.step < self.config.encoder_steps)
                (loss * (len(batch.input_ids) / count)).backward()
                told.append((len(batch.input_ids), metrics))
        parameters = [p for o in self.optimisers for g in o.param_groups for p in g["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return {**_means(told), "norm": round(norm.item(), 3), "lr": rate}

    def loss(self, batch: Batch, *, encoder_only: bool = False) -> tuple[torch.Tensor, dict[str, float]]:
        """Reply loss (weighted mean over reply tokens) plus the weighted auxiliary losses."""
        features = self.image_features(batch)
        seen = batch.content[(batch.content != IGNORE).any(-1)]  # of every image token at least its kind
        auxiliary, right = self.heads(features, seen, self.model.get_input_embeddings().weight)
        metrics = {"aux": round(auxiliary.item(), 4), **{f"aux_{k}": round(v, 4) for k, v in right.items()}}
        if encoder_only:
            return auxiliary, metrics
        embeds = self.model.get_input_embeddings()(batch.input_ids)
        where = (batch.input_ids == self.encoder.image_token)[..., None].expand_as(embeds)
        embeds = embeds.masked_scatter(where, features.to(embeds.dtype))
        hidden = self.decode(batch, embeds)
        labels, weights = batch.labels[:, 1:], batch.weights[:, 1:]
        keep = labels != IGNORE
        logits = self.model.lm_head(hidden[:, :-1][keep]).float()
        losses = F.cross_entropy(logits, labels[keep], reduction="none")
        reply = (losses * weights[keep]).sum() / weights[keep].sum()
        metrics["reply"] = round(reply.item(), 4)
        metrics["right"] = round((logits.argmax(-1) == labels[keep]).float().mean().item(), 4)
        guided, shares = self.guide.loss(batch)
        return reply + self.config.auxiliary * auxiliary + self.config.guide * guided, {**metrics, **shares}

    def decode(self, batch: Batch, embeds: torch.Tensor) -> torch.Tensor:
        """The decoder's last hidden states ``[batch, tokens, width]``.

        Padding is on the right, where a causal decoder's real positions never look: no mask is needed.
        """
        hidden: torch.Tensor = self.model.model.language_model(inputs_embeds=embeds, use_cache=False)[0]
        return hidden

    def image_features(self, batch: Batch) -> torch.Tensor:
        """Projected features of all image tokens, ``[tokens, width]``."""
        out = self.model.get_image_features(
            batch.pixel_values, batch.pixel_attention_mask, batch.spatial_shapes
        )
        return torch.cat(out.pooler_output)

    def save(self) -> None:
        """Write a checkpoint beside the last one, then put it in its place."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"heads.{k}": v for k, v in self.heads.state_dict().items()}
        for i, optimiser in enumerate(self.optimisers):
            for number, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{i}.{number}.{k}": v for k, v in state.items()}
        tensors = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
        new = self.folder / "checkpoint.safetensors.new"
        save_file(tensors, new, {"step": str(self.step), "seconds": repr(self.seconds)})
        os.replace(new, self.folder / "checkpoint.safetensors")
        state = json.dumps({"step": self.step, "seconds": self.seconds})
        (self.folder / "checkpoint.json.new").write_text(state)
        os.replace(self.folder / "checkpoint.json.new", self.folder / "checkpoint.json")

    def restore(self) -> None:
        """Go on from the checkpoint in the folder."""
        file = self.folder / "checkpoint.safetensors"
        with safe_open(file, "pt") as header:
            state = header.metadata()
        tensors = load_file(file)
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
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def _write_once(self, name: str, text: str) -> None:
        """Keep the run's description; refuse to continue another run's folder."""
        path = self.folder / name
        if path.exists() and path.read_text() != text:
            raise CheckpointError(
                f"{path} describes another run",
                "the same configuration as when the run began",
                "use a new folder",
            )
        path.write_text(text)
