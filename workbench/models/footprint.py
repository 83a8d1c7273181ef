"""How many bytes a model's weights take in memory, quantized ones as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

__all__ = ["weight_bytes"]


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers, each counted once; nothing for those that are offloaded.

    Transformers' ``get_memory_footprint`` counts torchao's quantized weights as wide as they compute;
    here their packed parts are counted, with their scales (bitsandbytes' too).
    """
    sizes: dict[int, int] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        for part in _parts(tensor):
            if part.device.type != "meta":
                storage = part.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def _parts(tensor: Any) -> Iterator[torch.Tensor]:
    """The plain tensors that a tensor holds: itself, or what a subclass packs."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor.detach()
        scales = getattr(getattr(tensor, "quant_state", None), "absmax", None)  # bitsandbytes
        if scales is not None:
            yield scales
        return
    for name in flatten()[0]:
        yield from _parts(getattr(tensor, name))
