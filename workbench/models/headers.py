"""Safetensors headers: which tensors a checkpoint holds, without reading one of them.

A safetensors file begins with eight bytes (little-endian length of the header), then the header
in JSON: name -> dtype, shape and byte range.  The format is checked here as strictly as the
library checks it, so that a truncated shard is found before a byte of weights is loaded.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, LoadError
from .source import PICKLE_SUFFIXES

__all__ = ["TensorInfo", "folder_headers", "read_config", "read_header", "shard_files", "shard_names"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_MAX_HEADER = 100_000_000  # bytes; the library's own limit
_BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8} | {
    f"{kind}{bits}": bits for kind in "IU" for bits in (8, 16, 32, 64)
}
_BITS |= {"F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a checkpoint: safetensors ``dtype`` name ("BF16"), shape, and the file it is in."""

    dtype: str
    shape: tuple[int, ...]
    file: str

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.numel * _BITS.get(self.dtype, 16) // 8


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json.

    Raises:
        LoadError: if it is missing, is no JSON object, or names no ``model_type``.
    """
    path = folder / "config.json"
    if not folder.is_dir():
        raise LoadError(f"{folder} is no folder", "a folder in the Hub's layout", "check the path")
    if not path.is_file():
        raise LoadError(
            f"no config.json in {folder}",
            "a folder in the Hub's layout",
            "pass the folder that holds config.json",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise LoadError(f"{path} cannot be read as JSON ({error})", "a model's config.json") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise LoadError(f"{path} names no model_type", "a model's config.json, as save_pretrained writes it")
    return config


def shard_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, in the order of its index; none where no weights are.

    Raises:
        CheckpointError: weights only as pickle, an index that cannot be read or names a file
            outside the folder, or a shard that is missing.
    """
    if (folder / INDEX).is_file():
        files = [folder / name for name in shard_names(folder / INDEX)]
        missing = [path.name for path in files if not path.is_file()]
        if missing and len(missing) < len(files):
            raise CheckpointError(
                f"{len(missing)} of {len(files)} shards missing in {folder}: {_some(missing)}",
                "every file that the index names",
                "download the folder again",
            )
        return [] if missing else files
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in PICKLE_SUFFIXES)
    if pickles:
        raise CheckpointError(
            f"{folder} holds its weights only as pickle ({_some(pickles)}), which can run any code when read",
            "safetensors",
            "take a revision with safetensors, or convert the files yourself where you trust them",
        )
    return []


def shard_names(index: Path) -> list[str]:
    """Names of the files that an index of shards names, in its order; none leads out of its folder.

    Raises:
        CheckpointError: if it is no index, or names other files than safetensors beside it.
    """
    return list(dict.fromkeys(_weight_map(index).values()))


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Tensors of one safetensors file, by name.

    Raises:
        CheckpointError: if the file is no safetensors file, or is truncated or padded.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = struct.unpack("<Q", head)[0] if len(head := file.read(8)) == 8 else _MAX_HEADER + 1
        if length > min(_MAX_HEADER, size - 8):
            raise _corrupt(path, f"its header should have {length} bytes, the file has {size}")
        try:
            entries = json.loads(file.read(length))
            entries.pop("__metadata__", None)
            found = {
                name: TensorInfo(e["dtype"], tuple(e["shape"]), path.name) for name, e in entries.items()
            }
            stop = max((e["data_offsets"][1] for e in entries.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _corrupt(path, f"its header cannot be read ({error})") from error
    if 8 + length + stop != size:
        raise _corrupt(path, f"its header describes {8 + length + stop} bytes, the file has {size}")
    for name, info in found.items():
        start, stop = entries[name]["data_offsets"]
        if info.dtype in _BITS and stop - start != info.nbytes:
            raise _corrupt(path, f"tensor {name} {info.dtype}{list(info.shape)} has {stop - start} bytes")
    return found


def folder_headers(folder: Path) -> dict[str, TensorInfo]:
    """All tensors of a folder, by name; empty where the folder has a config but no weights.

    Raises:
        CheckpointError: as `shard_files` and `read_header`, or a tensor of the index that its
            shard does not hold.
    """
    tensors: dict[str, TensorInfo] = {}
    for path in shard_files(folder):
        tensors |= read_header(path)
    if tensors and (folder / INDEX).is_file():
        lost = [name for name in _weight_map(folder / INDEX) if name not in tensors]
        if lost:
            raise CheckpointError(
                f"tensors that the index names are in no shard of {folder}: {_some(lost)}",
                "shards and index of one checkpoint",
                "download the folder again",
            )
    return tensors


def _weight_map(path: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = set(weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(
            f"{path} is no index of shards ({error})", "a weight_map of tensors to files"
        ) from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointError(f"{path} names the file {name!r}", "safetensors files beside the index")
    return weight_map


def _corrupt(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is corrupt: {why}", "a whole safetensors file", "download this file again"
    )


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
