"""The panel's JavaScript alone in Chromium: drop a picture, ask, stop; what was written stays text."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

START = """async ([code, traits]) => {
  const listeners = {};
  const fire = (name, ...values) => (listeners[name] || []).forEach((listener) => listener(...values));
  window.sent = [];
  window.model = {
    get: (name) => traits[name],
    set(changes) {
      Object.assign(traits, changes);
      Object.keys(changes).forEach((name) => fire(`change:${name}`));
    },
    save_changes() {},
    on: (name, listener) => (listeners[name] = listeners[name] || []).push(listener),
    off: () => {},
    send: (content, _, buffers) => window.sent.push({ ...content, bytes: buffers?.[0].byteLength ?? 0 }),
    fire,
  };
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  (await import(url)).default.render({ model: window.model, el: document.getElementById("here") });
}"""
DROP = """async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], "red.png", { type: "image/png" }));
  const dropped = new DragEvent("drop", { dataTransfer: files, bubbles: true });
  document.querySelector(".wbx-drop").dispatchEvent(dropped);
}"""
SHOW = """(encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  window.model.set({ pictures: 1 });
  window.model.fire("msg:custom", { kind: "picture", number: 1 }, [new DataView(bytes.buffer)]);
}"""


@pytest.fixture(params=["light", "dark"])
def shown(
    browser: Browser, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Page, list[str]]]:
    from workbench.ui import AskPanel

    troubles: list[str] = []
    context = browser.new_context(
        viewport={"width": 800, "height": 700}, color_scheme=request.param, offline=True
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    page.set_content(
        f'<meta name="color-scheme" content="light dark"><style>{AskPanel._css}</style><div id="here"></div>'
    )
    traits: dict[str, Any] = {"question": "", "mode": "auto", "max_tokens": None, "thinking_budget": None}
    traits |= {"pictures": 0, "running": False, "problem": "", "asked": []}
    page.evaluate(START, [str(AskPanel._esm), traits])
    yield page, troubles
    page.screenshot(path=tmp_path / "page.png")
    context.close()


def test_a_picture_is_dropped_and_a_question_asked_by_keyboard_and_stopped(
    shown: tuple[Page, list[str]],
) -> None:
    from explorer_records import CLOSING, EVIL

    page, troubles = shown
    out = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(out, "PNG")
    encoded = base64.b64encode(out.getvalue()).decode()
    page.evaluate(DROP, encoded)
    page.wait_for_function("() => window.sent.length === 1")
    assert page.evaluate("window.sent[0]") == {
        "kind": "open",
        "name": "red.png",
        "bytes": len(out.getvalue()),
    }
    page.evaluate(SHOW, encoded)
    page.wait_for_selector(".wbx-drop[data-picture='1'] canvas:not([hidden])")

    page.locator(".wbx-ask-question").fill("What is red?")
    page.locator(".wbx-button", has_text="all modes").click()
    page.locator(".wbx-ask-number").nth(1).fill("12")
    page.locator(".wbx-ask-question").focus()
    page.keyboard.press("Enter")
    wanted = {"question": "What is red?", "mode": "every", "thinking_budget": 12, "max_tokens": None}
    assert {name: page.evaluate("(name) => window.model.get(name)", name) for name in wanted} == wanted
    assert page.evaluate("window.sent.at(-1).kind") == "ask"

    replies = [
        {"mode": "auto", "thought": "", "text": "a square", "facts": "thinks by itself with 3%, 0.1 s"},
        {"mode": "think", "thought": f"{EVIL} it is", "text": f"{CLOSING}", "facts": ""},
    ]
    asked = [
        {"question": "Before?", "replies": replies[:1]},
        {"question": "What is red?", "replies": replies},
    ]
    page.evaluate("(asked) => window.model.set({ running: true, asked })", asked)
    assert page.locator(".wbx-go").is_disabled()
    page.locator(".wbx-stop").click()
    assert page.evaluate("window.sent.at(-1).kind") == "stop"
    assert page.locator(".wbx-asked-one .wbx-question").all_inner_texts() == ["What is red?", "Before?"]
    first = page.locator(".wbx-asked-one").first
    assert first.locator(".wbx-thought").inner_text() == f"{EVIL} it is"
    assert first.locator(".wbx-answer").all_inner_texts() == ["a square", CLOSING]
    assert page.locator("img").count() == 0
    assert page.title() != "owned"
    page.evaluate("() => { window.model.send = () => { throw new Error('Cannot send'); }; }")
    page.locator(".wbx-stop").click()
    assert "Run its cell again" in page.locator(".wbx-error").inner_text()
    assert not troubles
