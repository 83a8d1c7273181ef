"""A reply that grows before your eyes, with a Stop button; or, where no kernel is, its static form.

The cell returns at once: a button could not reach the kernel while a cell blocks it.
"""

from __future__ import annotations

import threading
from html import escape
from typing import Any, Protocol

import ipywidgets

from ..answer import Answer
from ..html import frame
from ..names import verb
from .widget import HasStatic

__all__ = ["LiveAnswer", "live"]


STEP = 0.1  # seconds between two looks at the reply


class Reply(Protocol):
    """What is watched: a `workbench.models.asking.Stream`, or anything alike."""

    thought: str
    text: str
    done: bool
    answer: Answer

    def stop(self) -> None: ...


class LiveAnswer(HasStatic, ipywidgets.VBox):
    """Shows a reply while it is written; its button stops it.

    Args:
        stream: the reply, already begun.
        question: what was asked, to show above it.

    Attributes:
        stream: the reply.
    """

    def __init__(self, stream: Reply, *, question: str = "") -> None:
        self.stream, self._question = stream, question
        self._shown = ipywidgets.HTML()
        self._button = ipywidgets.Button(
            description="Stop", icon="stop", tooltip="Stop here and keep what there is"
        )
        self._button.on_click(self._stop)
        super().__init__([self._button, self._shown])
        self.add_class("workbench-live")
        self._draw()
        self._watcher = threading.Thread(target=self._watch, name="workbench-live", daemon=True)
        self._watcher.start()

    @property
    def answer(self) -> Answer:
        """The finished record; waits for it."""
        return self.stream.answer

    def stop(self) -> None:
        """Stop the reply; the same as the button."""
        self.stream.stop()

    def static(self) -> str:
        """The finished answer as HTML that needs no kernel; waits for it."""
        return self.answer._repr_html_()

    def __str__(self) -> str:
        return str(self.answer)

    def _stop(self, _: ipywidgets.Button) -> None:
        self._button.description, self._button.disabled = "Stopping", True
        self.stop()

    def _watch(self) -> None:
        waiting = threading.Event()
        while not self.stream.done:
            waiting.wait(STEP)
            self._draw()
        try:
            self._shown.value = self.stream.answer._repr_html_()
        except Exception as error:  # shown where the reply would stand; `answer` raises it for the caller
            self._shown.value = frame(f'<pre style="white-space:pre-wrap">{escape(str(error))}</pre>')
        self._button.description, self._button.disabled, self._button.icon = "Done", True, "check"
        self.add_class("workbench-done")

    def _draw(self) -> None:
        thought, text = self.stream.thought, self.stream.text
        folded = "" if text else " open"
        value = f'<div style="opacity:.75;white-space:pre-wrap">{escape(self._question)}</div>'
        if thought:
            value += (
                f"<details{folded}><summary>Thought</summary>"
                '<div style="border-left:3px solid;padding-left:.7em;opacity:.8;white-space:pre-wrap">'
                f"{escape(thought)}</div></details>"
            )
        value += f'<div style="font-size:1.08em;white-space:pre-wrap">{escape(text)}</div>'
        if value != self._shown.value:
            self._shown.value = value


@verb("question")
def live(vlm: Any, images: Any, *, question: str, **options: Any) -> LiveAnswer:
    """Ask, and watch the reply grow; options as for ``vlm.ask``.

    Raises:
        WorkbenchError: as ``vlm.stream``.

    Example:
        >>> shown = live(vlm, "bill.png", question="What is the total?")  # doctest: +SKIP
        >>> shown.answer                                         # doctest: +SKIP
    """
    return LiveAnswer(vlm.stream(images, question, **options), question=question)
