"""What every widget has: its files, a form without a kernel, and a page written whole."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import WorkbenchError
from ..files import write_bytes
from ..html import page

__all__ = ["STATIC_VARIABLE", "HasStatic", "asset", "in_words", "page_alone", "static_only", "write"]


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


def page_alone(title: str, *, module: str, style: str, data: dict[str, Any]) -> str:
    """A page on which a widget works without a kernel, for widgets that never need one.

    Args:
        title: text.
        module: the widget's JavaScript, whose ``open(element, data)`` starts it.
        style: its style sheet.
        data: what it shows, as JSON values.
    """
    # "<" is written as an escape, so that no text can end the element that holds it
    told = json.dumps(data).replace("<", "\\u003c")
    code = module.replace("export default { render };", "").replace("export ", "")
    look = f"{style}\nbody {{ background: Canvas; color: CanvasText; color-scheme: light dark; }}"
    script = f"{{ {code}\nopen(document.getElementById('here'), {told}); }}"
    return page(title, '<div id="here"></div>', style=look, script=script)


def in_words(error: Exception, doing: str) -> str:
    """What stopped a thread or a view's request, for the view: nobody else would tell of it.

    Args:
        error: whatever was raised, by a library below too.
        doing: what failed, for an error that does not say it itself.
    """
    if isinstance(error, WorkbenchError):
        return str(error)
    return f"{doing} failed: {type(error).__name__}: {error}"


def write(path: str | Path, text: str) -> Path:
    """Write a page whole or not at all.

    Raises:
        DiskError: if it cannot be written there.
    """
    return write_bytes(path, text.encode("utf-8", "replace"))  # half a surrogate pair cannot be written
