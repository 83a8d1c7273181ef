"""Weights in 8 or 4 bits while loading, through kept libraries (torchao, bitsandbytes).

Only the linear layers of the decoder are quantized: that is where nearly all the weights are.
The vision tower, the projector and the output head stay in full precision; they are small, and
rounding them costs accuracy at fine print first.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import torch

from ..errors import CapabilityError, InputError

__all__ = ["QUANTIZATIONS", "quantization_config", "quantizer_for"]

QUANTIZATIONS = ("int8", "int4")
INT4_GROUP = 128  # weights that share a scale in torchao's int4
INT4_BLOCK = 64  # the same in bitsandbytes; its CPU kernel fails on rows that do not divide


def quantizer_for(kind: str, device: torch.device) -> str | None:
    """The installed library that quantizes to ``kind`` on a device: "torchao", "bitsandbytes" or None.

    int8 is torchao's weight-only int8, a scale per row, on every device.  int4 is bitsandbytes'
    NF4 on CUDA and on the CPU; without it, on CUDA, torchao's int4 in groups of 128.
    """
    if kind == "int8":
        return "torchao" if _installed("torchao") else None
    if device.type in ("cuda", "cpu") and _installed("bitsandbytes"):
        return "bitsandbytes"
    return "torchao" if device.type == "cuda" and _installed("torchao") else None


def quantization_config(
    kind: str | None,
    *,
    device: torch.device,
    dtype: torch.dtype,
    keep: Sequence[str] = (),
    widths: Sequence[int | None] = (),
) -> Any | None:
    """What `from_pretrained` takes as ``quantization_config``; None for ``kind=None``.

    Args:
        kind: None, "int8" or "int4".
        device: where the model will run.
        dtype: what it computes in.
        keep: names of modules that stay in ``dtype`` (the output head always does).
        widths: the decoder's hidden and intermediate sizes, to know whether the blocks fit them.

    Raises:
        InputError: if there is no such kind.
        CapabilityError: if no installed library can do it on this device.
    """
    if kind is None:
        return None
    if kind not in QUANTIZATIONS:
        raise InputError(f"quantize={kind!r}", "None, 'int8' or 'int4'")
    library = quantizer_for(kind, device)
    if library is None:
        raise _not_here(kind, device)
    if library == "bitsandbytes" and (odd := [w for w in widths if w and w % INT4_BLOCK]):
        raise CapabilityError(
            f"quantize='int4' of a model with layers {odd[0]} wide",
            f"layers whose width is a multiple of {INT4_BLOCK}, as bitsandbytes needs",
            "pass quantize='int8', or None",
        )
    keep = ["lm_head", *(name for name in keep if name)]
    if library == "bitsandbytes":
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=keep,
        )
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    if kind == "int8":
        return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=keep)
    if dtype != torch.bfloat16:
        raise CapabilityError(
            f"quantize='int4' with {dtype} through torchao", "torch.bfloat16", "pass dtype='bfloat16'"
        )
    # This packing needs no kernels beyond PyTorch's own.
    packed = Int4WeightOnlyConfig(group_size=INT4_GROUP, int4_packing_format="tile_packed_to_4d")
    return TorchAoConfig(packed, modules_to_not_convert=keep)


def _not_here(kind: str, device: torch.device) -> CapabilityError:
    works = [k for k in QUANTIZATIONS if quantizer_for(k, device)]
    instead = f"quantize={works[0]!r}" if works else "no quantization"
    if kind == "int4" and device.type not in ("cuda", "cpu"):
        return CapabilityError(
            f"quantize='int4' on {device}", "'int4' runs on CUDA and on the CPU", f"pass {instead} here"
        )
    needed = "torchao" if kind == "int8" else "bitsandbytes"
    return CapabilityError(
        f"quantize={kind!r} on {device} without {needed}",
        f"{needed} installed",
        f"pip install {needed}, or pass {instead}",
    )


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
