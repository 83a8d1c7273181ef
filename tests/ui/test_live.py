"""The live answer: grows, escapes, stops, shows errors, and has a static form.  No model is needed."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("ipywidgets")

from workbench.answer import Answer
from workbench.errors import OutOfMemoryError
from workbench.ui.live import LiveAnswer, live
from workbench.ui.widget import STATIC_VARIABLE

EVIL = "<img src=x onerror=alert(1)></script>"


class Told:
    """A reply that the test tells what to be."""

    def __init__(self) -> None:
        self.thought = self.text = ""
        self.ended = threading.Event()
        self.stopped = threading.Event()
        self.error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.ended.is_set()

    @property
    def answer(self) -> Answer:
        assert self.ended.wait(10)
        if self.error:
            raise self.error
        stopped = "interrupted" if self.stopped.is_set() else "end"
        return Answer(self.text, self.thought, "think", 0.5, 9, 4, 2, 1, 1.0, 0.1, stopped)

    def stop(self) -> None:
        self.stopped.set()
        self.ended.set()


@pytest.fixture
def told():
    reply = Told()
    yield reply
    reply.ended.set()


def shown(widget) -> str:
    return widget.children[1].value


def wait_for(widget, text: str) -> str:
    """The widget looks ten times a second; wait for what must come, for at most ten seconds."""
    for _ in range(200):
        if text in shown(widget):
            return shown(widget)
        threading.Event().wait(0.05)
    raise AssertionError(f"{text!r} not in {shown(widget)!r}")


def test_it_grows_and_folds_the_thought_when_the_answer_begins(told):
    widget = LiveAnswer(told, question="Why?")
    told.thought = "because"
    assert "<details open" in wait_for(widget, "because")
    told.text = "purple"
    assert "<details open" not in wait_for(widget, "purple")
    told.ended.set()
    widget._watcher.join(10)
    assert "thought + 1 answer tokens" in shown(widget)
    assert widget.children[0].disabled
    assert "workbench-done" in widget._dom_classes


def test_everything_is_escaped(told):
    widget = LiveAnswer(told, question=EVIL)
    assert EVIL not in shown(widget)
    told.thought, told.text = EVIL + "thought", EVIL + "text"
    assert EVIL not in wait_for(widget, "&gt;text")
    told.ended.set()
    widget._watcher.join(10)
    assert EVIL not in shown(widget)


def test_the_button_stops_the_reply(told):
    widget = LiveAnswer(told)
    widget.children[0].click()
    assert told.stopped.is_set()
    assert widget.answer.stopped == "interrupted"
    widget._watcher.join(10)
    assert "interrupted" in shown(widget)


def test_an_error_is_shown_in_its_place(told):
    told.error = OutOfMemoryError("no <room>")
    widget = LiveAnswer(told)
    told.ended.set()
    widget._watcher.join(10)
    assert "no &lt;room&gt;" in shown(widget)
    with pytest.raises(OutOfMemoryError):
        _ = widget.answer


def test_the_static_form(told, monkeypatch):
    told.text, told.thought = "purple", "because"
    told.ended.set()
    widget = LiveAnswer(told)
    assert "purple" in widget.static()
    assert "application/vnd.jupyter.widget-view+json" in widget._repr_mimebundle_()
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    bundle = widget._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert "purple" in bundle["text/html"]
    monkeypatch.setenv(STATIC_VARIABLE, "0")
    assert "application/vnd.jupyter.widget-view+json" in widget._repr_mimebundle_()


def test_live_asks_with_the_options(told):
    calls = []

    class Model:
        def stream(self, images, question, **options):
            calls.append((images, question, options))
            return told

    widget = live(Model(), "x.png", question="Why?", mode="think")
    assert calls == [("x.png", "Why?", {"mode": "think"})]
    assert "Why?" in shown(widget)
