"""How an `Answer` lies on disk: a folder with ``answer.json`` and one safetensors file.

Attention, where it was kept, lies in a second one (`Attention.save`).  The JSON names the tensor files
by their content's hash and is put in place last, with one rename: a crash at any moment leaves the
old answer or the new one, never a mixture.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from .attention import Attention
from .errors import InputError
from .images import open_image
from .types import Mode, Span, TokenLayout, Turn

if TYPE_CHECKING:
    from .answer import Answer

__all__ = ["load_answer", "save_answer", "write_file"]

FORMAT = {"format": "workbench.answer", "version": 1}
NAME = "answer.json"


def save_answer(answer: Answer, path: str | Path) -> Path:
    """Write an answer into a folder; see `Answer.save`."""
    folder = Path(path).expanduser()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / NAME).is_file()):
        raise InputError(
            f"path={str(path)!r} holds something else", "a new folder, or one with a saved answer"
        )
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"token_ids": np.asarray(answer.token_ids, dtype=np.int64)}
    for number, image in enumerate(answer.images):
        tensors[f"image_{number}"] = np.frombuffer(_png(image), dtype=np.uint8)
    data = save_tensors(tensors)
    name = f"answer-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    write_file(folder / name, data)
    record = {**FORMAT, "tensors": name, **_to_json(answer)}
    if answer.captured is not None:
        record["attention"] = _save_attention(answer.captured, folder)
    write_file(folder / NAME, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode())
    for old in (*folder.glob("answer-*.safetensors"), *folder.glob("attention-*.safetensors")):
        if old.name not in (name, record.get("attention")):
            old.unlink(missing_ok=True)
    return folder


def _save_attention(attention: Attention, folder: Path) -> str:
    """Write a record of attention under its content's hash; returns the file's name."""
    beside = attention.save(folder / f".attention.{os.getpid()}.tmp")
    try:
        with beside.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = f"attention-{digest[:16]}.safetensors"
        os.replace(beside, folder / name)
    finally:
        beside.unlink(missing_ok=True)
    return name


def load_answer(path: str | Path) -> Answer:
    """Read an answer back; see `Answer.load`."""
    folder = Path(path).expanduser()
    folder = folder.parent if folder.name == NAME else folder
    try:
        record = json.loads((folder / NAME).read_text(encoding="utf-8"))
        _check_header(record, path)
        tensors = load_tensors((folder / record.pop("tensors")).read_bytes())
        attention = record.pop("attention", None)
        captured = None if attention is None else Attention.load(folder / attention)
        return replace(_from_json(record, tensors), captured=captured)
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"path={str(path)!r}: {error.strerror or error}", "a folder that Answer.save wrote"
        ) from None
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"path={str(path)!r} is damaged: {type(error).__name__}: {error}",
            "a folder that Answer.save wrote",
            "save the answer again",
        ) from None


def _check_header(record: Any, path: str | Path) -> None:
    if not isinstance(record, dict) or {k: record.pop(k, None) for k in FORMAT} != FORMAT:
        raise InputError(
            f"path={str(path)!r} has another format", f"{FORMAT['format']} version {FORMAT['version']}"
        )
    for name in (record.get("tensors"), record.get("attention", ".safetensors")):
        if not isinstance(name, str) or name != os.path.basename(name) or not name.endswith(".safetensors"):
            raise InputError(
                f"path={str(path)!r} names the file {name!r}", "a safetensors file in the same folder"
            )


def _to_json(answer: Answer) -> dict[str, Any]:
    stored = {"token_ids", "images", "captured"}
    record = {f.name: getattr(answer, f.name) for f in fields(answer) if f.name not in stored}
    record["mode"] = answer.mode.value
    record["spans"] = {name: [span.start, span.stop] for name, span in answer.spans.items()}
    record["layout"] = None if answer.layout is None else answer.layout.to_dict()
    record["settings"] = dict(answer.settings)
    record["history"] = [
        {**{n: getattr(t, n) for n in ("role", "text", "thought", "thinks")}, "images": len(t.images)}
        for t in answer.history
    ]
    return record


def _from_json(record: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> Answer:
    from .answer import Answer

    known = {f.name for f in fields(Answer)} - {"token_ids", "images", "captured"}
    if record.keys() != known:
        raise ValueError(f"unknown or missing fields {sorted(record.keys() ^ known)}")
    count = sum(name.startswith("image_") for name in tensors)
    images = tuple(open_image(tensors[f"image_{i}"].tobytes()) for i in range(count))
    record["mode"] = Mode.of(record["mode"])
    record["spans"] = {name: Span(*map(int, span)) for name, span in record["spans"].items()}
    record["layout"] = None if record["layout"] is None else TokenLayout.from_dict(record["layout"])
    record["history"] = _history(record["history"], images)
    ids = tuple(int(i) for i in tensors["token_ids"])
    return Answer(**record, token_ids=ids, images=images)


def _history(turns: list[dict[str, Any]], images: tuple[Image.Image, ...]) -> tuple[Turn, ...]:
    """Give the turns their pictures back: they are the first ones, in order."""
    history, at = [], 0
    for turn in turns:
        count = turn.pop("images")
        history.append(Turn(**turn, images=images[at : at + count]))
        at += count
    return tuple(history)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_file(path: Path, data: bytes) -> None:
    """Write beside a place and move there: a crash leaves the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
