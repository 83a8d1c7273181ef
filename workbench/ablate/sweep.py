"""A sweep: many recipes, here or on a cluster; finished runs are kept, lost ones go on."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import local_path
from ..names import verb
from ..records import refuse_unknown
from ..terminal import time_words
from .engines import Outcome, here, in_processes, on_cluster
from .recipe import Recipe, read_mapping, spelled_out
from .run import as_it_was_made, as_recipe, warn_of_other_code
from .store import FILES, read_result, runs

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["ENGINES", "Sweep", "SweepProgress", "expand", "read_sweep", "sweep"]


@verb()
def read_sweep(path: str | Path) -> list[Recipe]:
    """The recipes of a .yaml or .json file: a single recipe, or a sweep.

    A sweep has the keys ``recipe`` (fields that all share), ``vary`` (dotted field -> list of values; all
    combinations), ``rows`` (a list of fields, each a variant, which count before those of ``recipe``) and
    ``seeds`` (a number of replicates, or a list).  A field that is varied stands nowhere else::

        recipe: {budget: 10000, reasoning: {domains: [maths, computer_use]}}
        vary:
          reasoning.share: [0, 0.1, 0.2]
        seeds: 3

    Raises:
        InputError: for a file that cannot be read, and for unknown or contradictory fields, by name.
    """
    return expand(read_mapping(path))


def expand(fields: Mapping[str, Any]) -> list[Recipe]:
    """The recipes of a sweep's fields; see `read_sweep`."""
    names = ["recipe", "vary", "rows", "seeds"]
    if not set(fields) & set(names):
        return [Recipe.from_dict(fields)]
    refuse_unknown(fields, names, "the sweep")
    vary, rows = fields.get("vary") or {}, fields.get("rows") or [{}]
    if not isinstance(vary, Mapping) or not all(isinstance(v, list) and v for v in vary.values()):
        raise InputError(f"vary={vary!r}", "fields, each with a list of values")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"rows={rows!r}", "a list of fields")
    shared = fields.get("recipe") or {}
    if not isinstance(shared, Mapping):
        raise InputError(f"recipe={shared!r}", "fields of a recipe")
    made = []
    for row in rows:
        own = copy.deepcopy(dict(shared))
        for name, value in row.items():
            _put(own, name, value)
        for name in vary:
            _refuse_twice(own, name)
        for values in itertools.product(*vary.values()):
            one = copy.deepcopy(own)
            for name, value in zip(vary, values, strict=True):
                _put(one, name, value)
            made += [Recipe.from_dict({**one, "seed": seed}) for seed in _seeds(fields, one)]
    return made


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted field; a part that was given in short ("reasoning: 0.3") is spelled out first."""
    *path, last = str(name).split(".")
    for depth, part in enumerate(path):
        inner = spelled_out(path[: depth + 1], fields.get(part, {}))
        if not isinstance(inner, Mapping):
            raise InputError(
                f"{name} beside {'.'.join(path[: depth + 1])}={inner!r}",
                "one of the two, or a mapping of fields",
            )
        fields[part] = dict(inner)
        fields = fields[part]
    fields[last] = value


def _refuse_twice(fields: Mapping[str, Any], name: str) -> None:
    """Refuse to vary a field that has a value already: one of the two would be lost."""
    inner: Any = fields
    path = str(name).split(".")
    for depth, part in enumerate(path):
        if not isinstance(inner, Mapping) or part not in inner:
            return
        inner = spelled_out(path[: depth + 1], inner[part]) if depth + 1 < len(path) else inner[part]
    raise InputError(
        f"{name} is varied, and is {inner!r} in recipe or rows",
        "one of the two",
        f"leave {name} out of the other",
    )


def _seeds(fields: Mapping[str, Any], own: Mapping[str, Any]) -> list[Any]:
    seeds = fields.get("seeds")
    if seeds is None:
        return [own.get("seed", 0)]
    if "seed" in own:
        raise InputError("seed beside seeds", "one of the two")
    if isinstance(seeds, int) and not isinstance(seeds, bool) and seeds >= 1:
        return list(range(seeds))
    if isinstance(seeds, list) and seeds:
        return seeds
    raise InputError(f"seeds={seeds!r}", "a number of replicates, or a list of seeds")


class SweepProgress:
    """A bar over runs, with the time left reckoned from the steps that all of them have made.

    Args:
        root: folder of the runs; their state files tell how far each is, wherever it is worked at.
        waiting: what is to be run.
        done: how many are finished already.
        show: whether to show the bar.
    """

    def __init__(self, root: Path, waiting: Mapping[str, Recipe], *, done: int, show: bool) -> None:
        from tqdm.auto import tqdm

        self._root = root
        self._share = {name: self._read(name) for name in waiting}
        samples = {name: recipe.budget.samples for name, recipe in waiting.items()}
        comparable = None not in samples.values()  # a budget in FLOPs has no samples before it begins
        self._size = {name: float(n) if comparable and n else 1.0 for name, n in samples.items()}
        self._begun, self._first = time.perf_counter(), self.work_done()
        self._looked = 0.0
        shape = "{desc}: {n_fmt}/{total_fmt} |{bar}| [{elapsed}{postfix}]"
        self._bar = tqdm(
            total=len(waiting) + done, initial=done, disable=not show, desc="sweep", bar_format=shape
        )

    def _read(self, name: str) -> float:
        """Share of a run's steps that are done."""
        try:
            state: dict[str, Any] = json.loads((self._root / name / FILES["state"]).read_text())
            return float(state["step"]) / float(state["steps"])
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):  # not begun, or just replaced
            return 0.0

    def work_done(self) -> float:
        """Share of all work that is done, 0 to 1; a run counts as much as its budget."""
        total = sum(self._size.values())
        return sum(self._size[n] * s for n, s in self._share.items()) / total if total else 1.0

    def seconds_left(self) -> float | None:
        """Seconds until the last run, from the pace since the sweep began; None before there is one."""
        made = self.work_done() - self._first
        if made <= 0:
            return None
        return (time.perf_counter() - self._begun) * (1 - self.work_done()) / made

    def look(self) -> None:
        """Read how far the runs are, at most twice a second."""
        if time.perf_counter() - self._looked < 0.5:
            return
        for name in self._share:
            self._share[name] = max(self._share[name], self._read(name))
        self._looked = time.perf_counter()
        left = self.seconds_left()
        told = f"{self.work_done():.0%} of the steps"
        if left is not None:  # what the final evaluation takes is not in it
            told += f", training {time_words(left)} more" if left else ", measuring"
        self._bar.set_postfix_str(told)

    def finish(self, name: str) -> None:
        """A run has ended."""
        self._share[name] = 1.0
        self._bar.update()
        self._looked = 0.0
        self.look()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def __enter__(self) -> SweepProgress:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


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
        table = runs(self.folder)
        return table[table["run"].isin([*self.finished, *self.failed, *self.skipped])].reset_index(drop=True)

    def __str__(self) -> str:
        parts = [f"{len(self.finished)} finished ({self.repeated} of them before)"]
        parts += [f"{len(self.failed)} failed"] * bool(self.failed)
        parts += [f"{len(self.skipped)} left to another process"] * bool(self.skipped)
        return f"sweep in {self.folder}: {', '.join(parts)}"


@verb()
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
    progress: bool = True,
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
        progress: show a bar with the time left.

    Raises:
        InputError: for recipes that are none, or an unknown engine.
        WorkbenchError: for a cluster that is not there.
        KeyboardInterrupt: everything is resumable then.
    """
    wanted = _wanted(recipes)
    _check(engine, workers, address)
    root = local_path(folder).resolve()
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
    with SweepProgress(root, waiting, done=repeated, show=progress) as bar:
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
    other: dict[str, dict[str, Any]] = {}
    for name, recipe in wanted.items():
        try:
            result = read_result(root / name)
            if result is None:
                waiting[name] = recipe
            elif not as_it_was_made(root / name, recipe, result["provenance"]):
                other[name] = result["provenance"][-1]
        except InputError as error:
            failed[name] = str(error)
    if other:
        warn_of_other_code([*other], next(iter(other.values())))
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
