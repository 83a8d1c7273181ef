"""The model panel's JavaScript alone in Chromium: choose, plan, load; a model's words stay text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_model_is_chosen_planned_and_loaded_by_keyboard(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    from explorer_records import EVIL
    from test_ask_alone import START

    from workbench.ui import ModelPanel

    panel = ModelPanel()
    panel.make_plan()
    panel.wait()
    names = (
        "source",
        "quantize",
        "image_tokens",
        "choices",
        "planned",
        "doing",
        "progress",
        "memory",
        "loaded",
    )
    traits = {name: getattr(panel, name) for name in names} | {"problem": "", "memory": EVIL}
    troubles: list[str] = []
    context = browser.new_context(viewport={"width": 800, "height": 700}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    page.set_content(
        f'<meta name="color-scheme" content="light dark"><style>{panel._css}</style><div id="here"></div>'
    )
    page.evaluate(START, [str(panel._esm), traits])
    pressed = page.locator(".wbx-button[aria-pressed='true']")
    assert pressed.count() == 1
    assert pressed.inner_text().startswith("nano")
    last = panel.choices[-1]
    page.get_by_role("button", name=last["label"]).last.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("window.model.get('source')") == last["source"]
    assert page.evaluate("window.model.get('quantize')") == last["quantize"]
    assert page.get_by_role("button", name="Unload").is_disabled()
    page.locator(".wbx-model-source").fill("some/folder")
    page.keyboard.press("Enter")
    assert page.evaluate("[window.model.get('source'), window.sent.at(-1).kind]") == ["some/folder", "plan"]
    page.get_by_role("button", name="Load", exact=True).click()
    assert page.evaluate("window.sent.at(-1).kind") == "load"
    changed = {"doing": "loading some/folder: 3 s, 1 GB taken", "progress": 0.4, "problem": EVIL}
    page.evaluate("(changed) => window.model.set(changed)", changed)
    assert page.get_by_role("button", name="Load", exact=True).is_disabled()
    assert page.locator("progress").evaluate("(bar) => bar.value") == 0.4
    assert page.locator(".wbx-error").inner_text() == EVIL
    assert page.locator("img").count() == 0
    assert page.locator("table tr").count() == 1 + len(panel.planned["rows"])
    assert page.evaluate("document.documentElement.scrollWidth <= 800")
    page.screenshot(path=tmp_path / "page.png")
    page.evaluate("() => { window.model.send = () => { throw new Error('Cannot send'); }; }")
    page.evaluate("() => window.model.set({ doing: '' })")
    page.get_by_role("button", name="Load", exact=True).click()
    assert "Run its cell again" in page.locator(".wbx-error").inner_text()
    context.close()
    assert not troubles
