"""What a plain installation lacks, no notebook imports and no shipped file needs: `make lab` adds nothing."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
READERS = {".parquet": "pyarrow", ".safetensors": "safetensors", ".png": "pillow", ".jpg": "pillow"}


def named(name: str) -> str:
    """A distribution's name as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def plain() -> set[str]:
    """Every distribution that comes with ours when no extra is asked for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    left = [Requirement(line) for line in project["dependencies"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while left:
        wanted = left.pop()
        key = named(wanted.name), frozenset(wanted.extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            lines = requires(wanted.name) or ()
        except PackageNotFoundError:
            continue
        extras = [{"extra": extra} for extra in ("", *wanted.extras)]
        needed = map(Requirement, lines)
        left += [one for one in needed if not one.marker or any(map(one.marker.evaluate, extras))]
    return {name for name, _ in seen}


def imported(source: str) -> set[str]:
    """Top-level modules that a cell imports; its magics are left out."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    found = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_imports_what_a_plain_installation_has(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names = set().union(*(imported("".join(c["source"])) for c in cells if c["cell_type"] == "code"))
    known, there = packages_distributions(), plain()
    others = {name: known[name] for name in names - sys.stdlib_module_names - {"workbench"} if name in known}
    assert not {name for name, dists in others.items() if there.isdisjoint(map(named, dists))}


def test_what_is_shipped_can_be_read_by_a_plain_installation() -> None:
    suffixes = {path.suffix for folder in ("data", "notebooks") for path in (ROOT / folder).rglob("*.*")}
    needed = {READERS[suffix] for suffix in suffixes if suffix in READERS}
    assert "pyarrow" in needed, "the recorded runs"
    assert needed <= plain()
