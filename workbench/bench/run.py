"""`run`: ask a model every item of some tasks in every mode, and keep each reply the moment it comes"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models.control import Settings
from ..types import Mode
from .cache import Cache, cache_home, is_remote, model_fingerprint
from .engines import Asking, Replies, Reply, ask_at_once, ask_in_batches
from .journal import Journal, only_writer
from .plan import control_of, in_good_order, modes_of, planned, wanted_again
from .progress import Progress
from .records import Results
from .run_folder import open_run, write_items
from .tasks.catalog import resolve
from .tasks.field import unlike_published
from .tasks.task import Task

__all__ = ["MODES", "open_run", "run"]

MODES = ("auto", "think", "nothink")


def run(
    vlm: Any,
    tasks: str | Task | Iterable[str | Task],
    modes: Sequence[str | Mode] = MODES,
    *,
    folder: str | Path | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    thinking_budget: int | None = None,
    temperature: float = 0.0,
    seed: int | None = None,
    batch_size: int = 8,
    workers: int = 8,
    blind: bool | str = False,
    again: bool | str | Iterable[str] = False,
    cache: bool | str | Path = True,
    engine: str = "here",
    rules: str = "workbench",
    progress: bool = True,
) -> Results:
    """Ask every item of some tasks in every mode, and score the replies.

    Every reply is on disk the moment it comes.  A run that ends early, by Ctrl-C, a killed process or a
    server that is down, goes on where it stopped when the same call is made again: nothing is lost and
    nothing asked twice.  ``open_run(folder)`` shows what there is meanwhile.

    Args:
        vlm: a model from `workbench.load`, on a server or here, or what `workbench.load` takes ("nano").
        tasks: names (see `task_names`) and `Task` objects, one or several.
        modes: how to ask; a mode that the model lacks is left out with a warning.
        folder: where the run lies; None for one under `cache_home`, by model, tasks and settings.  It shows
            what the latest call asked; replies of earlier calls stay in its journal.
        limit: only the first items of each task.
        max_tokens, thinking_budget, temperature, seed: as for ``vlm.ask``.  Each item has its own seed.
        batch_size: questions at a time, of a model here.
        workers: requests at a time, to a server; or how many copies of the model, on a Ray cluster.
        blind: True or "blind" asks without the picture, "grey" with a grey one of its size: what can be
            answered so needs no picture (the rows' ``control`` says it).
        again: items to ask anew although they are answered: ids, or True for all.
        cache: keep replies across runs and take them from there: True for `cache_home`, a folder, or False.
        engine: "here", or "ray" to share the items out over a Ray cluster (see `workbench.bench.cluster`).
        rules: whose scoring rules; `rescore` changes them later without asking again.
        progress: show a bar with the time left.

    Returns:
        One row an item and mode.  Items that could not be asked are rows without a value, counted in
        ``.warnings``; the next call asks them again.

    Raises:
        InputError: for an unknown task, setting, or item in ``again``; ModeError for a mode.
        ServerError: when a server fails several times in a row.
        KeyboardInterrupt: after Ctrl-C, with a note that says what is kept.

    Example:
        >>> results = run(workbench.load(), "synth:chain@2", folder="runs/chain")  # doctest: +SKIP
    """
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}", "a whole number, at least 1")
    if engine not in ("here", "ray"):
        raise InputError(f"engine={engine!r}", "'here' or 'ray'")
    settings = Settings(max_tokens, thinking_budget, temperature, seed)
    vlm = _model(vlm)
    chosen = [entry.head(limit) for entry in resolve(tasks)]
    kept_modes, warnings = modes_of(vlm, modes)
    warnings = [*warnings, *filter(None, map(unlike_published, chosen if limit is None else ()))]
    model = model_fingerprint(vlm)
    askings = planned(chosen, kept_modes, model=model, control=control_of(blind), settings=settings)
    anew = wanted_again(again, askings)
    place = Path(folder).expanduser() if folder is not None else _own_folder(vlm, model, askings)
    about = {"model": vlm.name, "source": vlm.source, "fingerprint": model, "settings": settings.to_dict()}
    with only_writer(place):
        write_items(place, chosen, askings, about=about, warnings=warnings, rules=rules)
        journal, kept = Journal(place / "journal.jsonl"), Cache(_cache_folder(cache), model)
        try:
            _from_cache(askings, journal, kept, anew)
            waiting = in_good_order(a for a in askings if a.key in anew or not _answered(journal, a.key))
            replies = _engine(vlm, engine, batch_size=batch_size, workers=workers)(waiting)
            _take(replies, waiting, journal, kept, of=len({a.key for a in askings}), progress=progress)
        except KeyboardInterrupt as stopped:
            stopped.add_note(_kept_note(askings, journal, place))
            raise
        finally:
            journal.close()
            kept.close()
    return open_run(place, rules=rules)


def _model(vlm: Any) -> Any:
    if isinstance(vlm, (str, os.PathLike)):
        from ..models.load import load

        return load(vlm, progress=False)
    return vlm


def _own_folder(vlm: Any, model: str, askings: Sequence[Asking]) -> Path:
    told = hashlib.sha256(json.dumps([a.key for a in askings]).encode()).hexdigest()[:12]
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in vlm.name)
    return cache_home() / "runs" / f"{name}-{model[:6]}-{told}"


def _cache_folder(cache: bool | str | Path) -> Path | None:
    if isinstance(cache, bool):
        return cache_home() / "replies" if cache else None
    return Path(cache).expanduser()


def _answered(journal: Journal, key: str) -> bool:
    entry = journal.entries.get(key)
    return entry is not None and "error" not in entry


def _from_cache(askings: Sequence[Asking], journal: Journal, cache: Cache, anew: set[str]) -> None:
    """Bring replies of earlier runs into the journal."""
    found = {}
    for asking in askings:
        if asking.key not in anew and not _answered(journal, asking.key) and (entry := cache.get(asking.key)):
            found[asking.key] = {**entry, **_names(asking), "cached": True}
    journal.append(found.values())


def _names(asking: Asking) -> dict[str, Any]:
    """What makes a line of the journal readable; the key alone identifies it."""
    return {
        "key": asking.key,
        "task": asking.task,
        "item": asking.item.id,
        "mode": asking.mode,
        "control": asking.blind,
    }


def _engine(vlm: Any, engine: str, *, batch_size: int, workers: int) -> Callable[[list[Asking]], Replies]:
    if engine == "ray":
        from .cluster import ask_on_cluster

        return lambda askings: ask_on_cluster(vlm, askings, batch_size=batch_size, workers=workers)
    if is_remote(vlm):
        return lambda askings: ask_at_once(vlm, askings, workers=workers)
    return lambda askings: ask_in_batches(vlm, askings, batch_size=batch_size)


def _take(
    replies: Replies,
    waiting: list[Asking],
    journal: Journal,
    cache: Cache,
    *,
    of: int,
    progress: bool,
) -> None:
    """Every reply goes to the disk before the next is looked at."""
    if not waiting:
        return
    with Progress(waiting, of - len(waiting), show=progress) as bar:

        def keep(some: list[Reply]) -> None:
            entries = [{**_names(asking), **fields} for asking, fields in some]
            new = [entry for entry in entries if journal.entries.get(entry["key"]) != entry]
            journal.append(new)
            cache.add(new)
            bar.note([asking for asking, _ in some])

        some: list[Reply] = []
        try:
            for some in replies:
                keep(some)
        except KeyboardInterrupt as stopped:  # it may have come while these were being written
            keep(some)
            with contextlib.suppress(StopIteration, KeyboardInterrupt):
                keep(replies.throw(stopped))
            raise


def _kept_note(askings: Sequence[Asking], journal: Journal, place: Path) -> str:
    answered = sum(_answered(journal, asking.key) for asking in askings)
    return (
        f"{answered} of {len(askings)} replies are kept in {place}; the same call goes on from there, and "
        f"workbench.bench.open_run({str(place)!r}) shows them."
    )
