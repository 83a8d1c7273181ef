"""A panel that chooses, plans, loads and unloads a model, with the memory that each takes"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from .. import models
from ..errors import InputError
from ..html import frame, page, text
from ..models.device import available_memory, pick_device, total_memory
from ..models.ladder import PLACES
from ..models.sources import BUILT_IN
from .widget import HasStatic, asset, in_words, write

__all__ = ["ModelPanel"]


STEP = 0.25  # seconds between two looks at a model that is being loaded
PRECISIONS = ("", "int8", "int4")  # the first stands for the precision that suits the device


class ModelPanel(HasStatic, anywidget.AnyWidget):
    """Choose a model, see what it needs, load it, and free its memory again.

    The ladder of models, from the built-in one to those for a card of 80 GB, stands as buttons; a folder or a
    Hub id can be typed.  "Plan" tells what fits this device and reads no weights; "Load" works in a thread of
    its own, and `vlm` waits for it.

    Args:
        source: to begin with: the built-in model, a folder or a Hub id.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".

    Attributes:
        plan: the latest `workbench.models.MemoryPlan`; None before one was made.

    Raises:
        LoadError: if this machine has no such device.

    Example:
        >>> panel = ModelPanel()              # doctest: +SKIP
        >>> panel.vlm.ask("bill.png", "?")    # doctest: +SKIP
    """

    _esm = asset("dom.js") + asset("model.js")
    _css = asset("explorer.css") + asset("model.css")
    source = traitlets.Unicode("nano").tag(sync=True)
    quantize = traitlets.Enum(PRECISIONS, "").tag(sync=True)
    image_tokens = traitlets.Int(None, allow_none=True, min=1).tag(sync=True)
    choices = traitlets.List(traitlets.Dict()).tag(sync=True)
    planned = traitlets.Dict().tag(sync=True)  # the plan as a view shows it
    doing = traitlets.Unicode("").tag(sync=True)  # what goes on, in words
    progress = traitlets.Float(0.0).tag(sync=True)  # share of the weights that are read, from memory taken
    memory = traitlets.Unicode("").tag(sync=True)
    loaded = traitlets.Unicode("").tag(sync=True)  # name of the model that is loaded
    problem = traitlets.Unicode("").tag(sync=True)

    def __init__(self, source: str | PathLike[str] = "nano", *, device: str = "auto") -> None:
        if not isinstance(source, (str, PathLike)):
            raise InputError(
                f"source of type {type(source).__name__}", "what workbench.load takes: text, or a path"
            )
        self.plan: models.MemoryPlan | None = None
        self._device = pick_device(device)
        self._vlm: models.Model | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="workbench-model-panel")
        self._latest: Future[None] | None = None
        super().__init__(source=fspath(source), choices=_choices(), memory=self._memory())
        self.on_msg(self._heard)

    # -- for Python ------------------------------------------------------------------------------

    @property
    def vlm(self) -> models.Model:
        """The model that is loaded; waits for it.

        Raises:
            InputError: if none is, or it could not be loaded.
        """
        self.wait()
        if self._vlm is None or not self._vlm.loaded:
            raise InputError(
                self.problem or "no model is loaded", "a model", "press Load, or call panel.load()"
            )
        return self._vlm

    def make_plan(self) -> None:
        """Begin to plan what stands in the panel; returns at once."""
        self._begin("planning", self._plan)

    def load(self) -> None:
        """Begin to load what stands in the panel, in place of what is loaded; returns at once."""
        self._begin("loading", self._load)

    def unload(self) -> None:
        """Begin to free the memory; a reply that is being written is stopped.  Returns at once.

        `workbench.load` gives the same handle for the same arguments: wherever else it is held, it is
        unloaded as well.
        """
        self._begin("unloading", self._unload)

    def wait(self) -> None:
        """Wait until what was begun is done."""
        if self._latest is not None:
            self._latest.result()

    def static(self) -> str:
        """What is loaded, the memory, and the plan, as HTML that needs no kernel."""
        loaded = f"{self.loaded} is loaded" if self.loaded else "No model is loaded"
        told = "" if self.plan is None else self.plan._repr_html_()
        problem = f"<p>{text(self.problem, preformatted=True)}</p>" if self.problem else ""
        return frame(f"<p>{text(loaded)}; {text(self.memory)}.</p>{problem}{told}")

    def save_html(self, path: str | Path) -> Path:
        """Save `static` as one file that works offline.

        Raises:
            DiskError: if it cannot be written there.
        """
        return write(path, page("A model and its memory", self.static()))

    # -- inside ----------------------------------------------------------------------------------

    def _begin(self, name: str, act: Callable[[], None]) -> None:
        self._latest = self._pool.submit(self._do, name, act)

    def _do(self, name: str, act: Callable[[], None]) -> None:
        """Do one thing; what goes wrong is told in words."""
        self.problem, self.progress, self.doing = "", 0.0, f"{name} {self.source}"
        try:
            act()
        except Exception as error:
            self.problem = in_words(error, name)
        finally:
            self.doing, self.memory = "", self._memory()
            self.loaded = self._vlm.name if self._vlm is not None and self._vlm.loaded else ""

    def _plan(self) -> None:
        self.plan = models.memory_plan(self.source, device=str(self._device), image_tokens=self.image_tokens)
        self.planned = _told(self.plan)

    def _load(self) -> None:
        self._unload()
        self._plan()
        done = threading.Event()
        watcher = threading.Thread(
            target=self._watch, args=(done,), name="workbench-model-watch", daemon=True
        )
        watcher.start()
        try:
            self._vlm = models.load(
                self.source,
                device=str(self._device),
                quantize=self.quantize or None,
                image_tokens=self.image_tokens,
                progress=False,
            )
        finally:
            done.set()
            watcher.join()

    def _unload(self) -> None:
        if self._vlm is not None:
            self._vlm.unload()
        self._vlm = None

    def _watch(self, done: threading.Event) -> None:
        """Tell how far loading is, by the memory that it took."""
        assert self.plan is not None
        likely = self.plan.best or self.plan.rows[0]
        wanted = next((row for row in self.plan.rows if row.precision == self.quantize), likely)
        began, free = time.monotonic(), available_memory(self._device)
        while not done.wait(STEP):
            taken = max(0, free - available_memory(self._device))
            self.progress = min(1.0, taken / max(1, wanted.weights))
            self.doing = f"loading {self.source}: {time.monotonic() - began:.0f} s, {_size(taken)} taken"

    def _memory(self) -> str:
        free, total = available_memory(self._device), total_memory(self._device)
        return f"{self._device}: {_size(free)} free of {_size(total)}"

    def _heard(self, _: object, content: object, buffers: object) -> None:
        """Begin what a view asks for."""
        kind = content.get("kind") if isinstance(content, dict) else None
        acts = {"plan": self.make_plan, "load": self.load, "unload": self.unload}
        if isinstance(kind, str) and kind in acts:
            acts[kind]()
        elif kind == "memory":
            self.memory = self._memory()

    def __repr__(self) -> str:
        return f"ModelPanel({self.loaded or 'no model is loaded'}, {self.memory})"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2g} GB" if n_bytes < 1e10 else f"{n_bytes / 1e9:.0f} GB"


def _choices() -> list[dict[str, Any]]:
    """The built-in models, and the ladder's for each place, each once."""
    told: dict[str, dict[str, Any]] = {
        name: {"source": name, "quantize": "", "image_tokens": None, "label": name, "note": "built in"}
        for name in BUILT_IN
    }
    for place in PLACES:
        for rung in models.ladder().best(place):
            quantize = rung.precision if rung.precision in PRECISIONS else ""
            note = f"{rung.precision}, {_size(rung.needed(place))}, for {place.name}"
            told.setdefault(
                rung.call,
                {
                    "source": rung.model, "quantize": quantize, "image_tokens": rung.image_tokens,
                    "label": rung.name, "note": note,
                },
            )  # fmt: skip
    return list(told.values())


def _told(plan: models.MemoryPlan) -> dict[str, Any]:
    """A plan as a view shows it; all of it text."""
    rows = [
        [row.precision, _size(row.weights), _size(row.on_device), "yes" if row.fits else "no", row.note]
        for row in plan.rows
    ]
    return {"source": plan.source, "rows": rows, "notes": list(plan.notes), "advice": plan.advice}
