"""The league of methods: ``python -m workbench.interpret.league --out data/league`` measures it anew

Every method's maps on the same fresh questions in both modes: faithfulness, plausibility, seconds and
forwards.  A killed run goes on where it was; ``rows.csv``, ``league.csv`` and ``league.json`` are written
when all is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..answer_file import write_file
from ..errors import InputError
from .league_journal import Journal
from .league_rows import SINK, LeagueSettings, measure, units
from .league_table import ABOUT, ROWS, TABLE, League, read_league, standings
from .methods import METHODS

__all__ = ["League", "LeagueSettings", "main", "read_league", "run_league"]

THREADS = 1  # small matrices: a second thread costs more than it brings
Unit = tuple[int, str]


def run_league(
    settings: LeagueSettings,
    out: str | Path,
    *,
    source: str | None = None,
    jobs: int = 1,
    say: Callable[[str], None] = print,
) -> League:
    """Measure a league, or what is left of it, and write it into a folder.

    Args:
        settings: what to measure.
        out: the folder.
        source: the model, as `workbench.models.load.load` takes it; None for the built-in one.
        jobs: processes, one thread each; with 1 everything runs in this process.
        say: called with a line now and then.

    Raises:
        InputError: if the folder holds another league's journal.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"jobs={jobs!r}", "at least one process")
    folder = Path(out).expanduser()
    header = {"settings": settings.to_dict(), "model": fingerprint(source)}
    if _finished(folder, header):
        say(f"{folder} holds this very league, finished; remove {ABOUT} to measure it again")
        return read_league(folder)
    journal = Journal(folder, header)
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


def fingerprint(source: str | None) -> dict[str, Any]:
    """Name of a model and the hash of its weights where they lie in a folder here."""
    from ..data import data_path

    folder = data_path("nano") if source is None else Path(source).expanduser()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    digest = hashlib.sha256(b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files)).hexdigest()
    return {
        "name": folder.name if source is None or files else source,
        "weights": digest[:16] if files else None,
    }


def _load(source: str | None) -> Any:
    from ..models.load import load

    return load() if source is None else load(source)


def _in_this_process(
    settings: LeagueSettings, source: str | None, left: Sequence[Unit], jobs: int
) -> Iterator[tuple[Unit, list[dict[str, Any]]]]:
    import torch

    vlm, threads = _load(source), torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        for number, mode in left:
            yield (number, mode), measure(vlm, settings, number, mode)
    finally:
        torch.set_num_threads(threads)


_VLM: Any = None  # a worker process's model


def _begin(source: str | None) -> None:
    import torch

    global _VLM
    torch.set_num_threads(THREADS)
    _VLM = _load(source)


def _measure(settings: LeagueSettings, unit: Unit) -> list[dict[str, Any]]:
    return measure(_VLM, settings, *unit)


def _in_processes(
    settings: LeagueSettings, source: str | None, left: Sequence[Unit], jobs: int
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
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (folder / ROWS).is_file() and {key: about.get(key) for key in header} == header


def _write(folder: Path, journal: Journal, header: dict[str, Any], *, seconds: float, jobs: int) -> League:
    """Rows, table and provenance; the provenance last, and only then the journal goes."""
    import pandas as pd

    from ..train.card import hardware

    rows = pd.DataFrame(journal.rows())
    write_file(folder / ROWS, rows.to_csv(index=False, float_format="%.5g").encode())
    rows = pd.read_csv(folder / ROWS)  # the table is what these very rows say
    table = standings(rows)
    write_file(folder / TABLE, table.to_csv(index=False, float_format="%.4g").encode())
    about = {
        **header,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "jobs": jobs,
        "seconds": round(seconds, 1),
        "commit": _commit(),
        "again": "python -m workbench.interpret.league --out data/league",
    }
    write_file(folder / ABOUT, (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
    journal.remove()
    return League(table, rows, about)


def _commit() -> str | None:
    """The checkout's commit; None for an installed package."""
    place = Path(__file__).parent
    done = subprocess.run(
        ["git", "-C", str(place), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None if done.returncode == 0 else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments and run."""
    usual = LeagueSettings()
    parser = argparse.ArgumentParser(prog="python -m workbench.interpret.league", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the league, for instance data/league"
    )
    parser.add_argument("--n", type=int, default=usual.n, help="questions; each is asked in every mode")
    parser.add_argument(
        "--methods", nargs="+", default=list(usual.methods), help=f"of {', '.join((*METHODS, SINK))}"
    )
    parser.add_argument(
        "--families", nargs="+", default=list(usual.families), help="of workbench.synth.FAMILIES"
    )
    parser.add_argument("--modes", nargs="+", default=list(usual.modes))
    parser.add_argument("--regions", nargs=2, type=int, default=usual.regions, metavar=("ROWS", "COLS"))
    parser.add_argument("--steps", type=int, default=usual.steps, help="points of a curve")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--model", help="a model's folder or name; the built-in one if not given")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    given = parser.parse_args(arguments)
    settings = LeagueSettings(
        n=given.n,
        seed=given.seed,
        methods=tuple(given.methods),
        families=tuple(given.families),
        modes=tuple(given.modes),
        regions=tuple(given.regions),
        steps=given.steps,
    )
    league = run_league(
        settings, given.out, source=given.model, jobs=given.jobs, say=lambda line: print(line, flush=True)
    )
    print("\n".join(league.findings))


if __name__ == "__main__":
    main()
