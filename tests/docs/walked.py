"""Which functions of the package a piece of code calls, in the order of their first calls."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def walked() -> Iterator[list[str]]:
    """Yields a list that fills with dotted names, such as "workbench.stats.wilson"; all threads count.

    What an earlier test left in the package's caches is forgotten first: a cached call is not made again.
    """
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == "workbench"]:
        for value in list(vars(module).values()):
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()
    seen: dict[str, None] = {}
    calls: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("workbench"):
            name = f"{module}.{frame.f_code.co_qualname}"
            if name not in seen and "<" not in name:
                seen[name] = None
                calls.append(name)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
