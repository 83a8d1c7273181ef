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
    set(names, value) {
      const changes = typeof names === "string" ? { [names]: value } : names;
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
    traits |= {"pictures": 0, "running": False, "problem": "", "asked": [], "marks": [], "warning": ""}
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
        {
            "mode": "auto",
            "likely": "thinks by itself with 3%",
            "thought": "",
            "text": "a square",
            "facts": "0.1 s",
        },
        {"mode": "think", "likely": "", "thought": f"{EVIL} it is", "text": f"{CLOSING}", "facts": ""},
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


def test_one_draws_on_the_picture_by_mouse_and_keyboard(shown: tuple[Page, list[str]]) -> None:
    page, troubles = shown
    out = io.BytesIO()
    Image.new("RGB", (200, 100), "white").save(out, "PNG")
    assert page.get_by_role("group", name="draw on the picture").is_hidden()
    page.evaluate(SHOW, base64.b64encode(out.getvalue()).decode())
    canvas = page.locator(".wbx-drop canvas")
    canvas.wait_for()

    def press(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()

    def marks() -> list[dict[str, Any]]:
        return page.evaluate("window.model.get('marks')")

    press("pen")
    press("blue")
    at = canvas.bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 4)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    page.mouse.up()
    (line,) = marks()
    assert (line["tool"], line["colour"]) == ("pen", "blue")
    assert line["points"][-1] == pytest.approx([0.5, 0.5], abs=0.02)
    press("box")
    press("red")
    canvas.focus()
    for key in ("ArrowLeft", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert marks()[1]["points"] == [pytest.approx([0.36, 0.4]), pytest.approx([0.56, 0.64])]
    pixel = page.evaluate(
        "() => [...document.querySelector('.wbx-drop canvas').getContext('2d')"
        ".getImageData(72, 50, 1, 1).data]"
    )
    assert pixel[0] == 255
    assert pixel[1] < 150  # red, with smooth edges
    press("undo")
    assert len(marks()) == 1
    press("clear")
    assert marks() == []
    page.evaluate("() => window.model.set({ warning: 'A photograph; the model knows <b>drawings</b>.' })")
    assert page.locator(".wbx-warning").inner_text() == "A photograph; the model knows <b>drawings</b>."
    narrow = page.evaluate("document.documentElement.scrollWidth <= 800")
    assert narrow
    assert not troubles
