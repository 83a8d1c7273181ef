"""Which device, precision and attention "auto" stands for on this machine, and how much room there is."""

from __future__ import annotations

import gc
import importlib.util

import torch

from ..errors import CapabilityError, InputError, LoadError
from .memory import free_ram, total_ram

__all__ = [
    "available_memory",
    "is_out_of_memory",
    "pick_attention",
    "pick_device",
    "pick_dtype",
    "release_memory",
    "total_memory",
]

ATTENTIONS = ("sdpa", "eager", "flex_attention", "flash_attention_2")
DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}
SMALL = 500_000_000  # parameters; below this float32 costs little memory and keeps every digit


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device to use; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        LoadError: if this machine, or this build of PyTorch, has no such device.
    """
    if str(device) == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(name)
    try:
        picked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise LoadError(f"device={device!r}", "'auto', 'cpu', 'cuda', 'cuda:1', 'mps'") from error
    here = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(picked.type, 0)
    if (picked.index or 0) >= here:
        found = "no device of that kind" if here == 0 else f"only {here} of them"
        raise LoadError(
            f"device={str(device)!r}, but PyTorch {torch.__version__} sees {found} here",
            "a device that `workbench doctor` lists",
            "pass device='auto'",
        )
    return picked


def pick_dtype(
    dtype: str | torch.dtype, device: torch.device, *, stored: torch.dtype, parameters: int
) -> torch.dtype:
    """The precision to compute in.

    "auto": small models (under half a billion parameters) in float32, where it costs little and
    keeps every digit; larger ones as stored where that is a half precision the device computes
    in, otherwise bfloat16.

    Raises:
        InputError: if ``dtype`` is none of `DTYPES`.
    """
    if isinstance(dtype, torch.dtype):
        dtype = str(dtype).removeprefix("torch.")
    if dtype != "auto":
        if dtype not in DTYPES:
            raise InputError(f"dtype={dtype!r}", "'auto' or one of " + ", ".join(DTYPES))
        return DTYPES[dtype]
    if parameters < SMALL:
        return torch.float32
    if stored == torch.float16 and device.type != "cpu":
        return torch.float16
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.bfloat16


def pick_attention(attention: str, device: torch.device) -> str:
    """The attention implementation; "auto" is SDPA, which every device has.

    Raises:
        InputError: if there is no such implementation.
        CapabilityError: if it cannot run here.
    """
    if attention == "auto":
        return "sdpa"
    if attention not in ATTENTIONS:
        raise InputError(f"attention={attention!r}", "'auto' or one of " + ", ".join(ATTENTIONS))
    if attention == "flash_attention_2":
        if device.type != "cuda":
            raise CapabilityError(
                f"attention='flash_attention_2' on {device}", "a CUDA device", "pass attention='auto'"
            )
        if importlib.util.find_spec("flash_attn") is None:
            raise CapabilityError(
                "attention='flash_attention_2' without the flash-attn package",
                "flash-attn installed",
                "pip install flash-attn, or pass attention='auto'",
            )
    return attention


def available_memory(device: torch.device) -> int:
    """Bytes that are free for a model on a device now (what PyTorch keeps cached counts as free)."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return free_ram()


def total_memory(device: torch.device) -> int:
    """Bytes of memory that a device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    return total_ram()


def release_memory() -> None:
    """Return memory that nothing holds any more to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


# What allocators say that raise no class of their own: PyTorch's on the CPU, MPS, cuBLAS, NumPy.
SIGNS = ("defaultcpuallocator: ", "out of memory", "cublas_status_alloc_failed", "unable to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the device, or this machine, has no room."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)
