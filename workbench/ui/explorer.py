"""The attention explorer: hover a word and see where it looked, draw a box and see which words did.

`Maps` is what it shows of an answer's attention: words, patches, and maps as bytes, formed when they are
asked for. The same explorer is written as one page that works without a kernel and without a network.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import threading
import unicodedata
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, SupportsIndex

import anywidget
import numpy as np
import pandas as pd
import traitlets
from PIL import Image

from ..answer import Answer
from ..attention import Attention
from ..attention.select import as_region
from ..errors import CapabilityError, InputError, WorkbenchError
from ..files import local_path
from ..synth.sample import Element
from ..types import Box, PatchGrid, Region, Span
from ..viz.overlay import ATTENTION, overlay
from ..viz.spotlight import SPOTLIGHT, cell_names, is_dark
from .live import static_only

__all__ = [
    "AttentionExplorer",
    "Maps",
    "Setting",
    "UNITS",
    "Word",
    "page",
    "quantised",
    "script",
    "settings_within",
    "split_words",
    "style",
    "write",
]


UNITS = ("word", "token")
STATE = ("word", "layer", "head", "sinks", "image", "box", "crops", "strength")
SIDE = 1600  # longer side, in pixels, of the pictures that are sent to a browser
KEPT = 8  # settings whose maps stay in memory


@dataclass(frozen=True)
class Word:
    """A word of the reply: its text, the part it belongs to, and its tokens (``Answer.token_ids``)."""

    text: str
    part: str
    span: Span


@dataclass(frozen=True)
class Setting:
    """Which layer and head (None: their mean), and whether sinks stay in."""

    layer: int | None = None
    head: int | None = None
    sinks: bool = True

    @property
    def key(self) -> str:
        """How a saved page names it."""
        numbers = ("mean" if n is None else str(n) for n in (self.layer, self.head))
        return "/".join((*numbers, str(int(self.sinks))))


def split_words(attention: Attention, unit: str = "word") -> tuple[Word, ...]:
    """The reply's words: tokens that continue each other's letters are one, as far as they are of one part.

    Args:
        attention: the record.
        unit: "word", or "token" for each token apart.

    Raises:
        InputError: for another unit.
    """
    if unit not in UNITS:
        raise InputError(f"unit={unit!r}", f"one of {', '.join(map(repr, UNITS))}")
    start = max(attention.layout.length, attention.tokens.start)
    words: list[Word] = []
    for token in range(start, attention.tokens.stop):
        text, part = attention.texts[token], attention.part(token)
        last = words[-1] if words else None
        if unit == "word" and last and part and last.part == part and _continues(last.text, text):
            words[-1] = Word(last.text + text, part, Span(last.span.start, token + 1))
        else:
            words.append(Word(text, part, Span(token, token + 1)))
    return tuple(words)


def _continues(before: str, after: str) -> bool:
    """Whether a word goes on; in scripts without spaces every token stands for itself."""
    pair = before[-1:] + after[:1]
    return len(pair) == 2 and all(c.isalnum() and unicodedata.category(c) != "Lo" for c in pair)


class Maps:
    """Maps of an answer's words, computed when they are asked for and kept for a while.

    Args:
        answer: the answer, with its pictures.
        attention: its attention.
        unit: "word" or "token".
        elements: what is known to be on the first picture, so that it can be named.

    Raises:
        CapabilityError: for an answer without a picture.
        InputError: for an empty reply, or a record of another answer.
    """

    def __init__(
        self,
        answer: Answer,
        attention: Attention,
        *,
        unit: str = "word",
        elements: Sequence[Element] = (),
    ) -> None:
        self.answer, self.attention, self.elements = answer, attention, tuple(elements)
        self.words = split_words(attention, unit)
        layout = attention.layout
        if not layout.images:
            raise CapabilityError("an answer without a picture", "one about a picture", "ask about a picture")
        if answer.layout != layout or len(answer.images) != len(layout.images):
            raise InputError("the attention of another answer", "the one that this answer was made with")
        if not self.words:
            raise InputError("an answer without a single token", "a reply that has begun")
        self.grids = [
            (grid, *(tile for tile in layout.tiles if tile.image == number))
            for number, grid in enumerate(layout.images)
        ]
        flat = [grid for grids in self.grids for grid in grids]
        self._cells = np.concatenate([_positions(grid) for grid in flat])
        self._starts = dict(zip(flat, np.cumsum([0, *map(len, flat)]).tolist(), strict=False))
        self._kept: OrderedDict[Setting, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()  # messages may come from a subshell beside a running cell

    def setting(self, layer: Any = None, head: Any = None, sinks: Any = True) -> Setting:
        """A checked setting.

        Raises:
            InputError: for a layer or head that is not there.
        """
        for name, value, count in (
            ("layer", layer, self.attention.n_layers),
            ("head", head, self.attention.n_heads),
        ):
            if value is not None and not _is_index(value, count):
                raise InputError(f"{name}={value!r}", f"None for the mean, or 0 to {count - 1}")
        layer, head = (None if value is None else int(value) for value in (layer, head))
        return Setting(layer, head, bool(sinks))

    def word(self, number: Any) -> int:
        """A checked word's number.

        Raises:
            InputError: if there is no such word.
        """
        if not _is_index(number, len(self.words)):
            raise InputError(f"word={number!r}", f"0 to {len(self.words) - 1}")
        return int(number)

    def region(self, box: Any, image: Any) -> Region:
        """A checked region: a box of four numbers that lies on picture ``image``.

        Raises:
            InputError: for no box, one that is not on the picture, or no such picture.
        """
        try:
            x1, y1, x2, y2 = map(float, box)
        except (TypeError, ValueError):
            raise InputError(f"box={box!r}", "(x1, y1, x2, y2) in pixels of the original picture") from None
        return as_region(Region((x1, y1, x2, y2), image), self.attention.layout)

    def cells(self, words: Sequence[int], setting: Setting) -> np.ndarray:
        """Attention of words on all patches, mean over a word's tokens.

        Returns:
            float32 ``[words, cells]``; the cells of all grids, picture by picture, the overview first.
        """
        with self._lock:
            values, known = self._kept.setdefault(
                setting,
                (
                    np.zeros((len(self.words), len(self._cells)), np.float32),
                    np.zeros(len(self.words), bool),
                ),
            )
            self._kept.move_to_end(setting)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            if missing := [word for word in dict.fromkeys(words) if not known[word]]:
                values[missing] = self._computed(missing, setting)
                known[missing] = True
            return values[list(words)]

    def _computed(self, words: Sequence[int], setting: Setting) -> np.ndarray:
        spans = [self.words[word].span for word in words]
        tokens = [token for span in spans for token in span]
        layers, heads = (None if n is None else [n] for n in (setting.layer, setting.head))
        rows = self.attention.mean(tokens, layers=layers, heads=heads, sinks=setting.sinks)[:, self._cells]
        ends = np.cumsum([len(span) for span in spans])
        return np.stack([rows[end - len(span) : end].mean(axis=0) for span, end in zip(spans, ends)])

    def on_overview(self, cells: np.ndarray, image: int) -> np.ndarray:
        """The part of ``[cells]`` that lies on a picture's overview, as ``[rows, cols]``."""
        grid = self.grids[image][0]
        start = self._starts[grid]
        return cells[start : start + len(grid)].reshape(grid.rows, grid.cols)

    def shares(self, cells: np.ndarray) -> np.ndarray:
        """Attention on each picture, ``[words, pictures]``, from ``[words, cells]``."""
        return np.stack([cells[:, self._inside(number)].sum(axis=1) for number in range(len(self.grids))], 1)

    def looks(self, region: Region, setting: Setting) -> pd.DataFrame:
        """Which words looked at a region, as ``attention.reverse`` says it of tokens.

        Returns:
            One row a word: ``word``, ``text``, ``part``, ``share`` (of its attention, on the region),
            ``inside`` (of its attention on the picture, the part on the region), ``lift`` (``inside`` over
            the region's part of the patches), ``marked`` (at least half of the largest share, and a lift
            above one).
        """
        cells = self.cells(range(len(self.words)), setting)
        inside = self._inside(region.image, region.box)
        whole = cells[:, self._inside(region.image)]
        share, total = cells[:, inside].sum(axis=1), whole.sum(axis=1)
        part = np.divide(share, total, out=np.zeros_like(share), where=total > 0)
        lift = part * (whole.shape[1] / max(1, len(inside)))
        marked = (share > 0) & (share >= share.max() / 2) & (lift > 1)
        names = {"word": range(len(self.words)), "text": [w.text for w in self.words]}
        parts = {"part": [w.part for w in self.words]}
        return pd.DataFrame(
            {**names, **parts, "share": share, "inside": part, "lift": lift, "marked": marked}
        )

    def _inside(self, image: int, box: Box | None = None) -> np.ndarray:
        """Numbers of a picture's cells, of all its grids, or of those in a box."""
        found = []
        for grid in self.grids[image]:
            cells = range(len(grid)) if box is None else [r * grid.cols + c for r, c in grid.cells(box)]
            found += [self._starts[grid] + cell for cell in cells]
        return np.asarray(found, dtype=int)

    def info(self, *, layers: bool = True, heads: bool = True) -> dict[str, Any]:
        """What a view needs to know at the start, as plain JSON values.

        Args:
            layers, heads: whether these can be chosen.
        """
        return {
            "words": [{"text": word.text, "part": word.part} for word in self.words],
            "pictures": [self._picture_info(number) for number in range(len(self.grids))],
            "question": self.answer.question,
            "layers": self.attention.n_layers,
            "heads": self.attention.n_heads,
            "choices": {"layers": layers, "heads": heads},
            "spotlight": asdict(SPOTLIGHT),
        }

    def elements_of(self, image: int) -> tuple[Element, ...]:
        """What is known to be on a picture."""
        return () if image else self.elements

    def _picture_info(self, image: int) -> dict[str, Any]:
        """A picture's size, its grids, and the names of what lies under their cells."""
        picture, grids = self.answer.images[image], self.grids[image]
        named = [cell_names(grid, self.elements_of(image)) for grid in grids]
        names = {name: number for number, name in enumerate(dict.fromkeys(sum(named, [])))}
        return {
            "width": picture.width,
            "height": picture.height,
            "dark": is_dark(picture),
            "names": list(names),
            "grids": [
                {
                    "rows": grid.rows,
                    "cols": grid.cols,
                    "region": list(grid.region),
                    "start": self._starts[grid],
                    "crop": number > 0,
                    "names": [names[name] for name in own],
                }
                for number, (grid, own) in enumerate(zip(grids, named, strict=True))
            ],
        }

    def picture(self, image: Any) -> bytes:
        """A picture as PNG, made smaller where it is larger than a screen.

        Raises:
            InputError: if there is no such picture.
        """
        if not _is_index(image, len(self.answer.images)):
            raise InputError(f"image={image!r}", f"0 to {len(self.answer.images) - 1}")
        small = self.answer.images[image].copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "PNG")
        return out.getvalue()


def quantised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``[..., cells]`` as bytes of each row's largest value, and these; off by half a step at most."""
    peaks = values.max(axis=-1, initial=0.0)
    scaled = values * (255 / np.where(peaks > 0, peaks, 1.0))[..., None]
    return np.rint(scaled).astype(np.uint8), peaks


def _is_index(value: object, count: int) -> bool:
    """Whether a value is a whole number from 0 to ``count - 1``."""
    return isinstance(value, SupportsIndex) and not isinstance(value, bool) and 0 <= value.__index__() < count


def _positions(grid: PatchGrid) -> np.ndarray:
    """Decoder positions of a grid's cells, row by row."""
    return (grid.start + np.arange(grid.rows)[:, None] * grid.row_stride + np.arange(grid.cols)).ravel()


SCRIPTS = ("draw.js", "sources.js", "parts.js", "explorer.js")
MAX_BYTES = 64_000_000
START = """
const data = JSON.parse(document.getElementById("data").textContent);
open(document.getElementById("explorer"), data);
"""


def script() -> str:
    """The explorer's JavaScript, one module made of its files in order (it imports nothing)."""
    return "\n".join(_asset(name) for name in SCRIPTS)


def style() -> str:
    """The explorer's style sheet."""
    return _asset("explorer.css")


def _asset(name: str) -> str:
    return (files("workbench.ui") / "assets" / name).read_text(encoding="utf-8")


def settings_within(maps: Maps, max_bytes: int) -> tuple[list[Setting], bool, bool]:
    """The settings that a page can carry: all layers and heads, or all layers, or their mean alone.

    Args:
        maps: of the answer.
        max_bytes: most bytes of maps, before they are packed.

    Returns:
        The settings, and whether layers and heads can be chosen.

    Raises:
        InputError: if even the mean is too much.
    """
    layers = [None, *range(maps.attention.n_layers)]
    heads = [None, *range(maps.attention.n_heads)]
    one = len(maps.words) * sum(len(grid) for grids in maps.grids for grid in grids)
    for choice_of_layers, choice_of_heads in ((True, True), (True, False), (False, False)):
        found = [
            Setting(layer, head, sinks)
            for layer in (layers if choice_of_layers else [None])
            for head in (heads if choice_of_heads else [None])
            for sinks in (True, False)
        ]
        if len(found) * one <= max_bytes:
            return found, choice_of_layers, choice_of_heads
    raise InputError(
        f"max_bytes={max_bytes}", f"at least {2 * one}, the maps of {len(maps.words)} words", "allow more"
    )


def page(maps: Maps, *, state: dict[str, Any], max_bytes: int = MAX_BYTES) -> str:
    """The whole page as text.

    Everything is inside: pictures, maps as bytes, script and style.  Its security policy lets nothing
    be fetched and no script run but ours, known by its hash.

    Args:
        maps: of the answer.
        state: the traits to begin with.
        max_bytes: most bytes of maps, before they are packed; see `settings_within`.

    Raises:
        InputError: if even the mean over layers and heads is too much.
    """
    settings, layers, heads = settings_within(maps, max_bytes)
    if not layers:
        state = {**state, "layer": None}
    if not heads:
        state = {**state, "head": None}
    data = {
        "info": maps.info(layers=layers, heads=heads),
        "state": state,
        "pictures": [_base64(maps.picture(number)) for number in range(len(maps.grids))],
        "maps": dict(_packed(maps, settings)),
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
        '<div id="explorer"></div>\n'
        f'<script type="application/json" id="data">{text}</script>\n'
        f'<script type="module">{code}</script>\n</body>\n</html>\n'
    )


def _packed(maps: Maps, settings: list[Setting]) -> Iterator[tuple[str, dict[str, Any]]]:
    words = range(len(maps.words))
    for setting in settings:
        cells = maps.cells(words, setting)
        values, peaks = quantised(cells)
        yield (
            setting.key,
            {
                "peaks": [float(f"{peak:.6g}") for peak in peaks],
                "shares": [[float(f"{share:.6g}") for share in row] for row in maps.shares(cells)],
                "packed": _base64(zlib.compress(values.tobytes(), 9)),
            },
        )


def write(path: str | Path, text: str) -> Path:
    """Write a page beside its place and move it there.

    Raises:
        InputError: if it cannot be written there.
    """
    target = local_path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(text.encode("utf-8", "replace"))  # half a surrogate pair cannot be written
        os.replace(beside, target)
    except OSError as error:
        raise InputError(
            f"path={str(path)!r}: {error.strerror or error}", "a file in a folder that exists"
        ) from None
    finally:
        beside.unlink(missing_ok=True)
    return target


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


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
        elements: what is known to be on the first picture (``sample.elements``), so that it can be named.
        **state: traits to begin with, by the names below.

    Attributes:
        word: number of the word shown, in `words`; None for none.
        layer, head: which; None for the mean.
        sinks: whether sinks stay in.
        image: the picture that the box lies on.
        box: (x1, y1, x2, y2) in pixels of that picture; None for none.
        crops: whether the maps of a picture's crops are shown, not that of the whole.
        strength: how much the map changes the picture, from 0 (not at all) to 1.
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
    strength = traitlets.Float(1.0, min=0.0, max=1.0).tag(sync=True)
    marked = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(
        self,
        answer: Answer,
        *,
        attention: Attention | None = None,
        unit: str = "word",
        elements: Sequence[Element] = (),
        **state: Any,
    ) -> None:
        if unknown := sorted(set(state) - set(STATE)):
            raise InputError(f"{unknown[0]}=", f"one of {', '.join(STATE)}")
        if not isinstance(answer, Answer):
            raise InputError(
                f"an answer of type {type(answer).__name__}", "an Answer", "pass what vlm.ask returned"
            )
        self.answer = answer
        self._maps = Maps(
            answer,
            answer.attention if attention is None else attention,
            unit=unit,
            elements=elements,
        )
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
            `workbench.ui.explorer.Maps.looks`.

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
            figure = overlay(
                self.answer, values, image=number, elements=maps.elements_of(number), peak=peak,
                strength=self.strength, label=ATTENTION,
            )  # fmt: skip
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
        state = {name: getattr(self, name) for name in STATE}
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
