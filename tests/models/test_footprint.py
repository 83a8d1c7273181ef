"""Bytes of weights in memory: tied ones once, quantized ones as they are stored."""

from __future__ import annotations

import pytest
import torch

from workbench.models.memory_plan import weight_bytes


def test_parameters_and_buffers_are_counted_and_tied_ones_once() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(10, 10, bias=False), torch.nn.Linear(10, 10, bias=False))
    assert weight_bytes(model) == 2 * 400
    model[1].weight = model[0].weight
    assert weight_bytes(model) == 400
    model.register_buffer("table", torch.zeros(5, dtype=torch.int64))
    assert weight_bytes(model) == 440
    assert weight_bytes(model.to(torch.bfloat16)) == 240


def test_what_is_offloaded_takes_nothing() -> None:
    assert weight_bytes(torch.nn.Linear(10, 10, device="meta")) == 0


def test_quantized_weights_count_as_they_are_stored() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    model = torch.nn.Linear(64, 32, bias=False)
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    assert 64 * 32 <= weight_bytes(model) <= 64 * 32 + 4 * 32 + 64
