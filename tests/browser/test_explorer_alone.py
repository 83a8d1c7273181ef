"""The explorer's JavaScript alone in Chromium: over a model that this test answers, and as a saved page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

# A widget's model, as far as anywidget's is used: traits, changes, and messages that Python answers.
MODEL = """
window.makeModel = (traits) => {
  const listeners = {};
  const fire = (name, ...values) => (listeners[name] || []).forEach((listener) => listener(...values));
  return {
    listeners, sent: [],
    get: (name) => traits[name],
    set(changes) {
      Object.assign(traits, changes);
      Object.keys(changes).forEach((name) => fire(`change:${name}`));
    },
    save_changes() {},
    on: (name, listener) => (listeners[name] = listeners[name] || []).push(listener),
    off: (name, listener) => { listeners[name] = (listeners[name] || []).filter((one) => one !== listener); },
    async send(content) {
      this.sent.push(content);
      const { reply, buffers } = await window.answered(content);
      const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const views = buffers.map((text) => new DataView(bytes(text).buffer));
      fire("msg:custom", reply, views);
    },
  };
};
window.start = async (code, traits) => {
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const module = await import(url);
  window.module = module.default;
  window.model = makeModel(traits);
  window.stop = module.default.render({ model: window.model, el: document.getElementById("here") });
};
"""
# Colours of the middle of each cell, read from a copy of the canvas.
CELLS = """([number, rows, cols]) => {
  const canvas = document.querySelectorAll(".wbx-picture canvas, .wbx-twin canvas")[number];
  const { width, height } = canvas;
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const colour = (row, col) => {
    const at = [((col + 0.5) / cols) * width, ((row + 0.5) / rows) * height].map(Math.floor);
    return [...context.getImageData(...at, 1, 1).data].slice(0, 3);
  };
  return [...Array(rows).keys()].map((row) => [...Array(cols).keys()].map((col) => colour(row, col)));
}"""


class Shown:
    """An explorer in a page, and what can be seen of it."""

    def __init__(self, page: Page, troubles: list[str]) -> None:
        self.page, self.troubles = page, troubles

    def ready(self) -> None:
        self.page.wait_for_selector(".wbx-explorer[data-ready='1']:not([data-busy])")

    def hover(self, word: int) -> None:
        self.page.locator(".wbx-word").nth(word).hover()
        self.page.wait_for_selector(f".wbx-explorer[data-word='{word}']:not([data-busy])")

    def cells(self, image: int) -> np.ndarray:
        """Colour of each patch as it is drawn, ``[rows, cols, 3]`` from 0 to 255."""
        from explorer_records import COLS, ROWS

        return np.array(self.page.evaluate(CELLS, [image, ROWS, COLS]))

    def marked(self) -> list[int]:
        return [int(n) for n in self.page.locator(".wbx-explorer").get_attribute("data-marked").split()]

    def drag(self, image: int, box: tuple[float, float, float, float]) -> None:
        """Draw a box in pixels of the original picture."""
        from explorer_records import SIZES

        place = self.page.locator(".wbx-picture canvas").nth(image).bounding_box()
        assert place
        scale = place["width"] / SIZES[image][0]
        self.page.mouse.move(place["x"] + box[0] * scale, place["y"] + box[1] * scale)
        self.page.mouse.down()
        self.page.mouse.move(place["x"] + box[2] * scale, place["y"] + box[3] * scale, steps=4)
        self.page.mouse.up()
        self.page.wait_for_function("() => !document.querySelector('.wbx-explorer').dataset.busy")

    def status(self) -> str:
        return self.page.locator(".wbx-status").inner_text()


def opened(browser: Browser, tmp_path: Path) -> Iterator[tuple[Page, list[str]]]:
    troubles: list[str] = []
    context = browser.new_context(viewport={"width": 1000, "height": 760}, offline=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    page.on("request", lambda r: troubles.append(r.url) if r.url.startswith(("http", "ws")) else None)
    yield page, troubles
    page.screenshot(path=tmp_path / "page.png")
    context.close()


@pytest.fixture
def blank(browser: Browser, tmp_path: Path) -> Iterator[tuple[Page, list[str]]]:
    yield from opened(browser, tmp_path)


@pytest.fixture
def explorer() -> Any:
    from explorer_records import answer

    from workbench.ui import AttentionExplorer

    return AttentionExplorer(answer(), word=None, layer=None, head=None)


@pytest.fixture
def live(blank: tuple[Page, list[str]], explorer: Any) -> Shown:
    """The widget's module over a fake model; its requests go to the real widget's own answers."""
    from workbench.ui.explorer import script, style

    page, troubles = blank

    def answered(content: dict[str, Any]) -> dict[str, Any]:
        told: list[Any] = []
        explorer.send = lambda reply, buffers: told.append((reply, buffers))
        explorer._reply(json.loads(json.dumps(content)))
        ((reply, buffers),) = told
        return {"reply": reply, "buffers": [base64.b64encode(b).decode() for b in buffers]}

    page.expose_function("answered", answered)
    page.set_content(f"<style>{style()}</style><div id='here'></div>")
    page.add_script_tag(content=MODEL)
    names = ("info", "word", "layer", "head", "sinks", "image", "box", "crops", "strength", "marked", "asked")
    traits = {name: getattr(explorer, name) for name in names}
    page.evaluate("([code, traits]) => window.start(code, traits)", [script(), traits])
    shown = Shown(page, troubles)
    shown.ready()
    return shown


@pytest.fixture
def saved(blank: tuple[Page, list[str]], explorer: Any, tmp_path: Path) -> Shown:
    """The saved page, opened from disk without a network."""
    page, troubles = blank
    page.goto(explorer.save_html(tmp_path / "attention.html").as_uri())
    shown = Shown(page, troubles)
    shown.ready()
    return shown


@pytest.fixture(params=["live", "saved"])
def either(request: pytest.FixtureRequest) -> Shown:
    return request.getfixturevalue(request.param)


def test_hovering_a_word_lays_its_map_on_both_pictures(either: Shown, explorer: Any) -> None:
    from workbench.viz.spotlight import lit

    grounds = (np.ones((3, 4, 3)), np.zeros((3, 4, 3)))  # a white picture and a black one
    for image, ground in enumerate(grounds):
        np.testing.assert_array_equal(either.cells(image), 255 * ground)  # bare before a word is pointed at
    for word in (2, 5):
        either.hover(word)
        explorer.word = word
        most = max(explorer.map(image).max() for image in (0, 1))
        for image, ground in enumerate(grounds):  # the same picture as a figure's
            seen = 255 * lit(ground, explorer.map(image) / most, dark=image == 1)
            np.testing.assert_allclose(either.cells(image), seen, atol=4)
    assert "“<img src=x" in either.status()
    assert "35.0% on picture 0, 35.0% on picture 1; " in either.status()
    assert "% of that on picture " in either.status()
    assert not either.troubles


def test_a_box_marks_the_words_that_looked_there(either: Shown, explorer: Any) -> None:
    box = (2.0, 22.0, 38.0, 38.0)
    either.drag(0, box)
    explorer.box = list(box)
    table = explorer.looks()
    expected = table["word"][table["marked"]].tolist()
    assert 0 < len(expected) < len(table)
    assert either.marked() == expected
    bold = either.page.locator(".wbx-marked").all_inner_texts()
    assert bold == [explorer.words[word].shown or "↵" for word in expected]
    assert f"Box on picture 0 (2, 22, 38, 38): {len(expected)} words looked there" in either.status()
    either.drag(1, (1.0, 1.0, 19.0, 9.0))
    explorer.image = 1
    explorer.box = [1.0, 1.0, 19.0, 9.0]
    assert either.marked() == explorer.looks()["word"][explorer.looks()["marked"]].tolist()
    either.page.locator(".wbx-picture canvas").nth(1).click()
    either.page.wait_for_selector(".wbx-explorer[data-marked='']")
    assert not either.page.locator(".wbx-marked").count()
    assert not either.troubles


def test_layer_head_and_sinks_change_the_map(either: Shown, explorer: Any) -> None:
    either.hover(2)  # its own cell: word's token 3, plus the layer
    sliders = either.page.locator("input[type=range]")
    sliders.nth(0).fill("1")
    sliders.nth(1).fill("0")
    either.page.wait_for_function("() => !document.querySelector('.wbx-explorer').dataset.busy")
    tint = [np.ptp(either.cells(image), axis=-1) for image in (0, 1)]
    assert np.unravel_index(tint[0].argmax(), (3, 4)) == (1, 0)
    assert tint[1].max() < tint[0].max() / 4  # head 0 looks at the first picture
    assert either.page.locator("output").all_inner_texts() == ["1", "0"]
    before = either.status()
    either.page.locator("input[type=checkbox]").uncheck()
    either.page.wait_for_function(
        "(text) => document.querySelector('.wbx-status').innerText !== text", arg=before
    )
    explorer.word, explorer.layer, explorer.head, explorer.sinks = 2, 1, 0, False
    share = explorer.map(0).sum()
    assert share > 0.6
    assert f"{100 * share:.1f}% on picture 0" in either.status()
    assert not either.troubles


def test_the_picture_is_bare_while_a_key_or_the_button_is_held_and_as_strong_as_is_asked(
    either: Shown, explorer: Any
) -> None:
    page = either.page
    either.hover(2)
    mapped = either.cells(0)
    assert np.ptp(mapped, axis=-1).max() > 60
    for hold, let_go in (
        (lambda: page.keyboard.down("b"), lambda: page.keyboard.up("b")),
        (page.mouse.down, page.mouse.up),
    ):
        page.locator(".wbx-bare").hover()
        page.locator(".wbx-bare").focus()
        hold()
        np.testing.assert_array_equal(either.cells(0), np.full((3, 4, 3), 255))
        let_go()
        np.testing.assert_array_equal(either.cells(0), mapped)
    page.locator(".wbx-strength").fill("0.5")
    page.wait_for_function("() => !document.querySelector('.wbx-explorer').dataset.busy")
    np.testing.assert_allclose(either.cells(0), (mapped + 255) / 2, atol=3)
    assert not either.troubles


def test_the_keyboard_does_what_the_mouse_does(either: Shown) -> None:
    page = either.page
    page.locator(".wbx-word").nth(1).focus()
    page.wait_for_selector(".wbx-explorer[data-word='1']:not([data-busy])")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".wbx-explorer[data-word='2']:not([data-busy])")
    page.keyboard.press("Enter")
    page.wait_for_selector(".wbx-pinned")
    page.locator(".wbx-word").nth(5).hover()  # a kept word stays
    assert page.locator(".wbx-explorer").get_attribute("data-word") == "2"
    page.locator(".wbx-word").nth(2).focus()
    page.keyboard.press("Escape")
    page.wait_for_selector(".wbx-explorer[data-word='']:not([data-busy])")
    page.locator(".wbx-picture canvas").nth(0).focus()
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "Shift+ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_function("() => /Box on picture 0/.test(document.querySelector('.wbx-status').innerText)")
    assert "Box on picture 0 (0, 20, 40, 40)" in either.status()
    page.keyboard.press("Escape")
    page.wait_for_function("() => !/Box/.test(document.querySelector('.wbx-status').innerText)")
    assert not either.troubles


def test_what_the_model_wrote_stays_text(either: Shown) -> None:
    from explorer_records import CLOSING, EVIL

    page = either.page
    either.hover(5)
    either.drag(0, (0, 0, 79, 59))
    texts = page.locator(".wbx-word").all_inner_texts()
    assert EVIL in texts
    assert CLOSING in texts
    assert page.locator("img").count() == 0
    assert page.locator(".wbx-question").inner_text() == f"Which? {CLOSING}"
    assert page.title() != "owned"
    assert not either.troubles


def test_only_what_is_asked_is_sent_and_only_once(live: Shown) -> None:
    def asked(kind: str) -> int:
        return live.page.evaluate("kind => window.model.sent.filter(one => one.kind === kind).length", kind)

    assert (asked("picture"), asked("map"), asked("looks")) == (2, 0, 0)
    for word in (1, 2, 1, 2):
        live.hover(word)
    assert (asked("picture"), asked("map"), asked("looks")) == (2, 2, 0)
    live.drag(0, (0, 0, 40, 20))
    assert (asked("map"), asked("looks")) == (2, 1)
    assert not live.troubles


def test_a_view_that_is_put_back_shows_everything_again_and_a_closed_one_listens_no_more(live: Shown) -> None:
    live.hover(2)
    live.drag(0, (0, 0, 40, 20))
    before = live.cells(0)
    live.page.evaluate(
        """() => {
            window.stop();
            window.left = Object.values(window.model.listeners).flat().length;
            const el = document.getElementById("here");
            window.stop = window.module.render({ model: window.model, el });
        }"""
    )
    assert live.page.evaluate("window.left") == 0
    live.ready()
    np.testing.assert_allclose(live.cells(0), before, atol=2)
    assert live.page.locator(".wbx-marked").count() > 0
    assert live.page.locator(".wbx-explorer").count() == 1
    assert not live.troubles


def test_what_python_sets_is_shown(live: Shown) -> None:
    live.page.evaluate("window.model.set({ word: 3, layer: 2, box: [0, 0, 20, 20], sinks: false })")
    live.page.wait_for_selector(".wbx-explorer[data-word='3']:not([data-busy])")
    assert live.page.locator("output").first.inner_text() == "2"
    assert not live.page.locator("input[type=checkbox]").is_checked()
    assert "Box on picture 0 (0, 0, 20, 20)" in live.status()
    assert not live.troubles


def test_an_error_of_the_kernel_is_told_and_the_next_word_still_works(live: Shown) -> None:
    live.page.evaluate("window.model.set({ layer: 77 })")
    live.page.locator(".wbx-word").nth(2).hover()
    live.page.wait_for_selector(".wbx-error")
    assert "layer=77" in live.status()
    live.page.evaluate("window.model.set({ layer: null })")
    live.hover(3)
    assert "35.0%" in live.status()


def test_a_page_with_the_mean_alone_offers_no_slider(
    blank: tuple[Page, list[str]], explorer: Any, tmp_path: Path
) -> None:
    page, troubles = blank
    explorer.layer = 1
    one = 8 * 24  # words, cells
    page.goto(explorer.save_html(tmp_path / "small.html", max_bytes=2 * one).as_uri())
    shown = Shown(page, troubles)
    shown.ready()
    assert page.locator("input[type=range]:disabled").count() == 2
    shown.hover(2)
    assert "35.0%" in shown.status()
    assert not troubles


def test_a_pointer_that_crosses_many_words_leaves_no_queue_in_a_slow_kernel(live: Shown) -> None:
    live.page.evaluate(
        """async () => {
            const send = window.model.send.bind(window.model);
            window.model.send = async (content) => {
                await new Promise((resolve) => setTimeout(resolve, 600));
                return send(content);
            };
            for (const word of [0, 1, 2, 3, 4, 5, 6]) {
                window.model.set({ word });
                await new Promise((resolve) => setTimeout(resolve, 30));
            }
        }"""
    )
    live.page.wait_for_function("() => document.querySelector('.wbx-status').innerText === 'Computing …'")
    live.page.wait_for_selector(".wbx-explorer[data-word='6']:not([data-busy])")
    asked = live.page.evaluate("window.model.sent.filter(one => one.kind === 'map').map(one => one.word)")
    assert asked == [0, 6]
    assert "35.0%" in live.status()


def test_every_head_stands_beside_the_picture_and_can_be_chosen(either: Shown) -> None:
    page = either.page
    either.hover(2)
    page.wait_for_selector(".wbx-explorer[data-grid='2']")
    grid = page.locator(".wbx-grid")
    place = grid.bounding_box()
    assert place
    side = (place["width"] - 24) / 2  # two heads, beside the layers' numbers
    grid.click(position={"x": 22 + 1.5 * side, "y": 14 + 2.5 * side})
    page.wait_for_function("() => !document.querySelector('.wbx-explorer').dataset.busy")
    assert page.locator("output").all_inner_texts() == ["2", "1"]
    grid.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert page.locator("output").all_inner_texts() == ["1", "0"]
    page.keyboard.press("m")
    assert page.locator("output").all_inner_texts() == ["mean", "mean"]
    ink = page.evaluate(
        """() => {
            const canvas = document.querySelector(".wbx-grid");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((value, at) => at % 4 === 0 && value > 180).length;
        }"""
    )
    assert ink > 20  # the strongest patches of six heads
    assert not either.troubles


def test_a_box_offers_the_heads_that_look_there(either: Shown, explorer: Any) -> None:
    page = either.page
    either.drag(0, (2.0, 22.0, 38.0, 38.0))
    buttons = page.locator(".wbx-buttons .wbx-button")
    expected = explorer._maps.heads_on(explorer._maps.region((2.0, 22.0, 38.0, 38.0), 0))
    assert expected
    assert [text.split(" · ")[0] for text in buttons.all_inner_texts()] == [
        f"L{one['layer']} H{one['head']}" for one in expected
    ]
    buttons.first.focus()
    page.keyboard.press("Enter")
    first = [str(expected[0]["layer"]), str(expected[0]["head"])]
    page.wait_for_function(
        "(first) => [...document.querySelectorAll('output')].map((one) => one.textContent).join() === first",
        arg=",".join(first),
    )
    assert not either.troubles


def test_what_a_word_looks_at_in_the_text_is_shaded(either: Shown) -> None:
    page = either.page
    either.hover(2)
    assert page.locator(".wbx-prompt summary").inner_text().startswith("prompt: 30")
    strengths = page.locator(".wbx-slot").evaluate_all(
        "all => all.map((one) => Number.parseFloat(one.style.getPropertyValue('--wbx-strength')))"
    )
    assert strengths[0] == 65  # the sink takes three tenths, the other words of the prompt nothing
    assert max(strengths[1:]) == 0
    assert "In the text: 30.0% on the prompt" in either.status()


def test_hide_and_ask_again_shows_both_answers_and_their_probabilities(live: Shown, explorer: Any) -> None:
    from dataclasses import replace as changed

    from explorer_records import CLOSING, EVIL, answer

    from workbench.interpret.counterfactual import Counterfactual
    from workbench.types import Region
    from workbench.ui.again import AskedAgain

    asked: list[Any] = []

    def hide(box: Any, image: int) -> None:
        asked.append((tuple(box), image))
        after = changed(answer(), text=f"{EVIL}{CLOSING}", token_ids=(*answer().token_ids, 1))
        found = Counterfactual(answer(), after, Region(tuple(box), image), "mean", 1.0)
        explorer.again = (AskedAgain(found, (0.986, 0.00072), (0.00001, 0.677)),)

    explorer.hide = hide
    page = live.page
    live.drag(0, (2.0, 22.0, 38.0, 38.0))
    button = page.locator(".wbx-hide")
    assert button.inner_text() == "Hide the box and ask again"
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => !document.querySelector('.wbx-box').dataset.asking")
    page.evaluate("window.model.set({ asked: 1 })")
    page.wait_for_selector(".wbx-again[data-count='1']")
    assert [tuple(round(n) for n in box) for box, _ in asked] == [(2, 22, 38, 38)]
    assert page.locator(".wbx-number").all_inner_texts() == ["98.6%", "0.072%", "under 0.01%", "67.7%"]
    assert page.locator(".wbx-entry .wbx-answer").nth(1).inner_text() == f"{EVIL}{CLOSING}"
    assert page.locator("img").count() == 0
    assert page.title() != "owned"
    page.locator(".wbx-picture canvas").nth(0).focus()
    page.keyboard.press("Escape")
    live.hover(2)
    assert button.inner_text() == "Hide the strongest patch and ask again"
    assert not live.troubles


def test_a_saved_page_has_no_model_to_ask(saved: Shown) -> None:
    saved.drag(0, (2.0, 22.0, 38.0, 38.0))
    assert saved.page.locator(".wbx-hide").is_disabled()


def test_after_the_kernel_is_gone_it_says_to_run_the_cell_again(live: Shown) -> None:
    live.hover(2)
    live.page.evaluate(
        """() => {
            window.model.send = window.model.save_changes = () => { throw new Error("Cannot send"); };
        }"""
    )
    live.page.locator(".wbx-word").nth(5).hover()
    live.page.wait_for_selector(".wbx-error")
    assert "Run its cell again" in live.status()
    live.page.locator(".wbx-word").nth(2).hover()  # what was seen is still there
    live.page.wait_for_selector(".wbx-status:not(.wbx-error)")
    assert not live.troubles


def test_sliders_move_by_keyboard_where_the_page_keeps_arrow_keys_for_itself(either: Shown) -> None:
    page = either.page
    page.evaluate(
        """() => document.addEventListener("keydown", (event) => {
            if (/^(Arrow|Home|End)/.test(event.key)) event.preventDefault();
        }, true)"""
    )
    layer, strength = page.locator("input[type=range]").first, page.locator(".wbx-strength")
    layer.focus()
    for key, expected in (
        ("ArrowRight", "0"),
        ("ArrowUp", "1"),
        ("End", "2"),
        ("ArrowLeft", "1"),
        ("Home", "mean"),
    ):
        page.keyboard.press(key)
        assert page.locator("output").first.inner_text() == expected
    strength.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => !document.querySelector('.wbx-explorer').dataset.busy")
    assert strength.input_value() == "0.9"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement === document.body")
    assert not either.troubles


def test_two_words_stand_beside_each_other_on_one_scale(either: Shown, explorer: Any) -> None:
    from workbench.viz.spotlight import lit

    page = either.page
    keep = page.get_by_role("button", name="keep beside")
    assert keep.is_disabled(), "no word is shown yet"
    assert not page.locator(".wbx-twin").first.is_visible()
    either.hover(2)
    page.keyboard.down("Shift")
    page.locator(".wbx-word").nth(2).click()
    page.keyboard.up("Shift")
    either.hover(5)
    page.wait_for_selector(".wbx-word.wbx-kept")
    maps = {}
    for word in (2, 5):
        explorer.word = word
        maps[word] = [explorer.map(image) for image in (0, 1)]
    most = max(values.max() for pair in maps.values() for values in pair)
    for number, (word, image) in enumerate(((5, 0), (5, 1), (2, 0), (2, 1))):
        ground = np.full((3, 4, 3), 1.0 if image == 0 else 0.0)
        seen = 255 * lit(ground, maps[word][image] / most, dark=image == 1)
        np.testing.assert_allclose(either.cells(number), seen, atol=5)
    assert (
        page.locator(".wbx-twin figcaption").first.inner_text() == f"“{explorer.words[2].shown}” on picture 0"
    )
    assert f"Beside it “{explorer.words[2].shown}”" in either.status()
    page.locator(".wbx-word").nth(5).focus()
    page.keyboard.press("p")
    page.wait_for_selector(".wbx-explorer:not(:has(.wbx-kept))")
    assert not page.locator(".wbx-twin").first.is_visible()
    assert not either.troubles


def test_a_sentence_of_the_thought_shows_the_mean_of_its_words(
    blank: tuple[Page, list[str]], tmp_path: Path
) -> None:
    from explorer_records import TWO, answer

    from workbench.ui import AttentionExplorer
    from workbench.viz.spotlight import lit

    page, troubles = blank
    explorer = AttentionExplorer(answer(TWO), layer=None, head=None, word=1)
    assert explorer.sentences == ("Red.", "Blue.")
    page.goto(explorer.save_html(tmp_path / "attention.html").as_uri())
    seen = Shown(page, troubles)
    seen.ready()
    second = page.get_by_role("button", name="Sentence 2: Blue.")
    second.click()
    page.wait_for_selector(".wbx-button[aria-pressed='true']")
    page.wait_for_selector(".wbx-explorer:not([data-busy])")
    explorer.sentence = 1
    words = [explorer._maps.cells([word], explorer._setting)[0] for word in (3, 4)]
    shown = explorer.map(0)
    np.testing.assert_allclose(shown, explorer._maps.on_overview((words[0] + words[1]) / 2, 0))
    most = max(explorer.map(image).max() for image in (0, 1))
    np.testing.assert_allclose(seen.cells(0), 255 * lit(np.ones((3, 4, 3)), shown / most, dark=False), atol=5)
    assert seen.status().startswith("“Blue.”: ")
    assert page.locator(".wbx-spoken").all_inner_texts() == ["Blue", "."]
    page.locator(".wbx-word").nth(1).hover()
    assert seen.status().startswith("“Blue.”: "), "a sentence stays until another is chosen"
    second.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".wbx-button[aria-pressed='true']", state="detached")
    assert not troubles


def test_think_against_nothink_is_shown_alone_and_as_a_difference_by_mouse_and_keyboard(
    blank: tuple[Page, list[str]], tmp_path: Path
) -> None:
    from explorer_records import answer, direct_answer

    from workbench.ui import AttentionExplorer
    from workbench.viz.spotlight import lit

    page, troubles = blank
    explorer = AttentionExplorer(answer(), against=direct_answer(), layer=1, head=0, word=5)
    page.goto(explorer.save_html(tmp_path / "attention.html").as_uri())
    seen = Shown(page, troubles)
    seen.ready()
    maps = {}
    for shows in ("this", "against", "difference"):
        explorer.shows = shows
        maps[shows] = explorer.map(0), max(np.abs(explorer.map(image)).max() for image in (0, 1))
    both = max(maps["this"][1], maps["against"][1])
    buttons = page.locator(".wbx-choice .wbx-button")
    assert buttons.all_inner_texts() == ["think", "nothink", "think minus nothink"]
    for number, (shows, top) in enumerate(
        (("this", both), ("against", both), ("difference", maps["difference"][1]))
    ):
        buttons.nth(number).focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f".wbx-choice .wbx-button:nth-child({number + 1})[aria-pressed='true']")
        page.wait_for_selector(".wbx-explorer:not([data-busy])")
        light = 255 * lit(np.ones((3, 4, 3)), maps[shows][0] / top, dark=False)
        np.testing.assert_allclose(seen.cells(0), light, atol=5)
    change = maps["difference"][0]
    colours = seen.cells(0).astype(int)
    more, less = (colours[np.unravel_index(at, change.shape)] for at in (change.argmax(), change.argmin()))
    assert more[0] > more[2], "orange where it looked more"
    assert less[2] > less[0], "blue where it looked less"
    assert seen.status().startswith("think “")
    assert "minus nothink “<img src=x" in seen.status()
    assert "of the attention on the pictures lies elsewhere; more " in seen.status()
    assert "no difference" in page.locator(".wbx-scale").inner_text()
    others = page.locator(".wbx-others .wbx-word")
    assert others.nth(1).get_attribute("aria-selected") == "true"
    before = seen.status()
    others.nth(1).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(text) => document.querySelector('.wbx-status').innerText !== text", arg=before)
    assert "minus nothink “end”" in seen.status()
    page.keyboard.press("Escape")
    page.wait_for_function("(text) => document.querySelector('.wbx-status').innerText === text", arg=before)
    assert page.title() != "owned"
    assert not troubles


def test_attribution_and_lens_of_the_same_answer_are_chosen_as_layers_of_the_picture(
    blank: tuple[Page, list[str]], tmp_path: Path
) -> None:
    from explorer_records import answer, attribution, lens

    from workbench.ui import AttentionExplorer
    from workbench.viz.spotlight import lit

    page, troubles = blank
    explorer = AttentionExplorer(
        answer(), overlays=[attribution(), lens()], layer=1, head=0, word=5, box=(0, 0, 40, 20)
    )
    page.goto(explorer.save_html(tmp_path / "attention.html").as_uri())
    seen = Shown(page, troubles)
    seen.ready()
    buttons = page.locator(".wbx-choice .wbx-button")

    def choose(number: int) -> None:
        buttons.nth(number).focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f".wbx-choice .wbx-button:nth-child({number + 1})[aria-pressed='true']")
        page.wait_for_selector(".wbx-explorer:not([data-busy])")

    attention = seen.cells(0)
    choose(1)
    light = 255 * lit(np.ones((3, 4, 3)), attribution().map(0) / 3, dark=False)
    bare = np.ones((3, 4), bool)
    bare[0, :2] = False  # beneath the line of the box
    np.testing.assert_allclose(seen.cells(0)[bare], light[bare], atol=5)
    assert page.locator(".wbx-scale").inner_text() == "−3 to 3: evidence (nats); in the middle nothing"
    assert (
        "strongest for it in the middle of picture 0 (3); strongest against it at the bottom left"
        in seen.status()
    )
    choose(2)
    assert "logit lens after layer 1, what each patch says: most certain " in seen.status()
    assert "in the box: “<img src=x onerror=document.title='owned'>” 66.7%, “p3l2” 66.7%" in seen.status()
    page.locator("input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => /after layer 2/.test(document.querySelector('.wbx-status').innerText)")
    assert "“p2l3” 100%" in seen.status()
    place = page.locator(".wbx-picture canvas").first.bounding_box()
    assert place
    page.mouse.move(place["x"] + 0.9 * place["width"], place["y"] + 0.1 * place["height"])
    assert page.locator(".wbx-picture canvas").first.get_attribute("title") == "“p5l3” 100%"
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => /after layer 1/.test(document.querySelector('.wbx-status').innerText)")
    choose(0)
    np.testing.assert_array_equal(seen.cells(0), attention)
    assert "of the attention" in page.locator(".wbx-scale").inner_text()
    assert page.title() != "owned"
    assert not troubles


def test_a_page_with_chosen_layers_heads_and_words_offers_these_alone(
    blank: tuple[Page, list[str]], explorer: Any, tmp_path: Path
) -> None:
    page, troubles = blank
    page.goto(explorer.save_html(tmp_path / "x.html", layers=[0, 2], heads=[1], words=[2, 5]).as_uri())
    seen = Shown(page, troubles)
    seen.ready()
    assert page.locator("output").all_inner_texts() == ["0", "1"]
    assert page.locator("input[type=range]:disabled").count() == 1, "one head"
    explorer.layer, explorer.head = 2, 1
    page.locator("input[type=range]").first.focus()
    page.keyboard.press("End")
    assert page.locator("output").all_inner_texts() == ["2", "1"]
    seen.hover(2)
    explorer.word = 2
    assert f"{100 * explorer.map(1).sum():.1f}% on picture 1" in seen.status()
    page.locator(".wbx-word").nth(3).hover()  # its map is not here
    assert page.locator(".wbx-explorer").get_attribute("data-word") == "2"
    page.locator(".wbx-word").nth(2).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".wbx-explorer[data-word='5'][data-grid='5']:not([data-busy])")
    assert page.locator(".wbx-absent").count() == len(explorer.words) - 2
    seen.drag(1, (2.0, 2.0, 19.0, 19.0))
    explorer.image, explorer.box = 1, [2.0, 2.0, 19.0, 19.0]
    share = explorer.looks()["share"]
    told = float(seen.status().rpartition("” ")[2].rstrip("%\n ")) / 100
    assert told == pytest.approx(share[2], abs=0.01)  # bytes of a peak, summed
    assert seen.marked() == [2]
    box = (12.0, 12.0, 38.0, 19.0)
    seen.drag(1, box)
    expected = explorer._maps.heads_on(explorer._maps.region(box, 1))
    buttons = page.locator(".wbx-buttons .wbx-button").all_inner_texts()
    assert len(expected) == 3
    assert [text.split(" · ")[0] for text in buttons] == ["L0 H1", "L2 H1"], "layer 1 is not carried"
    grid = page.locator(".wbx-grid")
    grid.focus()
    page.keyboard.press("ArrowUp")
    assert page.locator("output").all_inner_texts() == ["0", "1"]
    assert page.locator(".wbx-save").count() == 0, "a saved page has no kernel to write another"
    assert not troubles


def test_save_page_gives_a_file_with_what_its_form_names(live: Shown, explorer: Any, tmp_path: Path) -> None:
    page = live.page
    live.hover(2)
    page.locator(".wbx-save summary").focus()
    page.keyboard.press("Enter")
    layers = page.get_by_label("layers", exact=True)
    layers.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("the best")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => /layers='the best'/.test(document.querySelector('.wbx-save .wbx-note').innerText)"
    )
    layers.fill("0, 2")
    page.get_by_role("button", name="the shown one").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save", exact=True).click()
    download.value.save_as(tmp_path / "got.html")
    explorer.word = 2
    expected = explorer.save_html(tmp_path / "expected.html", layers=[0, 2], words=[2])
    size = expected.stat().st_size
    assert abs((tmp_path / "got.html").stat().st_size - size) < 200  # but for the traits to begin with
    assert " kB" in page.locator(".wbx-save .wbx-note").inner_text()
    assert not live.troubles
