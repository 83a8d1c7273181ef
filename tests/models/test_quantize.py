"""Quantized loading on the CPU, through torchao and bitsandbytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import workbench
from workbench.errors import CapabilityError, InputError
from workbench.models import build as quantize
from workbench.models.build import build_model, model_config, quantization_config, quantizer_for
from workbench.models.memory_plan import weight_bytes

TINY = Path(__file__).parents[1] / "data" / "phi4_rv_tiny" / "checkpoint"
CPU = torch.device("cpu")
KEEP = ("model.vision_tower", "model.multi_modal_projector")
IDS = torch.arange(5, 45).view(1, 40)


def load(kind, dtype=torch.float32):
    quantization = quantization_config(kind, device=CPU, dtype=dtype, keep=KEEP)
    return build_model(
        TINY,
        model_config(TINY),
        dtype=dtype,
        attention="sdpa",
        device_map={"": "cpu"},
        quantization=quantization,
    )


@pytest.fixture(scope="module")
def full():
    return load(None)


def unpacked(weight: torch.Tensor) -> torch.Tensor:
    """The numbers that a quantized weight stands for."""
    if hasattr(weight, "quant_state"):
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(weight.data, weight.quant_state)
    return weight.dequantize()


@pytest.mark.parametrize(
    ("kind", "library", "rounding", "precision", "bits"),
    [
        ("int8", "torchao", 0.01, 1e-5, 9),
        ("int4", "bitsandbytes", 0.12, 2**-7, 5),  # its CPU kernel multiplies in bfloat16
    ],
)
def test_quantized_is_smaller_and_computes_with_rounded_weights(
    full, kind, library, rounding, precision, bits
):
    pytest.importorskip(library)
    model = load(kind)
    names = [
        name for name, _ in full.named_parameters() if "language_model.layers" in name and "_proj" in name
    ]
    torch.manual_seed(0)
    for name in names:
        exact, weight = full.get_parameter(name), unpacked(model.get_parameter(name))
        assert 0 < relative(weight, exact) < rounding, name
        x = torch.randn(7, exact.shape[1])
        layer = model.get_submodule(name.removesuffix(".weight"))
        assert relative(layer(x), x @ weight.T) < precision, name
    linear = sum(full.get_parameter(name).numel() for name in names)
    saved = weight_bytes(full) - weight_bytes(model)
    assert saved > linear * (32 - bits) / 8  # bits per weight, scales included
    with torch.inference_mode():
        logits = model(input_ids=IDS).logits
    assert torch.isfinite(logits).all()
    assert not torch.allclose(logits, full(input_ids=IDS).logits, atol=1e-4)


def relative(given: torch.Tensor, exact: torch.Tensor) -> float:
    return ((given - exact).norm() / exact.norm()).item()


def test_only_the_decoder_is_quantized(full):
    pytest.importorskip("torchao")
    model = load("int8")
    changed = {n for n, p in model.named_parameters() if type(p) is not type(full.get_parameter(n))}
    assert changed
    assert all(".language_model.layers." in n and n.endswith("_proj.weight") for n in changed)
    assert len(changed) == 4 * 3  # qkv, output, gate-up and down projections of three layers


def test_a_quantized_handle_answers_and_is_another():
    pytest.importorskip("torchao")
    vlm = workbench.load(TINY, quantize="int8")
    assert vlm is not workbench.load(TINY)
    assert vlm is workbench.load(TINY, quantize="int8")
    assert len(vlm.ask(None, "What is this?", max_tokens=4).reply_ids) == 4
    assert weight_bytes(vlm.model) == pytest.approx(
        workbench.memory_plan(TINY, device="cpu").row("int8").weights, rel=0.02
    )


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(quantize, "_installed", lambda name: False)
    for kind, library in (("int8", "torchao"), ("int4", "bitsandbytes")):
        with pytest.raises(CapabilityError, match=f"without {library}.*pip install"):
            quantization_config(kind, device=CPU, dtype=torch.float32)
    monkeypatch.setattr(quantize, "_installed", lambda name: name == "torchao")
    with pytest.raises(CapabilityError, match="quantize='int8'"):
        quantization_config("int4", device=CPU, dtype=torch.float32)
    assert quantizer_for("int4", torch.device("cuda")) == "torchao"
    assert quantizer_for("int8", torch.device("cuda")) == "torchao"


def test_the_plan_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(quantize, "_installed", lambda name: False)
    made = workbench.memory_plan(TINY, device="cpu")
    assert not made.row("int8").fits
    assert "pip install torchao" in made.row("int8").note
    assert made.best.precision == "float32"


def test_int4_on_a_device_that_has_none():
    with pytest.raises(CapabilityError, match="CUDA and on the CPU"):
        quantization_config("int4", device=torch.device("mps"), dtype=torch.float16)


@pytest.mark.parametrize("kind", ["int2", "fp8", 8, True])
def test_a_quantization_that_is_none(kind):
    with pytest.raises(InputError, match="'int8' or 'int4'"):
        workbench.load(TINY, quantize=kind)


def test_int4_blocks_that_do_not_fit_are_refused_before_loading():
    with pytest.raises(CapabilityError, match="160 wide.*multiple of 64.*int8"):
        quantization_config("int4", device=CPU, dtype=torch.float32, widths=(160, 480))
