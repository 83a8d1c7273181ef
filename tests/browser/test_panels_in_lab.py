"""The panels in a real JupyterLab, by mouse and keyboard: draw and ask, load a model, move sliders, run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab_server import LabServer
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = (
    """import workbench
vlm = workbench.load(progress=False)
sample = workbench.synth.sample("gui_links", 1, seed=7)[0]
panel = workbench.ui.AskPanel(vlm, sample.images[0], question=sample.question, mode="every", max_tokens=20)
panel""",
    "chosen = workbench.ui.ModelPanel()\nchosen",
    """image = sample.images[0]
record = workbench.ablate.microscope(image, budget=576)
shown = workbench.ui.ResolutionMicroscope(record, image, budgets=(256,))
shown""",
    """design = workbench.ablate.dirichlet_design(12, seed=1)
shares = workbench.ablate.with_reasoning(design, [0.0, 0.3, 0.6] * 4)
accuracy = (shares["general"] * shares["maths"]).rename("accuracy")
response = workbench.ablate.fit_response(shares, accuracy, method="quadratic", goal="max")
run = lambda recipe: f"{recipe.reasoning.share:.0%} with thoughts"
mixed = workbench.ui.MixtureExplorer(response, run=run)
mixed""",
)


@pytest.fixture
def lab(browser: Browser, tmp_path: Path) -> Iterator[LabServer]:
    """A JupyterLab on a notebook with the panels."""
    from lab_server import jupyter_lab
    from readme_pictures import notebook

    root = tmp_path / "notebooks"
    root.mkdir()
    (root / "panels.ipynb").write_text(notebook(CELLS), encoding="utf-8")
    with jupyter_lab(root) as server:
        yield server


def test_one_draws_asks_loads_and_moves_a_slider(page: Page, lab: LabServer, troubles: list[str]) -> None:
    from lab_server import open_notebook, run_all_cells
    from test_explorer_in_lab import value

    page.set_default_timeout(60_000)
    open_notebook(page, lab, "panels.ipynb")
    run_all_cells(page)
    canvas = page.locator(".wbx-ask[data-ready='1'] .wbx-drop canvas")
    canvas.wait_for()
    page.locator(".wbx-ask").get_by_role("button", name="box", exact=True).click()
    canvas.focus()
    for key in ("ArrowLeft", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.locator(".wbx-ask-question").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.wbx-likely').length === 3")
    page.wait_for_selector(".wbx-ask[data-running='']")
    assert value(page, "[mark['tool'] for mark in panel.marks]") == ["box"]
    assert value(page, "all(one.images[0] == panel.drawn != panel.image for one in panel.answers)")
    assert value(page, "[str(one.mode) for one in panel.answers]") == ["auto", "think", "nothink"]

    models = page.locator(".wbx-model")
    models.get_by_role("button", name="Load", exact=True).click()
    models.get_by_text("nano is loaded").wait_for()
    assert value(page, "chosen.vlm.loaded")

    budget = page.locator(".wbx-explorer:has(.wbx-ways) input[type=range]").first
    budget.focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("At 256 tokens").wait_for()
    page.wait_for_timeout(300)  # milliseconds, until the kernel heard of it
    assert value(page, "shown.budget") == 256

    mixture = page.locator(".wbx-mixture[data-ready='1']")
    before = value(page, "[mixed.point, mixed.step]")
    mixture.locator(".wbx-plane").focus()
    page.keyboard.press("PageUp")
    mixture.locator("input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    mixture.get_by_role("button", name="Run this point", exact=True).click()
    amount = mixture.locator("output").inner_text()
    mixture.get_by_text(f"{amount} with thoughts").wait_for()
    point, step = value(page, "[mixed.point, mixed.step]")
    assert point[2] > before[0][2]
    assert step == before[1] + 1
    assert value(page, "mixed.results") == [f"{amount} with thoughts"]
    assert not troubles
