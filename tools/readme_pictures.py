"""Make the README's pictures in a real JupyterLab: the explorer, a question asked again, the panel, a film

python tools/readme_pictures.py   (needs Chromium and Playwright)
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

from lab_server import chromium, jupyter_lab, open_notebook, run_all_cells
from PIL import Image
from playwright.sync_api import Page

import workbench

PLACE = Path(__file__).resolve().parent.parent / "docs"
ASK = (
    'import workbench\n\nvlm = workbench.load()\nsample = workbench.synth.sample("gui_links", 1, seed=7)[0]\n'
)
BOOKS = {
    "explorer": (
        ASK + 'answer = vlm.ask(sample.images, sample.question, mode="think", capture=True)',
        "workbench.ui.AttentionExplorer(answer, vlm=vlm, elements=sample.elements)",
    ),
    "ask": (
        ASK + 'panel = workbench.ui.AskPanel(vlm, sample.images[0], question=sample.question, mode="every")',
        "panel",
    ),
}


def notebook(sources: tuple[str, ...]) -> str:
    """A notebook of a few cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "outputs": [], "execution_count": None}
        | {"source": source}
        for number, source in enumerate(sources)
    ]
    return json.dumps(
        {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    )


def explorer(page: Page) -> None:
    """Draw a box round the first piece of evidence, hide it, and ask again."""
    page.wait_for_selector(".wbx-explorer[data-ready='1']:not([data-busy])")
    page.wait_for_selector(".wbx-explorer[data-grid]")
    sample = workbench.synth.sample("gui_links", 1, seed=7)[0]
    place = page.locator(".wbx-picture canvas").bounding_box()
    assert place
    scale = place["width"] / sample.images[0].width
    x1, y1, x2, y2 = (scale * n for n in sample.boxes[0])
    page.mouse.move(place["x"] + x1, place["y"] + y1)
    page.mouse.down()
    page.mouse.move(place["x"] + x2, place["y"] + y2, steps=4)
    page.mouse.up()
    page.wait_for_selector(".wbx-marked")
    page.locator(".wbx-hide").click()
    page.wait_for_selector(".wbx-again[data-count='1']")


class Film:
    """Frames of an element, each shown for a while, as one animated picture."""

    def __init__(self, page: Page, selector: str, *, high: int) -> None:
        self._page, self._selector, self._high = page, selector, high
        self._frames: list[tuple[Image.Image, int]] = []

    def shoot(self, milliseconds: int) -> None:
        """Add what is seen now."""
        self._page.wait_for_selector(f"{self._selector}:not([data-busy])")
        place = self._page.locator(self._selector).bounding_box()
        assert place
        shot = self._page.screenshot(clip={**place, "height": min(place["height"], self._high)})
        self._frames.append((Image.open(io.BytesIO(shot)).convert("RGB"), milliseconds))

    def write(self, path: Path, *, wide: int) -> None:
        """Write the frames, in one size, as a WebP that is played again and again."""
        size = (wide, round(self._high * wide / self._frames[0][0].width))
        page = Image.new("RGB", (self._frames[0][0].width, self._high), "white")
        frames = []
        for frame, _ in self._frames:
            whole = page.copy()
            whole.paste(frame)
            frames.append(whole.resize(size, Image.Resampling.LANCZOS))
        times = [time for _, time in self._frames]
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0, quality=80)


def film(page: Page) -> None:
    """From word to word, then the box, then the question once more: docs/explorer.webp."""
    page.wait_for_selector(".wbx-explorer[data-ready='1']:not([data-busy])")
    page.wait_for_selector(".wbx-explorer[data-grid]")
    first = page.locator(".wbx-explorer").get_attribute("data-word")
    taken = Film(page, ".wbx-explorer", high=975)
    taken.shoot(1200)
    words = page.locator(".wbx-thought .wbx-word")
    for number in range(words.count()):
        words.nth(number).hover()
        taken.shoot(450)
    page.locator(f".wbx-explorer .wbx-word[data-word='{first}']").hover()
    explorer(page)
    page.wait_for_timeout(300)  # milliseconds, until the marks are drawn
    taken.shoot(3500)
    taken.write(PLACE / "explorer.webp", wide=700)


def ask(page: Page) -> None:
    """Ask in all modes, in the dark theme."""
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_selector(".wbx-ask[data-ready='1']")
    page.locator(".wbx-go").click()
    page.wait_for_selector(".wbx-ask[data-running='1']")
    page.wait_for_selector(".wbx-ask[data-running='']")


def main() -> None:
    """Open, run, use, and write docs/explorer.png, docs/explorer.webp and docs/ask.png."""
    with tempfile.TemporaryDirectory() as folder:
        for name, sources in BOOKS.items():
            (Path(folder) / f"{name}.ipynb").write_text(notebook(sources), encoding="utf-8")
        with jupyter_lab(Path(folder)) as server, chromium() as browser:
            for name, use, height in (("explorer", film, 1260), ("ask", ask, 840)):
                page = browser.new_page(viewport={"width": 1000, "height": height})
                page.set_default_timeout(120_000)
                open_notebook(page, server, f"{name}.ipynb")
                run_all_cells(page)
                page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
                use(page)
                page.mouse.move(999, 1)
                page.wait_for_timeout(1500)  # milliseconds, until the theme and the layout have settled
                page.screenshot(path=PLACE / f"{name}.png")
                page.close()


if __name__ == "__main__":
    main()
