"""The run store: one folder a run, whole files only, one writer at a time, all runs as one table."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..errors import BusyError, DiskError, InputError
from .recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FILES",
    "file_digest",
    "flat",
    "held",
    "read_json",
    "read_lines",
    "read_recipe",
    "read_result",
    "runs",
    "seal",
    "start_weights",
    "write_json",
]

#: What a run's folder holds.
FILES = {
    "recipe": "recipe.json",
    "state": "state.json",
    "metrics": "metrics.jsonl",
    "result": "result.json",
    "train": "train",
    "model": "model",
}
#: The first columns of `runs`.
SCORES = ["run", "state", "problem", "domain", "mode", "n", "accuracy", "low", "high"]

#: What of a run's provenance `runs` shows, of its last session.
MADE_WITH = ("date", "workbench", "commit", "code_sha256", "start_sha256", "processor", "instructions")

#: The file of a model's weights, in its folder.
WEIGHTS = "model.safetensors"

FORMAT = {"format": "workbench.ablate.run", "version": 1}


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; see `workbench.files.write_json`."""
    with files.writing(path.parent, "folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, value, "file")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a run's file.

    Raises:
        InputError: if it is missing, damaged, or no object.
    """
    if not path.exists():
        raise InputError(f"{str(path)!r} is missing", "a run's file")
    try:
        return dict(files.read_json(path, expect=dict))
    except InputError as error:
        raise InputError(
            f"{str(path)!r} is damaged: {error.given}", "a JSON object as it was written"
        ) from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Whole JSON lines of a file, none if it is not there; a torn last one is left out."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(text))
    return lines


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result with a checksum over all of it, by which a later edit is seen."""
    return {**FORMAT, **result, "checksum": _digest({**FORMAT, **result})}


def read_result(place: Path) -> dict[str, Any] | None:
    """The result of a finished run; None if it is not finished.

    Raises:
        InputError: if it is damaged, was edited, or belongs to another recipe.
    """
    path = place / FILES["result"]
    if not path.exists():
        return None
    result = read_json(path)
    if {k: result.get(k) for k in FORMAT} != FORMAT:
        raise InputError(f"{str(path)!r} has another format", f"{FORMAT}")
    if result.pop("checksum", None) != _digest(result):
        raise InputError(
            f"{str(path)!r} was edited: its checksum does not fit",
            "the result as it was written",
            f"delete {str(place)!r} and run its recipe again",
        )
    if result.get("hash") != place.name:
        raise InputError(f"{str(path)!r} belongs to run {result.get('hash')}", f"run {place.name}")
    return result


def read_recipe(place: Path) -> Recipe:
    """The recipe of a run's folder.

    Raises:
        InputError: if it is missing, damaged, or does not give the folder's name.
    """
    recipe = Recipe.from_dict(read_json(place / FILES["recipe"]))
    if recipe.hash != place.name:
        raise InputError(
            f"{str(place / FILES['recipe'])!r} gives {recipe.hash}, in a folder named {place.name}",
            "a recipe whose hash is the folder's name",
            "undo the edit; another recipe has a folder of its own",
        )
    return recipe


@contextlib.contextmanager
def held(place: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Be the only writer of a run's folder.  A holder that died holds nothing: the system lets go for it.

    Args:
        place: the folder; made if it is not there.
        wait: seconds to wait for another holder.

    Raises:
        BusyError: if another process still holds it then.
        DiskError: if the folder cannot be written to.
    """
    deadline = time.monotonic() + wait
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(files.locked(place))
                break
            except BusyError as error:
                if time.monotonic() >= deadline:
                    raise BusyError(
                        f"run {place.name} is being written by {_holder(place)}", error.expected, error.fix
                    ) from None
                time.sleep(0.2)
        write_json(place / "holder.json", {"host": socket.gethostname(), "pid": os.getpid()})
        try:
            yield
        finally:
            (place / "holder.json").unlink(missing_ok=True)


def _holder(place: Path) -> str:
    with contextlib.suppress(InputError):
        holder = read_json(place / "holder.json")
        return f"process {holder.get('pid')} on {holder.get('host')}"
    return "another process"


def runs(folder: str | Path = "runs") -> pd.DataFrame:
    """All runs of a store as one table, while other processes write it.

    A row for each run, domain and mode: the hash, the state ("finished", "running", "stopped", "failed",
    "damaged"), every field of the recipe as ``part.field``, the shares of the mixture, accuracy with its
    interval, tokens, seconds, the totals of training, and what the run was made with (date, version and
    commit of the workbench, digests of code and start weights).  A run without a result has one row without
    scores.  A damaged or edited folder has one row whose ``problem`` says what is wrong; it is warned of by
    name too.  A folder of something else is left out, with a warning.

    Raises:
        InputError: if there is no such folder.
    """
    import pandas as pd

    root = files.local_path(folder)
    if not root.is_dir():
        raise InputError(
            f"no folder {str(root)!r}", "a folder of runs", "workbench.ablate.run(recipe, folder)"
        )
    rows: list[dict[str, Any]] = []
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    places = [p for p in folders if any((p / FILES[name]).exists() for name in ("recipe", "state", "result"))]
    if foreign := [p.name for p in folders if p not in places]:  # a benchmark's run, for instance
        warnings.warn(f"no training runs, left out: {', '.join(foreign)}", stacklevel=2)
    for place in places:
        try:
            rows += _rows(place)
        except InputError as error:
            rows.append({"run": place.name, "state": "damaged", "problem": str(error)})
            warnings.warn(f"run {place.name}: {error}", stacklevel=2)
    table = pd.DataFrame(rows, columns=None if rows else [*SCORES, *flat(Recipe()), *MADE_WITH])
    return table[[c for c in SCORES if c in table] + [c for c in table if c not in SCORES]]


def _rows(place: Path) -> list[dict[str, Any]]:
    recipe, result = read_recipe(place), read_result(place)
    common = {"run": place.name, "problem": "", **flat(recipe)}
    if result is None:
        state = read_json(place / FILES["state"]) if (place / FILES["state"]).exists() else {}
        told = state.get("state", "stopped")
        if told == "running" and not _is_held(place):
            told = "stopped"
        told_why = str(state.get("error", ""))
        return [
            {
                **common,
                "state": told,
                "problem": told_why,
                "step": state.get("step", 0),
                "steps": state.get("steps"),
            }
        ]
    totals = {f"train_{k}" if k in ("seconds", "tokens") else k: v for k, v in result["totals"].items()}
    made = {name: result["provenance"][-1].get(name) for name in MADE_WITH}
    return [{**common, "state": "finished", **totals, **made, **row} for row in result["domains"]]


def _is_held(place: Path) -> bool:
    try:
        with files.locked(place):
            return False
    except BusyError:
        return True
    except DiskError:  # a store that can only be read: nobody here writes it
        return False


def flat(recipe: Recipe) -> dict[str, Any]:
    """A recipe's fields as columns: ``part.field``, and the share of each domain as ``share.DOMAIN``."""
    columns: dict[str, Any] = {f"share.{name}": share for name, share in recipe.mixture.shares().items()}
    for name, value in recipe.to_dict().items():
        if name == "mixture":
            for domain, fields in value.items():
                columns |= {f"mixture.{domain}.{k}": v for k, v in fields.items() if k != "share"}
        elif isinstance(value, dict):
            columns |= {
                f"{name}.{k}": ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in value.items()
            }
        elif name == "stages":
            columns[name] = ", ".join(f"{stage['kind']} {stage['share']:g}" for stage in value)
        else:
            columns[name] = ", ".join(value) if isinstance(value, list) else value
    return columns


def start_weights(recipe: Recipe, root: Path) -> Path | None:
    """The folder whose weights a recipe begins with; None for fresh ones.

    Args:
        recipe: names them in ``start``.
        root: the store, for "run:HASH".

    Raises:
        InputError: if it holds no weights.
    """
    start = recipe.start
    if start == "fresh":
        return None
    if start.startswith("run:"):
        name = start.removeprefix("run:")
        folder = root / name / FILES["model"]
        if not (root / name / FILES["result"]).is_file() or not (folder / WEIGHTS).is_file():
            raise InputError(
                f"start={start!r}, which is no finished run of this store with its model",
                "a run that is finished and has kept its model",
                "run its recipe first, in the same folder",
            )
        return folder
    folder = files.data_path("nano") if start == "nano" else files.local_path(start)
    if not (folder / WEIGHTS).is_file():
        told = "'fresh', 'nano', 'run:HASH', or a folder with model.safetensors"
        raise InputError(f"start={start!r}", told)
    return folder


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
