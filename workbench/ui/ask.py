"""A panel to ask with: drop a picture, type a question, watch thought and answer grow, stop, compare modes"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
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
from ..models.outside import why_outside
from ..models.sources import BUILT_IN
from ..records import build, plain
from ..types import ImageLike, Mode
from .live import STEP
from .maps import png
from .marks import Mark, drawn_on
from .widget import HasStatic, asset, in_words, write

__all__ = ["AskPanel"]


EVERY = "every"  # the choice of all modes, side by side
KEPT = 20  # questions whose replies stay on the screen


class AskPanel(HasStatic, anywidget.AnyWidget):
    """A picture, a question and a model in one panel, for a picture of your own.

    Choose, drop or paste a picture, draw on it with a pen or a box, type a question, pick a mode, and press
    Enter: thought and answer grow apart from each other, Stop stops, and what was asked before stays below.
    "all modes" asks in each mode that the model has, side by side.  Every reply begins with how likely the
    model was to think before any mode was forced.  What is drawn is asked about; of a picture unlike all that
    the built-in model was trained on the panel says so.

    Args:
        vlm: the model.
        image: to begin with.
        question: to begin with.
        mode: "auto", "think", "nothink", or "every" for all of them side by side.
        max_tokens: most tokens of a reply; None for as many as ``vlm.ask`` allows.
        thinking_budget: tokens after which a thought is closed; None for no limit.
        capture: whether the replies keep their attention, for `AttentionExplorer`.

    Attributes:
        image: the picture that is shown, without what is drawn on it; None before one is.
        answers: the replies, oldest first.

    Raises:
        InputError: for a picture that cannot be opened, a mode that does not exist, or no model.

    Example:
        >>> panel = AskPanel(vlm, "bill.png", question="What is the total?")  # doctest: +SKIP
        >>> panel.answer                                                      # doctest: +SKIP
    """

    _esm = asset("dom.js") + asset("marks.js") + asset("ask.js")
    _css = asset("explorer.css") + asset("ask.css")
    question = traitlets.Unicode("").tag(sync=True)
    mode = traitlets.Unicode("auto").tag(sync=True)
    max_tokens = traitlets.Int(None, allow_none=True, min=1).tag(sync=True)
    thinking_budget = traitlets.Int(None, allow_none=True, min=0).tag(sync=True)
    pictures = traitlets.Int(0).tag(sync=True)  # pictures shown so far: a view fetches the latest
    running = traitlets.Bool(False).tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)
    warning = traitlets.Unicode("").tag(sync=True)  # why the model may not know such pictures
    marks = traitlets.List(traitlets.Dict()).tag(sync=True)  # what is drawn on the picture, see `Mark`
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
        if not callable(getattr(vlm, "stream", None)):
            raise InputError(
                f"vlm={vlm!r}", "a model", "AskPanel(workbench.load()), or choose one in ModelPanel"
            )
        self._vlm, self._capture = vlm, capture
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="workbench-ask-panel")
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
        self.marks, self.warning = [], _warning(self._vlm, self.image)
        self.pictures += 1

    @property
    def drawn(self) -> Image.Image | None:
        """The picture with all that is drawn on it, as it is asked about; None before there is a picture."""
        return (
            self.image if self.image is None or not self.marks else drawn_on(self.image, _marks(self.marks))
        )

    def ask(self) -> None:
        """Begin to ask what stands in the panel; returns at once, and waits for no reply."""
        if self.running:
            return
        self._stopping.clear()
        self.problem, self.running = "", True
        entry = {"question": self.question, "replies": []}
        self.asked = [*self.asked[-KEPT + 1 :], entry]
        asked = (self.drawn, self.question, self.mode)  # what stands there may change meanwhile
        self._thread = threading.Thread(target=self._run, args=asked, name="workbench-ask", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the reply, and leave out the modes that were still to come."""
        self._stopping.set()
        if self._stream is not None:
            self._stream.stop()

    def static(self) -> str:
        """The picture and all replies as HTML that needs no kernel."""
        warning = f"<p><b>{escape(self.warning)}</b></p>" if self.warning else ""
        if not self.answers:
            return frame(warning + "<p>Nothing was asked yet.</p>")
        before = ((), *(answer.images for answer in self.answers))
        told = [
            answer.html(() if answer.images == last else answer.images)
            for last, answer in zip(before, self.answers, strict=False)
        ]
        return frame(warning + "<hr>".join(told))

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
        except Exception as error:
            self.problem = in_words(error, "asking")
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
        self._tell({"mode": mode, "likely": "", "thought": "", "text": "", "facts": ""}, new=True)
        waiting = threading.Event()
        while not stream.done:
            waiting.wait(STEP)
            grown = {"likely": _likely(stream.p_think), "thought": stream.thought, "text": stream.text}
            self._tell({"mode": mode, **grown, "facts": ""})
        answer = stream.answer
        self.answers = (*self.answers, answer)
        whole = {"likely": _likely(answer.p_think), "thought": answer.thought or "", "text": answer.text}
        self._tell({"mode": mode, **whole, "facts": _facts(answer)})

    def _tell(self, reply: dict[str, str], *, new: bool = False) -> None:
        """Show the latest reply as it is now."""
        *before, last = self.asked
        kept = last["replies"] if new else last["replies"][:-1]
        self.asked = [*before, {**last, "replies": [*kept, reply]}]

    def _heard(self, _: Any, content: Any, buffers: Any) -> None:
        """Take what a view asks for: Stop at once, all else in its order, beside the thread that hears it."""
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind == "stop":
            self.stop()
        else:
            self._pool.submit(self._do, kind, buffers)

    def _do(self, kind: object, buffers: Sequence[bytes | memoryview]) -> None:
        """Do one thing; what is wrong with it is told to all views."""
        try:
            if kind == "picture" and self.image is not None:
                self.send({"kind": "picture", "number": self.pictures}, buffers=[png(self.image)])
            elif kind == "open":
                self.show(bytes(buffers[0]))
                self.problem = ""
            elif kind == "ask":
                self.ask()
        except (WorkbenchError, IndexError) as error:
            self.problem = str(error)

    @traitlets.validate("marks")
    def _check_marks(self, proposal: Any) -> list[dict[str, object]]:
        return [plain(mark) for mark in _marks(proposal["value"])]

    @traitlets.validate("mode")
    def _check_mode(self, proposal: Any) -> str:
        return EVERY if proposal["value"] == EVERY else str(Mode.of(proposal["value"]))

    def __repr__(self) -> str:
        return f"AskPanel({self._vlm.name}, {len(self.answers)} replies)"


def _marks(told: Iterable[dict[str, object]]) -> list[Mark]:
    return [build(Mark, mark, "a mark on the picture") for mark in told]


def _warning(vlm: models.Model, image: Image.Image) -> str:
    """Why the built-in model knows nothing of such a picture; "" for any other model."""
    if not (isinstance(vlm, models.VLM) and vlm.loaded and vlm.source in BUILT_IN):
        return ""
    return why_outside(image, most_patches=vlm.model.config.max_num_patches)


def _likely(p_think: float | None) -> str:
    """How likely the model was to think; "" before it is known."""
    return "" if p_think is None else f"thinks by itself with {100 * p_think:.0f}%"


def _facts(answer: Answer) -> str:
    """What a reply cost."""
    parts = (("thought", answer.thought_tokens), ("answer", answer.answer_tokens))
    counts = [f"{count} {name} token{'s' if count > 1 else ''}" for name, count in parts if count]
    return ", ".join([*counts, f"{answer.seconds:.1f} s", f"stopped: {answer.stopped}"])
