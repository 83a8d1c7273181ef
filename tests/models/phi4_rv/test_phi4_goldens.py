"""Equality with the published code, on the tiny reference checkpoint."""

from __future__ import annotations

import csv

import pytest
import torch
from transformers import AutoModelForImageTextToText

from workbench.models.phi4_rv import patch_grid

CASES = ("a_text", "b_square", "c_wide_downscale")
ATOL = 1e-4


def encode(processor, golden):
    return processor(text=golden.prompts, images=[golden.pictures], padding_side="left", return_tensors="pt")


@pytest.mark.parametrize("case", CASES)
def test_ids_and_pixels(case, goldens, processor):
    golden = goldens[case]
    inputs = encode(processor, golden)
    official = golden.tensors["input_ids"][0].tolist()
    assert inputs["input_ids"].tolist() == [golden.expanded(official, processor.image_token_id)]
    assert torch.equal(inputs["attention_mask"], golden.tensors["expanded_attention_mask"].long())
    if not golden.pictures:
        assert "pixel_values" not in inputs
        return
    torch.testing.assert_close(inputs["pixel_values"], golden.tensors["pixel_values"], atol=1e-6, rtol=0)
    for name in ("pixel_attention_mask", "spatial_shapes"):
        assert inputs[name].tolist() == golden.tensors[name].tolist()


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_logits_at_every_position(case, goldens, processor, model):
    golden = goldens[case]
    logits = model(**encode(processor, golden)).logits
    expected = golden.tensors
    assert logits.shape[:2] == expected["logits_argmax"].shape
    torch.testing.assert_close(logits[:, -64:], expected["logits_tail"], atol=ATOL, rtol=0)
    torch.testing.assert_close(logits.logsumexp(-1), expected["logits_logsumexp"], atol=ATOL, rtol=0)
    assert torch.equal(logits.argmax(-1), expected["logits_argmax"])


@pytest.mark.parametrize("case", CASES[1:])
@torch.no_grad()
def test_image_features(case, goldens, processor, model):
    golden = goldens[case]
    inputs = encode(processor, golden)
    names = ("pixel_values", "pixel_attention_mask", "spatial_shapes")
    features = model.get_image_features(**{name: inputs[name] for name in names}).pooler_output
    assert len(features) == 1
    torch.testing.assert_close(features[0], golden.tensors["image_features.0"], atol=ATOL, rtol=0)


@pytest.mark.parametrize(("number", "suffix"), [(0, ""), (1, "<think>"), (2, "<|dummy_84|>")])
def test_greedy_generation_in_three_modes(number, suffix, goldens, processor, model):
    golden = goldens["b_square"]
    inputs = processor(
        text=[golden.prompts[0] + suffix], images=[golden.pictures], padding_side="left", return_tensors="pt"
    )
    official = golden.tensors[f"generate.{number}.input_ids"][0].tolist()
    assert inputs["input_ids"].tolist() == [golden.expanded(official, processor.image_token_id)]
    out = model.generate(
        **inputs, do_sample=False, max_new_tokens=24, output_logits=True, return_dict_in_generate=True
    )
    new = out.sequences[:, inputs["input_ids"].shape[1] :]
    assert new.tolist() == golden.tensors[f"generate.{number}.new_ids"].tolist()
    expected = golden.tensors[f"generate.{number}.step_logits"]
    torch.testing.assert_close(torch.cat(out.logits), expected, atol=ATOL, rtol=0)


def test_every_row_of_the_size_table(checkpoint):
    with (checkpoint.parent / "image_sizes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 155
    wrong = []
    for row in rows:
        rule = int(row["rule_rows"]), int(row["rule_cols"])
        if (got := patch_grid(int(row["height"]), int(row["width"]))) != rule:
            wrong.append((row["width"], row["height"], rule, got))
    assert not wrong


def test_one_pixel_gives_49_patches():
    """The library's search stops at a scale of 100."""
    assert patch_grid(1, 1) == (7, 7)


def test_the_comparison_can_fail(goldens, processor, checkpoint):
    """The tanh GELU in the projector moves the logits by more than the tolerance."""
    golden = goldens["b_square"]
    model = AutoModelForImageTextToText.from_pretrained(checkpoint).eval()
    model.model.multi_modal_projector.act = torch.nn.GELU(approximate="tanh")
    with torch.no_grad():
        logits = model(**encode(processor, golden)).logits[:, -64:]
    assert (logits - golden.tensors["logits_tail"]).abs().max() > ATOL
