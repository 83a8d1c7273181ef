"""The model as one graph: ``torch.compile(fullgraph=True)`` and ``torch.export``, with pictures."""

from __future__ import annotations

import pytest
import torch

from workbench.models.phi4_rv.modeling import Phi4RVVisionEmbeddings, resized_positions

ATOL = 1e-4


@pytest.fixture(scope="module")
def prompts(processor, picture, chat):
    """Two prompts with two pictures each, of other shapes and lengths; the first has more padding."""

    def encode(text, *sizes):
        images = [picture(*size, seed) for seed, size in enumerate(sizes)]
        return dict(processor(text=[chat(text, len(sizes))], images=[images], return_tensors="pt"))

    first, second = (
        encode("Compare the two.", (90, 60), (40, 100)),
        encode("Say what they show.", (64, 64), (200, 70)),
    )
    assert first["spatial_shapes"].tolist() != second["spatial_shapes"].tolist()
    assert first["input_ids"].shape != second["input_ids"].shape
    return first, second


@pytest.mark.parametrize("side", [4, 16])
def test_positions_are_resized_as_the_library_does(side):
    shapes = torch.tensor([[1, 1], [1, 23], [3, 5], [4, 16], [16, 4], [16, 16], [17, 31], [60, 2]])
    grid = torch.randn(side, side, 8, generator=torch.Generator().manual_seed(0))
    longest = int(shapes.prod(dim=1).max())
    theirs = Phi4RVVisionEmbeddings.resize_positional_embeddings(grid, shapes, max_length=longest)
    ours = resized_positions(grid, shapes, longest)
    for own, their, count in zip(ours, theirs, shapes.prod(dim=1).tolist(), strict=True):
        torch.testing.assert_close(own[:count], their[:count], atol=1e-5, rtol=0)
        assert not own[count:].any()


def test_a_picture_one_patch_wide_has_the_positions_of_one_patch_high_turned():
    # PyTorch 2.13's antialiased F.interpolate on a CPU gives every row of a result one wide the first row.
    grid = torch.randn(4, 4, 8, generator=torch.Generator().manual_seed(0))
    high, wide = torch.tensor([[23, 1]]), torch.tensor([[1, 23]])
    turned = resized_positions(grid.transpose(0, 1), wide, 23)
    torch.testing.assert_close(resized_positions(grid, high, 23), turned, atol=1e-6, rtol=0)


@torch.no_grad()
def test_one_compiled_graph_serves_pictures_of_any_shape(model, prompts):
    try:
        compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
        for inputs in prompts:
            torch.testing.assert_close(compiled(**inputs).logits, model(**inputs).logits, atol=ATOL, rtol=0)
    finally:
        torch.compiler.reset()


@torch.no_grad()
def test_an_exported_program_serves_pictures_of_any_shape_and_checks_them(model, prompts):
    first, second = prompts
    auto = torch.export.Dim.AUTO
    free = {"input_ids": {1: auto}, "attention_mask": {1: auto}, "spatial_shapes": None, "use_cache": None}
    free |= {"pixel_values": {1: auto}, "pixel_attention_mask": {1: auto}}
    program = torch.export.export(model, (), {**first, "use_cache": False}, dynamic_shapes=free).module()
    for inputs in prompts:
        logits = program(**inputs, use_cache=False).logits
        torch.testing.assert_close(logits, model(**inputs).logits, atol=ATOL, rtol=0)
    wrong = {**second, "spatial_shapes": second["spatial_shapes"] + 1}
    with pytest.raises(RuntimeError):
        program(**wrong, use_cache=False)
    wrong = {**second, "input_ids": second["input_ids"].clone()}
    wrong["input_ids"][wrong["input_ids"] == model.config.image_token_id] = 1
    with pytest.raises(RuntimeError):
        program(**wrong, use_cache=False)
