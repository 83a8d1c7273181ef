"""How an `Attention` lies on disk: one safetensors file, its layout and texts in the header"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import InputError
from ..types import Span, TokenLayout
from .store import LayerStore

if TYPE_CHECKING:
    from .record import Attention

__all__ = ["load_attention", "save_attention"]

FORMAT = "workbench.attention"
VERSION = 1


def save_attention(attention: Attention, path: str | Path) -> Path:
    """Write a record; see `Attention.save`."""
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f"path={str(path)!r} is a folder", "the name of a file")
    tensors, about = _parts(attention, "")
    header = {"format": FORMAT, "version": str(VERSION), "about": json.dumps(about, ensure_ascii=False)}
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, beside, metadata=header)
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"path={str(path)!r}: {error.strerror or error}", "a place to write") from None
    finally:
        beside.unlink(missing_ok=True)
    return path


def load_attention(path: str | Path) -> Attention:
    """Read a record back; see `Attention.load`."""
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder")
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if (header.get("format"), header.get("version")) != (FORMAT, str(VERSION)):
                raise InputError(f"path={str(path)!r} has another format", f"{FORMAT} version {VERSION}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return _whole(tensors, json.loads(header["about"]), "")
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"path={str(path)!r}: {error.strerror or error}", "a file that Attention.save wrote"
        ) from None
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise InputError(
            f"path={str(path)!r} is damaged: {type(error).__name__}: {error}",
            "a file that Attention.save wrote",
            "save the record again",
        ) from None


def _parts(attention: Attention, prefix: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    tensors: dict[str, np.ndarray] = {}
    for number, layer in enumerate(attention.store):
        tensors[f"{prefix}queries.{number}"] = np.ascontiguousarray(layer.queries)
        tensors[f"{prefix}keys.{number}"] = np.ascontiguousarray(layer.keys)
    for number, mask in enumerate(attention.masks):
        tensors[f"{prefix}mask.{number}"] = np.ascontiguousarray(mask)
    about: dict[str, Any] = {
        "layers": [[layer.scale, layer.mask] for layer in attention.store],
        "masks": len(attention.masks),
        "layout": attention.layout.to_dict(),
        "texts": list(attention.texts),
        "tokens": [attention.tokens.start, attention.tokens.stop],
        "ahead": attention.ahead,
        "spans": {name: [span.start, span.stop] for name, span in attention.spans.items()},
        "model": attention.model,
        "vision": None,
    }
    if attention.tower is not None:
        more, about["vision"] = _parts(attention.tower, f"{prefix}vision.")
        tensors |= more
    return tensors, about


def _whole(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any], prefix: str) -> Attention:
    from .record import Attention

    store = tuple(
        LayerStore(tensors[f"{prefix}queries.{n}"], tensors[f"{prefix}keys.{n}"], float(scale), mask)
        for n, (scale, mask) in enumerate(about["layers"])
    )
    vision = about["vision"]
    return Attention(
        store=store,
        layout=TokenLayout.from_dict(about["layout"]),
        texts=tuple(about["texts"]),
        tokens=Span(*about["tokens"]),
        masks=tuple(tensors[f"{prefix}mask.{n}"] for n in range(about["masks"])),
        ahead=int(about["ahead"]),
        tower=None if vision is None else _whole(tensors, vision, f"{prefix}vision."),
        spans={name: Span(*span) for name, span in about["spans"].items()},
        model=str(about["model"]),
    )
