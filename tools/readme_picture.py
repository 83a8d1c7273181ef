"""Make the README's picture: the attention explorer in a real JupyterLab, a word under the mouse.

python tools/readme_picture.py   (needs Chromium and Playwright)
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from lab_server import chromium, jupyter_lab, open_notebook, run_all_cells
from playwright.sync_api import Page

PLACE = Path(__file__).resolve().parent.parent / "docs" / "explorer.png"
WORD = "Mail"  # the first one in the thought: where does the model look while it writes it?
CELLS = (
    "import workbench\n\n"
    "vlm = workbench.load()\n"
    'sample = workbench.synth.sample("gui_links", 1, seed=7)[0]\n'
    'answer = vlm.ask(sample.images, sample.question, mode="think", capture=True)',
    "workbench.ui.AttentionExplorer(answer, layer=2, head=0)",
)


def notebook() -> str:
    """A notebook of two cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "outputs": [], "execution_count": None}
        | {"source": source}
        for number, source in enumerate(CELLS)
    ]
    return json.dumps(
        {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    )


def show(page: Page) -> None:
    """Hover the word, with the side bar closed and the widget in view."""
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.wait_for_selector(".wbx-explorer[data-ready='1']:not([data-busy])")
    page.locator(".wbx-word", has_text=WORD).first.hover()
    page.wait_for_selector(".wbx-explorer[data-word]:not([data-busy])")
    page.wait_for_timeout(500)  # milliseconds, for the scroll that the hover may begin


def main() -> None:
    """Open, run, hover, and write docs/explorer.png."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "explorer.ipynb").write_text(notebook(), encoding="utf-8")
        with jupyter_lab(Path(folder)) as server, chromium() as browser:
            page = browser.new_page(viewport={"width": 1000, "height": 760})
            page.set_default_timeout(120_000)
            open_notebook(page, server, "explorer.ipynb")
            run_all_cells(page)
            show(page)
            page.screenshot(path=PLACE)


if __name__ == "__main__":
    main()
