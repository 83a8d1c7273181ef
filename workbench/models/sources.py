"""What a model source is: the built-in model, a folder, a Hub repository or a server.

Safetensors headers: which tensors a checkpoint holds, without reading one of them.

A safetensors file begins with eight bytes (little-endian length of the header), then the header
in JSON: name -> dtype, shape and byte range.  The format is checked here as strictly as the
library checks it, so that a truncated shard is found before a byte of weights is loaded.

Models on the Hub: what they are without their weights, and a local copy of what is needed to run them.

Only safetensors, JSON, templates and tokenizer files are ever fetched; pickles never are, and
Python files only where the user trusts them.
"""

from __future__ import annotations

import json
import math
import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..errors import CheckpointError, InputError, LoadError
from ..files import data_path, local_path

__all__ = [
    "BUILT_IN",
    "Source",
    "TensorInfo",
    "check_address",
    "folder_headers",
    "hub_folder",
    "hub_headers",
    "parse_source",
    "read_config",
    "read_header",
    "shard_files",
    "shard_names",
]


#: Models that come with the workbench, each in a folder of ``data``: the first is the default, the second
#: sees the second drawn world (text wherever it stands, everyday tasks).
BUILT_IN = ("nano", "nano-2")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}(\.[0-9]{1,3}){0,3}")  # IPv6, without brackets
_KINDS = (
    "'nano' or 'nano-2' (built in), a folder in the Hub's layout, a Hub id 'owner/name', "
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
        return Source("folder", text, text, folder=data_path(text))
    if isinstance(source, str) and "://" in text:
        return _from_address(text)
    path = local_path(text)
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

    parts = _address_parts(text)
    if parts.hostname == urlsplit(ENDPOINT).hostname and "@" not in parts.netloc:
        repo = "/".join(parts.path.strip("/").split("/")[:2])
        if _HUB_ID.fullmatch(repo):
            return Source("hub", text, repo.split("/")[1], repo=repo)
        raise LoadError(
            f"source {text!r}", "the address of one model on the Hub", "pass its id, 'owner/name'"
        )
    check_address(text)
    return Source("server", text, parts.netloc, url=text.rstrip("/"))


def check_address(url: str) -> None:
    """Refuse what is no address of a server, and one that holds a secret: it would stand in every record.

    Raises:
        LoadError: for a malformed address; InputError for a password, a query or a fragment in it.
    """
    parts, shown = _address_parts(url), _without_secrets(url)
    if "@" in parts.netloc:
        raise InputError(
            f"the address {shown!r} with a name or password in it, which would stand in every record",
            "an address alone",
            "pass api_key= for a server that wants a key",
        )
    if "?" in url or "#" in url:
        raise InputError(
            f"the address {shown!r} with a query or fragment, which is not sent",
            "an address alone, as a rule ending in /v1",
            "pass api_key= for a server that wants a key",
        )


def _address_parts(url: str) -> SplitResult:
    """An http(s) address, taken apart.

    Raises:
        LoadError: if it is none.
    """
    shown = _without_secrets(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        plain = host if _ADDRESS.fullmatch(host) else host.encode("idna").decode("ascii")
    except ValueError:  # its text may hold a password
        raise LoadError(f"the address {shown!r}, which is malformed", _KINDS, "check host and port") from None
    if parts.scheme not in ("http", "https"):
        raise LoadError(f"source {shown!r}", _KINDS, "a server's address begins with http:// or https://")
    named = len(plain) <= 253 and _HOST.fullmatch(plain)
    if port == 0 or re.search(r"[\s\x00-\x20\x7f\\]", url) or not (named or _ADDRESS.fullmatch(plain)):
        raise LoadError(f"the address {shown!r}, which is malformed", _KINDS, "check host and port")
    return parts


def _without_secrets(url: str) -> str:
    """An address for a message."""
    shown = re.sub(r"//[^/?#]*@", "//...@", re.sub(r"([?#]).*", r"\1...", url, flags=re.DOTALL))
    return shown if len(shown) <= 200 else shown[:200] + "..."


def _about_file(path: Path) -> LoadError:
    if path.suffix.lower() in PICKLE_SUFFIXES:
        return CheckpointError(
            f"{path.name} is a pickle file, which can run any code when it is read",
            "safetensors in a folder with config.json",
            "take the repository's safetensors, or convert the file yourself where you trust it",
        )
    return LoadError(f"{path} is a file", "the folder that holds config.json", f"pass {str(path.parent)!r}")


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


CONNECTING = 5.0  # seconds for the Hub to answer
_SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")


def hub_folder(
    repo: str,
    *,
    revision: str | None = None,
    weights: bool = False,
    code: bool = False,
    progress: bool = True,
) -> Path:
    """Fetch a repository's files into the Hub's cache (or find them there) and return their folder.

    Args:
        repo: "owner/name".
        revision: branch, tag or commit; None for the main branch.
        weights: fetch the safetensors that the index names too.
        code: fetch Python files too (the caller has asked the user).
        progress: show the Hub's progress bars.

    Raises:
        LoadError: if the repository cannot be had.
    """
    from huggingface_hub import snapshot_download

    cached_only = not _reachable()

    def fetch(*patterns: str) -> Path:
        bar = {} if progress else {"tqdm_class": _silent_bar()}
        try:
            return Path(
                snapshot_download(
                    repo,
                    revision=revision,
                    allow_patterns=list(patterns),
                    local_files_only=cached_only,
                    **bar,
                )
            )
        except Exception as error:
            if cached_only:
                raise LoadError(
                    f"the Hub cannot be reached, and {repo!r} is not in its cache here",
                    "a model that can be reached",
                    "check the connection, or download the model elsewhere and pass its folder",
                ) from error
            raise hub_error(repo, error) from error

    folder = fetch(*_SMALL_FILES, *(["*.py"] if code else []))
    if not (folder / "config.json").is_file():
        raise LoadError(f"{repo} holds no config.json", "a model in the layout of Transformers")
    if weights:
        fetch(*(shard_names(folder / INDEX) if (folder / INDEX).is_file() else [SINGLE]))
        if not shard_files(folder):
            raise CheckpointError(
                f"{repo} holds no model.safetensors", "weights as safetensors (no pickle is ever loaded)"
            )
    return folder


def _reachable() -> bool:
    """Whether the Hub answers within seconds; its own client would try for more than a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return True  # the client says so at once
    try:
        get_session().head(constants.ENDPOINT, timeout=CONNECTING)
    except Exception:  # of whichever HTTP client it uses
        return False
    return True


def hub_headers(repo: str, *, revision: str | None = None) -> dict[str, TensorInfo]:
    """All tensors of a repository, by name, through the Hub's metadata (no weights travel).

    Raises:
        CheckpointError: if the repository holds no safetensors, or corrupt ones.
        LoadError: if it cannot be reached and is not in the cache.
    """
    from huggingface_hub import get_safetensors_metadata, try_to_load_from_cache
    from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

    cached = try_to_load_from_cache(repo, "config.json", revision=revision)
    if isinstance(cached, str):
        with suppress(CheckpointError):  # half downloaded, perhaps: the Hub knows the rest
            if found := folder_headers(Path(cached).parent):
                return found
    try:
        metadata = get_safetensors_metadata(repo, revision=revision)
    except NotASafetensorsRepoError as error:
        raise CheckpointError(
            f"{repo} holds no model.safetensors", "weights as safetensors (no pickle is ever loaded)"
        ) from error
    except SafetensorsParsingError as error:
        raise CheckpointError(f"a shard of {repo} is corrupt ({error})", "safetensors") from error
    except Exception as error:
        raise hub_error(repo, error) from error
    return {
        name: TensorInfo(str(getattr(tensor.dtype, "value", tensor.dtype)), tuple(tensor.shape), file)
        for file, meta in metadata.files_metadata.items()
        for name, tensor in meta.tensors.items()
    }


def hub_error(repo: str, error: Exception) -> LoadError:
    """What to tell the user when the Hub did not give what was asked for."""
    from huggingface_hub import errors as hub

    if isinstance(error, hub.GatedRepoError):
        fix = "accept its terms on its page, then log in: `hf auth login`"
    elif isinstance(error, hub.RepositoryNotFoundError):
        fix = "check the spelling; for a private model log in first: `hf auth login`"
    elif isinstance(error, hub.RevisionNotFoundError):
        fix = "pass a branch, tag or commit that the repository has"
    else:
        fix = "check the connection, or download the model elsewhere and pass its folder"
    first_line = (str(error).strip().splitlines() or [""])[0]
    return LoadError(
        f"the Hub did not give {repo!r} ({type(error).__name__}: {first_line})",
        "a model that can be reached",
        fix,
    )


def _silent_bar() -> type:
    from tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent
