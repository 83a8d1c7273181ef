"""Models on the Hub: what they are without their weights, and a local copy of what is needed to run them.

Only safetensors, JSON, templates and tokenizer files are ever fetched; pickles never are, and
Python files only where the user trusts them.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..errors import CheckpointError, LoadError
from .headers import INDEX, SINGLE, TensorInfo, folder_headers, shard_files, shard_names

__all__ = ["hub_folder", "hub_headers"]

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

    def fetch(*patterns: str) -> Path:
        bar = {} if progress else {"tqdm_class": _silent_bar()}
        try:
            return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns), **bar))
        except Exception as error:
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
