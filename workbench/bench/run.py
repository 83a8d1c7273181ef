"""`run`: ask a model every item of some tasks in every mode, and keep each reply the moment it comes.

A run has a folder: what was asked, the replies, the images, and the results made from them.  What is
answered already is not asked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import reprlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError, ModeError
from ..files import local_path, locked, write_bytes
from ..journal import Journal
from ..models.generate import Settings
from ..models.load import load
from ..names import verb
from ..terminal import time_words
from ..types import ImageLike, Mode
from .engines import Asking, Replies, Reply, ask_at_once, ask_in_batches, ask_on_cluster
from .results import Results, table_of, without_strangers_paths
from .scoring import SCORING, score
from .store import Cache, asking_key, cache_home, is_remote, model_fingerprint, seal
from .tasks.catalog import resolve
from .tasks.field import unlike_published
from .tasks.task import Item, Task, keep_picture
from .thoughts import check_thought_tests, read_thoughts, try_thoughts

__all__ = [
    "MODES",
    "Progress",
    "control_of",
    "in_good_order",
    "modes_of",
    "open_run",
    "planned",
    "run",
    "wanted_again",
    "write_items",
]


FORMAT = {"format": "workbench.bench.run", "version": 1}
NAME = "run.jsonl"
PICTURES = "pictures"


def write_items(
    folder: Path,
    tasks: Sequence[Task],
    askings: Sequence[Asking],
    *,
    about: Mapping[str, Any],
    warnings: Sequence[str],
    protocol: str,
) -> None:
    """Write down what a run asks, and its pictures: its results then need neither the tasks nor the model."""
    by_name = {task.name: task for task in tasks}
    header = {
        **FORMAT,
        "about": {
            **about,
            "tasks": {t.name: {"version": t.version, "origin": t.origin, "chance": t.chance} for t in tasks},
        },
        "warnings": list(warnings),
        "protocol": protocol,
    }
    lines = [header]
    kept: dict[tuple[str, str], list[str]] = {}
    for asking in askings:
        task, item = by_name[asking.task], asking.item
        if (task.name, item.id) not in kept:
            kept[task.name, item.id] = [
                _kept(picture, digest, folder)
                for picture, digest in zip(item.images, item.digests(), strict=True)
            ]
        lines.append(
            {
                "key": asking.key,
                "benchmark": task.name,
                "version": task.version,
                "item": item.id,
                "mode": asking.mode,
                "control": asking.blind,
                "question": asking.question,
                "gold": item.gold,
                "cluster": item.cluster,
                "category": item.category,
                "images": kept[task.name, item.id],
                "scorer": task.scorer,
                "details": {**item.scoring, **_evidence(item)},
            }
        )
    header["seal"] = seal(ref for refs in kept.values() for ref in refs)
    write_bytes(
        folder / NAME,
        ((json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass") for line in lines),
    )


def _kept(picture: ImageLike, digest: str, folder: Path) -> str:
    path = keep_picture(picture, digest, folder / PICTURES)
    return path if Path(path).is_absolute() else f"{PICTURES}/{path}"


def _evidence(item: Any) -> dict[str, Any]:
    evidence: dict[str, Any] = {}
    if item.boxes:
        evidence["boxes"] = [list(box) for box in item.boxes]
    if item.image:
        evidence["picture"] = item.image
    if item.size:
        evidence.setdefault("image_size", list(item.scoring.get("image_size", item.size)))
    return evidence


@verb(rules="protocol")
def open_run(folder: str | Path, *, protocol: str | None = None) -> Results:
    """The results of a run so far, finished or not; needs neither its tasks nor its model.

    Args:
        folder: of the run.
        protocol: of scoring; None for the one that the run was made with.

    Raises:
        InputError: if there is no run in the folder, or it is damaged.
    """
    place = local_path(folder)
    header, items = _read_items(place)
    journal = Journal(place / "journal.jsonl")
    chosen = protocol or header["protocol"]
    rows, unasked, failed = [], 0, []
    for entry in items:
        reply = journal.entries.get(entry["key"])
        if reply is None:
            unasked += 1
            continue
        if "error" in reply:
            failed.append(f"{entry['benchmark']}/{entry['item']} in mode {entry['mode']}: {reply['error']}")
        rows.append(_row(entry, reply, header["about"], chosen))
    warnings = list(header["warnings"])
    if unasked:
        warnings.append(f"not asked yet: {unasked} of {len(items)}; the same call of run goes on")
    if failed:
        warnings.append(f"failed: {len(failed)} of {len(items)} could not be asked (the first: {failed[0]})")
    table = table_of(rows) if rows else pd.DataFrame(columns=["benchmark", "item", "mode"])
    table, lost = without_strangers_paths(table, header.get("seal"))
    warnings += lost
    about = {**header["about"], "folder": str(place)}
    if about.get("thought_tests") and (thoughts := read_thoughts(place)) is not None:
        about["thoughts"] = thoughts
    return Results.of(table, folder=place, warnings=warnings, about=about)


def _read_items(place: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        with (place / NAME).open(encoding="utf-8", errors="surrogatepass") as file:
            lines: Iterator[Any] = (json.loads(line) for line in file)
            header = next(lines, None)
            if not isinstance(header, dict) or {k: header.get(k) for k in FORMAT} != FORMAT:
                raise InputError(f"{str(place / NAME)!r} has another format", f"{FORMAT}")
            header.setdefault("protocol", header.get("rules"))  # as runs were saved before
            return header, list(lines)
    except OSError as error:
        raise InputError(
            f"no run in {str(place)!r}: {error.strerror}",
            "a folder that workbench.bench.run wrote",
            "check folder=",
        ) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{str(place / NAME)!r} is damaged: {error}", "a run's items", "make the same call of run again"
        ) from None


def _row(
    entry: Mapping[str, Any], reply: Mapping[str, Any], about: Mapping[str, Any], protocol: str
) -> dict[str, Any]:
    """A row of the table: what was asked, the reply, and its score."""
    names = ("benchmark", "version", "item", "mode", "control", "question", "cluster", "category", "images")
    row: dict[str, Any] = {name: entry[name] for name in names}
    gold = entry["gold"]
    row.update(
        gold=gold if isinstance(gold, str) else json.dumps(gold, ensure_ascii=False),
        harness="workbench",
        model=about["model"],
        protocol=protocol,
        details={**entry["details"], "scorer": entry["scorer"]},
    )
    if "error" in reply:
        return {**row, "response": None, "value": math.nan, "why": f"not asked: {reply['error']}"}
    told = (
        "thought",
        "stopped",
        "created",
        "prompt_tokens",
        "image_tokens",
        "thought_tokens",
        "answer_tokens",
    )
    row.update({name: reply[name] for name in (*told, "seconds", "seconds_to_first_token", "p_think")})
    row["details"] |= {"at_once": reply["at_once"], "cached": bool(reply.get("cached"))}
    row["response"] = reply["text"]
    return {**row, **_scored(entry, reply["text"], protocol)}


def _scored(entry: Mapping[str, Any], text: str, protocol: str) -> dict[str, Any]:
    item = {name: value for name, value in entry["details"].items() if name in SCORING}
    made = score(
        entry["scorer"],
        text,
        gold=entry["gold"],
        protocol=protocol,
        **{"category": entry["category"], **item},
    )
    return {"value": made.value, "parsed": made.parsed, "why": made.why}


#: What ``blind=`` takes -> the ``control`` of the rows.
CONTROLS = {False: "", None: "", "": "", True: "blind", "blind": "blind", "grey": "grey"}


def control_of(blind: bool | str | None) -> str:
    """How the picture is withheld: "" (not at all), "blind" (no picture) or "grey" (a grey one of its size).

    Raises:
        InputError: for anything else.
    """
    if blind not in CONTROLS:
        raise InputError(f"blind={blind!r}", "False, True or 'blind' (no picture), or 'grey'")
    return CONTROLS[blind]


def modes_of(vlm: Any, modes: Sequence[str | Mode]) -> tuple[tuple[str, ...], list[str]]:
    """The modes that are asked in, and a warning for each that the model does not have.

    Raises:
        ModeError: for a mode that does not exist, or if the model has none of them.
    """
    asked = tuple(
        dict.fromkeys(Mode.of(mode).value for mode in ([modes] if isinstance(modes, str) else modes))
    )
    there = {Mode.of(mode).value for mode in vlm.modes}
    kept = tuple(mode for mode in asked if mode in there)
    if not kept:
        raise ModeError(
            f"modes={asked!r} for {vlm.name}",
            f"at least one of {', '.join(sorted(there))}",
            "choose modes= among them",
        )
    return kept, [
        f"mode {mode!r}: {vlm.name} does not have it; not asked" for mode in asked if mode not in there
    ]


def planned(
    tasks: Sequence[Task], modes: Sequence[str], *, model: str, control: str, settings: Settings
) -> list[Asking]:
    """All askings, in the order of the tables: task, item, mode."""
    askings = []
    for task in tasks:
        for item in task.items:
            question = task.asked(item)
            shown = [] if control == "blind" else [f"{control}:{digest}" for digest in item.digests()]
            for mode in modes:
                options = _options(settings, item, mode)
                key = asking_key(model, question, shown, mode, options)
                askings.append(Asking(key, task.name, item, question, mode, control, options))
    return askings


def _options(settings: Settings, item: Item, mode: str) -> dict[str, Any]:
    """Arguments of ``ask`` for one item.  A sampled reply has its own seed, whatever is asked beside it."""
    options = settings.to_dict()
    if settings.temperature > 0:
        told = f"{settings.seed or 0}/{item.id}/{mode}".encode()
        options["seed"] = int.from_bytes(hashlib.sha256(told).digest()[:6])
    return options


def wanted_again(again: bool | str | Iterable[str], askings: Sequence[Asking]) -> set[str]:
    """Keys of what is asked anew although it is answered: all (True), or items by id or "task/id".

    Raises:
        InputError: for an item that is not there.
    """
    if isinstance(again, bool):
        return {asking.key for asking in askings} if again else set()
    names = {again} if isinstance(again, str) else set(again)
    keys = {a.key for a in askings if names & {a.item.id, f"{a.task}/{a.item.id}"}}
    if missing := names - {n for a in askings for n in (a.item.id, f"{a.task}/{a.item.id}")}:
        raise InputError(f"again={sorted(missing)[0]!r}", "ids of items of these tasks, or 'task/id'")
    return keys


def in_good_order(askings: Iterable[Asking]) -> list[Asking]:
    """What has to be asked, each once, so that neighbours cost alike: task, mode, then pictures and length.

    A batch takes as long as its longest prompt and reply.
    """
    unique: dict[str, Asking] = {}
    places: dict[tuple[str, str], int] = {}
    for asking in askings:
        unique.setdefault(asking.key, asking)
        places.setdefault((asking.task, asking.mode), len(places))

    def cost(asking: Asking) -> tuple[int, int, int, int]:
        width, height = asking.item.size or (0, 0)
        place = places[(asking.task, asking.mode)]
        return (place, len(asking.item.images), width * height, len(asking.question))

    return sorted(unique.values(), key=cost)


class Progress:
    """A bar with the time left, reckoned by task and mode: a thought takes many times a direct reply.

    Args:
        waiting: what is to be asked.
        done: how many are answered already.
        show: whether to show the bar.
    """

    def __init__(self, waiting: Sequence[Asking], done: int, *, show: bool) -> None:
        from tqdm.auto import tqdm

        self._left = Counter((a.task, a.mode) for a in waiting)
        self._spent: dict[tuple[str, str], list[float]] = {}
        self._last = time.perf_counter()
        shape = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        self._bar = tqdm(
            total=len(waiting) + done,
            initial=done,
            disable=not show,
            unit="reply",
            bar_format=shape,
            desc="benchmark",
        )

    def note(self, replies: Sequence[Asking]) -> None:
        """Replies came; the time since the last ones is theirs."""
        now = time.perf_counter()
        each = (now - self._last) / max(1, len(replies))
        self._last = now
        for asking in replies:
            group = (asking.task, asking.mode)
            self._left[group] -= 1
            spent = self._spent.setdefault(group, [0.0, 0.0])
            spent[0] += each
            spent[1] += 1
        self._bar.set_postfix_str(f"{time_words(self.seconds_left())} left", refresh=False)
        self._bar.update(len(replies))

    def seconds_left(self) -> float:
        """Seconds until the last reply, from what each task and mode took so far.

        A task that has not begun in some mode is taken to cost what that mode costs elsewhere; a mode that
        has not begun, what the average reply costs.
        """
        total = [sum(s) for s in zip(*self._spent.values())] or [0.0, 0.0]
        left = 0.0
        for (task, mode), n in self._left.items():
            of_mode = [sum(s) for s in zip(*(v for (_, m), v in self._spent.items() if m == mode))]
            spent = self._spent.get((task, mode)) or of_mode or total
            left += n * spent[0] / max(1.0, spent[1])
        return left

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


MODES = ("auto", "think", "nothink")


@verb("modes", rules="protocol")
def run(
    vlm: Any,
    tasks: str | Task | Iterable[str | Task],
    *,
    modes: Sequence[str | Mode] = MODES,
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
    engine: str = "local",
    protocol: str = "workbench",
    thought_tests: str | Sequence[str] = (),
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
        engine: "local", or "ray" to share the items out over a Ray cluster (see `workbench.bench.engines`).
        protocol: of scoring; `rescore` changes them later without asking again.
        thought_tests: tests of `workbench.interpret.thought_faithfulness`, made on the replies that thought
            ("early_answering" is cheap); told in the `report` and in ``results.about["thoughts"]``.
        progress: show a bar with the time left.

    Returns:
        One row per item and mode.  Items that could not be asked are rows without a value, counted in
        ``.warnings``; the next call asks them again.

    Raises:
        InputError: for an unknown task, setting, or item in ``again``; ModeError for a mode.
        WorkbenchError: when 25 items in a row fail (ServerError, of a server); one alone is a row without a
            value.
        KeyboardInterrupt: after Ctrl-C, with a note that says what is kept.

    Example:
        >>> results = run(workbench.load(), "synth:chain@2", folder="runs/chain")  # doctest: +SKIP
    """
    engine = _checked_engine(engine, batch_size=batch_size, workers=workers)
    settings = Settings(max_tokens, thinking_budget, temperature, seed)
    vlm = _model(vlm)
    chosen = [entry.head(limit) for entry in resolve(tasks)]
    tests = check_thought_tests(thought_tests, blind=control_of(blind))
    kept_modes, warnings = modes_of(vlm, modes)
    warnings = [*warnings, *filter(None, map(unlike_published, chosen if limit is None else ()))]
    model = model_fingerprint(vlm)
    askings = planned(chosen, kept_modes, model=model, control=control_of(blind), settings=settings)
    anew = wanted_again(again, askings)
    place = local_path(folder) if folder is not None else _own_folder(vlm, model, askings)
    about = {"model": vlm.name, "source": vlm.source, "fingerprint": model, "settings": settings.to_dict()}
    about |= {"thought_tests": list(tests)} if tests else {}
    with locked(place):
        write_items(place, chosen, askings, about=about, warnings=warnings, protocol=protocol)
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
        if tests:
            try_thoughts(vlm, open_run(place), tests, batch_size=batch_size, progress=progress)
    return open_run(place, protocol=protocol)


def _checked_engine(engine: str, **counts: int) -> str:
    """The engine's name, and counts that are some."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}", "a whole number, at least 1")
    engine = {"here": "local"}.get(engine, engine)  # its name before
    if engine not in ("local", "ray"):
        raise InputError(f"engine={engine!r}", "'local' or 'ray'")
    return engine


def _model(vlm: object) -> Any:
    if isinstance(vlm, (str, os.PathLike)):
        return load(vlm, progress=False)
    if not hasattr(vlm, "modes"):  # any object that asks as `Model` does will do
        raise InputError(f"vlm={reprlib.repr(vlm)}", "a model of workbench.load(...), or what that takes")
    return vlm


def _own_folder(vlm: Any, model: str, askings: Sequence[Asking]) -> Path:
    told = hashlib.sha256(json.dumps([a.key for a in askings]).encode()).hexdigest()[:12]
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in vlm.name)
    return cache_home() / "runs" / f"{name}-{model[:6]}-{told}"


def _cache_folder(cache: bool | str | Path) -> Path | None:
    if isinstance(cache, bool):
        return cache_home() / "replies" if cache else None
    return local_path(cache)


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


def _engine(vlm: object, engine: str, *, batch_size: int, workers: int) -> Callable[[list[Asking]], Replies]:
    if engine == "ray":
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
