"""What a run has to ask: every item of every task in every mode, minus what is answered already"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InputError, ModeError
from ..models.control import Settings
from ..types import Mode
from .cache import asking_key
from .engines import Asking
from .tasks.task import Item, Task

__all__ = ["control_of", "in_good_order", "modes_of", "planned", "wanted_again"]

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
