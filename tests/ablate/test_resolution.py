"""Four ways to feed a picture: plans within their budget, grids that hold, encoders that learn"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.ablate.resolution import FEEDINGS, default_tile, feed, least_tokens
from workbench.ablate.variant import FedModel, _join, pixel_batch, projector_width, token_layout
from workbench.errors import InputError
from workbench.models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration

IMAGE, WIDTH = 3, 32
SIZES = [(3840, 2160), (2480, 3508), (640, 427), (384, 191), (300, 300), (1000, 90), (7, 5)]


@pytest.fixture
def model() -> Phi4RVForConditionalGeneration:
    config = Phi4RVConfig(
        text_config={
            "vocab_size": 32, "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
            "original_max_position_embeddings": 512, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
        },
        vision_config={
            "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
            "patch_size": 16, "num_patches": 16, "vision_use_head": False,
        },
        image_token_id=IMAGE,
    )  # fmt: skip
    torch.manual_seed(0)
    return Phi4RVForConditionalGeneration(config)


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    )


@pytest.mark.parametrize("method", FEEDINGS)
@pytest.mark.parametrize("size", SIZES)
def test_a_plan_keeps_its_budget_and_covers_the_picture(method, size):
    for budget in (64, 128, 2048, 3600):
        plan = feed(size, budget, method=method)
        assert 1 <= plan.tokens <= budget
        assert plan.tokens == sum(b.rows * b.cols for b in plan.blocks)
        seen = np.zeros((40, 40), dtype=bool)
        for x1, y1, x2, y2 in plan.crops:
            assert -1e-6 <= x1 < x2 <= size[0] + 1e-6
            assert -1e-6 <= y1 < y2 <= size[1] + 1e-6
            xs, ys = ((np.arange(40) + 0.5) / 40 * side for side in size)
            seen |= ((ys >= y1) & (ys < y2))[:, None] & ((xs >= x1) & (xs < x2))[None]
        assert seen.all(), "a part of the picture is in no crop"


def test_multi_crop_keeps_proportions_and_adds_an_overview_only_where_it_cuts():
    cut = feed((3840, 2160), 3096, method="multi_crop")
    assert cut.tile == 24
    assert cut.tokens == 5 * 576
    assert cut.blocks[0].overview
    assert cut.density[0] == pytest.approx(cut.density[1], rel=1e-3)
    small = feed((200, 200), 3096, method="multi_crop")
    assert small.tokens == 576
    assert len(small.views) == 1


def test_dynamic_s2_reads_three_scales_and_merges_four_patches_a_token():
    plan = feed((3840, 2160), 3096, method="dynamic_s2")
    assert [sum(v.scale == s for v in plan.views) for s in range(3)] == [1, 4, 15]
    assert plan.resized == (1920, 1152)
    assert plan.tokens == 1920 * 1152 // 32**2


def test_multi_crop_with_s2_reads_each_square_at_one_two_and_four_times_its_grid():
    plan = feed((3840, 2160), 2048, method="multi_crop_s2")
    assert len(plan.blocks) == 2
    assert plan.tokens == 2 * 576
    assert [sum(v.scale == s and v.group == 0 for v in plan.views) for s in range(3)] == [1, 4, 16]


def test_published_labels_name_the_methods():
    assert feed((500, 400), 256, method="Multi-crop with S2").method == "multi_crop_s2"
    from workbench.bench.published import resolution

    assert set(FEEDINGS.values()) == set(resolution()["method"])


@pytest.mark.parametrize("method", FEEDINGS)
def test_a_painted_patch_moves_the_token_that_the_layout_names_most(method):
    """The features are each patch's mean colour: tower and projector left out, all geometry kept."""
    size = (640, 384)
    plan = feed(size, 128, method=method)
    ids = [5, 6, *[IMAGE] * plan.tokens, 7]
    layout = token_layout(ids, IMAGE, [plan])
    assert layout.image_tokens == plan.tokens
    assert len(layout.images) == 1
    plain = Image.new("RGB", size, "black")
    for grid in layout.grids:
        for row, col in [(0, 0), (grid.rows - 1, grid.cols - 1), (grid.rows // 2, 1)]:
            box = grid.box(row, col)
            painted = plain.copy()
            painted.paste((255, 255, 255), tuple(round(v) for v in box))
            change = _tokens(painted, plan) - _tokens(plain, plan)
            inside = slice(grid.start - 2, grid.start - 2 + len(grid))
            moved = int(change[inside].abs().sum(-1).argmax())
            assert grid.start + moved == grid.position(row, col), (method, grid, row, col)


def _tokens(picture, plan):
    values = pixel_batch([picture], [plan])["pixel_values"].mean(-1, keepdim=True)
    maps = [values[i, : v.rows * v.cols].unflatten(0, (v.rows, v.cols)) for i, v in enumerate(plan.views)]
    return _join(plan, maps)


@pytest.mark.parametrize("method", FEEDINGS)
def test_a_method_learns_one_batch_through_tower_projector_and_decoder(model, method):
    fed = FedModel(model, method)
    pictures = [Image.new("RGB", (300, 180), colour) for colour in ("black", "white")]
    plans = [feed(p.size, 32, method=method) for p in pictures]
    longest = max(p.tokens for p in plans) + 4
    ids = torch.full((2, longest), 2)
    for i, plan in enumerate(plans):
        ids[i, -plan.tokens - 4 :] = torch.tensor([5, *[IMAGE] * plan.tokens, 6, 10 + i, 1])
    mask = (ids != 2).long()
    labels = torch.where(torch.arange(longest) >= longest - 2, ids, -100)
    pixels = pixel_batch(pictures, plans)
    optimiser = torch.optim.AdamW(fed.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        loss = fed(ids, plans, pixels=pixels, labels=labels, attention_mask=mask).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    # Without the pictures the two rows are alike: ln 2 over the two tokens that are learned.
    assert losses[-1] < 0.5 * math.log(2) / 2, losses
    tower = model.model.vision_tower.embeddings.patch_embedding.weight.grad
    assert tower is not None
    assert tower.abs().sum() > 0
    assert fed.encoder.linear_1.weight.grad.abs().sum() > 0
    assert fed.encoder.linear_1.in_features == projector_width(method, 24)


def test_dynamic_resolution_gives_the_model_s_own_logits(model):
    model.eval()
    picture = noise((300, 180))
    plan = feed(picture.size, 64, method="dynamic_resolution")
    ids = torch.tensor([[5, *[IMAGE] * plan.tokens, 6, 7]])
    pixels = pixel_batch([picture], [plan])
    with torch.no_grad():
        own = model(input_ids=ids, **pixels).logits
        fed = FedModel(model, "dynamic_resolution")(ids, [plan], pixels=pixels).logits
    assert torch.equal(own, fed)


def test_s2_joins_the_scales_by_channel_on_one_grid():
    plan = feed((512, 512), 32, method="multi_crop_s2", tile=2)
    maps = [torch.full((v.rows, v.cols, 1), float(v.scale + 1)) for v in plan.views]
    joined = _join(plan, maps)
    assert joined.shape == (plan.tokens, 3)
    assert torch.equal(joined, torch.tensor([1.0, 2.0, 3.0]).expand(plan.tokens, 3))


@pytest.mark.parametrize("method", FEEDINGS)
def test_the_least_budget_works_and_one_token_less_is_refused(method):
    least = least_tokens(method, 4)
    assert feed((900, 700), least, method=method, tile=4).tokens <= least
    with pytest.raises(InputError, match=f"at least {least} tokens"):
        feed((900, 700), least - 1, method=method, tile=4)


def test_bad_input_is_refused_by_name():
    with pytest.raises(InputError, match="did you mean 'multi_crop'"):
        feed((10, 10), 100, method="multicrop")
    with pytest.raises(InputError, match="picture of 0x10"):
        feed((0, 10), 100, method="multi_crop")
    with pytest.raises(InputError, match="even"):
        feed((10, 10), 100, method="multi_crop", tile=3)


def test_an_encoder_refuses_another_method_s_plan(model):
    plan = feed((64, 64), 64, method="multi_crop")
    with pytest.raises(InputError, match="planned for multi_crop"):
        FedModel(model, "dynamic_s2")(torch.tensor([[5]]), [plan], images=[noise((64, 64))])


def test_tiles_shrink_with_the_budget():
    tiles = [default_tile(b) for b in (10, 64, 128, 800, 1300, 1728, 3600)]
    assert tiles == sorted(tiles)
    assert tiles[-1] == tiles[-2] == 24
    assert all(t % 2 == 0 for t in tiles)
    assert tiles[0] == 2


def test_plans_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        feed((64, 64), 64, method="multi_crop").budget = 3
