"""What a model source is: the built-in model, a folder, a Hub repository or a server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import CheckpointError, InputError, LoadError

__all__ = ["BUILT_IN", "Source", "parse_source"]

BUILT_IN = ("nano",)
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_KINDS = (
    "'nano' (the built-in model), a folder in the Hub's layout, a Hub id 'owner/name', "
    "or the http(s) address of an OpenAI-compatible server"
)


@dataclass(frozen=True)
class Source:
    """A model source, recognised.

    Args:
        kind: ``"folder"`` (the built-in model is one), ``"hub"`` or ``"server"``.
        text: the source as it was given; goes into messages and answers.
        name: short name for tables and progress bars.
        folder: the folder, for ``kind == "folder"``.
        repo: the Hub id, for ``kind == "hub"``.
        url: the address without a trailing slash, for ``kind == "server"``.
    """

    kind: str
    text: str
    name: str
    folder: Path = Path()
    repo: str = ""
    url: str = ""


def parse_source(source: str | PathLike[str]) -> Source:
    """Recognise a source; of a folder it looks at no more than whether it exists.

    A local folder wins over a Hub id of the same name.

    Raises:
        InputError: if it is not text or a path.
        LoadError: if nothing can be made of it; CheckpointError for a pickle file.
    """
    if not isinstance(source, (str, PathLike)):
        raise InputError(f"source of type {type(source).__name__}", _KINDS)
    text = str(source).strip()
    if not text:
        raise LoadError("an empty source", _KINDS)
    if text in BUILT_IN:
        from ..data import data_path

        return Source("folder", text, text, folder=data_path(text))
    if isinstance(source, str) and "://" in text:
        return _from_address(text)
    path = Path(text).expanduser()
    if path.is_dir():
        return Source("folder", text, path.resolve().name, folder=path.resolve())
    if path.is_file():
        raise _about_file(path)
    if isinstance(source, str) and _HUB_ID.fullmatch(text) and not text.startswith(("./", "../")):
        return Source("hub", text, text.split("/")[1], repo=text)
    raise LoadError(
        f"source {text!r}, which is no folder here and no Hub id",
        _KINDS,
        "check the spelling, or pass a path",
    )


def _from_address(text: str) -> Source:
    """A server, or a Hub repository whose web address was pasted."""
    from huggingface_hub.constants import ENDPOINT

    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LoadError(f"source {text!r}", _KINDS, "a server's address begins with http:// or https://")
    if parts.hostname == urlsplit(ENDPOINT).hostname:
        repo = "/".join(parts.path.strip("/").split("/")[:2])
        if _HUB_ID.fullmatch(repo):
            return Source("hub", text, repo.split("/")[1], repo=repo)
        raise LoadError(
            f"source {text!r}", "the address of one model on the Hub", "pass its id, 'owner/name'"
        )
    return Source("server", text, parts.netloc, url=text.rstrip("/"))


def _about_file(path: Path) -> LoadError:
    if path.suffix.lower() in PICKLE_SUFFIXES:
        return CheckpointError(
            f"{path.name} is a pickle file, which can run any code when it is read",
            "safetensors in a folder with config.json",
            "take the repository's safetensors, or convert the file yourself where you trust it",
        )
    return LoadError(f"{path} is a file", "the folder that holds config.json", f"pass {str(path.parent)!r}")
