"""The mixture explorer's saved page in Chromium, offline: triangle and slider by mouse and keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from workbench.ui import MixtureExplorer

pytestmark = pytest.mark.browser


def check(page: Page, shown: MixtureExplorer) -> None:
    """The page shows what Python tells of the same mark."""
    names = page.locator(".wbx-nearest tbody td:nth-child(2)").all_inner_texts()
    assert names == list(shown.nearest.index)
    text = page.locator(".wbx-reading").inner_text()
    mixture, _, rest = shown.reading.partition(": ")
    assert text.startswith(mixture)
    assert rest.partition(". ")[0] in text
    assert ("a guess" in text) == ("a guess" in rest)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_triangle_and_slider_need_no_kernel(browser: Browser, tmp_path: Path, scheme: str) -> None:
    from workbench.ablate import Recipe, dirichlet_design, fit_response, with_reasoning
    from workbench.ui import MixtureExplorer

    design = dirichlet_design(12, seed=1)
    shares = with_reasoning(design, np.resize([0.0, 0.3, 0.6], len(design))).set_axis(
        [f"m{i}" for i in range(12)]
    )
    metric = (0.4 + shares["general"] * shares["maths"] + 0.1 * shares["reasoning"]).rename("accuracy")
    response = fit_response(shares, metric, method="quadratic", goal="max")
    shown = MixtureExplorer(response, recipe=Recipe(budget=2400))
    address = shown.save_html(tmp_path / "page.html").as_uri()
    troubles: list[str] = []
    context = browser.new_context(viewport={"width": 800, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("[data-ready='1']")
    reading = page.locator(".wbx-reading")
    assert reading.get_attribute("aria-live") == "polite"
    check(page, shown)

    plane = page.locator(".wbx-plane")
    box = plane.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] - 1, steps=4)
    page.mouse.up()
    shown.point = [0, 40, 0]
    check(page, shown)
    far = page.locator(".wbx-nearest tbody tr").first.inner_text()

    plane.focus()
    for key, point in (
        ("ArrowLeft", [1, 39, 0]),
        ("PageUp", [1, 34, 5]),
        ("ArrowUp", [1, 33, 6]),
        ("ArrowDown", [2, 33, 5]),
        ("ArrowRight", [1, 34, 5]),
    ):
        page.keyboard.press(key)
        shown.point = point
        check(page, shown)
    assert page.locator(".wbx-nearest tbody tr").first.inner_text() != far

    slider = page.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    shown.step = 0
    assert "reasoning 0%" in reading.inner_text()
    check(page, shown)
    at = slider.bounding_box()
    assert at is not None
    page.mouse.click(at["x"] + at["width"] - 2, at["y"] + at["height"] / 2)
    shown.step = len(shown.info["amounts"]) - 1
    assert "reasoning 60%" in reading.inner_text()
    check(page, shown)

    page.locator("summary").click()
    written = tmp_path / "point.yaml"
    written.write_text(page.locator(".wbx-yaml").inner_text(), encoding="utf-8")
    assert Recipe.load(written) == shown.recipe
    page.locator("button", has_text="best mixture").click()
    best = pd.Series(shown.info["best"])
    shown.point, shown.step = shown._cut.nearest(best.to_numpy())
    check(page, shown)
    assert page.evaluate("document.documentElement.scrollWidth <= 800")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    context.close()
    assert not troubles
