"""The cost model against the real classes: tokens and cache exactly, operations within a few percent"""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from workbench.ablate.cost import Shape, Timing, calibrate, cost, cost_table
from workbench.ablate.resolution import FEEDINGS, feed
from workbench.ablate.variant import FedModel, pixel_batch
from workbench.errors import InputError
from workbench.files import data_path
from workbench.models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration

IMAGE = 3
SMALL = {"hidden": 64, "inner": 160, "layers": 2, "heads": 4, "vision": 48, "vision_inner": 96, "tower": 3}
MID = {"hidden": 128, "inner": 384, "layers": 4, "heads": 8, "vision": 96, "vision_inner": 256, "tower": 4}


def build(s, device="cpu"):
    config = Phi4RVConfig(
        text_config={
            "vocab_size": 300, "hidden_size": s["hidden"], "intermediate_size": s["inner"],
            "num_hidden_layers": s["layers"], "num_attention_heads": s["heads"], "num_key_value_heads": 2,
            "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
            "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
        },
        vision_config={
            "hidden_size": s["vision"], "intermediate_size": s["vision_inner"], "num_attention_heads": 4,
            "num_hidden_layers": s["tower"], "patch_size": 16, "num_patches": 16, "vision_use_head": False,
        },
        image_token_id=IMAGE,
        attn_implementation="eager",
    )  # fmt: skip
    with torch.device(device):
        return Phi4RVForConditionalGeneration(config).eval()


@pytest.mark.parametrize("sizes", [SMALL, MID])
@pytest.mark.parametrize("method", FEEDINGS)
def test_operations_and_cache_agree_with_the_real_model(method, sizes):
    model = build(sizes, "meta")
    fed = FedModel(model, method).to("meta")
    plan = feed((640, 480), 128, method=method)
    expected = cost(model, plan, text=12, reply=2, width=4)
    ids = torch.full((1, 12 + plan.tokens), 5, device="meta")
    longest = max(v.rows * v.cols for v in plan.views)
    hidden = torch.zeros(len(plan.views), longest, 768, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        tower = model.model.vision_tower
        features = tower.embeddings.patch_embedding(hidden)
        for layer in tower.encoder.layers[:-1]:
            features = layer(features, None)
    assert counter.get_total_flops() == pytest.approx(expected.tower_flops, rel=0.02)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        wide = torch.zeros(plan.tokens, fed.encoder.linear_1.in_features, device="meta")
        fed.encoder.linear_2(fed.encoder.linear_1(wide))
    assert counter.get_total_flops() == expected.projector_flops
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
    assert counter.get_total_flops() == pytest.approx(expected.decoder_flops, rel=0.02)
    cache = out.past_key_values
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    assert counter.get_total_flops() == pytest.approx(expected.reply_flops, rel=0.02)
    held = sum(t.numel() * t.element_size() for la in cache.layers for t in (la.keys, la.values))
    assert held == expected.kv_bytes


def test_a_whole_prompt_with_its_picture_agrees_too():
    model = build(SMALL)
    plan = feed((640, 480), 128, method="dynamic_s2")
    fed = FedModel(model, "dynamic_s2").eval()
    pixels = pixel_batch([torch.zeros(480, 640, 3, dtype=torch.uint8).numpy()], [plan])
    ids = torch.tensor([[5] * 6 + [IMAGE] * plan.tokens + [6] * 6])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        fed(ids, [plan], pixels=pixels, logits_to_keep=1, use_cache=False)
    expected = cost(model, plan, text=12)
    assert expected.prompt == ids.shape[1]
    assert counter.get_total_flops() == pytest.approx(expected.prompt_flops, rel=0.03)


def test_the_published_shape_costs_what_its_parameters_say():
    shape = Shape.of(data_path("phi4_rv_15b"))
    assert (shape.layers, shape.hidden, shape.kv_heads, shape.vision_layers) == (40, 5120, 10, 26)
    one = sum(shape.decoder(1))
    assert one == pytest.approx(2 * 14.15e9, rel=0.02)  # two operations a parameter that multiplies
    assert shape.kv_bytes(1000) == 2 * 40 * 10 * 128 * 1000 * 2


def test_a_table_has_a_row_a_method():
    feeds = [feed((3840, 2160), 3600, method=m) for m in FEEDINGS]
    table = cost_table(data_path("phi4_rv_15b"), feeds, text=200, reply=50)
    assert list(table["method"]) == list(FEEDINGS)
    assert (table["prompt"] == table["tokens"] + 200).all()
    assert table.set_index("method").loc["multi_crop_s2", "tower_flops"] == table["tower_flops"].max()


def test_rates_are_recovered_from_a_machine_that_follows_them():
    from workbench.ablate.cost import _fit

    rows = [(1, 10 * n, n * n) for n in (4, 9, 16, 25)]
    truth = (2e-3, 1e-5, 3e-6)
    seconds = [sum(a * b for a, b in zip(truth, row, strict=True)) for row in rows]
    assert _fit(rows, seconds) == pytest.approx(truth, rel=1e-6)


def test_calibration_gives_milliseconds_for_every_method():
    model = build(SMALL)
    timing = calibrate(model, sizes=(16, 64, 144), held_out=(100,), n_repeats=1)
    assert isinstance(timing, Timing)
    assert len(timing.held_out) == len(timing.errors) == 3
    made = cost(model, feed((300, 200), 64, method="multi_crop"), reply=3, timing=timing)
    assert made.first_ms > 0
    assert made.reply_ms > 0


def test_bad_input_is_refused_by_name():
    plan = feed((64, 64), 64, method="multi_crop")
    with pytest.raises(InputError, match="a int"):
        Shape.of(3)
    with pytest.raises(InputError, match="text=-1"):
        cost(Shape.of(build(SMALL, "meta")), plan, text=-1)
    with pytest.raises(InputError, match="square"):
        calibrate(None, sizes=(10, 20, 30))
    with pytest.raises(InputError, match="clock"):
        calibrate(None, clock="sun")
