"""FLOPs of a training step by hand: two a weight and position forward, two for a gradient, two to learn."""

from __future__ import annotations

import pytest

from workbench.ablate.training import step_flops

SIZES = {"encoder": 10, "projector": 20, "decoder": 30}
TOKENS, PATCHES, SHOWN = 100, 50, 40
ENCODER, PROJECTOR, DECODER = 10 * PATCHES, 20 * SHOWN, 30 * TOKENS  # weights times positions: 500, 800, 3000


@pytest.mark.parametrize(
    ("parts", "alone", "flops"),
    [
        (("encoder", "projector", "decoder"), False, 6 * ENCODER + 6 * PROJECTOR + 6 * DECODER),
        (("projector", "decoder"), False, 2 * ENCODER + 6 * PROJECTOR + 6 * DECODER),
        (("projector",), False, 2 * ENCODER + 6 * PROJECTOR + 4 * DECODER),
        (("decoder",), False, 2 * ENCODER + 2 * PROJECTOR + 6 * DECODER),
        (("encoder",), False, 6 * ENCODER + 4 * PROJECTOR + 4 * DECODER),
        (("encoder", "decoder"), False, 6 * ENCODER + 4 * PROJECTOR + 6 * DECODER),
        ((), False, 2 * ENCODER + 2 * PROJECTOR + 2 * DECODER),
        (("encoder",), True, 6 * ENCODER + 6 * PROJECTOR),
        ((), True, 2 * ENCODER + 6 * PROJECTOR),
    ],
)
def test_frozen_parts_cost_their_forward_pass_and_what_flows_through_them(
    parts: tuple[str, ...], alone: bool, flops: int
) -> None:
    assert step_flops(SIZES, TOKENS, PATCHES, SHOWN, parts, alone=alone) == flops


def test_each_part_counts_its_own_positions() -> None:
    everything = tuple(SIZES)
    base = step_flops(SIZES, TOKENS, PATCHES, SHOWN, everything)
    assert step_flops(SIZES, TOKENS + 1, PATCHES, SHOWN, everything) - base == 6 * 30
    assert step_flops(SIZES, TOKENS, PATCHES + 1, SHOWN, everything) - base == 6 * 10
    assert step_flops(SIZES, TOKENS, PATCHES, SHOWN + 1, everything) - base == 6 * 20
