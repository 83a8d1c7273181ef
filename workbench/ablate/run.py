"""One run: train a recipe in its folder, resumable at any moment, and measure what came out."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, WorkbenchError
from ..files import local_path
from ..names import verb
from .recipe import Recipe
from .store import FILES, held, read_lines, read_recipe, read_result, seal, write_json

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
        """The final evaluation: a row a domain (or ``by="family"``) and mode."""
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
        InputError: for a folder that was edited, or that another process still holds after ``wait``.
        WorkbenchError: when the disk is full; the last checkpoint is there, and the same call goes on.
    """
    recipe = as_recipe(recipe)
    for name, value in (("checkpoint", checkpoint), ("every", every)):
        if value < 1:
            raise InputError(f"{name}={value!r}", "at least one step")
    root = local_path(folder)
    place = root / recipe.hash
    if _finished(place):
        return Run.load(place)
    with told_of_full_disk(place), held(place, wait=wait):
        if not _finished(place):  # it may have been finished while this process waited
            _run_here(recipe, place, device, checkpoint, every, keep_model, on_metrics)
    return Run.load(place)


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
    with contextlib.suppress(OSError):  # a full disk takes no note either
        path = place / FILES["state"]
        before = json.loads(path.read_text()) if path.exists() else {}
        write_json(path, {**before, "state": state, "error": error})


@contextlib.contextmanager
def told_of_full_disk(place: Path) -> Iterator[None]:
    """Turn a full disk into what to do about it.

    Raises:
        WorkbenchError: when there is no space left.
    """
    try:
        yield
    except Exception as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        # safetensors has an error of its own, with the system's number in its text
        if not (full or "(os error 28)" in str(error)):
            raise
        with contextlib.suppress(OSError):
            for left in (place / FILES["train"]).glob("*.new"):
                left.unlink()
        raise WorkbenchError(
            f"the disk is full; run {place.name} stopped with its last checkpoint in {str(place)!r}",
            "space for checkpoints and the finished model",
            "free some and make the same call: it goes on from there",
        ) from error
