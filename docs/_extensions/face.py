"""The directive ``face``: a room's public names as a table by kind, then each with its docstring.

The names are those of the module's ``__all__``; nothing is listed twice by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FUNCTIONS, CLASSES, VALUES = "Functions", "Records and classes", "Values"


def kind(value: object) -> str:
    """Under which heading a public name is listed."""
    if inspect.isclass(value):
        return CLASSES
    return FUNCTIONS if callable(value) else VALUES


def lines(module: ModuleType) -> Iterator[str]:
    """The page's reStructuredText: the room's docstring, its names by kind, then each name."""
    named = {name: getattr(module, name) for name in sorted(getattr(module, "__all__", ()), key=str.lower)}
    named = {name: value for name, value in named.items() if not isinstance(value, ModuleType)}
    by_kind = {title: [n for n, v in named.items() if kind(v) == title] for title in (FUNCTIONS, CLASSES)}
    yield from (f".. automodule:: {module.__name__}", "   :no-members:", "")
    yield from (f".. currentmodule:: {module.__name__}", "")
    for title, names in by_kind.items():
        if names:
            yield from (f".. rubric:: {title}", "", ".. autosummary::", "   :nosignatures:", "")
            yield from (*(f"   {name}" for name in names), "")
    if values := [f"``{name}``" for name, value in named.items() if kind(value) == VALUES]:
        yield from (f".. rubric:: {VALUES}", "", ", ".join(values), "")
    yield from (line for name in by_kind[FUNCTIONS] for line in (f".. autofunction:: {name}", ""))
    yield from (line for name in by_kind[CLASSES] for line in (f".. autoclass:: {name}", "   :members:", ""))


class Face(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = import_module(self.arguments[0])
        return self.parse_text_to_nodes("\n".join(lines(module)))


def foreign(app: Sphinx, what: str, name: str, value: object, skip: bool, options: object) -> bool | None:
    """Leave out what a class has from another package, such as Matplotlib's methods of a figure."""
    module = getattr(value, "__module__", None) or "workbench"
    return None if module.startswith(("workbench", "builtins")) else True


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("face", Face)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-skip-member", foreign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
