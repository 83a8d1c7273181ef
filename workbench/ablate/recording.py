"""Recording a study: its runs as rows of a small parquet file, each with the recipe that gives it again"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..data import data_path
from ..errors import InputError
from .recipe import Recipe
from .run import Run, run
from .studies import STUDIES, Planned, Study, study

__all__ = ["Again", "again", "record", "recorded"]

#: What is kept of the totals and of the provenance: nothing that names a machine.
TOTALS = (
    "samples", "questions", "steps", "tokens", "flops", "seconds", "evaluation_seconds", "peak_memory",
    "parameters", "weights_sha256",
)  # fmt: skip
#: ``start_sha256`` is of the weights that it began with: a recipe says "nano" of whichever ships.
KEPT = (
    "date", "commit", "processor", "cores", "gpu", "threads", "python", "torch", "transformers",
    "bf16", "start_sha256",
)  # fmt: skip


def record(study: Study, out: Path, folder: Path, *, most: int | None = None) -> Path:
    """Run what is not recorded yet, and write each run's rows as soon as it is finished.

    A run that was cut goes on from its checkpoint; a recorded one is not run again, also where the folder
    of the runs is gone.  The file is written beside its place and moved there.

    Args:
        study: what to run.
        out: folder of ``NAME.parquet``.
        folder: of the runs.
        most: runs to add in this call, the first seed of every kind first; None for all.
    """
    path = out / f"{study.name}.parquet"
    table = pd.read_parquet(path) if path.exists() else pd.DataFrame({"run": []})
    planned = {p.recipe.hash: p for p in study.runs}
    table = table[table["run"].isin(planned)]  # what the study no longer asks for
    missing = sorted((p for h, p in planned.items() if h not in set(table["run"])), key=_seed)[:most]
    for number, one in enumerate(missing):
        done = run(one.recipe, folder, keep_model=False)
        new = rows(done, one.labels)
        table = pd.concat([table, new], ignore_index=True) if len(table) else new
        _write(table, path)
        print(f"{study.name} {number + 1} of {len(missing)} {one.labels}: {done}", flush=True)
    return path


def _seed(one: Planned) -> int:
    return one.recipe.seed


def rows(done: Run, labels: dict[str, Any]) -> pd.DataFrame:
    """A finished run as rows, one a family and mode."""
    table = done.frame("family").drop(columns="seconds")
    first = done.provenance[0]
    told: dict[str, Any] = {"run": done.recipe.hash, **labels, "seed": done.recipe.seed}
    for at, (name, value) in enumerate(told.items()):
        table.insert(at, name, value)
    totals = {f"train_{name}": done.totals[name] for name in TOTALS}
    kept = {name: first.get(name) for name in KEPT}
    recipe = json.dumps(done.recipe.to_dict(), sort_keys=True)
    return table.assign(**totals, **kept, recipe=recipe)


def _write(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    table.to_parquet(new, index=False, compression="zstd")
    new.replace(path)


def recorded(name: str, out: Path | None = None) -> pd.DataFrame:
    """The recorded runs of a study, a row a run, family and mode.

    Args:
        name: one of `studies.STUDIES`.
        out: folder of the file; None for the one that ships.

    Raises:
        InputError: for an unknown study, or one that has not been recorded.
    """
    study(name)
    path = data_path("runs", f"{name}.parquet") if out is None else out / f"{name}.parquet"
    if not path.exists():
        raise InputError(
            f"{str(path)!r} is not there", "a recorded study", f"python -m workbench.ablate.studies {name}"
        )
    return pd.read_parquet(path)


@dataclass(frozen=True)
class Again:
    """A recorded run beside its repetition.

    Attributes:
        run: hash of the recipe.
        same: whether the weights are the same bit for bit.
        commit: of the code that recorded it.
        table: accuracy of each family and mode, recorded and again.
    """

    run: str
    same: bool
    commit: str
    table: pd.DataFrame

    def __str__(self) -> str:
        apart = (self.table["accuracy"] - self.table["again"]).abs()
        other = f"other weights (another machine, other versions, or code since commit {self.commit[:7]}?)"
        word = "the same weights" if self.same else other
        return f"run {self.run}: {word}; accuracies differ by {apart.max():.3f} at most"


def again(name: str, out: Path, folder: Path) -> Again:
    """Run a recorded run again, from the recipe in the file.

    Args:
        name: hash of the recipe, or its beginning.
        out: folder of the recorded files.
        folder: of the runs.

    Raises:
        InputError: if it is not recorded.
    """
    for known in STUDIES:
        path = out / f"{known}.parquet"
        table = pd.read_parquet(path) if path.exists() else pd.DataFrame({"run": []})
        table = table[table["run"].astype(str).str.startswith(name)]
        if len(table):
            break
    else:
        raise InputError(f"run {name!r}", f"the hash of a run that is recorded in {str(out)!r}")
    recipe = Recipe.from_dict(json.loads(table["recipe"].iloc[0]))
    done = run(recipe, folder)
    key = ["family", "mode"]
    both = table[[*key, "accuracy"]].merge(
        done.frame("family")[[*key, "accuracy"]].rename(columns={"accuracy": "again"}), on=key
    )
    same = done.totals["weights_sha256"] == table["train_weights_sha256"].iloc[0]
    return Again(recipe.hash, bool(same), str(table["commit"].iloc[0]), both)
