"""The panel to ask with, from Python: pictures, modes, a reply that grows, Stop, what is told of mistakes."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explorer_records import CLOSING, EVIL, answer
from PIL import Image

from workbench.errors import InputError, ModeError
from workbench.ui import AskPanel
from workbench.ui.widget import STATIC_VARIABLE


class Growing:
    """A reply that ends when it is let, or stopped."""

    def __init__(self, mode: str, go: threading.Event) -> None:
        self.thought, self.text, self._mode = "I see", "", mode
        self.p_think = 0.9
        self._go, self._stopped = go, False

    @property
    def done(self) -> bool:
        return self._go.is_set() or self._stopped

    def stop(self) -> None:
        self._stopped = True

    @property
    def answer(self) -> Any:
        stopped = "interrupted" if self._stopped else "end"
        return replace(answer(), mode=self._mode, stopped=stopped, text=f"{EVIL} {self._mode}")


class FakeModel:
    name = "fake"

    def __init__(self, *, lacks: str = "") -> None:
        self.go, self.asked, self._lacks = threading.Event(), [], lacks

    def stream(self, images: Any, question: str, *, mode: str, **options: Any) -> Growing:
        if mode == self._lacks:
            raise ModeError(f"mode={mode!r}", "a mode that this model has")
        if not question:
            raise InputError("an empty question", "a question")
        self.asked.append((images, question, mode, options))
        return Growing(mode, self.go)


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(out, "PNG")
    return out.getvalue()


def waited(panel: AskPanel) -> AskPanel:
    assert panel._thread is not None
    panel._thread.join(20)
    assert not panel.running
    return panel


def told(panel: AskPanel, *messages: Any, buffers: Any = ()) -> None:
    """Tell a panel what a view tells it, and wait until it was done."""
    for message in messages:
        panel._heard(panel, message, buffers)
    panel._pool.submit(int).result(20)


def test_a_question_is_asked_as_it_stands_in_the_panel_and_grows() -> None:
    vlm = FakeModel()
    panel = AskPanel(vlm, png(), question="What?", mode="think", max_tokens=9, thinking_budget=3)
    told(panel, {"kind": "ask"})
    while not panel.asked[-1]["replies"] or not panel.asked[-1]["replies"][0]["thought"]:
        assert panel.running
    assert panel.asked[-1]["replies"][0]["text"] == ""
    assert panel.asked[-1]["replies"][0]["likely"] == "thinks by itself with 90%"  # before there is an answer
    panel.ask()  # while one is written, nothing
    vlm.go.set()
    assert panel.answer.text == f"{EVIL} think"
    ((image, question, mode, options),) = vlm.asked
    assert (image.size, question, mode) == ((30, 20), "What?", "think")
    assert options == {"max_tokens": 9, "thinking_budget": 3, "capture": False}
    (reply,) = waited(panel).asked[-1]["replies"]
    assert reply["likely"] == "thinks by itself with 90%"


def test_all_modes_stand_side_by_side_and_one_that_the_model_lacks_is_told() -> None:
    vlm = FakeModel(lacks="nothink")
    vlm.go.set()
    panel = AskPanel(vlm, png(), question="What?", mode="every")
    panel.ask()
    replies = waited(panel).asked[-1]["replies"]
    assert [reply["mode"] for reply in replies] == ["auto", "think", "nothink"]
    assert replies[2]["facts"] == "not available"
    assert [str(one.mode) for one in panel.answers] == ["auto", "think"]


def test_stop_keeps_what_there_is_and_leaves_out_the_other_modes() -> None:
    panel = AskPanel(FakeModel(), png(), question="What?", mode="every")
    panel.ask()
    while not panel.asked[-1]["replies"]:
        pass
    panel._heard(panel, {"kind": "stop"}, [])
    (reply,) = waited(panel).asked[-1]["replies"]
    assert "stopped: interrupted" in reply["facts"]
    assert panel.answer.stopped == "interrupted"


def test_what_is_typed_meanwhile_waits_for_the_next_question() -> None:
    vlm = FakeModel()
    panel = AskPanel(vlm, png(), question="What?", mode="every")
    panel.ask()
    while not panel.asked[-1]["replies"]:
        pass
    panel.question, panel.mode = "And this?", "auto"
    panel.show(Image.new("RGB", (5, 5)))
    vlm.go.set()
    waited(panel)
    assert [(image.size, question) for image, question, *_ in vlm.asked] == [((30, 20), "What?")] * 3


def test_what_is_drawn_is_asked_about_in_the_pictures_own_resolution() -> None:
    vlm = FakeModel()
    vlm.go.set()
    panel = AskPanel(vlm, Image.new("RGB", (400, 200), "white"), question="What is in the box?")
    panel.marks = [
        {"tool": "box", "colour": "red", "points": [[0.75, 0.75], [0.25, 0.25]]},
        {"tool": "pen", "colour": "blue", "points": [[0.5, 0.1], [0.5, 0.2]]},
        {"tool": "pen", "colour": "black", "points": [[0.9, 0.9]]},
    ]
    panel.ask()
    waited(panel)
    ((image, *_),) = vlm.asked
    assert image.size == (400, 200)
    found = [image.getpixel(place) for place in ((100, 100), (298, 100), (200, 30), (359, 179), (150, 100))]
    assert found == [(255, 0, 0), (255, 0, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)]
    assert panel.image.getpixel((100, 100)) == (255, 255, 255)
    for bad in (
        {"tool": "box", "points": [[0, 0]]},
        {"colour": "mauve"},
        {"points": [[2, 0]]},
        {"points": []},
    ):
        with pytest.raises(InputError):
            panel.marks = [{"tool": "pen", "colour": "red", "points": [[0, 0]], **bad}]
    panel.show(png())
    assert (panel.marks, panel.drawn) == ([], panel.image)


def test_the_built_in_model_warns_of_a_picture_that_it_knows_nothing_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from workbench import models

    vlm = models.load("nano")
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    panel = AskPanel(vlm, Image.fromarray(noise).resize((600, 400)))
    assert "knows nothing but the drawings" in panel.warning
    assert panel.warning in panel.static()
    panel.show(Image.new("RGB", (10_000, 100), "white"))
    assert "much larger" in panel.warning
    panel.show(Image.new("RGB", (64, 64), "white"))
    assert panel.warning == ""
    monkeypatch.setattr(vlm, "source", "another")
    assert AskPanel(vlm, Image.fromarray(noise)).warning == ""


def test_what_a_models_library_raises_is_told_in_the_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = AskPanel(FakeModel(), question="What?")

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(panel._vlm, "stream", broken)
    panel.ask()
    assert waited(panel).problem == "asking failed: RuntimeError: no kernel image is available"
    assert not panel.running


def test_mistakes_are_told_in_the_panel() -> None:
    panel = AskPanel(FakeModel())
    told(panel, {"kind": "open", "name": "x.png"}, buffers=[b"no picture"])
    assert "not a picture" in panel.problem
    told(panel, {"kind": "open", "name": "x.png"}, buffers=[b""])
    assert "is empty" in panel.problem
    told(panel, {"kind": "open"}, buffers=[memoryview(png())])
    assert panel.problem == ""
    assert panel.image is not None
    panel.ask()
    assert "an empty question" in waited(panel).problem
    with pytest.raises(InputError, match="an empty question"):
        _ = panel.answer
    told(panel, "nonsense")
    with pytest.raises(InputError, match="vlm=None"):
        AskPanel(None)
    with pytest.raises(ModeError, match="loud"):
        AskPanel(FakeModel(), mode="loud")


def test_the_static_form_and_the_page_hold_text_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = FakeModel()
    vlm.go.set()
    panel = AskPanel(vlm, png(), question=CLOSING)
    assert "Nothing was asked" in panel.static()
    panel.ask()
    waited(panel)
    for text in (panel.static(), panel.save_html(tmp_path / "asked.html").read_text(encoding="utf-8")):
        assert EVIL not in text
        assert CLOSING not in text
        assert "&lt;img src=x" in text
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    assert set(panel._repr_mimebundle_()) == {"text/html", "text/plain"}
