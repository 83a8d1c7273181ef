"""What every method promises in every family: shapes, the same result twice, nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attribution_cases import ask, tiny_vlm

from workbench.interpret import METHODS, attribute

OPTIONS = {
    "integrated_gradients": {"steps": 3},
    "gradient_shap": {"samples": 2},
    "shapley_sampling": {"samples": 1},
    "kernel_shap": {"samples": 8},
    "greedy": {"width": 1},
}


def state(vlm) -> tuple:
    """All that a method could leave behind."""
    modules = list(vlm.model.modules())
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in modules)
    settings = {getattr(getattr(m, "config", None), "_attn_implementation", None) for m in modules}
    grads = [(p.requires_grad, p.grad is None) for p in vlm.model.parameters()]
    return hooks, settings, grads, vlm.model.training


# few steps, so that tests are fast: their completeness gap is large
pytestmark = pytest.mark.filterwarnings("ignore::workbench.interpret.attribution.CompletenessWarning")


@pytest.mark.parametrize("name", ["phi4-rv", "qwen2.5-vl", "gemma3", "idefics3", "llava-onevision"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_contract_in_every_family(name, method, tmp_path_factory) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    answer = ask(vlm, tokens=2)
    before, weight = state(vlm), next(vlm.model.parameters()).detach().clone()
    torch.manual_seed(5)
    drawn = (torch.initial_seed(), torch.get_rng_state().sum(), np.random.get_state()[1].sum())  # noqa: NPY002
    made = [
        attribute(
            vlm,
            answer,
            target="reply",
            method=method,
            regions=(2, 3),
            batch_size=4,
            seed=1,
            progress=False,
            **OPTIONS.get(method, {}),
        )
        for _ in range(2)
    ]
    grid = answer.layout.images[0]
    one, two = made
    assert [part.shape for part in one.maps] == [(grid.rows, grid.cols)]
    assert one.values.shape == (6,)
    assert np.isfinite(one.maps[0]).all()
    assert np.isfinite(one.score)
    assert np.ptp(one.maps[0]) > 0, "a flat map"
    np.testing.assert_array_equal(one.maps[0], two.maps[0])
    assert (one.tokens is None) or one.tokens.shape == (answer.prompt_tokens,)
    assert (one.delta is not None) == (method in ("integrated_gradients", "gradient_shap"))
    assert state(vlm) == before
    assert torch.equal(next(vlm.model.parameters()), weight)
    after = (torch.initial_seed(), torch.get_rng_state().sum(), np.random.get_state()[1].sum())  # noqa: NPY002
    assert after == drawn, "the user's random state moved"
