"""Write the tree in README.md: every file with the first line of its docstring as its purpose.

python tools/readme_tree.py          rewrite it
python tools/readme_tree.py --check  exit with 1 where it is not what the files say
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- tree: tools/readme_tree.py -->\n```\n", "```\n<!-- end of tree -->"
COLUMN = 34  # where the purposes begin

# What has no docstring, in the order shown; True: listed file by file, False: by its subfolders.
PLACES = (
    ("workbench", "the package; a lower room never imports a higher one", True),
    ("notebooks", "numbered, thin, stored without outputs", True),
    ("data", "what ships with the package; each part with its origin in a README", False),
    ("tests", "mirrors the package; contracts that hold for every family", False),
    ("benchmarks", "measurements that are not part of the tests", True),
    ("docs", "the README's picture, made by tools/readme_picture.py", False),
    ("tools", "what maintains the repository", True),
)


def purpose(path: Path) -> str:
    """The first line of a module's docstring, a shell script's first comment, or a notebook's title."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0].rstrip(".")
    if path.suffix == ".ipynb":
        return "".join(json.loads(text)["cells"][0]["source"]).partition("\n")[0].lstrip("# ").rstrip(".")
    comment = next((line for line in text.splitlines() if line.startswith("# ")), "")
    return comment.removeprefix("# ").rpartition(": ")[2].rstrip(".")


def lines(folder: Path, depth: int) -> Iterator[str]:
    """A folder's modules, then its subfolders, indented."""
    kinds = (".py", ".ipynb", ".sh")
    files = sorted(p for p in folder.iterdir() if p.suffix in kinds and p.name != "__init__.py")
    for path in files:
        yield line(path.name, purpose(path), depth)
    for inner in sorted(p for p in folder.iterdir() if p.is_dir() and any(p.rglob("*.py"))):
        door = inner / "__init__.py"
        yield line(f"{inner.name}/", purpose(door) if door.is_file() else "", depth)
        yield from lines(inner, depth + 1)


def parts(folder: Path) -> Iterator[str]:
    """A folder's subfolders that have a README, with its title."""
    for readme in sorted(folder.glob("*/README.md")):
        title = readme.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        yield line(f"{readme.parent.name}/", title, 1)


def line(name: str, text: str, depth: int) -> str:
    return f"{'  ' * depth}{name}".ljust(COLUMN - 1) + f" {text}".rstrip()


def tree() -> str:
    """The whole tree as text."""
    shown = []
    for name, text, listed in PLACES:
        if (ROOT / name).is_dir():
            shown.append(line(f"{name}/", text, 0))
            shown += lines(ROOT / name, 1) if listed else parts(ROOT / name)
    return "\n".join(text.rstrip() for text in shown) + "\n"


def main() -> int:
    """Rewrite or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    before, start, rest = readme.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        print("README.md has lost the marks around its tree", file=sys.stderr)
        return 1
    made = before + start + tree() + end + after
    if made == readme.read_text(encoding="utf-8"):
        return 0
    if check:
        print("README.md's tree is not what the files say: python tools/readme_tree.py", file=sys.stderr)
        return 1
    readme.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
