"""What every widget has: its files, a form without a kernel, and a page written whole."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..files import write_bytes

__all__ = ["STATIC_VARIABLE", "HasStatic", "asset", "static_only", "write"]


STATIC_VARIABLE = "WORKBENCH_STATIC"
"""Set this environment variable to 1, and every widget shows its static form."""


def static_only() -> bool:
    """Whether widgets are to show their static form; read anew each time."""
    return os.environ.get(STATIC_VARIABLE, "").lower() not in ("", "0", "false", "no")


class HasStatic:
    """A widget whose static form stands in its place where `STATIC_VARIABLE` asks for that."""

    def static(self) -> str:
        """What is shown now, as HTML that needs no kernel."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if static_only():
            return {"text/html": self.static(), "text/plain": str(self)}
        return super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]


def asset(name: str) -> str:
    """The text of a file in ``ui/assets``."""
    return (files("workbench.ui") / "assets" / name).read_text(encoding="utf-8")


def write(path: str | Path, text: str) -> Path:
    """Write a page whole or not at all.

    Raises:
        DiskError: if it cannot be written there.
    """
    return write_bytes(path, text.encode("utf-8", "replace"))  # half a surrogate pair cannot be written
