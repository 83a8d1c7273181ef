"""Counting a checkpoint's parameters from its headers, or from its config alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import CapabilityError
from .build import issubclass_of_pretrained, model_class
from .headers import folder_headers
from .hub import hub_headers
from .sizing import PARTS, part_of, quantizable
from .source import Source

__all__ = ["Weights", "config_shapes", "read_weights"]

_DTYPE_NAMES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
}


@dataclass(frozen=True)
class Weights:
    """Sizes of a checkpoint's weights.

    Args:
        parameters: number of parameters by part.
        quantizable: how many of them a quantizer takes (the decoder's linear layers).
        stored: precision on disk, PyTorch's name; of most bytes where it is mixed.
        stored_bytes: bytes on disk.
        largest: parameters of the largest tensor.
        prequantized: method by which they are stored quantized, or "".
        notes: what the reader should know about the numbers.
    """

    parameters: dict[str, int]
    quantizable: int
    stored: str
    stored_bytes: int
    largest: int
    prequantized: str = ""
    notes: tuple[str, ...] = ()


def read_weights(source: Source, folder: Path, config: Any, *, revision: str | None) -> Weights:
    """Count a checkpoint's parameters from its headers, or from its config where it has no weights."""
    tensors = hub_headers(source.repo, revision=revision) if source.kind == "hub" else folder_headers(folder)
    notes: list[str] = []
    if tensors:
        shapes = {name: info.shape for name, info in tensors.items()}
        sizes: dict[str, int] = {}
        for info in tensors.values():
            sizes[info.dtype] = sizes.get(info.dtype, 0) + info.nbytes
        stored, stored_bytes = (
            _DTYPE_NAMES.get(top := max(sizes, key=lambda name: sizes[name]), top),
            sum(sizes.values()),
        )
    else:
        shapes = config_shapes(config, folder)
        stored = str(getattr(config, "dtype", None) or "bfloat16").removeprefix("torch.")
        stored_bytes = sum(math.prod(s) for s in shapes.values()) * (4 if stored == "float32" else 2)
        notes.append("no weights here: the sizes follow from the config alone")
    parameters = dict.fromkeys(PARTS, 0)
    for name, shape in shapes.items():
        parameters[part_of(name)] += math.prod(shape)
    method = (getattr(config, "quantization_config", None) or {}).get("quant_method", "")
    if method:
        notes.append(f"stored quantized ({method}): parameters count packed numbers")
    return Weights(
        parameters=parameters,
        quantizable=sum(math.prod(s) for name, s in shapes.items() if quantizable(name, s)),
        stored=stored,
        stored_bytes=stored_bytes,
        largest=max((math.prod(s) for s in shapes.values()), default=0),
        prequantized=str(method),
        notes=tuple(notes),
    )


def config_shapes(config: Any, folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all parameters that a config describes; the model is built without memory.

    Raises:
        CapabilityError: for a class outside Transformers, whose code would have to run.
    """
    cls = model_class(config, folder)
    if not issubclass_of_pretrained(cls):
        raise CapabilityError(f"{folder.name} has no weights here and its own code", "a folder with weights")
    with torch.device("meta"):
        model = cls(config)
    return {name: tuple(p.shape) for name, p in model.named_parameters()}
