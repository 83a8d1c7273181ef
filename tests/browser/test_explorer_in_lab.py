"""The explorer in a real JupyterLab, by mouse and keyboard: word to map, box to heads, hide and ask again."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lab_server import LabServer
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """import workbench
explorer = workbench.ui.AttentionExplorer(workbench.Answer.load("answer"), word=None, layer=None, head=None)
explorer"""
ASKED = """import workbench
vlm = workbench.load(progress=False)
sample = workbench.synth.sample("gui_links", 1, seed=7)[0]
answer = vlm.ask(sample.images, sample.question, mode="think", capture=True, max_tokens=60)
explorer = workbench.ui.AttentionExplorer(answer, vlm=vlm, elements=sample.elements)
explorer"""
ASK = """async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({ code: "", user_expressions: { value: code }, store_history: false });
  return (await future.done).content.user_expressions.value;
}"""
ERRORS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells].flatMap(
    cell => cell.type === 'code' ? cell.outputs.toJSON() : []).filter(one => one.output_type === 'error')"""
PIXELS = """() => {
  const canvas = document.querySelector(".wbx-picture canvas");
  return canvas.toDataURL();
}"""
READY = ".wbx-explorer[data-ready='1']:not([data-busy])"


@pytest.fixture
def lab(browser: Browser, tmp_path: Path) -> Iterator[LabServer]:
    """A JupyterLab on a notebook that loads a saved answer without a model, and one that asks for its own."""
    from explorer_records import answer
    from lab_server import jupyter_lab

    root = tmp_path / "notebooks"
    answer().save(root / "answer")
    for name, source in (("explorer", CELL), ("asked", ASKED)):
        empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
        cells = [{**empty, "id": "one", "source": source}, {**empty, "id": "two", "source": ""}]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        (root / f"{name}.ipynb").write_text(json.dumps(book), encoding="utf-8")
    with jupyter_lab(root) as server:
        yield server


def value(page: Page, expression: str) -> Any:
    """What an expression is in the kernel."""
    found = page.evaluate(ASK, expression)
    assert found["status"] == "ok", found
    return ast.literal_eval(found["data"]["text/plain"])


def test_hover_and_box_change_what_is_shown_and_python_reads_them(
    page: Page, lab: LabServer, troubles: list[str]
) -> None:
    from explorer_records import SIZES
    from lab_server import open_notebook, run_all_cells

    page.set_default_timeout(60_000)
    open_notebook(page, lab, "explorer.ipynb")
    run_all_cells(page)
    assert not page.evaluate(ERRORS)
    page.wait_for_selector(READY)
    plain = page.evaluate(PIXELS)
    assert value(page, "explorer.word") is None

    page.locator(".wbx-word").nth(2).hover()
    page.wait_for_selector(f"{READY}[data-word='2']")
    mapped = page.evaluate(PIXELS)
    assert mapped != plain
    assert value(page, "explorer.word") == 2
    share = value(page, "float(explorer.map(0).sum())")
    assert f"{100 * share:.1f}% on picture 0" in page.locator(".wbx-status").inner_text()

    place = page.locator(".wbx-picture canvas").first.bounding_box()
    assert place
    scale = place["width"] / SIZES[0][0]
    page.mouse.move(place["x"] + 2 * scale, place["y"] + 22 * scale)
    page.mouse.down()
    page.mouse.move(place["x"] + 38 * scale, place["y"] + 38 * scale, steps=4)
    page.mouse.up()
    page.wait_for_selector(".wbx-marked")
    assert value(page, "[round(n) for n in explorer.box]") == [2, 22, 38, 38]
    marked = value(page, "explorer.looks().query('marked')['word'].tolist()")
    assert marked
    assert page.locator(".wbx-explorer").get_attribute("data-marked") == " ".join(map(str, marked))
    assert value(page, "list(explorer.marked)") == marked

    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = page.evaluate(active)
    page.locator(".wbx-word").nth(2).focus()
    page.keyboard.press("ArrowRight")  # the explorer's, not the notebook's
    page.wait_for_selector(f"{READY}[data-word='3']")
    assert page.evaluate(active) == before
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f"{READY}[data-word='2']")

    value(page, "setattr(explorer, 'layer', 1)")  # and the other way: what Python sets is shown
    page.wait_for_function("() => document.querySelector('.wbx-explorer output').textContent === '1'")
    page.wait_for_selector(READY)
    assert page.evaluate(PIXELS) != mapped

    page.locator(".wbx-explorer input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")  # JupyterLab keeps arrow keys from native sliders
    page.wait_for_function("() => document.querySelector('.wbx-explorer output').textContent === '2'")
    assert page.evaluate(active) == before
    assert not troubles


def test_hide_and_ask_again_and_a_restarted_kernel(page: Page, lab: LabServer, troubles: list[str]) -> None:
    from lab_server import open_notebook, run_all_cells

    page.set_default_timeout(60_000)
    open_notebook(page, lab, "asked.ipynb")
    run_all_cells(page)
    assert not page.evaluate(ERRORS)
    page.wait_for_selector(READY)
    assert value(page, "(explorer.layer, explorer.head)") == value(page, "explorer._maps.heads.best")

    box = value(page, "sample.boxes[0]")
    value(page, f"setattr(explorer, 'box', {list(box)})")
    heads = page.locator(".wbx-buttons .wbx-button")
    heads.first.click()
    chosen = heads.first.inner_text().split(" · ")[0]
    assert chosen == "L{} H{}".format(*value(page, "(explorer.layer, explorer.head)"))

    page.locator(".wbx-hide").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".wbx-again[data-count='1']")
    assert page.locator(".wbx-verdict").inner_text() == value(page, "explorer.again[0].verdict")
    assert page.locator(".wbx-number").count() == 2 * value(page, "len(explorer.again[0].rows)")
    assert not troubles

    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_timeout(1500)  # the view hears of it
    page.locator(".wbx-word").nth(1).hover()
    page.wait_for_selector(".wbx-error")
    assert "Run its cell again" in page.locator(".wbx-status").inner_text()
