"""Finding a task by its name: drawn ones, the shipped suites, and benchmarks of the field"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...plugins import Table
from .drawn import SUITES, drawn_names, drawn_task, suite
from .field import FIELD, field_task
from .task import Task

__all__ = ["TASKS", "register_task", "resolve", "task", "task_names"]

TASKS: Table[Callable[..., Task]] = Table("task", {})
"""Name of a registered task -> what makes it; the workbench's own tasks are found by `task` itself."""


def register_task(name: str, make: Callable[..., Task]) -> None:
    """Add a benchmark that `task`, ``bench.run`` and the shell find by its name.

    Args:
        name: its name; not one of `task_names`, and not ``synth:...``.
        make: called with ``folder``, ``n`` and what else the user gives to `task`; returns a `Task`.

    Raises:
        InputError: for a name that is taken, or something that cannot be called.

    Example:
        >>> register_task("colours", lambda folder=None, n=None: Task("colours", items[:n], scorer="AI2D"))
    """
    if name in (*SUITES, *FIELD) or str(name).startswith("synth:"):
        raise InputError(f"a task with the name {name!r}, which the workbench has", "another name")
    if not callable(make):
        raise InputError(f"task {name!r} is made by {make!r}", "a function that returns a Task")
    TASKS.register(name, make)


def task_names() -> list[str]:
    """Names that `task` takes: the suites, the benchmarks of the field, and the drawn tasks."""
    return [*SUITES, *FIELD, *TASKS, *drawn_names()]


def task(name: str, *, folder: str | Path | None = None, n: int | None = None, **options: Any) -> Task:
    """A task by its name.

    Args:
        name: one of `task_names`, in capitals or not ("mmmu").
        folder: for a benchmark of the field, where its files lie; None fetches them from the Hub.
        n: the first ``n`` items; for a drawn task, how many to draw.
        **options: more of `workbench.bench.tasks.drawn.drawn_task` (``seed``, ``world``) or of
            `workbench.bench.tasks.field.field_task` (``revision``).

    Raises:
        InputError: for an unknown name, with those that come close.

    Example:
        >>> task("synth:chain@2", n=5)
        Task('synth:chain@2', 5 items, scorer: drawn, version: ...)
    """
    name = {known.casefold(): known for known in (*SUITES, *FIELD)}.get(name.casefold(), name)
    if name.startswith("synth:"):
        if folder is not None:
            raise InputError(f"folder={str(folder)!r} for {name!r}", "no folder: its items are drawn")
        return drawn_task(name, **({} if n is None else {"n": n}), **options)
    if name in SUITES:
        return suite(name, folder=folder, n=n, **options)
    if name in FIELD:
        return field_task(name, folder=folder, n=n, **options)
    if name in TASKS:
        made = TASKS[name](folder=folder, n=n, **options)
        if not isinstance(made, Task):
            raise InputError(f"the task {name!r} makes a {type(made).__name__}", "a workbench.bench.Task")
        return made
    near = difflib.get_close_matches(name, task_names(), n=3, cutoff=0.4)
    likely = " or ".join(near or [*SUITES, "MMStar", "synth:chain@2"])
    raise InputError(f"task {name!r}", f"a name like {likely}", "see bench.task_names()")


def resolve(tasks: str | Task | Iterable[str | Task]) -> list[Task]:
    """Tasks from names and tasks, one or several.

    Raises:
        InputError: for none, an unknown name, or two tasks of the same name.
    """
    given = [tasks] if isinstance(tasks, (str, Task)) or not isinstance(tasks, Iterable) else list(tasks)
    if wrong := [entry for entry in given if not isinstance(entry, (str, Task))]:
        raise InputError(f"tasks={reprlib.repr(wrong[0])}", "names of tasks, or Task objects")
    found = [entry if isinstance(entry, Task) else task(entry) for entry in given]
    if not found:
        raise InputError("no tasks", "at least one name or Task")
    names = [entry.name for entry in found]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two tasks of the name {doubled.pop()!r}", "each name once")
    return found
