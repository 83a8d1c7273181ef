#!/usr/bin/env python3
"""The numbers of the house, from its own source: modules, circles, layers, imports, functions, `Any`, words.

    python tools/house.py [PROJECT] [--json] [--fast]

What is counted:

- modules: every `.py` file under `workbench/`, a package's `__init__.py` included;
- an arrow: any import of one own module by another, at the top, inside a function or under TYPE_CHECKING.
  An import from a package counts for its `__init__`, unless the name is itself a module of it.  A module's
  arrow up into the package that holds it does not count for circles: a face gathers its own room.  A face
  that hands names on lazily has no arrows;
- a circle: modules that reach one another over such arrows;
- a hidden import: an arrow from inside a function, with the comment on its line, or above the imports it
  stands among, that gives the reason;
- a function's length: its lines from `def` to its last; docstrings and nested functions count, and methods;
- `Any`: arguments annotated with bare `Any` (not `*args` or `**kwargs`), per 1000 lines;
- modules for an answer: own modules imported once the built-in model is loaded and asked;
- import time: CPU time of `import workbench` over bare Python, the median difference of several pairs;
- words: what `tools/words.py` finds in the public signatures.

``--fast`` leaves out what runs a new interpreter or imports the package.  Standard library only.
"""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "workbench"

# Which rooms a room may import, besides itself; the front door (workbench/__init__.py) is not a room.
GROUND = {"errors", "files", "html", "images", "journal", "names", "plugins", "progress", "records", "stats"}
GROUND |= {"_faces", "provenance", "sentences", "terminal", "types"}
RECORDS = GROUND | {"answer", "attention"}
BELOW = {
    "_faces": set(),
    "errors": set(),
    "progress": set(),
    "provenance": set(),
    "plugins": {"errors", "records"},
    "terminal": {"errors"},
    "types": {"errors", "records"},
    "records": {"errors"},
    "sentences": {"types"},
    "html": {"errors"},
    "journal": {"errors", "files"},
    "names": {"errors"},
    "files": {"errors"},
    "stats": {"errors", "names"},
    "images": {"errors", "types", "files"},
    "attention": GROUND,
    "answer": GROUND | {"attention"},
    "models": RECORDS,
    "synth": RECORDS,
    "train": RECORDS | {"models", "synth"},
    "bench": RECORDS | {"models", "synth", "train"},
    "interpret": RECORDS | {"models", "synth", "train"},
    "ablate": RECORDS | {"models", "synth", "train", "bench"},
    "viz": RECORDS | {"models", "synth", "train", "bench", "interpret", "ablate"},
    "ui": RECORDS | {"models", "synth", "train", "bench", "interpret", "ablate", "viz", "front door"},
    "contracts": RECORDS | {"models", "synth", "train", "bench", "interpret", "ablate", "viz", "front door"},
    "cli": RECORDS | {"models", "synth", "train", "bench", "interpret", "ablate", "viz", "front door"},
}

ASK_ONCE = """
import sys, workbench
vlm = workbench.load()
vlm.ask(workbench.synth.sample("chain", 1, seed=0)[0].images, "How many?", max_tokens=8)
print(*sorted(name for name in sys.modules if name.split(".")[0] == "workbench"))
"""


@dataclass(frozen=True)
class Import:
    """One import of an own module: where ("top", "function" or "typing"), and the comment beside it."""

    source: str
    target: str
    where: str
    line: int
    reason: str


@dataclass(frozen=True)
class Function:
    """A function or method and its length in lines."""

    name: str
    place: str
    lines: int
    anys: int


@dataclass(frozen=True)
class House:
    """A package's source: its modules, the imports between them, its functions."""

    root: Path
    modules: dict[str, Path]
    texts: dict[str, str]
    imports: list[Import]
    functions: list[Function]

    @property
    def lines(self) -> int:
        """Lines of all modules."""
        return sum(text.count("\n") for text in self.texts.values())

    def hidden(self, where: str = "function") -> list[Import]:
        """Imports of own modules in one place: inside functions, or under TYPE_CHECKING ("typing")."""
        return [each for each in self.imports if each.where == where]

    def place(self, found: Import) -> str:
        """Where an import stands: file and line."""
        return f"{self.modules[found.source].relative_to(self.root)}:{found.line}"

    def circles(self) -> list[list[str]]:
        """Groups of modules that reach one another."""
        arrows: dict[str, set[str]] = {name: set() for name in self.modules}
        for each in self.imports:
            if not each.source.startswith(each.target + "."):
                arrows[each.source].add(each.target)
        reach = {name: reached(arrows, name) for name in arrows}
        groups = {frozenset(b for b in reach[a] if a in reach[b]) for a in arrows}
        return sorted(sorted(group) for group in groups if len(group) > 1)

    def upward(self) -> list[str]:
        """Imports that go up the order of rooms, or from a room that has no place in it."""
        found = []
        for each in self.imports:
            home, target = room(each.source), room(each.target)
            if home != "front door" and target not in BELOW.get(home, set()) | {home}:
                found.append(f"{self.place(each)}: {home} imports {each.target}")
        return found

    def anys_per_1000_lines(self) -> float:
        """Arguments annotated with bare `Any`, per 1000 lines."""
        return 1000 * sum(each.anys for each in self.functions) / max(self.lines, 1)


def read_house(root: Path) -> House:
    """Read a project's package."""
    files = sorted(path for path in (root / PACKAGE).rglob("*.py") if "_data" not in path.parts)
    modules = {}
    for path in files:
        parts = path.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules.items()}
    imports, functions = [], []
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(texts[name])
        imports += own_imports(tree, texts[name], name, package, set(modules))
        functions += own_functions(tree, str(path.relative_to(root)))
    return House(root, modules, texts, imports, functions)


def own_imports(tree: ast.AST, text: str, name: str, package: str, known: set[str]) -> Iterator[Import]:
    """Each import of an own module in a source, with the place where it stands."""
    lines = text.splitlines()
    for node, where in import_nodes(tree, "top"):
        for target in targets(node, package, known) - {name}:
            yield Import(name, target, where, node.lineno, comment(lines, node))


def import_nodes(node: ast.AST, where: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """All import statements below a node, and where they stand: "top", "function" or "typing"."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, where
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from import_nodes(child, "function")
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from import_nodes(child, "typing")
        else:
            yield from import_nodes(child, where)


def targets(node: ast.Import | ast.ImportFrom, package: str, known: set[str]) -> set[str]:
    """The own modules that an import statement names, as Python reads it."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & known
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    each = {f"{base}.{alias.name}" for alias in node.names}
    inside = each & known
    return inside if inside == each else inside | ({base} & known)


def comment(lines: list[str], node: ast.stmt) -> str:
    """The comment on a statement's lines, or above it and the imports that stand right before it."""
    beside = [line.partition("#")[2] for line in lines[node.lineno - 1 : node.end_lineno]]
    before = lines[: node.lineno - 1]
    while before and before[-1].strip().startswith(("from ", "import ")):
        before.pop()
    above = before[-1].strip() if before else ""
    reasons = [*([above[1:]] if above.startswith("#") else []), *beside]
    return " ".join(reason.strip() for reason in reasons if reason and not reason.strip().startswith("noqa"))


def own_functions(tree: ast.AST, file: str) -> Iterator[Function]:
    """Each function of a source, methods and nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            anys = sum(isinstance(a.annotation, ast.Name) and a.annotation.id == "Any" for a in given)
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(node.name, f"{file}:{node.lineno}", lines, anys)


def reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    """The modules that a module reaches over arrows."""
    seen, waiting = set(), [start]
    while waiting:
        new = arrows[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def room(module: str) -> str:
    """The room of a module: "models" for `workbench.models.load`."""
    return module.split(".")[1] if "." in module else "front door"


def fresh(code: str, root: Path | None = None) -> str:
    """What a new interpreter prints for some code, with a project's package first on its path."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def modules_for_an_answer(root: Path) -> list[str]:
    """The own modules that loading the built-in model and asking it once imports."""
    return fresh(ASK_ONCE, root).splitlines()[-1].split()


def import_seconds(root: Path, *, times: int = 11) -> float:
    """CPU seconds that `import workbench` takes over bare Python: the median difference of pairs."""

    def seconds(code: str) -> float:
        began = os.times()
        fresh(code, root)
        ended = os.times()
        return ended.children_user + ended.children_system - began.children_user - began.children_system

    return statistics.median(seconds(f"import {PACKAGE}") - seconds("pass") for _ in range(times))


def numbers(house: House, *, fast: bool) -> dict[str, float | int | str]:
    """The numbers that issue by issue should not get worse."""
    readme = (house.root / "README.md").read_text(encoding="utf-8")
    found: dict[str, float | int | str] = {
        "modules": len(house.modules),
        "lines": house.lines,
        "modules per 1000 lines": round(1000 * len(house.modules) / house.lines, 1),
        "longest file": max(text.count("\n") for text in house.texts.values()),
        "circles": len(house.circles()),
        "imports up the order of rooms": len(house.upward()),
        "own imports inside functions": len(house.hidden()),
        "  of these without a reason": sum(not each.reason for each in house.hidden()),
        "own imports under TYPE_CHECKING": len(house.hidden("typing")),
        "median function": statistics.median(each.lines for each in house.functions),
        "longest function": max(each.lines for each in house.functions),
        "arguments typed Any per 1000 lines": round(house.anys_per_1000_lines(), 1),
        "README": f"{readme.count(chr(10))} lines, {len(readme.encode()) / 1000:.1f} kB",
    }
    if not fast:
        import words

        found["own modules for an answer"] = len(modules_for_an_answer(house.root))
        found["import workbench over bare Python"] = f"{1000 * import_seconds(house.root):.0f} ms"
        found["findings in public signatures"] = len(words.findings())
    return found


def details(house: House) -> Iterator[str]:
    """What to look at: circles, upward imports, hidden imports with their reasons, the longest functions."""
    for circle in house.circles():
        yield "circle: " + ", ".join(circle)
    yield from house.upward()
    for each in house.hidden():
        yield f"{house.place(each)} imports {each.target}: {each.reason or 'NO REASON GIVEN'}"
    for each in sorted(house.functions, key=lambda f: -f.lines)[:5]:
        yield f"{each.lines:4} lines  {each.place} {each.name}"


def main() -> None:
    """Print the numbers, then the details."""
    given = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
    house = read_house(Path(given[0] if given else Path(__file__).parent.parent).resolve())
    sys.path.insert(0, str(house.root))
    found = numbers(house, fast="--fast" in sys.argv)
    if "--json" in sys.argv:
        print(json.dumps({**found, "which circles": house.circles()}))
        return
    for key, value in found.items():
        print(f"{key:36} {value}")
    print(*details(house), sep="\n")


if __name__ == "__main__":
    main()
