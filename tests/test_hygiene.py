"""What is kept in the repository: notebooks without outputs, no machine's paths, a README that is true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = {
    ".cfg",
    ".css",
    ".html",
    ".ipynb",
    ".jinja",
    ".js",
    ".json",
    ".md",
    ".py",
    ".sh",
    ".toml",
    ".txt",
    ".yml",
}
# Put together here, so that this file does not hold what it looks for.
MACHINE = re.compile(r"(?<![\w.~$}>)-])/(?:ro" + r"ot|ho" + r"me|Us" + r"ers|wo" + r"rk)/[\w.]")


def kept() -> list[Path]:
    """Files that are in the repository, or would be with the next commit."""
    listing = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(listing, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return sorted(path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file())


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in load(path)["cells"] if cell["cell_type"] == "code"]


def test_the_notebooks_are_numbered_and_no_number_is_taken_twice() -> None:
    numbers = [path.name.partition("_")[0] for path in notebooks()]
    assert all(re.fullmatch(r"\d\d", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)
    assert numbers[0] == "00"


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.name)
def test_a_notebook_keeps_no_outputs_and_no_widget_state(path: Path) -> None:
    cells = code_cells(path)
    assert cells
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"] is not None]
    assert "widgets" not in load(path)["metadata"], "remove metadata.widgets: GitHub shows 'Invalid Notebook'"
    assert load(path)["metadata"]["kernelspec"]["name"] == "python3", "else JupyterLab asks for a kernel"


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.name)
def test_a_notebook_is_small_and_its_cells_have_ids(path: Path) -> None:
    assert path.stat().st_size < 100_000
    ids = [cell.get("id") for cell in load(path)["cells"]]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_no_file_beside_the_notebooks_hides_a_package() -> None:
    names = {path.stem for path in (ROOT / "notebooks").glob("*.py")}
    assert not names & {*sys.stdlib_module_names, "comm", "ipykernel", "workbench", "torch", "traitlets"}


def test_no_path_of_a_machine_is_kept() -> None:
    found = []
    for path in kept():
        if path.suffix in TEXT or path.name in ("Makefile", "run"):
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if match := MACHINE.search(line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line[match.start() :][:80]}")
    assert not found


def test_a_machine_path_would_be_found() -> None:
    inside = "/ro" + "ot/x"
    assert MACHINE.search(f'open("{inside}")')
    assert MACHINE.search(f"see {inside}")
    assert not MACHINE.search("https://example.org" + inside)


def test_nothing_large_or_executable_by_pickle_is_kept() -> None:
    for path in kept():
        assert path.suffix not in {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}, path
        assert path.stat().st_size <= 26_000_000, path


def test_links_in_the_documents_lead_somewhere() -> None:
    for path in ROOT.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
            assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"
