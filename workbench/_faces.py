"""Verbs of the rooms above, for records that draw and check themselves.

``answer.plot()`` draws with `workbench.viz` and ``attribution.check()`` measures with
`workbench.interpret`, but neither record imports what stands above it: `later` names the verb, and its
room is imported when the verb is called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["later"]


def later(room: str, name: str) -> Callable[..., Any]:  # Any: each verb has arguments and a result of its own
    """The verb ``name`` of ``workbench.<room>``, which is imported when the verb is called.

    Args:
        room: a room's name, such as "viz", or one of its modules.
        name: a name that stands there.
    """

    def call(*args: Any, **options: Any) -> Any:
        return getattr(import_module(f"{__package__}.{room}"), name)(*args, **options)

    return call
