"""The resolution microscope to touch: a picture through the ways of feeding it, as budget and reply move"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from PIL import Image

from ..ablate.cost import Shape, cost
from ..ablate.microscope import CRITERIA, Microscope, Reading, of_size
from ..errors import InputError
from ..files import data_path
from ..html import frame, table, thumbnail
from ..html import text as html_text
from ..images import open_image
from ..types import ImageLike
from ..viz import style
from .maps import png
from .widget import HasStatic, asset, page_alone, write

__all__ = ["BUDGETS", "REPLIES", "ResolutionMicroscope"]


BUDGETS = (256, 576, 1024, 2048, 3600)
"""Budgets of image tokens that the slider offers beside the record's own."""

REPLIES = (0, 256, 1024, 4096)
"""Lengths of a reply, in tokens, whose cost is told."""

TEXT = 100  # tokens of the prompt besides the picture, as in `cost`


class ResolutionMicroscope(HasStatic, anywidget.AnyWidget):
    """A picture through every way of feeding it: its crops, what survives, tokens and cost as sliders move.

    Point at a place of the picture, or move there with the arrow keys, and every way shows the pixels of it
    that reach the model's vision tower.  Nothing needs a kernel once it is shown, and the saved page does
    the same.

    Args:
        record: from ``workbench.ablate.microscope(image)``; its methods are shown, and other budgets are
            looked at for a picture of the same size.
        image: the picture that the record was made from; without it crops and numbers are shown.
        shape: of the model whose costs are told, see `workbench.ablate.Shape`; by default that of
            Phi-4-reasoning-vision-15B.
        budgets: most image tokens, for the slider.

    Attributes:
        record: the record.
        records: budget -> record, for every budget of the slider.

    Raises:
        InputError: for anything but a record, a picture of another size, or a budget that is too small.

    Example:
        >>> ResolutionMicroscope(microscope("screen.png"), "screen.png")  # doctest: +SKIP
    """

    _esm = asset("dom.js") + asset("sources.js") + asset("microscope.js")
    _css = asset("explorer.css") + asset("microscope.css")
    info = traitlets.Dict().tag(sync=True)
    budget = traitlets.Int().tag(sync=True)
    reply = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        record: Microscope,
        image: ImageLike | None = None,
        *,
        shape: Shape | None = None,
        budgets: Sequence[int] = BUDGETS,
    ) -> None:
        self.record = style.record(record, Microscope, "workbench.ablate.microscope(image)")
        self._image = None if image is None else _of_size(open_image(image), record.size)
        self._png = b"" if self._image is None else png(self._image)
        methods = [reading.method for reading in record.readings]
        self.records = {
            budget: record
            if budget == record.budget
            else of_size(record.size, budget=budget, methods=methods)
            for budget in sorted({*budgets, record.budget})
        }
        self._shape = shape or Shape.of(data_path("phi4_rv_15b"))
        super().__init__(info=self._told(), budget=record.budget)
        self.on_msg(self._heard)

    def static(self) -> str:
        """The picture and a table of all ways at the budget that is shown, as HTML that needs no kernel."""
        header = ("way", "tokens", "crops", "smallest text", "smallest target", "operations")
        rows = [
            (told["label"], told["tokens"], len(told["crops"]), f"{told['text']:.0f} px",
             f"{told['target']:.0f} px", f"{_operations(told, self.reply):.3g} TFLOP")
            for told in self.info["readings"][str(self.budget)]
        ]  # fmt: skip
        shown = "" if self._image is None else thumbnail(self._image, alt="the picture")
        return frame(f"{shown}<p>{html_text(_headline(self.records[self.budget]))}</p>{table(header, rows)}")

    def save_html(self, path: str | Path) -> Path:
        """Save it as one file that works offline, sliders, lens and all.

        Raises:
            DiskError: if it cannot be written there.
        """
        picture = base64.b64encode(self._png).decode("ascii")
        state = {"info": self.info, "budget": self.budget, "reply": self.reply}
        told = page_alone(
            "The resolution microscope",
            module=str(self._esm),
            style=str(self._css),
            data={"state": state, "picture": picture},
        )
        return write(path, told)

    # -- inside ----------------------------------------------------------------------------------

    def _told(self) -> dict[str, Any]:
        """What a view shows: all readings with their costs."""
        return {
            "size": list(self.record.size),
            "budgets": list(self.records),
            "replies": list(REPLIES),
            "picture": self._image is not None,
            "criteria": CRITERIA,
            "headlines": {str(budget): _headline(record) for budget, record in self.records.items()},
            "readings": {
                str(budget): [self._row(reading) for reading in record.readings]
                for budget, record in self.records.items()
            },
        }

    def _row(self, reading: Reading) -> dict[str, Any]:
        costs = [cost(self._shape, reading.feed, text=TEXT, reply=reply) for reply in REPLIES]
        first = costs[0]
        return {
            "label": reading.label,
            "tokens": reading.feed.tokens,
            "crops": [list(crop) for crop in reading.feed.crops],
            "resized": list(reading.feed.resized),
            "density": list(reading.feed.density),
            "text": reading.smallest_text,
            "target": reading.smallest_target,
            "prompt": [n / 1e12 for n in (first.tower_flops, first.projector_flops, first.decoder_flops)],
            "replies": [one.reply_flops / 1e12 for one in costs],
            "cache": [one.kv_bytes / 1e6 for one in costs],
        }

    def _heard(self, _: object, content: object, buffers: object) -> None:
        """A view asks for the picture."""
        if self._image is not None and isinstance(content, dict) and content.get("kind") == "picture":
            self.send({"kind": "picture"}, buffers=[self._png])

    @traitlets.validate("budget", "reply")
    def _check_choice(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        offered = list(self.records) if name == "budget" else list(REPLIES)
        if value not in offered:
            raise InputError(f"{name}={value}", f"one of {', '.join(map(str, offered))}")
        return int(value)

    def __repr__(self) -> str:
        width, height = self.record.size
        return f"ResolutionMicroscope({width} x {height}, {self.budget} tokens)"


def _of_size(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if image.size != size:
        given = f"a picture of {image.width}x{image.height} pixels"
        raise InputError(given, f"the record's, of {size[0]}x{size[1]}")
    return image


def _operations(told: dict[str, Any], reply: int) -> float:
    """TFLOP to read the prompt and write the reply."""
    return sum(told["prompt"]) + told["replies"][REPLIES.index(reply)]


def _headline(record: Microscope) -> str:
    """Which way keeps the smallest text, and which the smallest target."""
    text = min(record.readings, key=lambda reading: reading.smallest_text)
    target = min(record.readings, key=lambda reading: reading.smallest_target)
    second = "and also" if text is target else target.label
    return (
        f"At {record.budget} tokens {text.label} passes on the smallest text ({text.smallest_text:.0f} px), "
        f"{second} the smallest target ({target.smallest_target:.0f} px)."
    )
