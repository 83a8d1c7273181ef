"""The attention explorer: hover a word and see where it looked, draw a box and see which words did."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from ..answer import Answer
from ..attention import Attention
from ..errors import InputError, WorkbenchError
from ..viz.overlay import ATTENTION, overlay
from .maps import Maps, Setting, Word, quantised
from .page import MAX_BYTES, page, script, style, write
from .static import static_only

__all__ = ["AttentionExplorer"]


class AttentionExplorer(anywidget.AnyWidget):
    """A live view of an answer's attention.

    Hover a word (or move with the arrow keys): its map lies on the pictures at once; a click keeps it.
    Draw a box on a picture (or place it with the arrow keys): the words that looked there are shaded,
    and marked where they looked there at least half as much as the one that did most, and more than
    uniform attention would.  Sliders choose layer and head, or their mean; sinks can be left out.

    A map is computed in the kernel when it is first asked for, sent as bytes, and kept in the browser.

    Args:
        answer: made with ``capture=True``.
        attention: its attention, where it is kept apart from the answer.
        unit: "word", or "token" for each token apart.
        **state: traits to begin with, by the names below.

    Attributes:
        word: number of the word shown, in `words`; None for none.
        layer, head: which; None for the mean.
        sinks: whether sinks stay in.
        image: the picture that the box lies on.
        box: (x1, y1, x2, y2) in pixels of that picture; None for none.
        crops: whether the maps of a picture's crops are shown, not that of the whole.
        marked: numbers of the words that looked into the box, as the view shows them.

    Raises:
        InputError: for an answer made without ``capture=True``, an empty one, or a trait out of range.
        CapabilityError: for an answer without a picture.

    Example:
        >>> explorer = AttentionExplorer(vlm.ask(picture, "...", capture=True))  # doctest: +SKIP
        >>> explorer.looks()                    # words by their attention in the box  # doctest: +SKIP
        >>> explorer.save_html("attention.html")  # one file, for a reader without Python  # doctest: +SKIP
    """

    _esm = script()
    _css = style()
    info = traitlets.Dict(read_only=True).tag(sync=True)
    word = traitlets.Any(None, allow_none=True).tag(sync=True)
    layer = traitlets.Any(None, allow_none=True).tag(sync=True)
    head = traitlets.Any(None, allow_none=True).tag(sync=True)
    sinks = traitlets.Bool(True).tag(sync=True)
    image = traitlets.Any(0).tag(sync=True)
    box = traitlets.Any(None, allow_none=True).tag(sync=True)
    crops = traitlets.Bool(False).tag(sync=True)
    marked = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(
        self, answer: Answer, *, attention: Attention | None = None, unit: str = "word", **state: Any
    ) -> None:
        unknown = sorted(set(state) - {"word", "layer", "head", "sinks", "image", "box", "crops"})
        if unknown:
            raise InputError(f"{unknown[0]}=", "one of word, layer, head, sinks, image, box, crops")
        if not isinstance(answer, Answer):
            raise InputError(
                f"an answer of type {type(answer).__name__}", "an Answer", "pass what vlm.ask returned"
            )
        self.answer = answer
        self._maps = Maps(answer, answer.attention if attention is None else attention, unit)
        super().__init__(**state)
        self.on_msg(self._asked)

    # -- what it shows, for Python -----------------------------------------------------------------

    @property
    def words(self) -> tuple[Word, ...]:
        """The reply's words, each with its text, its part of the reply and its tokens."""
        return self._maps.words

    def map(self, image: int | None = None) -> np.ndarray:
        """The map shown: of the current word, layer, head and sinks, on a picture as a whole.

        Args:
            image: which picture; None for the current one.

        Returns:
            float32 ``[rows, cols]``.

        Raises:
            InputError: if no word is shown, or there is no such picture.
        """
        if self.word is None:
            raise InputError("no word is shown", "a word", "set explorer.word, or hover one")
        number = self.image if image is None else image
        self._maps.attention.grid(number)  # refuses a picture that is not there
        return self._maps.on_overview(self._maps.cells([self.word], self._setting)[0], number)

    def looks(self) -> pd.DataFrame:
        """Which words looked into the box.

        Returns:
            One row a word: ``word``, ``text``, ``part``, ``share``, ``inside``, ``lift``, ``marked``; see
            `workbench.ui.maps.Maps.looks`.

        Raises:
            InputError: if there is no box.
        """
        if self.box is None:
            raise InputError("no box is drawn", "a box", "set explorer.box, or drag one on a picture")
        return self._maps.looks(self._maps.region(self.box, self.image), self._setting)

    def static(self) -> str:
        """What is shown now as HTML without a kernel: the word's map, else the reply's, and the words."""
        maps, setting = self._maps, self._setting
        chosen = range(len(maps.words)) if self.word is None else [self.word]
        cells = maps.cells(chosen, setting).mean(axis=0)
        name = "the reply" if self.word is None else f"“{maps.words[self.word].text.strip()}”"
        pictures = []
        shown = [maps.on_overview(cells, number) for number in range(len(maps.grids))]
        peak = float(max(values.max() for values in shown))
        for number, values in enumerate(shown):
            figure = overlay(self.answer, values, image=number, peak=peak, label=ATTENTION)
            out = io.BytesIO()
            figure.savefig(out, format="png", dpi=150)
            data = base64.b64encode(out.getvalue()).decode("ascii")
            width = round(figure.get_size_inches()[0] * 100)
            alt = f"where {name} looked on picture {number}"
            pictures.append(f'<img alt="{escape(alt)}" width="{width}" src="data:image/png;base64,{data}">')
        which = ", ".join(
            f"{what} {value}" if value is not None else f"mean over {what}s"
            for what, value in (("layer", setting.layer), ("head", setting.head))
        )
        line = f"Attention of {name} ({which}{'' if setting.sinks else ', without sinks'})"
        return (
            '<div class="workbench-explorer" style="max-width:60em;line-height:1.6">'
            f"<div>{''.join(pictures)}</div><div>{escape(line)}</div>{self._static_words()}</div>"
        )

    def save_html(self, path: str | Path, *, max_bytes: int = MAX_BYTES) -> Path:
        """Save it as one file that works offline: hovering, boxes, layers and heads as here.

        Args:
            path: of the file; one that is there is replaced.
            max_bytes: most bytes of maps, before they are packed.  Where all layers and heads are more,
                the page carries all layers with the mean of their heads, or the mean of all.

        Returns:
            The path.

        Raises:
            InputError: if it cannot be written, or even the mean is more than ``max_bytes``.
        """
        names = ("word", "layer", "head", "sinks", "image", "box", "crops")
        state = {name: getattr(self, name) for name in names}
        return write(path, page(self._maps, state=state, max_bytes=max_bytes))

    def __repr__(self) -> str:
        return f"AttentionExplorer({len(self.words)} words, {len(self._maps.grids)} pictures)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if static_only():
            return {"text/html": self.static(), "text/plain": repr(self)}
        return super()._repr_mimebundle_(**kwargs)

    # -- inside --------------------------------------------------------------------------------------

    @property
    def _setting(self) -> Setting:
        return self._maps.setting(self.layer, self.head, self.sinks)

    def _static_words(self) -> str:
        """The reply, its words shaded by their attention in the box, or else on the pictures."""
        cells = self._maps.cells(range(len(self.words)), self._setting)
        shares = self._maps.shares(cells).sum(axis=1) if self.box is None else self.looks()["share"]
        most = float(max(shares)) or 1.0
        spans = [
            f'<span style="background:rgba(232,132,44,{0.65 * share / most:.2f})" '
            f'title="{100 * share:.1f}%">{escape(word.text)}</span>'
            for word, share in zip(self.words, shares, strict=True)
        ]
        return f'<div style="white-space:pre-wrap">{"".join(spans)}</div>'

    @traitlets.default("info")
    def _first_info(self) -> dict[str, Any]:
        return self._maps.info()

    @traitlets.validate("word")
    def _check_word(self, proposal: Any) -> int | None:
        return None if proposal["value"] is None else self._maps.word(proposal["value"])

    @traitlets.validate("layer", "head")
    def _check_number(self, proposal: Any) -> int | None:
        name = proposal["trait"].name
        return getattr(self._maps.setting(**{name: proposal["value"]}), name)

    @traitlets.validate("image")
    def _check_image(self, proposal: Any) -> int:
        self._maps.attention.grid(proposal["value"])
        return int(proposal["value"])

    @traitlets.validate("box")
    def _check_box(self, proposal: Any) -> list[float] | None:
        if proposal["value"] is None:
            return None
        return list(self._maps.region(proposal["value"], self.image).box)

    def _asked(self, _: Any, content: Any, buffers: Any) -> None:
        """Answer one request of a view; what is wrong with it is told to the view."""
        number = content.get("id") if isinstance(content, dict) else None
        try:
            reply, data = self._answered(content)
        except WorkbenchError as error:
            reply, data = {"error": str(error)}, []
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reply, data = {"error": f"a request that cannot be read: {type(error).__name__}: {error}"}, []
        self.send({"id": number, **reply}, buffers=data)

    def _answered(self, content: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        maps, kind = self._maps, content["kind"]
        if kind == "picture":
            return {}, [maps.picture(content["image"])]
        setting = maps.setting(content["layer"], content["head"], content["sinks"])
        if kind == "map":
            cells = maps.cells([maps.word(content["word"])], setting)
            values, peaks = quantised(cells)
            shares = [float(share) for share in maps.shares(cells)[0]]
            return {"peak": float(peaks[0]), "shares": shares}, [values.tobytes()]
        if kind == "looks":
            found = maps.looks(maps.region(content["box"], content["image"]), setting)
            return {}, [found[name].to_numpy(np.float32).tobytes() for name in ("share", "lift")]
        raise ValueError(f"kind={kind!r}")
