"""A panel to ask with: drop a picture, type a question, watch thought and answer grow, stop, compare modes"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from PIL import Image

from .. import models
from ..answer import Answer
from ..errors import InputError, ModeError, WorkbenchError
from ..html import frame, page
from ..images import open_images
from ..types import ImageLike, Mode
from .explorer import asset, write
from .live import STEP, static_only
from .maps import png

__all__ = ["AskPanel"]


EVERY = "every"  # the choice of all modes, side by side
KEPT = 20  # questions whose replies stay on the screen


class AskPanel(anywidget.AnyWidget):
    """A picture, a question and a model in one panel, for a picture of your own.

    Choose, drop or paste a picture, type a question, pick a mode, and press Enter: thought and answer grow
    apart from each other, Stop stops, and what was asked before stays below.  "all modes" asks in each mode
    that the model has, side by side.  Every reply says how likely the model was to think before any mode
    was forced.

    Args:
        vlm: the model.
        image: to begin with.
        question: to begin with.
        mode: "auto", "think", "nothink", or "every" for all of them side by side.
        max_tokens: most tokens of a reply; None for as many as ``vlm.ask`` allows.
        thinking_budget: tokens after which a thought is closed; None for no limit.
        capture: whether the replies keep their attention, for `AttentionExplorer`.

    Attributes:
        image: the picture that is shown; None before one is.
        answers: the replies, oldest first.

    Raises:
        InputError: for a picture that cannot be opened, or a mode that does not exist.

    Example:
        >>> panel = AskPanel(vlm, "bill.png", question="What is the total?")  # doctest: +SKIP
        >>> panel.answer                                                      # doctest: +SKIP
    """

    _esm = asset("dom.js") + asset("ask.js")
    _css = asset("explorer.css") + asset("ask.css")
    question = traitlets.Unicode("").tag(sync=True)
    mode = traitlets.Unicode("auto").tag(sync=True)
    max_tokens = traitlets.Int(None, allow_none=True, min=1).tag(sync=True)
    thinking_budget = traitlets.Int(None, allow_none=True, min=0).tag(sync=True)
    pictures = traitlets.Int(0).tag(sync=True)  # pictures shown so far: a view fetches the latest
    running = traitlets.Bool(False).tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)
    asked = traitlets.List(traitlets.Dict()).tag(sync=True)  # questions and replies as text, newest last

    def __init__(
        self,
        vlm: models.Model,
        image: ImageLike | None = None,
        *,
        question: str = "",
        mode: str | Mode = "auto",
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        capture: bool = False,
    ) -> None:
        self._vlm, self._capture = vlm, capture
        self.image: Image.Image | None = None
        self.answers: tuple[Answer, ...] = ()
        self._stopping = threading.Event()
        self._stream: models.Stream | None = None
        self._thread: threading.Thread | None = None
        options = {"max_tokens": max_tokens, "thinking_budget": thinking_budget}
        super().__init__(question=question, mode=str(mode), **options)
        if image is not None:
            self.show(image)
        self.on_msg(self._heard)

    # -- for Python ------------------------------------------------------------------------------

    @property
    def answer(self) -> Answer:
        """The latest reply; waits for it.

        Raises:
            InputError: if nothing was asked, or the question could not be answered.
        """
        if self._thread is not None:
            self._thread.join()
        if self.problem or not self.answers:
            given = self.problem or "nothing was asked"
            raise InputError(given, "a reply", "type a question and press Enter, or call panel.ask()")
        return self.answers[-1]

    def show(self, image: ImageLike) -> None:
        """Put a picture into the panel.

        Raises:
            InputError: if it cannot be opened.
        """
        (self.image,) = open_images(image)
        self.pictures += 1

    def ask(self) -> None:
        """Begin to ask what stands in the panel; returns at once, and waits for no reply."""
        if self.running:
            return
        self._stopping.clear()
        self.problem, self.running = "", True
        entry = {"question": self.question, "replies": []}
        self.asked = [*self.asked[-KEPT + 1 :], entry]
        asked = (self.image, self.question, self.mode)  # what stands there may change meanwhile
        self._thread = threading.Thread(target=self._run, args=asked, name="workbench-ask", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the reply, and leave out the modes that were still to come."""
        self._stopping.set()
        if self._stream is not None:
            self._stream.stop()

    def static(self) -> str:
        """The picture and all replies as HTML that needs no kernel."""
        if not self.answers:
            return frame("<p>Nothing was asked yet.</p>")
        before = ((), *(answer.images for answer in self.answers))
        told = [
            answer.html(() if answer.images == last else answer.images)
            for last, answer in zip(before, self.answers, strict=False)
        ]
        return frame("<hr>".join(told))

    def save_html(self, path: str | Path) -> Path:
        """Save the picture and all replies as one file that works offline.

        Raises:
            InputError: if it cannot be written there.
        """
        return write(path, page("Asked", self.static()))

    # -- inside ----------------------------------------------------------------------------------

    def _run(self, image: Image.Image | None, question: str, chosen: str) -> None:
        modes = [mode.value for mode in Mode] if chosen == EVERY else [chosen]
        try:
            for mode in modes:
                if not self._stopping.is_set():
                    self._ask(image, question, mode, optional=chosen == EVERY)
        except WorkbenchError as error:
            self.problem = str(error)
        finally:
            self._stream, self.running = None, False

    def _ask(self, image: Image.Image | None, question: str, mode: str, *, optional: bool) -> None:
        """One reply, shown while it grows; an ``optional`` mode may be one that the model lacks."""
        try:
            stream = self._stream = self._vlm.stream(
                image,
                question,
                mode=mode,
                max_tokens=self.max_tokens,
                thinking_budget=self.thinking_budget,
                capture=self._capture,
            )
        except ModeError as error:
            if not optional:
                raise
            return self._tell({"mode": mode, "text": str(error), "facts": "not available"}, new=True)
        if self._stopping.is_set():  # pressed before there was a stream to stop
            stream.stop()
        self._tell({"mode": mode, "thought": "", "text": "", "facts": ""}, new=True)
        waiting = threading.Event()
        while not stream.done:
            waiting.wait(STEP)
            self._tell({"mode": mode, "thought": stream.thought, "text": stream.text, "facts": ""})
        answer = stream.answer
        self.answers = (*self.answers, answer)
        self._tell(
            {"mode": mode, "thought": answer.thought or "", "text": answer.text, "facts": _facts(answer)}
        )

    def _tell(self, reply: dict[str, str], *, new: bool = False) -> None:
        """Show the latest reply as it is now."""
        *before, last = self.asked
        kept = last["replies"] if new else last["replies"][:-1]
        self.asked = [*before, {**last, "replies": [*kept, reply]}]

    def _heard(self, _: Any, content: Any, buffers: Any) -> None:
        """What a view asks for; what is wrong with it is told to all views."""
        kind = content.get("kind") if isinstance(content, dict) else None
        try:
            if kind == "picture" and self.image is not None:
                self.send({"kind": "picture", "number": self.pictures}, buffers=[png(self.image)])
            elif kind == "open":
                self.show(bytes(buffers[0]))
                self.problem = ""
            elif kind == "ask":
                self.ask()
            elif kind == "stop":
                self.stop()
        except (WorkbenchError, IndexError) as error:
            self.problem = str(error)

    @traitlets.validate("mode")
    def _check_mode(self, proposal: Any) -> str:
        return EVERY if proposal["value"] == EVERY else str(Mode.of(proposal["value"]))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if static_only():
            return {"text/html": self.static(), "text/plain": repr(self)}
        return super()._repr_mimebundle_(**kwargs)

    def __repr__(self) -> str:
        return f"AskPanel({self._vlm.name}, {len(self.answers)} replies)"


def _facts(answer: Answer) -> str:
    """What a reply cost, and how likely the model was to think."""
    parts = (("thought", answer.thought_tokens), ("answer", answer.answer_tokens))
    counts = [f"{count} {name} token{'s' if count > 1 else ''}" for name, count in parts if count]
    likely = [] if answer.p_think is None else [f"thinks by itself with {100 * answer.p_think:.0f}%"]
    return ", ".join([*likely, *counts, f"{answer.seconds:.1f} s", f"stopped: {answer.stopped}"])
