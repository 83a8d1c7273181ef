"""The front door stays light, its names resolve, and no room imports one above it."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import workbench

PACKAGE = Path(workbench.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)

# Which rooms a room may import, besides itself. The front door (workbench/__init__.py) is not a room.
BASE = {
    "answer",
    "attention",
    "errors",
    "files",
    "images",
    "plugins",
    "progress",
    "stats",
    "terminal",
    "types",
}
BELOW = {
    "errors": set(),
    "types": {"errors"},
    "files": {"errors"},
    "images": {"errors", "types"},
    "stats": {"errors"},
    "plugins": {"errors"},
    "progress": set(),
    "terminal": {"errors"},
    "attention": {"errors", "types"},
    "answer": {"errors", "types", "images", "attention"},
    "models": BASE,
    "synth": BASE,
    "train": BASE | {"models", "synth"},
    "bench": BASE | {"models", "synth", "train"},
    "interpret": BASE | {"models", "synth", "train"},
    "ablate": BASE | {"models", "synth", "train", "bench"},
    "viz": BASE | {"models", "synth", "train", "bench", "interpret", "ablate"},
    "ui": BASE | {"models", "synth", "train", "bench", "interpret", "ablate", "viz", "front door"},
    "contracts": BASE | {"models", "synth", "train", "bench", "interpret", "ablate", "viz"},
    "cli": BASE | {"models", "synth", "train", "bench", "interpret", "ablate", "viz", "front door"},
}


def room(parts: list[str]) -> str:
    """The room of a module path below the package: ``["models", "load"]`` is in "models"."""
    return parts[0] if parts and parts[0] != "__init__" else "front door"


def imported_rooms(source: str, module: list[str]) -> set[str]:
    """Rooms that a module's source imports anywhere, inside functions and for type checking too."""
    package, rooms = module[:-1], set()
    for node in ast.walk(ast.parse(source)):
        targets: list[list[str]] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            targets = [name[1:] for name in names if name[0] == "workbench"]
        elif isinstance(node, ast.ImportFrom):
            path = node.module.split(".") if node.module else []
            if node.level:
                start = package[: len(package) - node.level + 1]
                path = [*start, *path]
            elif path[:1] == ["workbench"]:
                path = path[1:]
            else:
                continue
            # "from . import errors" names a room with its alias
            targets = [path] if path else [[alias.name] for alias in node.names]
        rooms |= {room(target) for target in targets}
    return {name if name in BELOW else "front door" for name in rooms}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_what_lies_below(path: Path) -> None:
    module = list(path.relative_to(PACKAGE).with_suffix("").parts)
    home = room(module)
    if home == "front door":
        return
    assert home in BELOW, f"{home} has no place in the order of rooms: give it one in tests/test_imports.py"
    above = imported_rooms(path.read_text(encoding="utf-8"), module) - BELOW[home] - {home}
    assert not above, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(above))}, above {home}"


@pytest.mark.parametrize(
    ("source", "module", "rooms"),
    [
        ("from ..errors import InputError", ["models", "load"], {"errors"}),
        ("from ...types import Mode", ["models", "families", "base"], {"types"}),
        ("from .layout import f", ["models", "load"], {"models"}),
        ("def f():\n    from ..viz import plot", ["models", "load"], {"viz"}),
        ("import workbench.ui.chat", ["models", "load"], {"ui"}),
        ("from .. import load, errors", ["viz", "plot"], {"front door", "errors"}),
        ("import workbench", ["viz", "plot"], {"front door"}),
        ("import torch\nfrom torch import nn", ["viz", "plot"], set()),
    ],
)
def test_imports_are_read_as_python_reads_them(source: str, module: list[str], rooms: set[str]) -> None:
    assert imported_rooms(source, module) == rooms


def fresh(code: str) -> str:
    """What a new interpreter prints for some code."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "import workbench",
        "import workbench.cli",
        "from workbench import Answer, Mode, data_path, errors, types",
        "import workbench; dir(workbench); hasattr(workbench, 'nothing')",
    ],
)
def test_the_front_door_imports_neither_torch_nor_transformers(statement: str) -> None:
    heavy = "{'torch', 'transformers', 'matplotlib', 'pandas', 'captum'} & set(sys.modules)"
    assert fresh(f"import sys\n{statement}\nprint({heavy} or 'light')") == "light"


@pytest.mark.parametrize("name", workbench.__all__)
def test_every_name_of_the_front_door_resolves(name: str) -> None:
    value = getattr(workbench, name)
    assert value is not None
    assert name in dir(workbench)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = workbench.nothing_of_that_name


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_exports_what_it_says(path: Path) -> None:
    parts = [part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"]
    module = importlib.import_module(".".join(["workbench", *parts]))
    missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
    assert not missing
    assert module.__doc__, "a module says in its docstring what it is for"
