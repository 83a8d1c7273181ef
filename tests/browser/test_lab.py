"""The first notebook in a real JupyterLab, as a newcomer meets it: all cells run, thought and answer show."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lab_server import LabServer
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = "01_ask.ipynb"
SOMETHING = re.compile(r"\S")

# Outputs are read from the notebook's model: JupyterLab keeps cells that are out of sight out of the page.
OUTPUTS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map(
    cell => cell.type === 'code' ? cell.outputs.toJSON() : [])"""
SCROLL_TO = "index => window.jupyterapp.shell.currentWidget.content.scrollToItem(index, 'center')"


def html(output: dict[str, Any]) -> str:
    """The HTML of one output, or nothing."""
    shown = output.get("data", {}).get("text/html", "")
    return "".join(shown) if isinstance(shown, list) else shown


@pytest.fixture
def lab(browser: Browser, tmp_path: Path) -> Iterator[LabServer]:
    """A JupyterLab on a copy of the notebooks; a machine without Chromium is not made to start one."""
    from lab_server import jupyter_lab

    copy = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", copy, ignore=shutil.ignore_patterns(".*"))
    with jupyter_lab(copy) as server:
        yield server


@pytest.mark.slow
def test_a_newcomer_runs_the_first_notebook(page: Page, lab: LabServer, troubles: list[str]) -> None:
    from lab_server import open_notebook, run_all_cells
    from playwright.sync_api import expect

    open_notebook(page, lab, NOTEBOOK)
    run_all_cells(page, timeout=420)
    outputs = page.evaluate(OUTPUTS)
    errors = [output for cell in outputs for output in cell if output["output_type"] == "error"]
    assert not errors, json.dumps(errors, indent=1)
    cells = json.loads((ROOT / "notebooks" / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    assert len(outputs) == len(cells)

    answers = [i for i, cell in enumerate(outputs) if any("workbench-thought" in html(o) for o in cell)]
    assert answers, "no cell shows an answer with its thought"
    page.evaluate(SCROLL_TO, answers[0])
    answer = page.locator(".workbench-answer:has(.workbench-thought)").first
    answer.wait_for(state="visible", timeout=30_000)
    # These wait: while JupyterLab scrolls, it takes cells out of the page and puts them back.
    expect(answer.locator(".workbench-text")).to_have_text(SOMETHING, timeout=30_000)
    thought = answer.locator(".workbench-thought")
    expect(thought.locator("div")).to_be_hidden(timeout=30_000)
    thought.locator("summary").click()
    expect(thought.locator("div")).to_be_visible(timeout=30_000)
    expect(thought.locator("div")).to_have_text(SOMETHING, timeout=30_000)
    assert not troubles
