"""The attention explorer: hover a word and see where it looked, draw a box and see what looked there.

It opens at the head that points best.  A region can be hidden and the question asked again.  The same
explorer is written as one page that works without a kernel and without a network.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from .. import models
from ..answer import Answer
from ..attention import Attention
from ..errors import InputError
from ..html import frame
from ..interpret.attribution import Attribution
from ..interpret.lens_record import LogitLens
from ..interpret.thought_record import ThoughtFaithfulness
from ..names import verb
from ..synth.sample import Element
from ..viz.overlay import ATTENTION, overlay
from .again import AskedAgain, ask_again
from .against import SHOWS, counterparts, name_of, refuse_unlike
from .carried import Carried, Numbers, chosen, everything, read_numbers
from .maps import Maps, Setting, Word, is_index, png, quantised, thumbnails
from .overlays import Overlay
from .widget import HasStatic, asset, in_words, write

__all__ = ["AttentionExplorer", "page", "script", "style"]


STATE = (
    *("word", "beside", "sentence", "layer", "head", "sinks", "image", "box", "crops", "strength"),
    *("shows", "opposite", "overlay"),
)


SCRIPTS = (
    "dom.js",
    "draw.js",
    "sources.js",
    "parts.js",
    "panels.js",
    "against.js",
    "overlays.js",
    "explorer.js",
)
MAX_BYTES = 64_000_000
START = """
const data = JSON.parse(document.getElementById("data").textContent);
open(document.getElementById("explorer"), data);
"""


def script() -> str:
    """The explorer's JavaScript, one module made of its files in order (it imports nothing)."""
    return "\n".join(asset(name) for name in SCRIPTS)


def style() -> str:
    """The explorer's style sheet."""
    return asset("explorer.css")


def page(
    maps: Maps,
    *,
    carried: Carried,
    state: dict[str, Any],
    against: Maps | None = None,
    overlays: Sequence[Overlay] = (),
    again: Sequence[AskedAgain] = (),
    told: Sequence[str] = (),
) -> str:
    """The whole page as text.

    Everything is inside: pictures, maps as bytes, script and style.  Its security policy lets nothing
    be fetched and no script run but ours, known by its hash.

    Args:
        maps: of the answer.
        carried: the layers, heads and words whose maps are inside.
        state: the traits to begin with, as far as they are carried.
        against: maps of the other reply, that this one is compared with.
        overlays: attributions and logit lenses of the answer.
        again: what was asked again with a part hidden.
        told: of each sentence of the thought, what happens without it.
    """
    data = {
        "info": _info(maps, against, overlays, told, carried),
        "state": carried.nearest(state, maps),
        "pictures": [_base64(maps.picture(number)) for number in range(len(maps.grids))],
        "maps": dict(_packed(maps, carried.settings, carried.words)),
        "against": None if against is None else dict(_packed(against, carried.settings, carried.others)),
        "overlays": [_packed_overlay(one, carried.layers) for one in overlays],
        "heads": _packed_heads(maps, *carried.apart),
        "again": [{**one.to_dict(), "picture": _base64(_altered(one))} for one in again],
    }
    code, look = (
        script() + START,
        style() + "\nbody { background: Canvas; color: CanvasText; margin: 1em; }\n",
    )
    assert "</script" not in code.lower(), "the script would end early"
    policy = (
        f"default-src 'none'; img-src data: blob:; script-src '{_hash(code)}'; style-src '{_hash(look)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    # "<" is written as an escape, so that no text of the model can end the element that holds it
    text = json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    title = escape(f"Attention: {maps.answer.question or maps.answer.text}"[:120])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{look}</style>\n</head>\n<body>\n"
        f'<div id="explorer">{escape(maps.answer.question)}</div>\n'  # painted while the rest is read
        f'<script type="application/json" id="data">{text}</script>\n'
        f'<script type="module">{code}</script>\n</body>\n</html>\n'
    )


def _packed(
    maps: Maps, settings: list[Setting], words: Sequence[int]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for setting in settings:
        cells = maps.cells(words, setting)
        values, peaks = quantised(cells)
        texts, text_peaks = quantised(maps.slots(words, setting))
        yield (
            setting.key,
            {
                "peaks": _rounded(peaks),
                "shares": [_rounded(row) for row in maps.shares(cells)],
                "packed": _deflated(values),
                "textPeaks": _rounded(text_peaks),
                "texts": _deflated(texts),
            },
        )


def _packed_heads(maps: Maps, layers: list[int], heads: list[int]) -> dict[str, Any] | None:
    """Small maps of the heads that are carried apart; None where there are none."""
    if not layers or not heads:
        return None
    cells = maps.heads.cells[np.ix_(layers, heads)]
    values, peaks = quantised(cells.reshape(-1, cells.shape[-1]))
    return {"peaks": _rounded(peaks), "packed": _deflated(values)}


def _packed_overlay(overlay: Overlay, layers: Iterable[int | None]) -> dict[str, dict[str, Any]]:
    """An overlay's maps by layer, where it has one of each."""
    found = {}
    for layer in layers if overlay.by_layer else [None]:
        told, (values, says) = overlay.at(layer).packed()
        packed = {"values": _base64(zlib.compress(values, 9)), "says": _base64(zlib.compress(says, 9))}
        found["mean" if layer is None else str(layer)] = {**told, **packed}
    return found


def _altered(one: AskedAgain) -> bytes:
    return png(one.found.after.images[one.found.region.image])


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _deflated(values: np.ndarray) -> str:
    return _base64(zlib.compress(values.tobytes(), 9))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


class AttentionExplorer(HasStatic, anywidget.AnyWidget):
    """A live view of an answer's attention.

    It opens at the head that points best.  Hover a word (or move with the arrow keys): its map lies on the
    pictures at once, a small map of every head beside them, and the words of prompt and reply that it
    looked at are shaded; a click keeps it.  Draw a box on a picture (or place it with the arrow keys): the
    words that looked there are shaded, and marked where they looked there at least half as much as the one
    that did most, and more than uniform attention would; the heads that look there most are offered; and
    the box, or the strongest patch, can be hidden and the question asked again.

    A map is computed in the kernel when it is first asked for, sent as bytes, and kept in the browser.

    Args:
        answer: made with ``capture=True``.
        attention: its attention, where it is kept apart from the answer.
        against: a second reply to the same question about the same pictures, for example in the other mode:
            a switch shows this reply's map, the other's, or the difference of the two.
        overlays: attributions and logit lenses of the answer, to choose as layers of the same picture.
        vlm: the model, to ask it again; None for the one that ``workbench.load`` gives for ``answer.source``.
        unit: "word", or "token" for each token apart.
        elements: what is known to be on the first picture (``sample.elements``), so that it can be named.
        thoughts: from `workbench.interpret.thought_faithfulness`, of this answer and perhaps others: each
            sentence then tells what happens without it.
        **state: traits to begin with, by the names below; without a layer or head, the head that points
            best; without a word, the one whose look there is the sharpest.

    Attributes:
        word: number of the word shown, in `words`; None for none.
        beside: number of a word whose map stands beside the shown one's, on one scale; None for none.
        sentence: number of a sentence of the thought, in `sentences`, whose words' mean is shown; or None.
        layer, head: which; None for the mean.
        sinks: whether sinks stay in.
        image: the picture that the box lies on.
        box: (x1, y1, x2, y2) in pixels of that picture; None for none.
        crops: whether the maps of a picture's crops are shown, not that of the whole.
        strength: how much the map changes the picture, from 0 (not at all) to 1.
        shows: "this", "against" or "difference": the map of this reply, of the other, or this one's minus
            the other's.
        opposite: number of the other reply's word that is compared; None for the answer word at the same
            place.
        overlay: number of an overlay that is shown instead of the attention; None for none.  A logit lens
            shows what each patch says after the layer of ``layer``, or after the last one.
        marked: numbers of the words that looked into the box, as the view shows them.
        again: what was asked again with a part hidden, oldest first.

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
    beside = traitlets.Any(None, allow_none=True).tag(sync=True)
    sentence = traitlets.Any(None, allow_none=True).tag(sync=True)
    layer = traitlets.Any(None, allow_none=True).tag(sync=True)
    head = traitlets.Any(None, allow_none=True).tag(sync=True)
    sinks = traitlets.Bool(True).tag(sync=True)
    image = traitlets.Any(0).tag(sync=True)
    box = traitlets.Any(None, allow_none=True).tag(sync=True)
    crops = traitlets.Bool(False).tag(sync=True)
    strength = traitlets.Float(1.0, min=0.0, max=1.0).tag(sync=True)
    shows = traitlets.Any("this").tag(sync=True)
    opposite = traitlets.Any(None, allow_none=True).tag(sync=True)
    overlay = traitlets.Any(None, allow_none=True).tag(sync=True)
    marked = traitlets.List(traitlets.Int()).tag(sync=True)
    asked = traitlets.Int(0).tag(sync=True)  # how many are in `again`: a view fetches those it has not

    @verb()
    def __init__(
        self,
        answer: Answer,
        *,
        attention: Attention | None = None,
        against: Answer | None = None,
        overlays: Sequence[Attribution | LogitLens] = (),
        vlm: models.Model | None = None,
        unit: str = "word",
        elements: Sequence[Element] = (),
        thoughts: ThoughtFaithfulness | None = None,
        **state: Any,
    ) -> None:
        if unknown := sorted(set(state) - set(STATE)):
            raise InputError(f"{unknown[0]}=", f"one of {', '.join(STATE)}")
        self.answer = _checked_answer(answer)
        self._maps = Maps(
            answer,
            answer.attention if attention is None else attention,
            unit=unit,
            elements=elements,
        )
        self._against: Maps | None = None
        if against is not None:
            other = _checked_answer(against)
            self._against = Maps(other, other.attention, unit=unit, elements=elements)
            refuse_unlike(self._maps, self._against)
        self._overlays = [Overlay(record, self._maps) for record in overlays]
        self._without = [] if thoughts is None else _without(thoughts, answer)
        self.again: tuple[AskedAgain, ...] = ()
        self._vlm, self._asking = vlm, threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="workbench-explorer")
        parts = ("thought", "answer") if against is None else ("answer",)
        opening = {} if "layer" in state or "head" in state else self._maps.opening(parts)
        if {"word", "box", "sentence"} & set(state):
            opening.pop("word", None)
        super().__init__(**opening, **state)
        self.on_msg(self._asked)

    # -- what it shows, for Python -----------------------------------------------------------------

    @property
    def words(self) -> tuple[Word, ...]:
        """The reply's words, each with its text, its part of the reply and its tokens."""
        return self._maps.words

    @property
    def sentences(self) -> tuple[str, ...]:
        """The thought's sentences; empty for a reply without one."""
        return tuple(text for text, _ in self._maps.sentences)

    def map(self, image: int | None = None) -> np.ndarray:
        """The map shown, on a picture as a whole: of the current sentence or word, layer, head and sinks, or
        the overlay.

        Args:
            image: which picture; None for the current one.

        Returns:
            ``[rows, cols]``: shares of the attention, a difference of shares where ``shows`` says so, or the
            values of the overlay.

        Raises:
            InputError: if no word is shown, or there is no such picture.
        """
        if self.word is None and self.sentence is None and self.overlay is None:
            raise InputError("no word is shown", "a word", "set explorer.word, or hover one")
        number = self.image if image is None else image
        self._maps.attention.grid(number)  # refuses a picture that is not there
        return self._maps.on_overview(self._values, number)

    def looks(self) -> pd.DataFrame:
        """Which words looked into the box.

        Returns:
            One row a word: ``word``, ``text``, ``part``, ``share``, ``inside``, ``lift``, ``marked``; see
            `workbench.ui.explorer.Maps.looks`.

        Raises:
            InputError: if there is no box.
        """
        if self.box is None:
            raise InputError("no box is drawn", "a box", "set explorer.box, or drag one on a picture")
        return self._maps.looks(self._maps.region(self.box, self.image), self._setting)

    def heads(self) -> pd.DataFrame:
        """All heads, the one that points best first.

        Returns:
            One row a head: ``layer``, ``head``, ``points`` (how sharply it points and moves with the words:
            a token's strongest patch, on average, less the strongest patch of the average), ``sharpest``
            (the former alone).
        """
        found = self._maps.heads
        layers, heads = np.indices(found.points.shape)
        columns = {
            "layer": np.asarray(self._maps.attention.layers)[layers],
            "head": heads,
            "points": found.points,
            "sharpest": found.sharpest,
        }
        frame = pd.DataFrame({name: np.asarray(values).ravel() for name, values in columns.items()})
        return frame.sort_values("points", ascending=False, kind="stable").reset_index(drop=True)

    def hide(self, box: Sequence[float] | None = None, image: int | None = None) -> AskedAgain:
        """Hide a box and ask again; the widget shows both answers and their probabilities.

        Args:
            box: (x1, y1, x2, y2) in pixels of the original picture; None for the box that is drawn.
            image: which picture; None for the current one.

        Raises:
            InputError: without a box, or for one that is not on the picture.
            WorkbenchError: if the model cannot be loaded or asked.
        """
        if box is None and self.box is None:
            raise InputError("no box is drawn", "a box", "set explorer.box, or drag one on a picture")
        from ..models.load import load  # brings torch, which a record alone never needs

        region = self._maps.region(self.box if box is None else box, self.image if image is None else image)
        with self._asking:
            if self._vlm is None:
                self._vlm = load(self.answer.source)
            found = ask_again(self._vlm, self.answer, region=region)  # type: ignore[arg-type]
            self.again = (*self.again, found)
            self.asked = len(self.again)
        return found

    def static(self) -> str:
        """What is shown now as HTML without a kernel: the word's map, else the reply's, and the words."""
        maps, setting = self._maps, self._setting
        name = self._shown_name
        pictures = []
        shown = [maps.on_overview(self._values, number) for number in range(len(maps.grids))]
        peak = float(max(np.abs(values).max() for values in shown))
        for number, values in enumerate(shown):
            figure = overlay(
                self.answer, values, image=number, elements=maps.elements_of(number), peak=peak,
                strength=self.strength, label=self._shown_unit,
            )  # fmt: skip
            out = io.BytesIO()
            figure.savefig(out, format="png", dpi=150)
            data = base64.b64encode(out.getvalue()).decode("ascii")
            width = round(figure.get_size_inches()[0] * 100)
            alt = f"{self._shown_unit}: {name}, on picture {number}"
            pictures.append(f'<img alt="{escape(alt)}" width="{width}" src="data:image/png;base64,{data}">')
        layer = None if setting.layer is None else maps.attention.layers[setting.layer]
        which = ", ".join(
            f"{what} {value}" if value is not None else f"mean over {what}s"
            for what, value in (("layer", layer), ("head", setting.head))
        )
        line = f"Attention of {name} ({which}{'' if setting.sinks else ', without sinks'}). "
        if self.overlay is not None:
            line = f"{name}: {self._shown_unit}."
        elif (setting.layer, setting.head) == maps.heads.best:
            line += maps.info()["opening"]
        asked = "".join(one._repr_html_() for one in self.again)
        return frame(
            '<div class="workbench-explorer" style="max-width:60em;line-height:1.6">'
            f"<div>{''.join(pictures)}</div><div>{escape(line)}</div>{self._static_words()}{asked}</div>"
        )

    def save_html(
        self,
        path: str | Path,
        *,
        layers: Numbers | None = None,
        heads: Numbers | None = None,
        words: Sequence[int] | str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Path:
        """Save it as one file that works offline: hovering, boxes, layers and heads as here.

        Args:
            path: of the file; one that is there is replaced.
            layers: numbers of the decoder's layers that the page carries, and None for their mean; None for
                all and the mean.
            heads: likewise.
            words: numbers of the words whose maps it carries, "thought" or "answer"; None for all.  The text
                stays whole.
            max_bytes: most bytes of maps, before they are packed.  Where all layers and heads are more,
                the page carries all layers with the mean of their heads, or the mean of all.

        Returns:
            The path.

        Raises:
            InputError: for a layer, head or word that is not there, or more than ``max_bytes``.
            DiskError: if it cannot be written there.
        """
        return write(path, self._page(layers, heads, words, max_bytes))

    def __repr__(self) -> str:
        return f"AttentionExplorer({len(self.words)} words, {len(self._maps.grids)} pictures)"

    # -- inside --------------------------------------------------------------------------------------

    def _page(
        self, layers: Numbers | None, heads: Numbers | None, words: Sequence[int] | str | None, max_bytes: int
    ) -> str:
        """The page that `save_html` writes, as text."""
        carried = chosen(
            self._maps, self._against, layers=layers, heads=heads, words=words, max_bytes=max_bytes
        )
        return page(
            self._maps,
            carried=carried,
            state={name: getattr(self, name) for name in STATE},
            against=self._against,
            overlays=self._overlays,
            again=self.again,
            told=self._without,
        )

    @property
    def _shown(self) -> Sequence[int]:
        """The words whose mean is shown: of the sentence, the word, or the whole reply."""
        if self.sentence is not None:
            return self._maps.sentence(self.sentence)
        return range(len(self.words)) if self.word is None else [self.word]

    @property
    def _other_shown(self) -> Sequence[int]:
        """The words of the other reply that are compared with those shown."""
        assert self._against is not None, "there is another reply"
        if self.opposite is not None:
            return [self.opposite]
        if self.word is None and self.sentence is None:
            return range(len(self._against.words))
        return [counterparts(self._maps, self._against)[self._shown[0]]]

    @property
    def _values(self) -> np.ndarray:
        """Values of all cells, as they are shown ``[cells]``."""
        if self.overlay is not None:
            return self._overlays[self.overlay].at(self.layer).values
        own = self._maps.cells(self._shown, self._setting).mean(axis=0)
        if self.shows == "this" or self._against is None:
            return own
        other = self._against.cells(self._other_shown, self._setting).mean(axis=0)
        return other if self.shows == "against" else own - other

    @property
    def _shown_name(self) -> str:
        """What is shown, in words, and what it is compared with."""
        if self.overlay is not None:
            return self._overlays[self.overlay].name
        own = "the reply" if self.word is None else f"“{self._maps.words[self.word].shown}”"
        own = own if self.sentence is None else f"“{self.sentences[self.sentence]}”"
        if self._against is None:
            return own
        words = [self._against.words[word].shown for word in self._other_shown]
        other = f"“{words[0]}”" if len(words) == 1 else "the reply"
        own, other = f"{own} ({name_of(self.answer)})", f"{other} ({name_of(self._against.answer)})"
        return {"this": own, "against": other, "difference": f"{own} minus {other}"}[self.shows]

    @property
    def _shown_unit(self) -> str:
        if self.overlay is not None:
            return self._overlays[self.overlay].unit
        return f"difference of the {ATTENTION}" if self.shows == "difference" else ATTENTION

    @property
    def _setting(self) -> Setting:
        return self._maps.setting(self.layer, self.head, self.sinks)

    def _static_words(self) -> str:
        """The reply: words shaded by their attention in the box, and a line round the one that is shown."""
        shares = [0.0] * len(self.words) if self.box is None else list(self.looks()["share"])
        most = max(shares) or 1.0
        spans = []
        for number, (word, share) in enumerate(zip(self.words, shares, strict=True)):
            style = f"background:rgba(232,132,44,{0.65 * share / most:.2f})"
            if number == self.word:
                style += ";outline:2px solid;border-radius:3px"
            told = f' title="{100 * share:.1f}% of its attention in the box"' if self.box is not None else ""
            spans.append(f'<span style="{style}"{told}>{_static_text(word)}</span>')
        return f'<div style="white-space:pre-wrap">{"".join(spans)}</div>'

    @traitlets.default("info")
    def _first_info(self) -> dict[str, Any]:
        return _info(
            self._maps, self._against, self._overlays, self._without, everything(self._maps, self._against)
        )

    @traitlets.validate("word", "beside")
    def _check_word(self, proposal: Any) -> int | None:
        return None if proposal["value"] is None else self._maps.word(proposal["value"])

    @traitlets.validate("shows")
    def _check_shows(self, proposal: Any) -> str:
        value = proposal["value"]
        known = SHOWS if self._against is not None else SHOWS[:1]
        if value not in known:
            raise InputError(
                f"shows={value!r}", f"one of {', '.join(known)}", "give a second reply: against=answer"
            )
        return value

    @traitlets.validate("opposite")
    def _check_opposite(self, proposal: Any) -> int | None:
        number = proposal["value"]
        if number is None:
            return None
        return self._other_maps().word(number)

    @traitlets.validate("overlay")
    def _check_overlay(self, proposal: Any) -> int | None:
        number = proposal["value"]
        if number is None:
            return None
        if not is_index(number, len(self._overlays)):
            there = (
                f"None, or 0 to {len(self._overlays) - 1}"
                if self._overlays
                else "None: there are no overlays"
            )
            raise InputError(
                f"overlay={number!r}", there, "AttentionExplorer(answer, overlays=[attribution])"
            )
        return int(number)

    @traitlets.validate("sentence")
    def _check_sentence(self, proposal: Any) -> int | None:
        number = proposal["value"]
        return None if number is None or not len(self._maps.sentence(number)) else int(number)

    @traitlets.observe("word", "sentence")
    def _one_of_them(self, change: Any) -> None:
        """A word or a sentence is shown, whichever was chosen last."""
        if change["new"] is not None:
            setattr(self, "sentence" if change["name"] == "word" else "word", None)

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
        """Answer one request of a view, beside the thread that hears it."""
        self._pool.submit(self._reply, content)

    def _reply(self, content: Any) -> None:
        """Answer one request; what is wrong with it is told to the view."""
        number = content.get("id") if isinstance(content, dict) else None
        try:
            reply, data = self._answered(content)
        except Exception as error:  # a view that gets no reply waits for one
            reply, data = {"error": in_words(error, "the request")}, []
        self.send({"id": number, **reply}, buffers=data)

    def _answered(self, content: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        maps, kind = self._maps, content["kind"]
        if kind == "picture":
            return {}, [maps.picture(content["image"])]
        if kind == "hide":
            self.hide(content["box"], content["image"])
            return {}, []
        if kind == "save":
            layers, heads = (read_numbers(content[name], name) for name in ("layers", "heads"))
            text = self._page(layers, heads, content["words"], MAX_BYTES)
            return {}, [text.encode("utf-8", "replace")]
        if kind == "overlay":
            self._check_overlay({"value": content["overlay"]})
            return self._overlays[content["overlay"]].at(maps.setting(content["layer"]).layer).packed()
        if kind == "again":
            one = self.again[content["number"]]
            return {"told": one.to_dict()}, [_altered(one)]
        setting = maps.setting(content["layer"], content["head"], content["sinks"])
        if kind == "map":
            return _map_of(self._other_maps() if content.get("against") else maps, content["word"], setting)
        if kind == "grid":
            word = None if content["word"] is None else maps.word(content["word"])
            small = thumbnails(maps.on_overview(maps.of_heads(word, setting.sinks), content["image"]))
            return {"shape": list(small.shape)}, [small.tobytes()]
        if kind == "looks":
            region = maps.region(content["box"], content["image"])
            found = maps.looks(region, setting)
            data = [found[name].to_numpy(np.float32).tobytes() for name in ("share", "lift")]
            return {"heads": maps.heads_on(region)}, data
        raise ValueError(f"kind={kind!r}")

    def _other_maps(self) -> Maps:
        """Maps of the reply that this one is compared with.

        Raises:
            InputError: if there is none.
        """
        if self._against is None:
            raise InputError(
                "no second reply", "one to compare with", "AttentionExplorer(answer, against=...)"
            )
        return self._against


def _checked_answer(answer: object) -> Answer:
    if not isinstance(answer, Answer):
        raise InputError(
            f"an answer of type {type(answer).__name__}", "an Answer", "pass what vlm.ask returned"
        )
    return answer


def _map_of(maps: Maps, word: object, setting: Setting) -> tuple[dict[str, Any], list[bytes]]:
    """A word's map as a view gets it."""
    words = [maps.word(word)]
    cells, slots = maps.cells(words, setting), maps.slots(words, setting)
    (values, peaks), (texts, text_peaks) = quantised(cells), quantised(slots)
    shares = [float(share) for share in maps.shares(cells)[0]]
    told = {"peak": float(peaks[0]), "textPeak": float(text_peaks[0]), "shares": shares}
    return told, [values.tobytes(), texts.tobytes()]


def _without(thoughts: ThoughtFaithfulness, answer: Answer) -> list[str]:
    """What happens to an answer without each sentence of its thought.

    Raises:
        InputError: for a record in which this answer was not tested.
    """
    thought = (answer.thought or "").strip()
    for number, one in enumerate(thoughts.answers):
        if (one.question, one.thought.strip()) == (answer.question, thought):
            return [thoughts.without(n, question=number) for n in range(one.sentences)]
    raise InputError(
        f"thoughts={thoughts!r}, in which this answer was not tested",
        "a record of it",
        "interpret.thought_faithfulness(vlm, answer)",
    )


def _info(
    maps: Maps,
    against: Maps | None,
    overlays: Sequence[Overlay],
    told: Sequence[str],
    carried: Carried,
) -> dict[str, Any]:
    """What a view needs to know at the start, with what is told of each sentence, and of the other reply."""
    info = maps.info()
    lines = [*told, *[""] * len(info["sentences"])]
    rows = [{**one, "told": line} for one, line in zip(info["sentences"], lines, strict=False)]
    other = None if against is None else _other_info(maps, against)
    choices = carried.to_dict()
    return {
        **info,
        "choices": choices,
        "sentences": rows,
        "against": other,
        "overlays": [one.info() for one in overlays],
    }


def _other_info(maps: Maps, against: Maps) -> dict[str, Any]:
    """What a view needs to know of the other reply."""
    info = against.info()
    return {
        "names": [name_of(maps.answer), name_of(against.answer)],
        "counterparts": counterparts(maps, against),
        **{name: info[name] for name in ("words", "prompt")},
    }


def _static_text(word: Word) -> str:
    return f"<small>[{escape(word.name)}]</small>" if word.name else f"<bdi>{escape(word.text)}</bdi>"
