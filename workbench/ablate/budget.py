"""From a budget in FLOPs to samples: what a sample costs, from a sample of the plan"""

from __future__ import annotations

from ..errors import InputError
from ..train.data import Encoder
from .recipe import Recipe
from .stream import make_plan, write_example
from .training import step_flops

__all__ = ["flops_per_sample", "samples_of"]

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
