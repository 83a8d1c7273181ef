"""The documentation builds without a warning and loads nothing from the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = sorted((DOCS / "reference").glob("*.rst"))
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']([^"']+)|<link\b[^>]*\bhref=["']([^"']+)"""
)
FLOW = re.compile(r"```\{flow\}.*?```", re.DOTALL)  # test_docs_flow.py walks these
NAMED = re.compile(r"\bworkbench(?:\.(?!(?:css|png|rst)\b)[A-Za-z_]\w*)+")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as HTML, built with warnings as errors and notebooks left as they are."""
    pytest.importorskip("sphinx", reason="the documentation needs the extra 'docs'")
    html = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-d", str(tmp_path_factory.mktemp("doctrees")), str(DOCS), str(html)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "DOCS_EXECUTE": "off"}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return html


@pytest.mark.slow
def test_every_notebook_and_every_public_function_has_its_place(site: Path) -> None:
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "gallery" / f"{notebook.stem}.html").is_file()
    faces = [import_module(p.read_text(encoding="utf-8").partition("\n")[0]) for p in REFERENCE]
    anchors = "".join((site / "reference" / f"{p.stem}.html").read_text(encoding="utf-8") for p in REFERENCE)
    public = [(face.__name__, name) for face in faces for name in getattr(face, "__all__", ())]
    assert len(public) > 100
    for room, name in public:
        value = getattr(import_module(room), name)
        if callable(value):
            homes = {room, ".".join(value.__module__.split(".")[:2])}
            assert any(f'id="{home}.{name}"' in anchors for home in homes), f"{room}.{name}"


@pytest.mark.slow
def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    loaded = {a or b for page in pages for a, b in LOADED.findall(page.read_text(encoding="utf-8"))}
    assert len(loaded) > 5
    assert not [target for target in loaded if "//" in target]
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def resolves(name: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    value: object = import_module("workbench")
    for part in name.split(".")[1:]:
        if not hasattr(value, part) and isinstance(value, ModuleType):
            try:
                value = import_module(f"{value.__name__}.{part}")
                continue
            except ModuleNotFoundError:
                return False
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


def test_every_name_of_the_package_in_the_pages_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    pages += [p for p in DOCS.rglob("*.md") if not {"_build", "gallery"} & set(p.relative_to(DOCS).parts)]
    texts = {page: FLOW.sub("", page.read_text(encoding="utf-8")) for page in pages}
    names = {(name, page.name) for page, text in texts.items() for name in NAMED.findall(text)}
    assert len(names) > 20
    assert not sorted((name, page) for name, page in names if not resolves(name))


def test_a_name_that_does_not_exist_is_found() -> None:
    assert resolves("workbench.bench.run")
    assert not resolves("workbench.bench.no_such_function")
