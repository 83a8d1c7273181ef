"""Checking a checkpoint against the architecture by its headers, before a byte of weights is read.

A tower left at random by a wrong name gives a model that runs and sees nothing; so every tensor
must be there, in its shape, and no other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig
from transformers.utils import cached_file

from ...errors import CheckpointError, LoadError
from ..headers import INDEX, SINGLE, TensorInfo, folder_headers, read_config, read_header, shard_files
from .configuration import Phi4RVConfig
from .modeling import Phi4RVForConditionalGeneration
from .names import native_name, official_name

__all__ = ["CheckpointReport", "expected_tensors", "fetch_checkpoint", "verify_checkpoint"]

_DTYPES = ("F64", "F32", "F16", "BF16")
_HUB_OPTIONS = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "proxies",
    "revision",
    "subfolder",
    "token",
)


@dataclass(frozen=True)
class CheckpointReport:
    """What a checked checkpoint holds: its files, number of tensors and parameters, bytes, dtypes."""

    files: tuple[str, ...]
    tensors: int
    parameters: int
    nbytes: int
    dtypes: tuple[str, ...]


def expected_tensors(config: Phi4RVConfig) -> dict[str, tuple[int, ...]]:
    """Published name -> shape of every tensor that a checkpoint of this config must hold."""
    with torch.device("meta"):
        model = Phi4RVForConditionalGeneration(config)
    shapes = {official_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight")
    return shapes


def verify_checkpoint(folder: str | Path, *, config: Any = None) -> CheckpointReport:
    """Compare a folder's safetensors headers with the architecture that its config.json describes.

    Reads headers only (kilobytes), so it takes no longer for 30 GB than for the built-in model.

    Args:
        folder: a folder in the published layout: config.json, and model.safetensors or shards
            with their index.
        config: the config to compare with instead of the folder's.

    Raises:
        LoadError: if there is no readable config.json, or it is of another model type.
        CheckpointError: if weights are missing or only there as pickle, a file is truncated, or a
            tensor is missing, unknown, there twice, of another shape or of no floating type.
            The message names the tensor and the file.
    """
    folder = Path(folder)
    fields = read_config(folder)
    if not isinstance(config, PreTrainedConfig):
        if fields["model_type"] != Phi4RVConfig.model_type:
            raise LoadError(
                f"{folder} holds a model of type {fields['model_type']!r}",
                repr(Phi4RVConfig.model_type),
                "load it with workbench.load, which knows the other families",
            )
        config = Phi4RVConfig.from_pretrained(folder)
    found = _tensors(folder)
    if "quantization_config" not in fields:  # packed weights have other names and shapes
        _compare(folder, found, expected_tensors(config))
    return CheckpointReport(
        files=tuple(dict.fromkeys(info.file for info in found.values())),
        tensors=len(found),
        parameters=sum(info.numel for info in found.values()),
        nbytes=sum(info.nbytes for info in found.values()),
        dtypes=tuple(sorted({info.dtype for info in found.values()})),
    )


def _tensors(folder: Path) -> dict[str, TensorInfo]:
    """All tensors by native name."""
    files = shard_files(folder)
    if not files:
        raise CheckpointError(
            f"no weights in {folder}",
            f"{SINGLE}, or the shards that {INDEX} names",
            "download the folder again",
        )
    folder_headers(folder)  # holds the index to what its shards contain
    found: dict[str, TensorInfo] = {}
    for path in files:
        for name, info in read_header(path).items():
            if (other := found.get(native_name(name))) is not None:
                raise CheckpointError(
                    f"tensor {name} is in {other.file} and in {info.file}", "each tensor once"
                )
            found[native_name(name)] = info
    return found


def _compare(folder: Path, found: dict[str, TensorInfo], expected: dict[str, tuple[int, ...]]) -> None:
    files = sorted({info.file for info in found.values()})
    where = f"{folder}/{files[0]}" if len(files) == 1 else f"the {len(files)} shards in {folder}"
    shapes = {native_name(name): (name, shape) for name, shape in expected.items()}
    fix = "download the checkpoint again, or correct its config.json"
    if missing := [name for key, (name, _) in shapes.items() if key not in found]:
        raise CheckpointError(f"{_some(missing)} missing from {where}", f"{len(expected)} tensors", fix)
    for key, info in found.items():
        name = official_name(key)
        at = f"tensor {name} in {folder / info.file}"
        if key not in shapes:
            raise CheckpointError(
                f"unknown {at}", f"only the {len(expected)} tensors of the architecture", fix
            )
        if info.shape != shapes[key][1]:
            raise CheckpointError(f"{at} has shape {list(info.shape)}", f"{list(shapes[key][1])}", fix)
        if info.dtype not in _DTYPES:
            raise CheckpointError(f"{at} is of type {info.dtype}", f"one of {', '.join(_DTYPES)}", fix)


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"tensor{'s' if len(names) > 1 else ''} {', '.join(names[:limit])}{more}"


def fetch_checkpoint(source: Any, options: dict[str, Any]) -> Path:
    """The local folder of a source: itself, or where the Hub's files are kept after downloading.

    Args:
        source: folder or Hub id.
        options: arguments of ``from_pretrained``; those about the Hub are used.

    Raises:
        LoadError: if there is no such folder or repository, or no config.json in it.
    """
    subfolder = options.get("subfolder") or ""
    if Path(str(source)).is_dir():
        return Path(str(source)) / subfolder
    hub = {key: options[key] for key in _HUB_OPTIONS if options.get(key) is not None}

    def fetch(name: str) -> Path | None:
        try:
            path = cached_file(source, name, _raise_exceptions_for_missing_entries=False, **hub)
        except OSError as error:
            raise LoadError(
                f"{source} cannot be read: {str(error).strip().splitlines()[0]}",
                "a folder that exists, or a Hub id 'owner/name' that can be reached",
                "check the spelling and the connection",
            ) from error
        return None if path is None else Path(path)

    config = fetch("config.json")
    if config is None:
        raise LoadError(f"{source} holds no config.json", "a model in the layout of Transformers")
    index = fetch(INDEX)
    for name in [SINGLE] if index is None else _shard_names(index):
        fetch(name)
    return config.parent


def _shard_names(index: Path) -> list[str]:
    """Shards to download; `verify_checkpoint` looks at the index itself."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return sorted(name for name in names if isinstance(name, str) and Path(name).name == name)
