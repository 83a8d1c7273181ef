"""The resolution microscope's saved page in Chromium, offline: sliders and lens by mouse and keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

PIXELS = """(way) => {
  const canvas = document.querySelectorAll(".wbx-lens")[way];
  return new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sliders_and_lens_need_no_kernel(browser: Browser, tmp_path: Path, scheme: str) -> None:
    from workbench.ablate import microscope
    from workbench.ui import ResolutionMicroscope

    pixels = np.random.default_rng(0).integers(0, 256, (600, 1000, 3), dtype=np.uint8)
    pixels[:, :500] = 255  # nothing to see on the left
    image = Image.fromarray(pixels)
    shown = ResolutionMicroscope(microscope(image, budget=576), image, budgets=(256,))
    address = shown.save_html(tmp_path / "page.html").as_uri()
    troubles: list[str] = []
    context = browser.new_context(viewport={"width": 800, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("[data-ready='1']")
    page.wait_for_function(f"() => ({PIXELS})(0) > 1")
    ways = page.locator(".wbx-way")
    assert ways.count() == 4
    before = ways.all_inner_texts()
    assert page.locator(".wbx-opening").inner_text().startswith("At 576 tokens")
    page.locator("input[type=range]").nth(1).focus()
    page.keyboard.press("End")
    longer = ways.all_inner_texts()
    assert all(a != b for a, b in zip(before, longer, strict=True))
    page.locator("input[type=range]").nth(0).focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".wbx-opening").inner_text().startswith("At 256 tokens")
    assert f"{shown.records[256].readings[0].feed.tokens} tokens" in ways.first.inner_text()
    whole = page.locator(".wbx-whole").first
    at = whole.bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + 5, at["y"] + at["height"] / 2)
    assert page.evaluate(PIXELS, 0) == 1  # white
    whole.focus()
    for _ in range(45):
        page.keyboard.press("ArrowRight")
    assert page.evaluate(PIXELS, 0) > 1
    assert page.evaluate("document.documentElement.scrollWidth <= 800")
    page.screenshot(path=tmp_path / "page.png")
    context.close()
    assert not troubles
