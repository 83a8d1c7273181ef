"""One run: train a recipe in its folder, resumable at any moment, and measure what came out."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DiskError, InputError, warn
from ..files import local_path
from ..names import verb
from ..provenance import code
from .recipe import Recipe
from .store import (
    FILES,
    WEIGHTS,
    file_digest,
    held,
    read_json,
    read_lines,
    read_recipe,
    read_result,
    seal,
    start_weights,
    write_json,
)

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["Run", "as_recipe", "run"]


@dataclass(frozen=True)
class Run:
    """A finished run, as its folder holds it.

    Args:
        recipe: what was run.
        folder: of the run.
        domains, families: rows of the final evaluation, one a domain (family) and mode.
        totals: samples, steps, tokens, seconds, FLOPs and peak memory (bytes) of the training.
        provenance: machine, versions and commit, of each session that it took.
    """

    recipe: Recipe
    folder: Path
    domains: tuple[dict[str, Any], ...]
    families: tuple[dict[str, Any], ...]
    totals: dict[str, Any]
    provenance: tuple[dict[str, Any], ...]

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read a finished run from its own folder.

        Raises:
            InputError: if it is not finished, damaged, or was edited.
        """
        place = local_path(folder)
        recipe, result = read_recipe(place), read_result(place)
        if result is None:
            raise InputError(
                f"run {place.name} is not finished", "a finished run", "workbench.ablate.run(recipe, folder)"
            )
        rows = {name: tuple(result[name]) for name in ("domains", "families", "provenance")}
        return cls(recipe=recipe, folder=place, totals=result["totals"], **rows)

    def frame(self, by: str = "domain") -> pd.DataFrame:
        """The final evaluation: one row per domain (or ``by="family"``) and mode."""
        import pandas as pd

        return pd.DataFrame(self.families if by == "family" else self.domains)

    def metrics(self) -> pd.DataFrame:
        """The course of the training: a row every few steps."""
        import pandas as pd

        return pd.DataFrame(read_lines(self.folder / FILES["metrics"]))

    def model(self, device: str = "cpu") -> Any:
        """The trained model, ready to be asked, whatever its architecture.

        Raises:
            InputError: if the run did not keep it.
        """
        from .variant import open_model  # torch: records of runs are read without it

        folder = self.folder / FILES["model"]
        if not folder.is_dir():
            raise InputError(
                f"run {self.folder.name} without its model",
                "a run that kept it",
                "run its recipe again in another folder, with keep_model=True",
            )
        return open_model(folder, device=device)

    def __str__(self) -> str:
        scores = ", ".join(f"{r['domain']} {r['mode']} {r['accuracy']:.0%}" for r in self.domains)
        return f"run {self.folder.name}: {scores}; {self.totals['seconds']:.0f} s of training"


@verb(report="on_metrics")
def run(
    recipe: Recipe,
    folder: str | Path = "runs",
    *,
    device: str = "cpu",
    checkpoint: int = 100,
    every: int = 20,
    wait: float = 0.0,
    keep_model: bool = True,
    on_metrics: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Train a recipe and measure it; a finished run is read, an unfinished one goes on.

    A run that was killed goes on from its last checkpoint and ends with the same weights, on a CPU bit for
    bit as long as machine, versions and number of threads are the same.

    Args:
        recipe: what to run; a mapping or a file is read as `Recipe` reads it.
        folder: of all runs; this one has a folder named after the recipe's hash in it.
        device: where to train.
        checkpoint: steps between checkpoints; the outcome does not depend on it.
        every: steps between lines of metrics.
        wait: seconds to wait where another process works at the same run.
        keep_model: keep the finished weights; else only the measurements.
        on_metrics: called with each line of metrics.

    Raises:
        InputError: for a folder that was edited; a finished run whose ``start`` holds other weights now.
        BusyError: if another process still holds the run after ``wait``.
        DivergenceError: if the loss is no number any more; the last checkpoint is from before.
        DiskError: when the disk is full or cannot be written to; the last checkpoint is there, and the same
            call goes on.
    """
    recipe = as_recipe(recipe)
    for name, value in (("checkpoint", checkpoint), ("every", every)):
        if value < 1:
            raise InputError(f"{name}={value!r}", "at least one step")
    root = local_path(folder)
    place = root / recipe.hash
    if _finished(place):
        return _read(place)
    with told_what_is_kept(place), held(place, wait=wait):
        if not _finished(place):  # it may have been finished while this process waited
            _run_here(recipe, place, device, checkpoint, every, keep_model, on_metrics)
    return _read(place)


def _read(place: Path) -> Run:
    """A finished run; other code than this is warned of."""
    done = Run.load(place)
    if not as_it_was_made(place, done.recipe, done.provenance):
        warn_of_other_code([done.folder.name], done.provenance[-1])
    return done


def warn_of_other_code(names: Sequence[str], made: Mapping[str, Any]) -> None:
    """Say that finished runs are read that other code made."""
    told = f"run {names[0]}" if len(names) == 1 else f"{len(names)} runs ({names[0]}, ...)"
    version, commit = made.get("workbench", "unknown"), (made.get("commit") or "unknown")[:8]
    warn(
        f"{told} made by other code than this (version {version}, commit {commit}, {made.get('date')}): read "
        "as it is; another folder, or deleting it, runs the recipe anew",
    )


def as_recipe(value: Any) -> Recipe:
    """A recipe, from itself, its fields, or its file."""
    if isinstance(value, (str, os.PathLike)):
        return Recipe.load(Path(value))
    return value if isinstance(value, Recipe) else Recipe.from_dict(value)


def _finished(place: Path) -> bool:
    return (place / FILES["result"]).exists() and read_result(place) is not None


def _run_here(
    recipe: Recipe,
    place: Path,
    device: str,
    checkpoint: int,
    every: int,
    keep_model: bool,
    on_metrics: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Train and measure, in a folder that this process holds."""
    from .training import Metrics, Work  # torch: a finished run is read without it

    if (place / FILES["recipe"]).exists():
        read_recipe(place)
    else:
        write_json(place / FILES["recipe"], recipe.to_dict())
    with noted(place):
        work = Work(recipe, place, device=device, checkpoint=checkpoint)
        lines = Metrics(place, work.trainer.step, every, on_metrics)
        work.train(lines)
        result = work.measure()
        write_json(place / FILES["result"], seal({"hash": recipe.hash, **result}))
        write_json(place / FILES["state"], {"state": "finished", "step": work.steps, "steps": work.steps})
    shutil.rmtree(place / FILES["train"], ignore_errors=True)
    if not keep_model:
        shutil.rmtree(place / FILES["model"], ignore_errors=True)


@contextlib.contextmanager
def noted(place: Path) -> Iterator[None]:
    """Write down that a run stopped, and why."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        _note(place, "stopped", "interrupted")
        stopped.add_note(f"run {place.name} goes on from its last checkpoint with the same call")
        raise
    except Exception as error:
        _note(place, "failed", f"{type(error).__name__}: {error}")
        raise


def _note(place: Path, state: str, error: str) -> None:
    with contextlib.suppress(OSError, InputError):  # a full disk takes no note either
        path = place / FILES["state"]
        before = read_json(path) if path.exists() else {}
        write_json(path, {**before, "state": state, "error": error})


@contextlib.contextmanager
def told_what_is_kept(place: Path) -> Iterator[None]:
    """Add to what goes wrong with the disk what is kept, and what to do about it.

    Raises:
        DiskError: for a full disk, a missing permission, and the like.
    """
    try:
        yield
    except OSError as error:
        source = error.__cause__ if isinstance(error, DiskError) else error
        full = isinstance(source, OSError) and source.errno in (errno.ENOSPC, errno.EDQUOT)
        if isinstance(error, DiskError) and not full:
            raise
        raise DiskError(
            f"the disk is full; run {place.name} stopped with its last checkpoint in {str(place)!r}"
            if full
            else f"run {place.name} in {str(place)!r}: {error.strerror or error}",
            "space for checkpoints and the finished model" if full else "a folder that can be written to",
            "free some and make the same call: it goes on from there"
            if full
            else "change it, and call again",
        ) from error


def as_it_was_made(place: Path, recipe: Recipe, provenance: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a finished run was made by this code; refuse one that began with other weights than now.

    Args:
        place: the run's folder.
        recipe: of the run.
        provenance: of its sessions.

    Raises:
        InputError: if the recipe's ``start`` holds other weights now.
    """
    last = provenance[-1] if provenance else {}
    if recipe.start != "fresh":
        with contextlib.suppress(LookupError):
            now = start_digest(recipe, place.parent)
            if last["start_sha256"] != now:
                raise InputError(
                    f"run {place.name} is finished, and began with other weights than start={recipe.start!r} "
                    f"holds now ({last['start_sha256'][:8]}, now {now[:8]})",
                    "the same weights: the recipe's hash does not tell them apart",
                    f"use another folder, or delete {str(place)!r}; Run.load reads it as it is",
                )
    return bool(last.get("code_sha256") == code()["code_sha256"])


def start_digest(recipe: Recipe, root: Path) -> str:
    """SHA-256 of the weights that a recipe begins with.

    Raises:
        LookupError: if they are no longer there.
    """
    try:
        folder = start_weights(recipe, root)
    except InputError as error:
        raise LookupError(recipe.start) from error
    assert folder is not None, recipe.start
    return file_digest(folder / WEIGHTS)
