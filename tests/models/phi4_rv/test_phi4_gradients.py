"""Gradients: to pixels and embeddings for attribution, to the weights for training."""

from __future__ import annotations

import pytest
import torch

from workbench.models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration


@pytest.fixture
def inputs(processor, picture, chat):
    return dict(processor(text=[chat("What is it?", 1)], images=[[picture(80, 50)]], return_tensors="pt"))


def small_model(**changes) -> Phi4RVForConditionalGeneration:
    torch.manual_seed(0)
    text = {
        "vocab_size": 32,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "eos_token_id": 1,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "patch_size": 4,
        "num_patches": 16,
        "vision_use_head": False,
    }
    config = Phi4RVConfig(text_config=text, vision_config=vision, image_token_id=3, **changes)
    return Phi4RVForConditionalGeneration(config)


def test_pixels_get_the_gradient_that_differences_show(model, inputs):
    pixels = inputs["pixel_values"].clone().requires_grad_()

    def target(values):
        return model(**{**inputs, "pixel_values": values}).logits[0, -1, 17]

    target(pixels).backward()
    grid = int(inputs["spatial_shapes"].prod())
    assert pixels.grad[0, :grid].abs().sum(-1).min() > 0, "every patch matters"
    assert not pixels.grad[0, grid:].any(), "padding does not"
    direction = pixels.grad / pixels.grad.norm()
    with torch.no_grad():
        step = 0.01
        slope = (target(pixels + step * direction) - target(pixels - step * direction)) / (2 * step)
    torch.testing.assert_close(slope, pixels.grad.norm(), rtol=0.01, atol=0)


@pytest.mark.parametrize("with_ids", [True, False])
def test_embeddings_get_gradients_and_give_the_same_logits(model, inputs, with_ids):
    embeds = model.get_input_embeddings()(inputs["input_ids"]).detach().requires_grad_()
    rest = {k: v for k, v in inputs.items() if k != "input_ids" or with_ids}
    logits = model(**rest, inputs_embeds=embeds).logits
    torch.testing.assert_close(logits, model(**inputs).logits)
    logits[0, -1].max().backward()
    places = inputs["input_ids"][0] == model.config.image_token_id
    assert embeds.grad[0, ~places].abs().sum() > 0
    assert not embeds.grad[0, places].any(), "the pictures' features stand there instead"


def test_loss_is_the_shifted_cross_entropy(model, inputs):
    labels = inputs["input_ids"].clone()
    labels[:, :-5] = -100
    with torch.no_grad():
        out = model(**inputs, labels=labels)
    expected = torch.nn.functional.cross_entropy(out.logits[0, -6:-1], labels[0, -5:])
    torch.testing.assert_close(out.loss, expected)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_weight_that_runs_gets_a_gradient(checkpointing):
    model = small_model().train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    loss(model).backward()
    missing = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    unused = ("model.vision_tower.encoder.layers.1.", "model.vision_tower.post_layernorm.")
    # a key's bias shifts all of a query's scores alike: its gradient is zero up to rounding
    assert {n for n in missing if not n.startswith(unused) and "k_proj.bias" not in n} == set()
    assert any(name.startswith(unused) for name in missing)


def test_checkpointing_changes_no_gradient():
    grads = []
    for checkpointing in (False, True):
        model = small_model().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        loss(model).backward()
        grads.append(model.model.vision_tower.embeddings.patch_embedding.weight.grad)
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize("tie", [False, True])
def test_a_small_model_learns_to_read_its_picture(tie):
    model = small_model(tie_word_embeddings=tie).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(80):
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()
    assert loss(model.eval(), 1000).item() < 0.1


def loss(model: Phi4RVForConditionalGeneration, seed: int = 0) -> torch.Tensor:
    """Pictures that are dark or light, in different grids; the token after them says which."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.randint(0, 2, (16,), generator=generator)
    shapes = torch.tensor([[2, 2], [1, 3]]).repeat(8, 1)
    counts = shapes.prod(1)
    mask = (torch.arange(4) < counts[:, None]).long()
    pixels = (light * 2 - 1.0)[:, None, None] + 0.1 * torch.randn(16, 4, 48, generator=generator)
    ids = torch.full((16, 6), 5)
    ids[:, :4] = torch.where(mask.bool(), 3, 6)
    ids[:, 5] = 8 + light
    labels = torch.full_like(ids, -100)
    labels[:, 5] = ids[:, 5]
    out = model(
        input_ids=ids,
        pixel_values=pixels * mask[..., None],
        pixel_attention_mask=mask,
        spatial_shapes=shapes,
        labels=labels,
    )
    return out.loss
