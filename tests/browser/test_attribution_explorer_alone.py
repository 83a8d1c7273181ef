"""The saved page of attributions in Chromium, offline: the film by mouse and by keyboard, methods, themes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

#: How many pixels of the film's picture are white; the baseline is white, the picture is noise.
WHITE = """() => {
  const canvas = document.querySelector(".wbx-screen");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) count += [0, 1, 2].every((colour) => data[at + colour] === 255);
  return count / (data.length / 4);
}"""
PIXELS = """(number) => {
  const canvas = document.querySelectorAll(".wbx-card canvas")[number];
  return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].join();
}"""


def opened(browser: Browser, folder: Path, scheme: str, troubles: list[str]) -> Page:
    """The saved page of two maps, 800 pixels wide."""
    import attribution_records as records

    from workbench.ui import AttributionExplorer

    shown = AttributionExplorer(*records.both())
    shown.baseline = "white"
    address = shown.save_html(folder / "page.html").as_uri()
    context = browser.new_context(viewport={"width": 800, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("[data-pictures='1']")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_film_moves_by_mouse_and_by_keyboard(browser: Browser, tmp_path: Path, scheme: str) -> None:
    troubles: list[str] = []
    page = opened(browser, tmp_path, scheme, troubles)
    status = page.locator(".wbx-status")
    assert status.inner_text().startswith("The 1 region that occlusion ranks first is hidden")
    slider = page.locator(".wbx-reel input")
    slider.focus()
    page.keyboard.press("End")
    assert status.inner_text().startswith("The 24 regions that occlusion ranks first are hidden")
    assert page.evaluate(WHITE) > 0.9  # but for the line round it
    page.keyboard.press("Home")
    assert page.evaluate(WHITE) < 0.01
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert "measured at the dots" in status.inner_text()  # 2 regions lie between 1 and 3
    plot = page.locator(".wbx-plot svg")
    plot.scroll_into_view_if_needed()
    at = plot.bounding_box()
    assert at is not None
    page.mouse.click(at["x"] + 0.95 * at["width"], at["y"] + at["height"] / 2)
    assert int(slider.input_value()) > 20
    page.get_by_role("button", name="insertion").click()
    assert status.inner_text().startswith("Only the ")
    page.get_by_role("button", name="picture 1").click()
    assert "on picture 1" in status.inner_text()
    page.get_by_role("button", name="play").focus()
    slider.evaluate("input => { input.value = 22; input.dispatchEvent(new Event('input')); }")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="pause").wait_for()
    page.wait_for_function("() => document.querySelector('.wbx-reel input').value === '24'")
    page.get_by_role("button", name="play").wait_for()  # it stops at the end
    assert page.evaluate("document.documentElement.scrollWidth <= 800")
    page.screenshot(path=tmp_path / "page.png")
    page.context.close()
    assert not troubles


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_method_is_chosen_and_the_picture_is_bared(browser: Browser, tmp_path: Path, scheme: str) -> None:
    troubles: list[str] = []
    page = opened(browser, tmp_path, scheme, troubles)
    cards = page.locator(".wbx-card")
    assert cards.count() == 2
    assert "better than random" in cards.nth(0).inner_text()
    assert "worse than random" in cards.nth(1).inner_text()
    own = page.locator(".wbx-own").get_attribute("d")
    chosen = page.get_by_role("button", name="chefer")
    chosen.focus()
    page.keyboard.press("Enter")
    assert chosen.get_attribute("aria-pressed") == "true"
    assert "that chefer ranks first" in page.locator(".wbx-status").inner_text()
    assert page.locator(".wbx-own").get_attribute("d") != own
    cards.nth(0).locator("canvas").click()
    assert page.locator(".wbx-own").get_attribute("d") == own
    lit = [page.evaluate(PIXELS, number) for number in (0, 1)]
    assert lit[0] != lit[1]
    page.keyboard.down("b")
    bare = [page.evaluate(PIXELS, number) for number in (0, 1)]
    assert bare[0] == bare[1] != lit[0]
    page.keyboard.up("b")
    assert [page.evaluate(PIXELS, number) for number in (0, 1)] == lit
    assert page.title() == "What does the answer depend on?"  # the answer is text, never markup
    page.context.close()
    assert not troubles
