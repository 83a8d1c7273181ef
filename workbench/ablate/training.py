"""The training loop for a recipe: stages in which parts rest, any step resumable, work counted"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from ..models.phi4_rv import Phi4RVForConditionalGeneration
from ..train.data import Batch, Encoder
from ..train.loop import TrainConfig, Trainer
from .recipe import Recipe, part_of
from .stream import Plan
from .variant import image_mask

__all__ = ["RecipeTrainer", "part_sizes", "step_flops", "train_config"]


def part_sizes(model: Phi4RVForConditionalGeneration) -> dict[str, int]:
    """Weights of each part that are multiplied at every position: no embeddings, no layer that never runs."""
    sizes = {"encoder": 0, "projector": 0, "decoder": 0}
    unused = f"vision_tower.encoder.layers.{model.config.vision_config.num_hidden_layers - 1}."
    for name, parameter in model.named_parameters():
        looked_up = "embed" in name and "patch_embedding" not in name
        if not (looked_up or unused in name or "post_layernorm" in name):
            sizes[part_of(name)] += parameter.numel()
    return sizes


def train_config(recipe: Recipe, plan: Plan, checkpoint: int) -> TrainConfig:
    """The loop's own configuration of a recipe."""
    optimiser = recipe.optimiser
    alone = sum(stage.steps for stage in plan.stages if stage.kind == "encoder")
    return TrainConfig(
        steps=plan.steps - alone,
        encoder_steps=alone,
        phases=(),
        lr=optimiser.lr,
        warmup=max(1, round(optimiser.warmup * plan.steps)),
        decay=optimiser.decay,
        weight_decay=optimiser.weight_decay,
        auxiliary=optimiser.auxiliary,
        guide=optimiser.guide,
        clip=optimiser.clip,
        chapter=checkpoint,
        seed=recipe.seed,
    )


class RecipeTrainer(Trainer):
    """Trains one recipe in one folder; see `Trainer`.

    Args:
        model: the small model.
        encoder: writes drawings as ids.
        plan: records and stages.
        folder: where the checkpoint lies.
        checkpoint: steps between checkpoints; what is learned does not depend on it.
        device: where to train.
        after: called after each step with the step's number and metrics.
    """

    def __init__(
        self,
        model: Phi4RVForConditionalGeneration,
        encoder: Encoder,
        plan: Plan,
        folder: Path,
        *,
        checkpoint: int = 200,
        device: str = "cpu",
        after: Callable[[int, dict[str, float]], None] | None = None,
    ) -> None:
        self.plan, self.after = plan, after
        self.work = {"tokens": 0, "patches": 0, "records": 0, "questions": 0, "flops": 0.0}
        self._begun: dict[int, dict[str, float]] = {}
        super().__init__(model, encoder, train_config(plan.recipe, plan, checkpoint), folder, device)
        self._sizes = part_sizes(self.model)
        self._standard = plan.recipe.architecture.standard

    def trained(self, step: int) -> tuple[str, ...]:
        """Parts that learn in a step."""
        stage = self.plan.stage(step)
        rests = self.plan.recipe.architecture.freeze_encoder and stage.kind != "encoder"
        return tuple(part for part in stage.trains if not (rests and part == "encoder"))

    def update(self, step: Sequence[Batch]) -> dict[str, float]:
        """One optimiser step of the stage's parts; what rests gets no gradient and no decay."""
        stage, parts = self.plan.stage(self.step), self.trained(self.step)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(part_of(name) in parts)
        learns_to_tell = "encoder" in parts
        self.heads.requires_grad_(learns_to_tell)
        if stage.kind == "encoder":  # what it is told in, and through: without them it would learn nothing
            self.model.get_input_embeddings().requires_grad_(True)
            self.model.model.multi_modal_projector.requires_grad_(True)
        metrics = super().update(step)
        for batch in step:
            self._count(batch, parts, alone=stage.kind == "encoder", records=stage.records)
        if self.after is not None:
            self.after(self.step + 1, {**metrics, **self.work})
        return metrics

    def loss(self, batch: Batch, *, encoder_only: bool = False) -> tuple[torch.Tensor, dict[str, float]]:
        """The loop's loss; the tower alone where the stage says so."""
        return super().loss(batch, encoder_only=self.plan.stage(self.step).kind == "encoder")

    def image_features(self, batch: Batch) -> torch.Tensor:
        """Projected features of all image tokens ``[tokens, width]``, fed as the recipe says."""
        if not len(batch.sizes):
            return self.model.get_input_embeddings().weight[:0]
        if self._standard:
            return super().image_features(batch)
        out = self.model.get_image_features(
            batch.pixel_values, batch.pixel_attention_mask, batch.spatial_shapes, picture_sizes=batch.sizes
        )
        return torch.cat(out.pooler_output)

    def decode(self, batch: Batch, embeds: torch.Tensor) -> torch.Tensor:
        """The decoder's last hidden states; patches of a picture see each other where the recipe says so.

        The guide (`workbench.train.guide`) reckons with causal attention: its kind 1, a second picture's
        patch that looks at the first picture, then leaves out of its sum the later patches of its own.
        """
        if self.plan.recipe.architecture.image_attention == "causal":
            return super().decode(batch, embeds)
        mask = image_mask(batch.input_ids, batch.attention_mask, self.encoder.image_token, embeds.dtype)
        hidden: torch.Tensor = self.model.model.language_model(
            inputs_embeds=embeds, attention_mask=mask, use_cache=False
        )[0]
        return hidden

    def _count(self, batch: Batch, parts: tuple[str, ...], *, alone: bool, records: int) -> None:
        tokens = int(batch.attention_mask.sum())
        patches = int(batch.pixel_attention_mask.sum())
        self.work["tokens"] += tokens
        self.work["patches"] += patches
        self.work["records"] += len(batch.input_ids) * records
        self.work["questions"] += self.encoder.replies(batch.input_ids)
        shown = int((batch.input_ids == self.encoder.image_token).sum())
        self.work["flops"] += step_flops(self._sizes, tokens, patches, shown, parts, alone=alone)

    def save(self) -> None:
        """A checkpoint, with what the work so far amounts to."""
        self._begun = {**dict(list(self._begun.items())[-1:]), self.step: dict(self.work)}
        new = self.folder / "work.json.new"
        new.write_text(json.dumps(self._begun), encoding="utf-8")
        os.replace(new, self.folder / "work.json")
        super().save()

    def restore(self) -> None:
        """Go on from the checkpoint."""
        super().restore()
        kept = json.loads((self.folder / "work.json").read_text(encoding="utf-8"))
        self._begun = {int(step): work for step, work in kept.items()}
        self.work = dict(self._begun[self.step])

    def _batches(self, chapter: int) -> Iterator[list[Batch]]:
        return self.plan.batches(self.encoder, self.step)

    def _write_once(self, name: str, text: str) -> None:
        """The run's folder holds its recipe; a second description is not needed."""


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
