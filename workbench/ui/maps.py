"""What a widget shows of an answer's attention: its words, the patches, and maps as bytes."""

from __future__ import annotations

import io
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
import pandas as pd
from PIL import Image

from ..answer import Answer
from ..attention import Attention
from ..attention.select import as_region
from ..errors import CapabilityError, InputError
from ..types import Box, PatchGrid, Region, Span
from ..viz.overlay import COLOURS, FADE, OPACITY

__all__ = ["UNITS", "Maps", "Setting", "Word", "quantised", "split_words"]

UNITS = ("word", "token")
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

    Raises:
        CapabilityError: for an answer without a picture.
        InputError: for an empty reply, or a record of another answer.
    """

    def __init__(self, answer: Answer, attention: Attention, unit: str = "word") -> None:
        self.answer, self.attention = answer, attention
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
        pictures = [
            {
                "width": picture.width,
                "height": picture.height,
                "grids": [
                    {
                        "rows": grid.rows,
                        "cols": grid.cols,
                        "region": list(grid.region),
                        "start": self._starts[grid],
                        "crop": number > 0,
                    }
                    for number, grid in enumerate(grids)
                ],
            }
            for picture, grids in zip(self.answer.images, self.grids, strict=True)
        ]
        return {
            "words": [{"text": word.text, "part": word.part} for word in self.words],
            "pictures": pictures,
            "question": self.answer.question,
            "layers": self.attention.n_layers,
            "heads": self.attention.n_heads,
            "choices": {"layers": layers, "heads": heads},
            "colours": list(COLOURS),
            "fade": FADE,
            "opacity": OPACITY,
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
