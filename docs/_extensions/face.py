"""The directive ``face``: a room's public names as a table by kind, then each with its docstring.

The names are those of the module's ``__all__``; nothing is listed twice by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PAGES = Path(__file__).resolve().parent.parent / "reference"
FUNCTIONS, CLASSES, VALUES = "Functions", "Records and classes", "Values"
MEMBERS = {FUNCTIONS: (), CLASSES: ("   :members:",)}


def kind(value: object) -> str:
    """Under which heading a public name is listed."""
    if inspect.isclass(value):
        return CLASSES
    return FUNCTIONS if callable(value) else VALUES


def home(value: object, name: str, face: str) -> str:
    """The face on whose page a name is documented: its own room's, so that it is documented once."""
    room = ".".join(getattr(value, "__module__", face).split(".")[:2])
    if not (PAGES / f"{room.rpartition('.')[2]}.rst").is_file():
        return face
    return room if name in getattr(import_module(room), "__all__", ()) else face


def lines(module: ModuleType) -> Iterator[str]:
    """The page's reStructuredText: the room's docstring, its names by kind, then each name."""
    face = module.__name__
    named = {name: getattr(module, name) for name in sorted(getattr(module, "__all__", ()), key=str.lower)}
    named = {name: value for name, value in named.items() if not isinstance(value, ModuleType)}
    yield from (f".. automodule:: {face}", "   :no-members:", "", f".. currentmodule:: {face}", "")
    for title in (FUNCTIONS, CLASSES):
        if names := [name for name, value in named.items() if kind(value) == title]:
            homes = {name: home(named[name], name, face).removeprefix(f"{face}.") for name in names}
            yield from (f".. rubric:: {title}", "", ".. autosummary::", "   :nosignatures:", "")
            yield from (f"   {name if at == face else f'~{at}.{name}'}" for name, at in homes.items())
            yield ""
    if values := [f"``{name}``" for name, value in named.items() if kind(value) == VALUES]:
        yield from (f".. rubric:: {VALUES}", "", ", ".join(values), "")
    for title, directive in ((FUNCTIONS, "autofunction"), (CLASSES, "autoclass")):
        for name, value in named.items():
            if kind(value) == title and home(value, name, face) == face:
                yield from (f".. {directive}:: {name}", *MEMBERS[title], "")


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
