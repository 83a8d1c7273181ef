"""The recorded studies: which runs each has, how they are recorded, and what they say of the report's claims.

``python -m workbench.ablate.studies mixture --folder runs/studies`` runs what is missing and records it;
``python -m workbench.ablate.studies --again HASH --folder runs/again`` makes one recorded run again.

The studies do what the report's proxy does: a trained encoder and a trained decoder (the built-in model's)
are joined by a fresh projector, which learns alone, then with all parts.  A run sees some 2,400 pictures with
10,000 questions in two minutes of one core, and ends between none and all right.  Only feeding begins with
all of the built-in model, and trains it on larger pictures than it knows.  Runs are kept as rows of a small
parquet file, each with the recipe that gives it again.

Every run of a study answers the same questions, and runs of a kind differ in their seed alone.  So the error
of a difference, seed by seed, is that of training again, which published tables of one run a row leave out;
another set of questions, other sizes and other worlds are not in it.  Verdicts are judged together.  All
claims were stated before their study's runs were first made, but those against a mixture that trains longer:
the runs were planned before, the claims worded after.  The published claims are those of arXiv 2603.03975,
some of which `workbench.bench.claims` tests on the report's own tables.

>>> for found in claims("mixture"): print(found)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from scipy.stats import t as student

from .. import synth
from ..errors import InputError
from ..files import data_path
from ..records import closest
from ..terminal import run_one, write
from .mixture import named_mixtures
from .recipe import DOMAINS, Recipe
from .resolution import FEEDINGS
from .run import Run, run, start_digest

__all__ = [
    "Again",
    "Difference",
    "Finding",
    "Planned",
    "STUDIES",
    "Study",
    "again",
    "claims",
    "difference",
    "interval",
    "judged",
    "main",
    "per_run",
    "record",
    "recorded",
    "study",
]


#: Three or four families of each domain; a quarter of an even mixture takes several steps.
FAMILIES = (
    "bar_value", "shape_colour", "shape_count",
    "bar_walk", "chain", "geometry", "table_value",
    "gui_find", "gui_links", "gui_state",
)  # fmt: skip
EVEN = {"general": 1 / 3, "maths": 1 / 3, "computer_use": 1 / 3}

#: Pictures that a run sees where nothing else is asked.
BUDGET = 2400


@dataclass(frozen=True)
class Planned:
    """One run of a study.

    Args:
        recipe: what to run.
        labels: what tells it from the study's other runs, by name.
    """

    recipe: Recipe
    labels: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A question with the runs that are to answer it.

    Args:
        name: of the study and its file.
        question: what is asked.
        runs: all runs, seeds among them.
        gate: what the first of them must show for the others to be made.
    """

    name: str
    question: str
    runs: tuple[Planned, ...]
    gate: Gate | None = None


@dataclass(frozen=True)
class Gate:
    """What a study's first runs must show: where they do not, the others cannot answer, and are not made.

    Args:
        labels: of the runs that are made first.
        measured: from the rows of these runs, a share; NaN where it cannot be told.
        least: what it must reach.
        missed: what to say of it, with ``{found}`` and ``{least}`` in points.
    """

    labels: Mapping[str, Any]
    measured: Callable[[pd.DataFrame], float]
    least: float
    missed: str

    def asks(self, one: Planned) -> bool:
        """Whether a run is one of those that are made first."""
        return all(one.labels.get(name) == value for name, value in self.labels.items())

    def closed(self, table: pd.DataFrame) -> str:
        """Why the other runs are not made, from a study's rows; "" where they are worth it, or unknown."""
        rows = table
        for name, value in self.labels.items():
            rows = rows[rows[name] == value] if name in rows else rows.iloc[:0]
        found = self.measured(rows) if len(rows) else math.nan
        points = {"found": f"{100 * found:+.1f}", "least": f"{100 * self.least:.0f}"}
        return self.missed.format(**points) if found < self.least else ""


def _joined(**changes: Any) -> Recipe:
    """The built-in model's encoder and decoder with a fresh projector between them."""
    common = {
        "start": "nano", "start_parts": ["encoder", "decoder"], "families": FAMILIES, "evaluation": 20,
        "mixture": EVEN, "reasoning": 0.2, "budget": BUDGET, "optimiser": {"lr": 2e-3, "batch": 24},
        "stages": [{"kind": "projector", "share": 0.1}, {"kind": "all", "share": 0.9}],
    }  # fmt: skip
    return Recipe.from_dict({**common, **changes})


#: A mixture that goes on for as long as another one: what more training alone does.
LONGER = {"row1, longer": ("row1", "row3")}


def mixture_study(seeds: int = 5) -> Study:
    """The six mixtures of the published table at 1.5 records a thousand, each as long as its records last.

    In the table a row with more data also trains longer.  So one row is trained for as long as another too.
    """
    mixtures = named_mixtures(0.0015)
    rows = {name: (name, name) for name in mixtures} | LONGER
    runs = []
    for name, (drawn, long) in rows.items():
        mixture, domains = mixtures[drawn], [getattr(mixtures[long], domain) for domain in DOMAINS]
        records = round(sum(domain.records * domain.repeat for domain in domains))
        for seed in range(1, seeds + 1):
            recipe = _joined(mixture=mixture, budget=records, seed=seed)
            runs.append(Planned(recipe, {"mixture": name, **mixture.shares()}))
    return Study(
        "mixture", "Does more maths data, or more computer-use data, help which domain?", tuple(runs)
    )


def _thoughts_gain(table: pd.DataFrame) -> float:
    """How far a forced thought beats a forced direct answer on questions that take several steps."""
    several = [name for name in set(table["family"]) if synth.family(name).several_steps]
    rows = table[table["family"].isin(several) & table["mode"].isin(["think", "nothink"])]
    if set(rows["mode"]) != {"think", "nothink"}:
        return math.nan
    right = (rows["accuracy"] * rows["n"]).groupby(rows["mode"]).sum() / rows.groupby("mode")["n"].sum()
    return float(right["think"] - right["nothink"])


#: Shares of thoughts tell nothing where thinking itself was not learned.
LEARNED = Gate(
    labels={"reasoning": 1.0},
    measured=_thoughts_gain,
    least=0.2,
    missed=(
        "with all data carrying thoughts, forced thoughts and direct answers differ by {found} points on "
        "questions of several steps, where +{least} would show that thinking was learned: no share of "
        "thoughts can be told from another by these runs"
    ),
)


def reasoning_study(seeds: int = 3) -> Study:
    """The share of records with a thought, from none to all; all first, which must show that it pays."""
    runs = [
        Planned(_joined(reasoning=share, seed=seed), {"reasoning": share})
        for share in (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
        for seed in range(1, seeds + 1)
    ]
    return Study("reasoning", "How much of the data should carry a thought?", tuple(runs), LEARNED)


#: Pipeline -> share of thoughts in the text stage, and in the first and second half of the multimodal one.
PIPELINES = {
    "direct LLM, then reasoning": (0.0, 1.0, 1.0),
    "direct LLM, direct, then reasoning": (0.0, 0.0, 1.0),
    "reasoning LLM, then reasoning": (1.0, 1.0, 1.0),
    "reasoning LLM, then a mix": (1.0, 0.2, 0.2),
}


def pipeline_study(seeds: int = 3) -> Study:
    """The report's four pipelines: text alone with traces or without them, the projector, then all parts."""
    runs = []
    for name, (text, first, second) in PIPELINES.items():
        stages = [
            {"kind": "text", "share": 0.3, "reasoning": text},
            {"kind": "projector", "share": 0.1, "reasoning": first},
            {"kind": "all", "share": 0.3, "reasoning": first},
            {"kind": "all", "share": 0.3, "reasoning": second},
        ]
        for seed in range(1, seeds + 1):
            recipe = _joined(stages=stages, reasoning=second, budget=3 * BUDGET // 2, seed=seed)
            runs.append(Planned(recipe, {"pipeline": name}))
    return Study("pipelines", "In which order should thinking and seeing be learned?", tuple(runs))


def feeding_study(seeds: int = 3) -> Study:
    """Four ways of feeding at two budgets: the box of a small icon on a screen of 256 patches."""
    runs = []
    for seed in range(1, seeds + 1):
        for budget in (80, 180):
            for method in FEEDINGS:
                recipe = Recipe.from_dict({
                    "start": "nano", "mixture": {"computer_use": 1.0}, "families": ["icon_find"],
                    "difficulty": 3, "reasoning": 0.0, "modes": ["nothink"], "evaluation": 100,
                    "architecture": {"feeding": method, "token_budget": budget},
                    "stages": [{"kind": "all", "share": 1.0}], "budget": 2000, "seed": seed,
                    "optimiser": {"lr": 2e-3, "batch": 8, "guide": 1.0},
                })  # fmt: skip
                runs.append(Planned(recipe, {"method": method, "token_budget": budget}))
    return Study("feeding", "Which way of feeding a large picture shows a small target?", tuple(runs))


#: Name -> fields of the architecture that differ from the built-in model's.
SHAPES: dict[str, dict[str, Any]] = {
    "as built": {},
    "patches see later ones": {"image_attention": "bidirectional"},
    "encoder at rest": {"freeze_encoder": True},
    "encoder layer 3": {"vision_layer": 3},
    "projector of one layer": {"projector_depth": 1},
    "projector of three layers": {"projector_depth": 3},
    "early fusion": {"fusion": "early", "vision_layer": 0},
}


def architecture_study(seeds: int = 3) -> Study:
    """Choices of the architecture one by one; early fusion has no encoder to begin with."""
    runs = []
    for name, shape in SHAPES.items():
        parts = ["decoder"] if shape.get("fusion") == "early" else ["encoder", "decoder"]
        for seed in range(1, seeds + 1):
            recipe = _joined(architecture=shape, start_parts=parts, seed=seed)
            runs.append(Planned(recipe, {"shape": name}))
    return Study("architecture", "Which choices of the architecture matter, all else equal?", tuple(runs))


#: Name -> study, in the order in which they are recorded.
STUDIES: dict[str, Callable[[], Study]] = {
    "mixture": mixture_study,
    "reasoning": reasoning_study,
    "pipelines": pipeline_study,
    "feeding": feeding_study,
    "architecture": architecture_study,
}


def study(name: str) -> Study:
    """A study by its name.

    Raises:
        InputError: if there is none of this name.
    """
    if name not in STUDIES:
        raise InputError(f"study={name!r}", f"one of {', '.join(STUDIES)}", closest(name, [*STUDIES]))
    return STUDIES[name]()


#: What is kept of the totals and of the provenance: nothing that names a machine.
TOTALS = (
    "samples", "questions", "steps", "tokens", "flops", "seconds", "evaluation_seconds", "peak_memory",
    "parameters", "weights_sha256",
)  # fmt: skip
#: ``start_sha256`` is of the weights that it began with: a recipe says "nano" of whichever ships.
KEPT = (
    "date", "commit", "workbench", "code_sha256", "processor", "instructions", "onednn", "mkl", "cores",
    "gpu", "threads", "python", "torch", "transformers", "bf16", "start_sha256", "tokenizer_sha256",
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

    The runs that a study's gate asks for are made before all others, which are left where it is closed.
    """
    path = out / f"{study.name}.parquet"
    table = pd.read_parquet(path) if path.exists() else pd.DataFrame({"run": []})
    planned = {p.recipe.hash: p for p in study.runs}
    table = table[table["run"].isin(planned)]  # what the study no longer asks for
    gate = study.gate
    missing = [p for h, p in planned.items() if h not in set(table["run"])]
    missing.sort(key=lambda one: (gate is not None and not gate.asks(one), one.recipe.seed))
    missing = missing[:most]
    _refuse_other_start(table, missing, folder)
    for number, one in enumerate(missing):
        if gate is not None and not gate.asks(one) and (why := gate.closed(table)):
            print(f"{study.name}: {len(missing) - number} runs are not made: {why}", flush=True)
            break
        done = run(one.recipe, folder, keep_model=False)
        new = rows(done, one.labels)
        table = pd.concat([table, new], ignore_index=True) if len(table) else new
        _write(table, path)
        print(f"{study.name} {number + 1} of {len(missing)} {one.labels}: {done}", flush=True)
    return path


def _refuse_other_start(table: pd.DataFrame, missing: Sequence[Planned], folder: Path) -> None:
    """Refuse to add runs to a study whose others began with other weights: the two do not compare.

    Raises:
        InputError: with both digests.
    """
    if "start_sha256" not in table or not len(table):
        return
    known = {row.recipe: row.start_sha256 for row in table.drop_duplicates("run").itertuples()}
    before = {Recipe.from_dict(json.loads(text)).start: digest for text, digest in known.items()}
    for start in {one.recipe.start for one in missing} & set(before) - {"fresh"}:
        now = start_digest(next(one.recipe for one in missing if one.recipe.start == start), folder)
        if before[start] != now:
            raise InputError(
                f"recorded runs began with other weights of {start!r} ({before[start][:8]}) than it has now "
                f"({now[:8]})",
                "runs of a study that begin with the same weights",
                "record the study anew, with another --out and --folder",
            )


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
    """The recorded runs of a study, one row per run, family and mode.

    Args:
        name: one of `STUDIES`.
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
        table: accuracy of each family and mode, recorded and again.
        changed: what of the provenance differs, as (name, recorded, now).
    """

    run: str
    same: bool
    table: pd.DataFrame
    changed: tuple[tuple[str, Any, Any], ...] = ()

    def __str__(self) -> str:
        if self.same:
            return f"run {self.run}: the same questions, the same weights bit for bit"
        apart = 100 * (self.table["again"] - self.table["accuracy"])
        told = [f"{name}: {before}, now {now}" for name, before, now in self.changed]
        return (
            f"run {self.run}: the same questions, other weights; mean accuracy differs by "
            f"{apart.mean():+.1f} points (a family and mode by {apart.abs().max():.1f} at most).  What "
            f"differs: {'; '.join(told) or 'nothing that was recorded'}"
        )


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
    now, names = done.provenance[0], [name for name in KEPT if name != "date" and name in table]
    changed = [(name, table[name].iloc[0], now.get(name)) for name in names]
    return Again(recipe.hash, bool(same), both, tuple(one for one in changed if one[1] != one[2]))


AGREES, DISAGREES, EQUAL, OPEN = "agrees", "disagrees", "about equal", "cannot tell"

#: Kinds of runs are about equal where their difference is surely below this share of the questions.
MARGIN = 0.03

#: What is risked over all claims that are judged together: to call one of them what it is not.
ALPHA = 0.05


def per_run(
    table: pd.DataFrame,
    labels: Sequence[str],
    *,
    value: str = "accuracy",
    where: Mapping[str, Any] | None = None,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """One number per run, from rows of families and modes.

    Args:
        table: from `recorded`.
        labels: columns that tell the kinds of runs apart.
        value: what is averaged over the rows of a run, weighted by their questions.
        where: column -> the value (or list of values) that rows must have.
        by: further columns, such as "domain" and "mode", to keep apart within a run.

    Returns:
        Columns ``labels``, ``by``, "run", "seed", "n" (questions) and ``value``.

    Raises:
        InputError: if no row is left, or a column is missing.
    """
    rows = table
    for name, wanted in (where or {}).items():
        _known(rows, [name])
        many = list(wanted) if isinstance(wanted, (list, tuple, set)) else [wanted]
        rows = rows[rows[name].isin(many)]
    keys = [*labels, *by, "run", "seed"]
    _known(rows, [*keys, value, "n"])
    if rows.empty:
        raise InputError(f"no recorded row with {dict(where or {})}", "rows of the study")
    rows = rows.assign(weighted=rows[value] * rows["n"])
    made = rows.groupby(keys, sort=False, as_index=False)[["n", "weighted"]].sum()
    made[value] = made.pop("weighted") / made["n"]
    return made


def _known(table: pd.DataFrame, names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in table]:
        raise InputError(
            f"a table without {', '.join(missing)}", f"a recorded study; it has {', '.join(table)}"
        )


def interval(values: Sequence[float] | pd.Series) -> tuple[float, float, float]:
    """Mean of some runs with its 95% interval (Student's t); an interval without bounds for a single run."""
    found = np.asarray(values, dtype=float)
    mean = float(found.mean())
    if len(found) < 2:
        return mean, -np.inf, np.inf
    half = float(student.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5)
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Finding:
    """A claim beside our own runs.

    Attributes:
        claim: in words, with where it was published.
        compared: what was subtracted from what.
        difference, low, high: mean difference with the interval that gave the verdict.
        level: of the interval: above 95% where several claims are judged together, so that all of their
            verdicts together err in one of twenty cases at most (Holm 1979).
        p: of no difference, adjusted for those claims.
        seeds: how many repetitions stand on each side, paired by their seed.
        verdict: "agrees" or "disagrees" beyond the interval, "about equal" where all of it lies within
            `MARGIN`, else "cannot tell".
        caveat: what else to know of the runs.
    """

    claim: str
    compared: str
    difference: float
    low: float
    high: float
    level: float
    p: float
    seeds: int
    verdict: str
    caveat: str = ""

    def __str__(self) -> str:
        spread = "no interval"
        if np.isfinite(self.low):
            spread = f"{100 * self.low:+.1f} to {100 * self.high:+.1f} at {self.level:.1%}, p {self.p:.2g}"
        told = f"{100 * self.difference:+.1f} points ({spread}; {self.seeds} seeds)"
        more = f"\n  {self.caveat}" if self.caveat else ""
        return f"{self.verdict.upper()}: {self.claim}\n  {self.compared}: {told}{more}"


@dataclass(frozen=True)
class Difference:
    """What is compared for a claim, before it is judged beside others.

    Attributes:
        mean, error: of the difference; the error is NaN for a single seed.
        freedom: degrees of freedom of the error.
        seeds: how many repetitions it comes from.
    """

    claim: str
    compared: str
    mean: float
    error: float
    freedom: int
    seeds: int

    @property
    def p(self) -> float:
        """Of no difference, by itself (two-sided t); NaN without an error."""
        if not self.error > 0:
            return math.nan if math.isnan(self.error) else float(self.mean == 0)
        return float(2 * student.sf(abs(self.mean) / self.error, self.freedom))


def difference(
    claim: str, values: pd.DataFrame, pairs: Sequence[tuple[Any, Any]], compared: str
) -> Difference | None:
    """The mean difference of some pairs of kinds of runs, paired by their seed.

    Runs of one seed share their questions, their order and most of their records, so that they are compared
    seed by seed.  Kinds vary alike about what kind and seed explain (a two-way layout; Fisher 1935), so all
    kinds of the table tell how much: three seeds of two kinds alone would leave two degrees of freedom.  Pass
    the columns that are compared alone where others vary in another way.

    Args:
        claim: what is claimed.
        values: a row a seed, a column a kind; NaN where a run is not recorded.
        pairs: (the kind that is claimed to do better, the other); pairs with a kind that is not there are
            left out.
        compared: what is subtracted from what, for the reader.

    Returns:
        The difference; None if no pair is there.
    """
    there = [(a, b) for a, b in pairs if a in values and b in values]
    if not there:
        return None
    kinds = list(dict.fromkeys(kind for pair in there for kind in pair))
    rows = values[values[kinds].notna().all(axis=1)]
    if rows.empty:
        return None
    contrast = pd.Series(0.0, kinds)
    for higher, lower in there:
        contrast[higher] += 1 / len(there)
        contrast[lower] -= 1 / len(there)
    mean = float((rows[kinds] * contrast).sum(axis=1).mean())
    whole = rows.dropna(axis=1).to_numpy()
    freedom = (whole.shape[0] - 1) * (whole.shape[1] - 1)
    if freedom < 1:
        return Difference(claim, compared, mean, math.nan, 0, len(rows))
    left = whole - whole.mean(axis=0) - whole.mean(axis=1, keepdims=True) + whole.mean()
    error = float(((left**2).sum() / freedom * (contrast**2).sum() / len(rows)) ** 0.5)
    return Difference(claim, compared, mean, error, freedom, len(rows))


def judged(differences: Sequence[Difference], *, caveat: str = "") -> list[Finding]:
    """Verdicts on claims that are judged together, by Holm's procedure, with intervals to match.

    The smallest p of m claims must be below `ALPHA` / m, the next one below `ALPHA` / (m - 1), and so on;
    with the first that is not, all others stay open.
    """
    ps = [one.p for one in differences]
    told = sorted((p, number) for number, p in enumerate(ps) if not math.isnan(p))
    levels: dict[int, tuple[float, float]] = {}
    adjusted, alpha, open_ended = 0.0, ALPHA, False
    for rank, (p, number) in enumerate(told):
        left = len(told) - rank
        adjusted = max(adjusted, min(1.0, left * p))
        if not open_ended:
            alpha, open_ended = ALPHA / left, p > ALPHA / left
        levels[number] = (1 - alpha, adjusted)
    unknown = 1 - ALPHA, math.nan
    return [_judge(one, *levels.get(number, unknown), caveat) for number, one in enumerate(differences)]


def _judge(one: Difference, level: float, p: float, caveat: str) -> Finding:
    low, high = -np.inf, np.inf
    if not math.isnan(one.error):
        half = float(student.ppf(0.5 + level / 2, one.freedom)) * one.error if one.error else 0.0
        low, high = one.mean - half, one.mean + half
    verdict = OPEN
    if low > 0 or high < 0:
        verdict = AGREES if low > 0 else DISAGREES
    elif low > -MARGIN and high < MARGIN:
        verdict = EQUAL
    return Finding(one.claim, one.compared, one.mean, low, high, level, p, one.seeds, verdict, caveat)


#: Rows of the published table that differ in maths data alone, and in computer-use data alone (more, less).
MORE_MATHS = (("row3", "row1"), ("row4", "row2"))
MORE_SCREENS = (("row2", "row1"), ("row4", "row3"))


#: What to know of every study's runs but feeding's, whose families the built-in model was not trained on.
BEGUN = "all runs began with the built-in model, which was trained on the families that are asked about"


def claims(study: str, table: pd.DataFrame | None = None) -> list[Finding]:
    """What a study's runs say about the report's claims; claims whose runs are not recorded yet are left out.

    The claims of all recorded studies were stated together, so they are judged together: with 27 of them, one
    or two would stand out by chance at 95%.

    Args:
        study: one of `STUDIES`.
        table: its rows, judged by themselves; None for the recorded ones that ship.

    Raises:
        InputError: for an unknown study, or one that has not been recorded.
    """
    if table is not None:
        return judged(_CLAIMS[study](table), caveat=_caveat(study, table))
    recorded(study)
    made = {name: _CLAIMS[name](recorded(name)) for name in _CLAIMS if _is_recorded(name)}
    every = iter(judged([one for differences in made.values() for one in differences]))
    found = {name: [next(every) for _ in differences] for name, differences in made.items()}[study]
    caveat = _caveat(study, recorded(study))
    return [replace(one, caveat=caveat) for one in found]


def _caveat(name: str, table: pd.DataFrame) -> str:
    gate = STUDIES[name]().gate
    told = ["" if name == "feeding" else BEGUN, gate.closed(table) if gate else ""]
    return "; ".join(filter(None, told))


def _is_recorded(name: str) -> bool:
    try:
        data_path("runs", f"{name}.parquet")
    except InputError:
        return False
    return True


def _wide(values: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Accuracy with a row a seed and a column a kind."""
    return values.pivot_table(index="seed", columns=kind, values="accuracy")


def _present(made: Sequence[Difference | None]) -> list[Difference]:
    return [one for one in made if one is not None]


def _mixture(table: pd.DataFrame) -> list[Difference]:
    values = per_run(table, ["mixture"], where={"mode": "auto"}, by=["domain"])
    wide = {domain: _wide(rows, "mixture") for domain, rows in values.groupby("domain")}
    longer = [(row, long) for long, (_, row) in LONGER.items()]
    made: list[tuple[str, Sequence[tuple[str, str]], str, str]] = []
    for domain in ("maths", "computer_use"):
        claim = f"tripling maths data, with computer-use data held, improves {domain} (Table 2)"
        made.append((domain, MORE_MATHS, claim, "three times the maths data minus once"))
    for domain in ("maths", "computer_use"):
        claim = f"it is the maths data, not the longer training, that improves {domain} (a question of ours)"
        made.append((domain, longer, claim, "three times the maths data minus the first mixture for as long"))
    told = "1.9 times the computer-use data minus once"
    claim = "more computer-use data improves computer_use (Table 2; a question of ours)"
    made.append(("computer_use", MORE_SCREENS, claim, told))
    claim = "more computer-use data takes nothing from maths, and even helps (Table 2; a question of ours)"
    made.append(("maths", MORE_SCREENS, claim, told))
    return _present(
        [
            difference(claim, wide[domain], pairs, f"{domain}, {told}")
            for domain, pairs, claim, told in made
            if domain in wide
        ]
    )


def _reasoning(table: pd.DataFrame) -> list[Difference]:
    values = per_run(table, ["reasoning"], by=["mode"])
    fifth = values[values["reasoning"] == 0.2]
    modes = fifth.pivot_table(index="seed", columns="mode", values="accuracy")
    made = [
        # the same runs in two modes: what other shares vary by says nothing about these
        difference(
            f"{claim} (Tables 3 and 4)",
            modes[[name for name in ("auto", mode) if name in modes]],
            [("auto", mode)],
            f"a fifth with thoughts, auto minus {mode}",
        )
        for mode, claim in (
            ("nothink", "letting the model decide is better than forcing a direct answer"),
            ("think", "letting the model decide is better than forcing a thought"),
        )
    ]
    wide = _wide(values[values["mode"] == "auto"], "reasoning")
    for share in (0.0, 0.4, 1.0):
        claim = (
            f"a fifth of the data with thoughts does better than {share:.0%} (the report's choice, in words)"
        )
        made.append(difference(claim, wide, [(0.2, share)], f"auto, 20% minus {share:.0%}"))
    return _present(made)


def _pipelines(table: pd.DataFrame) -> list[Difference]:
    wide = _wide(per_run(table, ["pipeline"], where={"mode": "auto"}), "pipeline")
    *others, chosen = PIPELINES
    return _present(
        [
            difference(
                f"a reasoning language model, then a mix, is the pipeline to choose, not: {other} (in words)",
                wide,
                [(chosen, other)],
                f"auto, the chosen one minus {other!r}",
            )
            for other in others
        ]
    )


def _feeding(table: pd.DataFrame) -> list[Difference]:
    values = per_run(table, ["method", "token_budget"])
    wide = values.pivot_table(index="seed", columns=["method", "token_budget"], values="accuracy")
    wide.columns = wide.columns.to_flat_index()
    first, *others = FEEDINGS
    budgets = sorted(set(values["token_budget"]))
    made = [
        difference(
            f"dynamic resolution finds small targets better than {FEEDINGS[other]} (Table 1)",
            wide,
            [((first, budget), (other, budget))],
            f"at most {budget} tokens, {FEEDINGS[first]} minus {FEEDINGS[other]}",
        )
        for budget in budgets
        for other in others
    ]
    if len(budgets) > 1:
        claim = "with dynamic resolution more tokens help on small targets (Table 1)"
        pair = (first, budgets[-1]), (first, budgets[0])
        made.append(difference(claim, wide, [pair], "the larger budget minus the smaller"))
    return _present(made)


def _architecture(table: pd.DataFrame) -> list[Difference]:
    wide = _wide(per_run(table, ["shape"], where={"mode": "auto"}), "shape")
    own, *others = SHAPES
    told = {
        "patches see later ones": "attention in both directions within a picture helps (the model card)",
        "early fusion": "with little training, early fusion does worse than a tower of its own (in words)",
    }
    made = []
    for other in others:
        pair = (own, other) if other == "early fusion" else (other, own)
        claim = told.get(other, f"{other}: better than {own} (a question of ours)")
        made.append(difference(claim, wide, [pair], f"auto, {pair[0]!r} minus {pair[1]!r}"))
    return _present(made)


_CLAIMS: dict[str, Callable[[pd.DataFrame], list[Difference]]] = {
    "mixture": _mixture,
    "reasoning": _reasoning,
    "pipelines": _pipelines,
    "feeding": _feeding,
    "architecture": _architecture,
}


def _record_studies(
    *,
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help=f"Some of {', '.join(STUDIES)}; none: all.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Of the runs themselves; resumable.")] = Path("runs/studies"),
    out: Annotated[Path, typer.Option(help="Where NAME.parquet goes, or is read from.")] = Path("data/runs"),
    runs: Annotated[
        int | None, typer.Option(metavar="N", help="At most N further runs of each study.")
    ] = None,
    again_hash: Annotated[
        str | None, typer.Option("--again", metavar="HASH", help="Run this recorded run again and compare.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Of this process; with 1 any machine gives the same.")] = 1,
) -> int:
    """Record studies, or run one recorded run again."""
    import torch

    torch.set_num_threads(threads)
    if again_hash:
        told = again(again_hash, out, folder)
        write(told)
        return 0 if told.same else 1
    for name in studies or STUDIES:
        record(study(name), out, folder, most=runs)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Record studies from a shell; its exit status."""
    name = "python -m workbench.ablate.studies"
    return run_one(_record_studies, arguments, name=name, examples=["mixture", "--again HASH"])


if __name__ == "__main__":
    raise SystemExit(main())
