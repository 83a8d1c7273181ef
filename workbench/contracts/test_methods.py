"""The contract of a method of attribution: what `attribute`, `Attribution.check` and figures rely on.

It runs on every registered method with the built-in model, which asks about one small picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from workbench import synth
from workbench.answer import Answer
from workbench.errors import InputError
from workbench.interpret import Attribution, attribute
from workbench.interpret.methods import TABLE
from workbench.models import VLM, load

REGIONS = (2, 3)

#: Settings with which the workbench's own methods are quick; those of plug-ins run with their defaults.
QUICK: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": 8},
    "gradient_shap": {"samples": 4},
    "greedy": {"width": 1},
}

pytestmark = pytest.mark.filterwarnings("ignore::workbench.interpret.attribution.CompletenessWarning")


@pytest.fixture(scope="module")
def asked() -> tuple[VLM, Answer]:
    """The built-in model, and its answer to a drawn question."""
    vlm = load("nano", device="cpu", progress=False)
    assert isinstance(vlm, VLM)
    sample = synth.sample("read_sign", 1, seed=7)[0]
    return vlm, vlm.ask(sample.images, sample.question, mode="nothink", max_tokens=8)


def made(asked: tuple[VLM, Answer], name: str, **options: Any) -> Attribution:
    """A map of the method."""
    vlm, answer = asked
    given: dict[str, Any] = {"regions": REGIONS, "seed": 1, "progress": False, **QUICK.get(name, {})}
    return attribute(vlm, answer, method=name, **{**given, **options})


def left_behind(vlm: VLM) -> tuple[Any, ...]:
    """All that a method could leave behind in a model, or in the user's random state."""
    modules, weights = list(vlm.model.modules()), list(vlm.model.parameters())
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in modules)
    kernels = {str(getattr(getattr(m, "config", None), "_attn_implementation", "")) for m in modules}
    grads = [(weight.requires_grad, weight.grad is None) for weight in weights]
    total = float(sum(weight.detach().double().abs().sum() for weight in weights))
    numpy_state: Any = np.random.get_state()  # noqa: NPY002
    drawn = int(torch.get_rng_state().sum()), int(numpy_state[1].sum())
    return hooks, kernels, grads, total, drawn, vlm.model.training


@pytest.mark.parametrize("name", list(TABLE))
def test_a_method_says_what_it_is(name: str) -> None:
    method = TABLE[name]
    assert method.source, "a paper, or where it comes from"
    assert method.cost, "what it costs, in words"
    assert method.unit, "what its values are"
    assert callable(method.function())


@pytest.mark.parametrize("name", list(TABLE))
def test_a_method_does_what_it_says(asked: tuple[VLM, Answer], name: str) -> None:
    vlm, answer = asked
    before = left_behind(vlm)
    one, two = made(asked, name), made(asked, name)
    assert left_behind(vlm) == before, "weights, hooks and random states are as they were"
    assert answer.layout is not None
    assert [part.shape for part in one.maps] == [(grid.rows, grid.cols) for grid in answer.layout.images]
    assert one.values is not None
    assert one.values.shape == (REGIONS[0] * REGIONS[1],)
    assert all(np.isfinite(part).all() for part in (*one.maps, one.values))
    assert one.errors is None or (one.errors.shape == one.values.shape and (one.errors >= 0).all())
    assert one.tokens is None or one.tokens.shape == (answer.prompt_tokens,)
    for first, second in zip(one.maps, two.maps, strict=True):
        np.testing.assert_array_equal(first, second, "the same seed gives the same map")


@pytest.mark.parametrize("name", list(TABLE))
def test_a_map_is_kept_made_again_and_drawn(asked: tuple[VLM, Answer], name: str, tmp_path: Any) -> None:
    found = made(asked, name)
    kept = Attribution.load(found.save(tmp_path / "map"))
    np.testing.assert_array_equal(kept.maps[0], found.maps[0])
    again = kept.again(asked[0])
    np.testing.assert_allclose(again.maps[0], found.maps[0], atol=1e-5)
    assert TABLE[name].unit in [axes.get_ylabel() for axes in found.plot().axes]


@pytest.mark.parametrize("name", list(TABLE))
def test_an_unknown_setting_is_refused(asked: tuple[VLM, Answer], name: str) -> None:
    with pytest.raises(InputError, match="no_such_setting"):
        made(asked, name, no_such_setting=1)
