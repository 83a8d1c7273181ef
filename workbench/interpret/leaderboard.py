"""Measure the league of methods: ``python -m workbench.interpret.leaderboard --out data/league``

Every method's maps on the same fresh questions in both modes: faithfulness, plausibility, seconds and
forwards.  A killed run goes on where it was: its journal holds one JSON line a question and mode.
``rows.csv``, ``league.csv`` and ``league.json`` are written when all is measured; `standings` reads them.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import pandas as pd
import torch
import typer

from .. import synth
from ..answer import Answer
from ..errors import CapabilityError, InputError
from ..files import data_path, local_path, read_json, write_bytes, write_json
from ..journal import Journal
from ..models.load import load
from ..models.vlm import VLM
from ..records import build, plain
from ..terminal import run_one, write
from ..train.card import hardware
from ..types import Mode
from .attribution import Attribution, attribute
from .checking import score_over, sink_maps
from .curves import curves
from .faithfulness import blocks, evidence_of, orders_of, plausibility
from .methods import METHODS
from .methods import TABLE as KNOWN
from .regions import CHECKED
from .scoring import Scorer
from .standings import ABOUT, ROWS, TABLE, Leaderboard, read_leaderboard, standings
from .targets import whole_reply

__all__ = [
    "LeaderboardJournal",
    "LeaderboardSettings",
    "OPTIONS",
    "SEED",
    "SINK",
    "extend_leaderboard",
    "main",
    "measure",
    "run_leaderboard",
    "units",
]


NAME, HEADER = "journal.jsonl", "header"


class LeaderboardJournal:
    """What a leaderboard has measured so far: a journal whose first entry says what is being measured.

    Args:
        folder: where it lies; made if needed.
        header: what is measured: settings and model.  A journal of something else is refused.

    Raises:
        InputError: if the folder holds the journal of another leaderboard.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        self._journal = Journal(folder / NAME)
        entries = dict(self._journal.entries)
        found = entries.pop(HEADER, {"header": dict(header)})["header"]
        if found != header:
            changed = sorted(k for k in header.keys() | found.keys() if header.get(k) != found.get(k))
            raise InputError(
                f"{self._journal.path} belongs to a leaderboard with other {', '.join(changed)}",
                "the same settings and model",
                "pass another --out, or remove the journal to begin anew",
            )
        self.done = {(int(one["unit"][0]), str(one["unit"][1])): one["rows"] for one in entries.values()}
        self._journal.append([] if self.done else [{"key": HEADER, "header": dict(header)}])

    def add(self, unit: tuple[int, str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Note one question's rows."""
        self.done[unit] = [dict(row) for row in rows]
        key = f"{unit[0]} {unit[1]}"
        self._journal.append([{"key": key, "unit": list(unit), "rows": plain(self.done[unit])}])

    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the order of the questions."""
        return [row for unit in sorted(self.done) for row in self.done[unit]]

    def remove(self) -> None:
        """Forget it: the leaderboard is finished and lies elsewhere."""
        self._journal.close()
        self._journal.path.unlink(missing_ok=True)


#: Fresh samples: training never uses seeds from 1,000,003 on, and the model's evaluation begins there.
SEED = 3_000_017

SINK = "sink"
"""The reference that is no method: the patches with the largest hidden states."""

#: Settings with which every method fits into the leaderboard's time; what each costs is in the table.
OPTIONS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": 12},
    "gradient_shap": {"samples": 8},
    "shapley_sampling": {"samples": 2},
    "kernel_shap": {"samples": 50},
    "greedy": {"width": 2},
}


@dataclass(frozen=True)
class LeaderboardSettings:
    """What a leaderboard measures.

    Args:
        n: questions; each is asked in every mode.
        seed: of the questions, the random orders and the methods.
        methods: names from `METHODS`, and "sink".
        families: from `synth.FAMILIES`, taken in turn.
        modes: "nothink", "think".
        regions: (rows, cols) of equal regions a picture, for the methods and the curves.
        baselines: what hidden regions show.
        steps: points of a curve.
        max_tokens: longest reply.
        options: settings of the methods.
    """

    n: int = 200
    seed: int = SEED
    methods: tuple[str, ...] = (*METHODS, SINK)
    families: tuple[str, ...] = tuple(synth.FAMILIES)
    modes: tuple[str, ...] = ("nothink", "think")
    regions: tuple[int, int] = (5, 5)
    baselines: tuple[str, ...] = CHECKED
    steps: int = 3
    max_tokens: int = 128
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: OPTIONS, hash=False)

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise InputError(f"n={self.n!r}", "at least one question")
        known = {
            "methods": (*KNOWN, SINK),
            "families": tuple(synth.FAMILIES),
            "modes": tuple(m.value for m in Mode),
        }
        for name, allowed in known.items():
            given = getattr(self, name)
            if not given or set(given) - set(allowed):
                raise InputError(f"{name}={given!r}", f"some of {', '.join(allowed)}")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        found: dict[str, Any] = plain(self)
        found["fills"] = found.pop("baselines")  # as it was recorded
        return found


def units(settings: LeaderboardSettings) -> list[tuple[int, str]]:
    """What is to be measured: (question number, mode)."""
    return [(number, mode) for number in range(settings.n) for mode in settings.modes]


def measure(vlm: VLM, settings: LeaderboardSettings, number: int, mode: str) -> list[dict[str, Any]]:
    """Rows of one question in one mode, one per method; a single row with a note for an empty reply."""
    family = settings.families[number % len(settings.families)]
    sample = synth.sample(family, 1, seed=settings.seed + number)[0]
    answer = vlm.ask(sample.images, sample.question, mode=mode, max_tokens=settings.max_tokens)
    about = {
        "question": number,
        "family": family,
        "several_steps": synth.FAMILIES[family].several_steps,
        "mode": mode,
        "right": sample.correct(answer.text),
        "reply_tokens": len(answer.reply_ids),
        "image_tokens": answer.image_tokens,
    }
    target = whole_reply(answer)
    if target is None:
        return [{**about, "method": "", "note": "empty reply"}]
    scorer = Scorer(vlm, answer, target)
    about |= {
        "full": scorer.base,
        "no_image": scorer.without_pictures(),
        "drop_answer": _given_thought(vlm, answer),
    }
    made, notes = _maps(vlm, answer, target, settings, seed=settings.seed + number)
    labels = blocks(answer.layout.images, settings.regions)  # type: ignore[union-attr]
    orders = orders_of({name: one.maps for name, one in made.items()}, labels, seed=number)
    found = curves(score_over(scorer, labels), orders, baselines=settings.baselines, steps=settings.steps)
    true = evidence_of(answer, sample)
    rows = [{**about, "method": name, "note": note} for name, note in notes.items()]
    for name, one in made.items():
        row: dict[str, Any] = {**about, "method": name, "note": ""}
        for baseline in settings.baselines:
            curve = found[baseline][name]
            row |= {f"insertion_{baseline}": curve.insertion_auc, f"deletion_{baseline}": curve.deletion_auc}
            row |= {f"gap_{baseline}": curve.gap, f"blank_{baseline}": curve.insertion[0]}
        row |= asdict(plausibility(one.maps, answer.layout.images, true or []))  # type: ignore[union-attr]
        rows.append({**row, "seconds": one.seconds, "forwards": one.forwards, "backwards": one.backwards})
    return rows


@dataclass(frozen=True)
class _Made:
    maps: Sequence[Any]
    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0


def _maps(
    vlm: VLM, answer: Answer, target: object, settings: LeaderboardSettings, *, seed: int
) -> tuple[dict[str, Attribution | _Made], dict[str, str]]:
    """Each method's map, and what a method said that this model does not allow."""
    made: dict[str, Attribution | _Made] = {}
    notes: dict[str, str] = {}
    for name in settings.methods:
        try:
            if name == SINK:
                made[name] = _sink(vlm, answer)
            else:
                more = {**settings.options.get(name, {}), "seed": seed, "progress": False}
                made[name] = attribute(
                    vlm, answer, target=target, method=name, regions=settings.regions, **more
                )
        except CapabilityError as error:
            notes[name] = str(error)
    return made, notes


def _sink(vlm: VLM, answer: Answer) -> _Made:
    started = time.perf_counter()
    maps = sink_maps(vlm, answer)
    return _Made(maps, time.perf_counter() - started, 1)


def _given_thought(vlm: VLM, answer: Answer) -> float | None:
    """Nats that the answer alone loses without pictures, its thought given; None for an empty answer."""
    if not len(answer.spans["answer"]):
        return None
    scorer = Scorer(vlm, answer, "answer")
    return scorer.base - scorer.without_pictures()


THREADS = 1  # small matrices: a second thread costs more than it brings
Unit = tuple[int, str]


def run_leaderboard(
    settings: LeaderboardSettings,
    out: str | Path,
    *,
    source: str | None = None,
    jobs: int = 1,
    say: Callable[[str], None] = print,
) -> Leaderboard:
    """Measure a leaderboard, or what is left of it, and write it into a folder.

    Args:
        settings: what to measure.
        out: the folder.
        source: the model, as `workbench.models.load.load` takes it; None for the built-in one.
        jobs: processes, one thread each; with 1 everything runs in this process.
        say: called with a line now and then.

    Raises:
        InputError: if the folder holds another leaderboard's journal.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"jobs={jobs!r}", "at least one process")
    folder = local_path(out)
    header = {"settings": settings.to_dict(), "model": fingerprint(source)}
    if _finished(folder, header):
        say(f"{folder} holds this very leaderboard, finished; remove {ABOUT} to measure it again")
        return read_leaderboard(folder)
    journal = LeaderboardJournal(folder, header)
    left = [unit for unit in units(settings) if unit not in journal.done]
    methods = len(settings.methods)
    say(f"{len(left)} answers to explain with {methods} methods each, {len(journal.done)} done before")
    started = time.perf_counter()
    work = _in_this_process if jobs == 1 else _in_processes
    for count, (unit, rows) in enumerate(work(settings, source, left, jobs), 1):
        journal.add(unit, rows)
        spent = time.perf_counter() - started
        if count in (jobs, 4 * jobs) or count % 50 == 0:
            rest = spent / count * (len(left) - count)
            say(f"{count} of {len(left)} in {spent / 60:.1f} min; about {rest / 60:.0f} min left")
    return _write(folder, journal, header, seconds=time.perf_counter() - started, jobs=jobs)


def extend_leaderboard(
    out: str | Path,
    methods: Sequence[str],
    *,
    source: str | None = None,
    jobs: int = 1,
    say: Callable[[str], None] = print,
) -> Leaderboard:
    """Measure more methods on the questions of a finished leaderboard, and put their rows beside the others'.

    A method that it has already is measured anew.  The questions, orders and curves follow from the settings,
    so that the rows are those which one run would have; seconds are of another day.

    Args:
        out: the folder.
        methods: what to measure.
        source: the model; None for the built-in one.
        jobs: processes, one thread each.
        say: called with a line now and then.

    Raises:
        InputError: if the folder holds no leaderboard, or one of another model.
    """
    folder = local_path(out)
    before = read_leaderboard(folder)
    if (model := fingerprint(source)) != before.about["model"]:
        raise InputError(
            f"{folder} was measured with {before.about['model']}, and this is {model}",
            "the same weights",
            "measure the whole leaderboard anew",
        )
    kept = {name: value for name, value in before.about["settings"].items() if name != "methods"}
    kept["baselines"] = kept.pop("fills")  # as it was recorded
    settings = build(LeaderboardSettings, {**kept, "methods": list(methods)}, str(folder))
    with TemporaryDirectory() as place:
        added = run_leaderboard(settings, place, source=source, jobs=jobs, say=say)
    names = [*dict.fromkeys((*before.about["settings"]["methods"], *methods))]
    rows = pd.concat([before.rows[~before.rows["method"].isin(methods)], added.rows])
    places = {"mode": settings.modes, "method": names}
    rows = rows.sort_values(
        ["question", *places],
        key=lambda values: values.map([*places[values.name]].index) if values.name in places else values,
    )
    later = {name: added.about[name] for name in ("date", "hardware", "jobs", "seconds", "commit")}
    about = {
        **before.about,
        "settings": {**before.about["settings"], "methods": names},
        "added": [*before.about.get("added", []), {"methods": list(methods), **later}],
    }
    return _write_all(folder, rows, about)


def fingerprint(source: str | None) -> dict[str, Any]:
    """Name of a model and the hash of its weights where they lie in a folder here."""
    folder = data_path("nano") if source is None else local_path(source)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    digest = hashlib.sha256(b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files)).hexdigest()
    return {
        "name": folder.name if source is None or files else source,
        "weights": digest[:16] if files else None,
    }


def _load(source: str | None) -> Any:
    return load() if source is None else load(source)


def _in_this_process(
    settings: LeaderboardSettings, source: str | None, left: Sequence[Unit], jobs: int
) -> Iterator[tuple[Unit, list[dict[str, Any]]]]:
    vlm, threads = _load(source), torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        for number, mode in left:
            yield (number, mode), measure(vlm, settings, number, mode)
    finally:
        torch.set_num_threads(threads)


_VLM: Any = None  # a worker process's model


def _begin(source: str | None) -> None:
    global _VLM
    torch.set_num_threads(THREADS)
    _VLM = _load(source)


def _measure(settings: LeaderboardSettings, unit: Unit) -> list[dict[str, Any]]:
    return measure(_VLM, settings, *unit)


def _in_processes(
    settings: LeaderboardSettings, source: str | None, left: Sequence[Unit], jobs: int
) -> Iterator[tuple[Unit, list[dict[str, Any]]]]:
    """Rows as they come; an error or Ctrl-C ends the workers after the answer that each is at."""
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(source,)
    ) as pool:
        futures = {pool.submit(_measure, settings, unit): unit for unit in left}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(folder: Path, header: dict[str, Any]) -> bool:
    try:
        about = read_json(folder / ABOUT, expect=dict)
    except InputError:
        return False
    return (folder / ROWS).is_file() and {key: about.get(key) for key in header} == header


def _write(
    folder: Path, journal: LeaderboardJournal, header: dict[str, Any], *, seconds: float, jobs: int
) -> Leaderboard:
    """Rows, table and provenance; the provenance last, and only then the journal goes."""
    about = {
        **header,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "jobs": jobs,
        "seconds": round(seconds, 1),
        "commit": _commit(),
        "again": "python -m workbench.interpret.leaderboard --out data/league",
    }
    board = _write_all(folder, pd.DataFrame(journal.rows()), about)
    journal.remove()
    return board


def _write_all(folder: Path, rows: pd.DataFrame, about: dict[str, Any]) -> Leaderboard:
    """Write rows, the table that follows from them, and last the provenance."""
    write_bytes(folder / ROWS, rows.to_csv(index=False, float_format="%.5g").encode())
    rows = pd.read_csv(folder / ROWS)  # the table is what these very rows say
    table = standings(rows)
    write_bytes(folder / TABLE, table.to_csv(index=False, float_format="%.4g").encode())
    write_json(folder / ABOUT, about)
    return Leaderboard(table, rows, about)


def _commit() -> str | None:
    """The checkout's commit; None for an installed package."""
    place = Path(__file__).parent
    done = subprocess.run(
        ["git", "-C", str(place), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None if done.returncode == 0 else None


USUAL = LeaderboardSettings()


def _measure_all(
    *,
    out: Annotated[Path, typer.Option(help="Folder of the leaderboard, for instance data/league.")],
    n: Annotated[int, typer.Option(help="Questions; each is asked in every mode.")] = USUAL.n,
    methods: Annotated[
        list[str], typer.Option(metavar="METHOD", help=f"Some of {', '.join((*METHODS, SINK))}.")
    ] = list(USUAL.methods),  # noqa: B006
    families: Annotated[
        list[str], typer.Option(metavar="FAMILY", help="Some of workbench.synth.FAMILIES.")
    ] = list(USUAL.families),  # noqa: B006
    modes: Annotated[list[str], typer.Option(metavar="MODE", help="How to ask.")] = list(USUAL.modes),  # noqa: B006
    regions: Annotated[
        tuple[int, int], typer.Option(metavar="ROWS COLS", help="Grid of the maps.")
    ] = USUAL.regions,
    steps: Annotated[int, typer.Option(help="Points of a curve.")] = USUAL.steps,
    seed: Annotated[int, typer.Option(help="Of the questions and of the methods.")] = USUAL.seed,
    model: Annotated[
        str | None, typer.Option(help="A model's folder or name; the built-in one if not given.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes, one thread each.")] = 2,
    add: Annotated[
        bool, typer.Option("--add", help="Measure --methods on the questions of the leaderboard in --out.")
    ] = False,
) -> None:
    """Measure every method's maps on the same fresh questions.  A killed run goes on where it was."""
    if add:
        board = extend_leaderboard(out, methods, source=model, jobs=jobs, say=write)
        write("\n".join(board.findings))
        return
    settings = LeaderboardSettings(
        n=n,
        seed=seed,
        methods=tuple(methods),
        families=tuple(families),
        modes=tuple(modes),
        regions=regions,
        steps=steps,
    )
    board = run_leaderboard(settings, out, source=model, jobs=jobs, say=write)
    write("\n".join(board.findings))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a leaderboard from a shell; its exit status."""
    name = "python -m workbench.interpret.leaderboard"
    return run_one(_measure_all, arguments, name=name, examples=["--out data/league", "--out mine --n 20"])


if __name__ == "__main__":
    raise SystemExit(main())
