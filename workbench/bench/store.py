"""Replies that need not be asked again: what tells two askings apart, where replies are kept

And a seal on the picture paths that are written down: only what this machine wrote may lead anywhere on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import CapabilityError
from ..journal import Journal

__all__ = [
    "Cache",
    "asking_key",
    "cache_home",
    "is_remote",
    "leads_out",
    "model_fingerprint",
    "seal",
    "trusted",
]


#: Values of each tensor that go into a fingerprint, evenly spaced; reading all of a 15B model takes minutes.
SAMPLED = 64


def cache_home() -> Path:
    """Folder of cached replies and of runs without a folder of their own.

    ``WORKBENCH_CACHE`` if it is set, else ``vlm-workbench`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    if own := os.environ.get("WORKBENCH_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "vlm-workbench"


def leads_out(ref: str) -> bool:
    """Whether a picture reference leads out of the folder that it belongs to."""
    path = Path(ref.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ref.startswith("~") or ref[1:2] == ":"


def seal(refs: Iterable[str]) -> str:
    """What is written beside picture references that lead out of their folder; only this user can make it.

    A report embeds the pictures that results name, and a stranger's results could name any file of the
    reader's: without this seal they lose such names when they are read (see `trusted`).
    """
    outside = sorted({ref for ref in refs if leads_out(ref)})
    if not outside:
        return ""
    told = json.dumps(outside).encode("utf-8", "surrogatepass")
    return hmac.new(_key(), told, hashlib.sha256).hexdigest()


def trusted(refs: Iterable[str], sealed: object) -> bool:
    """Whether the references that lead out of their folder were written on this machine."""
    return hmac.compare_digest(seal(refs), sealed if isinstance(sealed, str) and sealed.isascii() else "")


def _key() -> bytes:
    """This user's secret, made when it is first needed."""
    path = cache_home() / "seal.key"
    with contextlib.suppress(OSError):
        return path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()


def model_fingerprint(vlm: Any) -> str:
    """Sixteen characters that stand for a model: its weights, precision and picture settings.

    Of a model here: names, shapes and `SAMPLED` values of every tensor, so that a retrained checkpoint of
    the same name is another model.  Of a model on a server, which shows no weights: its address and name.
    """
    weights = _weights(vlm)
    if weights is None:
        seen = hashlib.sha256(json.dumps(["remote", vlm.source, vlm.name]).encode())
        return seen.hexdigest()[:16]
    known = vlm.__dict__.get("_fingerprint")
    if known and known[0] is weights:
        return str(known[1])
    seen = hashlib.sha256()
    for name, tensor in weights.state_dict().items():
        seen.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        if tensor.is_meta or not tensor.numel():  # offloaded to disk: name and shape have to do
            continue
        flat = tensor.detach().reshape(-1)
        sampled = flat[:: max(1, flat.numel() // SAMPLED)]
        values = sampled.float() if sampled.is_floating_point() else sampled
        seen.update(values.cpu().numpy().tobytes())
    pictures = getattr(vlm.processor, "image_processor", None)
    settings = {} if pictures is None else pictures.to_dict()
    seen.update(json.dumps(settings, sort_keys=True, default=str).encode())
    found = seen.hexdigest()[:16]
    vlm.__dict__["_fingerprint"] = (weights, found)
    return found


def is_remote(vlm: object) -> bool:
    """Whether a model answers from elsewhere: it streams, but there is nothing here to look into."""
    return _weights(vlm) is None and hasattr(vlm, "stream")


def _weights(vlm: object) -> Any:
    """The Transformers model, or None where there is none to look into."""
    try:
        model = getattr(vlm, "model", None)
    except CapabilityError:
        return None
    return model if hasattr(model, "state_dict") else None


def asking_key(
    model: str, question: str, pictures: Sequence[str], mode: str, settings: dict[str, Any]
) -> str:
    """What tells one asking from another: model, question, pictures, mode and settings.

    The size of a batch is not in it: a reply in a batch is the one that would come alone.
    """
    told = [1, model, question, list(pictures), mode, sorted(settings.items())]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[
        :32
    ]


class Cache:
    """Replies of one model, kept across runs.

    Args:
        folder: where caches lie; None keeps nothing.
        model: the model's fingerprint.
    """

    def __init__(self, folder: str | Path | None, model: str) -> None:
        self._journal = None if folder is None else Journal(Path(folder) / f"{model}.jsonl", shared=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """The reply to an asking, or None."""
        return None if self._journal is None else self._journal.entries.get(key)

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        """Keep replies; failures are not kept."""
        if self._journal is not None:
            self._journal.append([entry for entry in entries if not entry.get("error")])

    def close(self) -> None:
        """Close the file."""
        if self._journal is not None:
            self._journal.close()
