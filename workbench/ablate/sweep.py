"""A sweep: many recipes, here or on a cluster; finished runs are kept, lost ones go on"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .engines import Outcome, here, in_processes
from .recipe import Recipe
from .run import as_recipe
from .store import read_result
from .sweep_progress import SweepProgress

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENGINES", "Sweep", "sweep"]

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Sweep:
    """What a sweep came to.

    Args:
        folder: of the runs.
        finished: hashes of the recipes that have a result now, in the order given.
        failed: hash -> why it has none.
        skipped: hashes that another process was working at.
        repeated: how many were finished before the sweep began.
    """

    folder: Path
    finished: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    repeated: int = 0

    def frame(self) -> pd.DataFrame:
        """The sweep's runs as one table; see `workbench.ablate.runs`."""
        from .store import runs

        table = runs(self.folder)
        return table[table["run"].isin([*self.finished, *self.failed, *self.skipped])].reset_index(drop=True)

    def __str__(self) -> str:
        parts = [f"{len(self.finished)} finished ({self.repeated} of them before)"]
        parts += [f"{len(self.failed)} failed"] * bool(self.failed)
        parts += [f"{len(self.skipped)} left to another process"] * bool(self.skipped)
        return f"sweep in {self.folder}: {', '.join(parts)}"


def sweep(
    recipes: Iterable[Recipe],
    folder: str | Path = "runs",
    *,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    device: str = "cpu",
    checkpoint: int = 100,
    every: int = 20,
    wait: float = 0.0,
    keep_model: bool = True,
    progress: bool | None = None,
) -> Sweep:
    """Run recipes that are not finished yet.  The same call goes on where an earlier one stopped.

    Engine "local" works in this process, or with ``workers`` above 1 in that many processes that share the
    cores.  Engine "ray" works on a Ray cluster: the one at ``address``, or that this process is connected to,
    or that ``RAY_ADDRESS`` names, else one on this machine that listens on 127.0.0.1 only and asks for a
    token.  The nodes of a cluster need to see ``folder`` under the same path: a run that lost its worker goes
    on elsewhere from the checkpoint there.

    Args:
        recipes: what to run; a recipe that is given twice is run once.
        folder: of all runs.
        engine: "local" or "ray".
        workers: runs at the same time; 1 by default here, as many as there are CPUs (GPUs) on a cluster.
        address: of a Ray cluster, "host:port".
        device: "cpu" or "cuda".
        checkpoint, every: steps between checkpoints, and between lines of metrics.
        wait: seconds to wait for a run that another process works at; then it is skipped.
        keep_model: keep the finished weights.
        progress: show a bar with the time left; None where errors go to a terminal.

    Raises:
        InputError: for recipes that are none, or an unknown engine.
        WorkbenchError: for a cluster that is not there.
        KeyboardInterrupt: everything is resumable then.
    """
    wanted = _wanted(recipes)
    _check(engine, workers, address)
    root = Path(folder).expanduser().resolve()
    root.mkdir(parents=True, exist_ok=True)
    failed, waiting = _waiting(wanted, root)
    repeated = len(wanted) - len(waiting) - len(failed)
    options = {
        "device": device,
        "checkpoint": checkpoint,
        "every": every,
        "wait": wait,
        "keep_model": keep_model,
    }
    skipped = []
    shown = sys.stderr.isatty() if progress is None else progress
    with SweepProgress(root, waiting, done=repeated, show=shown) as bar:
        outcomes = _outcomes(engine, list(waiting.values()), root, options, workers, address, bar)
        with contextlib.closing(outcomes), _told_how_to_go_on():
            for outcome in outcomes:
                if outcome.busy:
                    skipped.append(outcome.hash)
                elif outcome.error:
                    failed[outcome.hash] = outcome.error
                bar.finish(outcome.hash)
    done = tuple(h for h in wanted if h not in failed and h not in skipped)
    return Sweep(root, done, failed, tuple(skipped), repeated)


def _wanted(recipes: Iterable[Recipe]) -> dict[str, Recipe]:
    if isinstance(recipes, (Recipe, str, bytes, dict)) or not isinstance(recipes, Iterable):
        raise InputError(f"recipes={type(recipes).__name__}", "a list of recipes", "sweep([recipe], folder)")
    made = [as_recipe(value) for value in recipes]
    if not made:
        raise InputError("a sweep of no recipes", "at least one recipe")
    return {recipe.hash: recipe for recipe in made}


def _check(engine: str, workers: int | None, address: str | None) -> None:
    if engine not in ENGINES:
        raise InputError(f"engine={engine!r}", f"one of {', '.join(ENGINES)}")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise InputError(f"workers={workers!r}", "at least one")
    if address is not None and engine != "ray":
        raise InputError(f"address={address!r} with engine={engine!r}", "engine='ray' for a cluster")


def _waiting(wanted: dict[str, Recipe], root: Path) -> tuple[dict[str, str], dict[str, Recipe]]:
    """Runs that cannot be used as they lie there, and those that are to be run."""
    failed: dict[str, str] = {}
    waiting: dict[str, Recipe] = {}
    for name, recipe in wanted.items():
        try:
            if read_result(root / name) is None:
                waiting[name] = recipe
        except InputError as error:
            failed[name] = str(error)
    return failed, waiting


def _outcomes(
    engine: str,
    recipes: list[Recipe],
    root: Path,
    options: dict[str, Any],
    workers: int | None,
    address: str | None,
    bar: SweepProgress,
) -> Generator[Outcome, None, None]:
    if not recipes:
        return here([], root, options, look=bar.look)
    if engine == "ray":
        from .cluster import on_cluster

        return on_cluster(recipes, root, options, workers=workers, address=address, look=bar.look)
    if min(workers or 1, len(recipes)) == 1:
        return here(recipes, root, options, look=bar.look)
    return in_processes(recipes, root, options, workers=min(workers or 1, len(recipes)), look=bar.look)


@contextlib.contextmanager
def _told_how_to_go_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stopped:
        stopped.add_note("the same call goes on: finished runs are kept, the others have their checkpoints")
        raise
