"""The results explorer's saved page in Chromium, offline: brush by mouse and by keyboard, click a point."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='run'\"> $x^2$ " + "long" * 400
TOKENS = {"nothink": 4.0, "auto": 30.0, "think": 60.0}


def rows() -> list[dict[str, Any]]:
    """Three benchmarks of 30 items; direct is right on a third, auto on a half, thinking on the rest."""
    right = {"nothink": lambda n: n % 3 == 0, "auto": lambda n: n % 2 == 0, "think": lambda n: n % 3 > 0}
    return [
        {
            "model": "m",
            "benchmark": benchmark,
            "item": f"item {number}",
            "mode": mode,
            "value": float(right[mode](number)),
            "tokens": tokens * (1 + times) + number % 5,
            "gold": "yes",
            "question": HOSTILE,
            "response": HOSTILE,
            "images": ("a.png",),
        }
        for times, benchmark in enumerate(("maths", "charts", "signs"))
        for number in range(30)
        for mode, tokens in TOKENS.items()
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_plane_leads_to_the_items(browser: Browser, tmp_path: Path, scheme: str) -> None:
    from workbench.bench import Results
    from workbench.ui import ResultsExplorer

    Image.new("RGB", (40, 30), "white").save(tmp_path / "a.png")
    shown = ResultsExplorer(Results.of(rows(), folder=tmp_path), n_resamples=200)
    address = shown.save_html(tmp_path / "page.html", failures=30).as_uri()
    troubles: list[str] = []
    context = browser.new_context(viewport={"width": 800, "height": 1000}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("[data-lines='1']")
    brush_by_mouse(page)
    brush_by_keyboard(page)
    click_a_point(page)
    look_at_the_lens(page)
    assert page.evaluate("document.documentElement.scrollWidth <= 800")
    assert page.title() == "Results"
    assert page.locator(".wbx-card img").count() == 0
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    context.close()
    assert not troubles


def inside(page: Page) -> int:
    return page.locator(".wbx-point:not(.wbx-outside)").count()


def brush_by_mouse(page: Page) -> None:
    """The cheap half of the plane holds the direct replies alone; a click beside the points takes it away."""
    assert inside(page) == 9
    before = page.locator(".wbx-items-part .wbx-title").inner_text()
    assert before.startswith("90 items of all points shown")
    area = page.locator(".wbx-canvas").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 0.09 * area["width"], area["y"] + 3)
    page.mouse.down()
    page.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.5 * area["height"])
    page.mouse.move(area["x"] + 0.5 * area["width"], area["y"] + 0.86 * area["height"])
    page.mouse.up()
    assert inside(page) == 3
    table = page.locator(".wbx-points")
    assert table.locator("tbody tr").count() == 3
    assert "thinking" not in table.locator("tbody").inner_text()
    title = page.locator(".wbx-items-part .wbx-title").inner_text()
    assert title.startswith("60 items of the points inside the frame")
    page.mouse.click(area["x"] + 0.3 * area["width"], area["y"] + 5)
    assert inside(page) == 9


def brush_by_keyboard(page: Page) -> None:
    """The cost's upper end moved down leaves the cheapest point; the button brings all back."""
    page.locator("input[aria-label='greatest cost']").focus()
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("PageUp")
    assert page.evaluate("document.activeElement.ariaLabel") == "greatest cost"
    assert inside(page) == 1
    page.get_by_role("button", name="whole plane").press("Enter")
    assert inside(page) == 9


def click_a_point(page: Page) -> None:
    """Its failures are listed, with picture, gold answer and the replies of all modes; keys do the same."""
    page.locator(".wbx-point[aria-label='maths, thinking'] .wbx-shape").click()
    title = page.locator(".wbx-items-part .wbx-title")
    assert title.inner_text().startswith("10 items of maths, thinking")
    assert page.locator(".wbx-name").count() >= 3
    card = page.locator(".wbx-card .case")
    card.wait_for()
    assert "gold: yes" in card.inner_text()
    assert card.locator(".pictures image").count() == 1
    assert card.locator("h4").all_inner_texts() == ["■ direct", "■ auto", "■ thinking"]
    assert "<img src=x" in card.locator(".said").first.inner_text()
    first = card.locator("h3").inner_text()
    page.locator(".wbx-line").first.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function(f"document.querySelector('.wbx-card h3')?.textContent !== {first!r}")
    assert page.evaluate("document.activeElement.ariaSelected") == "true"
    page.locator(".wbx-point[aria-label='maths, thinking']").focus()
    page.keyboard.press("Enter")  # and it is let go
    assert title.inner_text().startswith("90 items")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert title.inner_text().split(" items of ")[1].startswith(("maths", "charts", "signs"))
    page.keyboard.press("Enter")


def look_at_the_lens(page: Page) -> None:
    """A count of the lens lists its items; another benchmark is chosen by keyboard."""
    page.locator(".wbx-lens-part").get_by_label("charts: 20 won by thinking").click()
    title = page.locator(".wbx-items-part .wbx-title")
    assert title.inner_text().startswith("20 items of charts")
    assert page.locator(".wbx-line").count() == 10
    page.locator("select").focus()
    page.keyboard.press("End")
    assert inside(page) == 3
    assert page.locator(".wbx-lens-part tbody tr").count() == 3  # the mean is of all three
    page.get_by_role("button", name="all 90").click()
    page.get_by_role("button", name="next").click()
    assert page.locator(".wbx-list-part .wbx-note").inner_text() == "11 to 20 of 90"
