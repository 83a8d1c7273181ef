"""Tables that other packages can add to: model families, attribution methods, scorers, tasks, ...

A package of yours adds an entry in one of two ways: it calls the table's ``register...`` function when
it is imported, or it names itself in the entry-point group ``vlm_workbench.plugins``, and is then loaded
when a table is first read::

    [project.entry-points."vlm_workbench.plugins"]
    my-models = "my_package:register"      # a function without arguments, or a module that registers

A plug-in that fails is reported by its name and left out; the workbench goes on without it.
``pytest --pyargs workbench.contracts`` runs the contract tests on everything that is registered.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from .errors import InputError
from .records import closest

__all__ = ["GROUP", "Plugin", "PluginWarning", "Table", "load_plugins"]

GROUP = "vlm_workbench.plugins"
_WORKBENCH = "the workbench"  # owner of the entries that come with it
T = TypeVar("T")


class PluginWarning(UserWarning):
    """A plug-in could not be loaded; what it would have added is missing."""


@dataclass(frozen=True)
class Plugin:
    """An installed plug-in.

    Args:
        name: name of its entry point.
        package: the distribution that it comes with, and its version; "" where that is not known.
        error: why it could not be loaded; "" if it was.
    """

    name: str
    package: str
    error: str = ""


_lock = threading.RLock()  # the same thread comes back here: a plug-in reads the table that it adds to
_loaded: tuple[Plugin, ...] | None = None
_loading = ""  # name of the plug-in that is being loaded; entries made meanwhile are its own


def load_plugins() -> tuple[Plugin, ...]:
    """Load the installed plug-ins, once in a process; `Table` calls it when it is first read.

    Returns:
        All of them, also those that failed, with the reason.
    """
    global _loaded, _loading
    with _lock:
        if _loaded is None:
            _loaded = ()
            found = {(entry.name, entry.value): entry for entry in entry_points(group=GROUP)}
            for _, entry in sorted(found.items()):
                _loading = entry.name
                try:
                    _loaded += (_load(entry),)
                finally:
                    _loading = ""
        return _loaded


def _load(entry: EntryPoint) -> Plugin:
    package = "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    try:
        found = entry.load()
        if callable(found):
            found()
    except (Exception, SystemExit) as error:  # whatever a stranger's code raises
        reason = f"{type(error).__name__}: {error}"
        came_with = f" of {package}" if package else ""
        warnings.warn(
            f"The plug-in {entry.name!r}{came_with} could not be loaded and is left out ({reason}). "
            "Update it, or uninstall it.",
            PluginWarning,
            stacklevel=2,
        )
        return Plugin(entry.name, package, reason)
    return Plugin(entry.name, package)


class Table(Mapping[str, T], Generic[T]):
    """A mapping of names to entries, the workbench's own first, that plug-ins add to.

    Args:
        what: what an entry is, for messages ("family").
        built_in: the workbench's own entries; their names cannot be taken.
    """

    def __init__(self, what: str, built_in: Mapping[str, T]) -> None:
        self._what = what
        self._entries: dict[str, T] = dict(built_in)
        self._owners: dict[str, str] = dict.fromkeys(built_in, _WORKBENCH)

    def register(self, name: str, entry: T) -> T:
        """Add an entry; one that is registered again replaces the earlier one.

        Raises:
            InputError: if the name is empty, is one of the workbench's own, or (while a plug-in is
                loaded) belongs to another plug-in.
        """
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"a {self._what} with the name {name!r}", "a name")
        with _lock:
            owner = self._owners.get(name, "")
            if owner == _WORKBENCH or (_loading and owner not in ("", _loading)):
                raise InputError(
                    f"a {self._what} with the name {name!r}, which belongs to {owner}",
                    f"a name that no {self._what} has",
                    "choose another name",
                )
            self._entries[name], self._owners[name] = entry, _loading
        return entry

    def find(self, name: str) -> T:
        """The entry of a name.

        Raises:
            InputError: if there is none; the message lists the names.
        """
        load_plugins()
        if name not in self._entries:
            names = ", ".join(map(repr, self._entries))
            meant = closest(str(name), self._entries) or "choose one of these"
            raise InputError(f"{self._what}={name!r}", f"one of {names}", meant)
        return self._entries[name]

    def plugged(self) -> dict[str, T]:
        """The entries that are not the workbench's own."""
        load_plugins()
        return {name: entry for name, entry in self._entries.items() if self._owners[name] != _WORKBENCH}

    def __getitem__(self, name: str) -> T:
        load_plugins()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        load_plugins()
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        load_plugins()
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{self._what} table: {', '.join(self)}>"
