"""The trainer's plain attention is that of Transformers, in either precision."""

from __future__ import annotations

import pytest
import torch

from workbench.train.attention import PRODUCTS, products
from workbench.train.data import build_tokenizer
from workbench.train.nano import build_nano


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("tokens", [1, 5])
def test_it_is_pytorchs_attention_with_a_mask_and_gradients(key_heads: int, tokens: int) -> None:
    rng = torch.Generator().manual_seed(tokens)
    sizes = [(2, 4, tokens, 8), (2, key_heads, 7, 8), (2, key_heads, 7, 8)]
    ours, theirs = (
        [torch.randn(size, generator=rng.manual_seed(i)).requires_grad_() for i, size in enumerate(sizes)]
        for _ in range(2)
    )
    seen = torch.rand(2, 1, tokens, 7, generator=rng) < 0.6
    seen[..., 0] = True
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    made, weights = products(torch.nn.Identity(), *ours, mask, scaling=0.3)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        *theirs, attn_mask=mask, scale=0.3, enable_gqa=True
    ).transpose(1, 2)
    assert weights is None
    torch.testing.assert_close(made, wanted)
    made.square().sum().backward()
    wanted.square().sum().backward()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad)
    free, _ = products(torch.nn.Identity(), *ours, None, scaling=0.3)
    assert not torch.allclose(free, made), "the mask acts"


@pytest.mark.parametrize("bf16", [False, True])
def test_the_built_in_model_computes_what_it_does_with_eager_attention(bf16: bool) -> None:
    model = build_nano(build_tokenizer()).eval()
    ids = torch.randint(0, 1000, (2, 30), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    said = {}
    for name in ("eager", PRODUCTS):
        model.set_attn_implementation(name)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            said[name] = model(input_ids=ids, attention_mask=mask).logits[mask.bool()].float()
    assert said[PRODUCTS].isfinite().all()
    off = (said[PRODUCTS] - said["eager"]).norm() / said["eager"].norm()
    assert off < (0.02 if bf16 else 1e-5)
