"""What the explorer shows of an answer's attention: words, patches, heads and texts, formed when asked for.

`Maps` turns a record into arrays of words and cells.  A cell is a patch of a picture; a slot is a word of the
prompt or of the reply that can be looked at.
"""

from __future__ import annotations

import io
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, SupportsIndex

import numpy as np
import pandas as pd
from PIL import Image

from ..answer import Answer
from ..attention import Attention
from ..attention.record import tag_name
from ..attention.select import as_region
from ..errors import CapabilityError, InputError
from ..sentences import sentence_spans
from ..synth.sample import Element
from ..types import Box, PatchGrid, Region, Span
from ..viz.spotlight import SPOTLIGHT, cell_names, is_dark

__all__ = [
    "Heads",
    "Maps",
    "Setting",
    "UNITS",
    "Word",
    "is_index",
    "prompt_words",
    "quantised",
    "screen_sized",
    "split_words",
    "thumbnails",
]


UNITS = ("word", "token")
SIDE = 1600  # longer side, in pixels, of the pictures that are sent to a browser
KEPT = 8  # settings whose maps stay in memory
WORK = 32_000_000  # weights that are formed to rank the heads
TOKENS = 64  # most tokens of the reply that the heads are ranked by
THUMBNAIL = 12  # most rows and columns of a head's thumbnail
BUTTONS = 6  # heads that are offered for a box
BEYOND = 0.01  # of their attention, at least, beyond what they look at the picture anyway


@dataclass(frozen=True)
class Word:
    """A word: its text, its part, its tokens (``Answer.token_ids``), and, of a control token, its name."""

    text: str
    part: str
    span: Span
    name: str = ""

    @property
    def shown(self) -> str:
        """What is read: a control token's name, else the text."""
        return self.name or self.text.strip()


@dataclass(frozen=True)
class Setting:
    """Which layer and head (None: their mean), and whether sinks stay in.

    The layer is counted among those that have rows, which of a hybrid decoder are not all.
    """

    layer: int | None = None
    head: int | None = None
    sinks: bool = True

    @property
    def key(self) -> str:
        """How a saved page names it."""
        numbers = ("mean" if n is None else str(n) for n in (self.layer, self.head))
        return "/".join((*numbers, str(int(self.sinks))))


@dataclass(frozen=True)
class Heads:
    """All heads at a glance, over some tokens of the reply.

    Args:
        cells: mean attention on every cell ``[layers, heads, cells]``.
        points: how sharply a head points, and that it moves with the words ``[layers, heads]``: a token's
            strongest cell, on average, less the strongest cell of the average.
        sharpest: a token's strongest cell, on average ``[layers, heads]``.
        tokens: of how many tokens.
    """

    cells: np.ndarray
    points: np.ndarray
    sharpest: np.ndarray
    tokens: int

    @property
    def best(self) -> tuple[int, int]:
        """(layer, head) that points best."""
        layer, head = np.unravel_index(int(np.argmax(self.points)), self.points.shape)
        return int(layer), int(head)


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
    return _joined(attention, range(start, attention.tokens.stop), unit, _control_name)


def prompt_words(attention: Attention) -> tuple[Word, ...]:
    """The words of the prompt, without what stands for pictures."""
    pictures = {p for grid in attention.layout.grids for p in range(grid.start, grid.stop)}
    texts = [p for p in range(attention.layout.length) if p not in pictures]
    return _joined(attention, texts, "word", lambda attention, token: tag_name(attention.texts[token]))


def _joined(attention: Attention, tokens: Sequence[int], unit: str, name_of: Any) -> tuple[Word, ...]:
    words: list[Word] = []
    for token in tokens:
        text, part = attention.texts[token], attention.part(token)
        if token < attention.layout.length:
            part = "prompt"
        last = words[-1] if words else None
        name = name_of(attention, token)
        whole = unit == "word" and last and part and not name and not last.name and last.part == part
        if whole and last and last.span.stop == token and _continues(last.text, text):
            words[-1] = Word(last.text + text, part, Span(last.span.start, token + 1))
        else:
            words.append(Word(text, part, Span(token, token + 1), name))
    return tuple(words)


def _control_name(attention: Attention, token: int) -> str:
    """What a token between the reply's parts does: "think" opens, "answer" ends the thought, "end" ends."""
    if attention.part(token) or not attention.texts[token].strip():
        return ""
    thought, answer = (attention.spans.get(name, Span(0, 0)) for name in ("thought", "answer"))
    if len(thought) and token < thought.start:
        return "think"
    if len(answer) and token >= answer.stop:
        return "end"
    return "answer" if len(thought) or len(answer) else tag_name(attention.texts[token])


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
        self, answer: Answer, attention: Attention, *, unit: str = "word", elements: Sequence[Element] = ()
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
        self.prompt = prompt_words(attention)
        self.grids = [
            (grid, *(tile for tile in layout.tiles if tile.image == number))
            for number, grid in enumerate(layout.images)
        ]
        flat = [grid for grids in self.grids for grid in grids]
        self._cells = np.concatenate([_positions(grid) for grid in flat])
        self._starts = dict(zip(flat, np.cumsum([0, *map(len, flat)]).tolist(), strict=False))
        self._kept: OrderedDict[Setting, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()  # requests come from a thread beside a running cell

    # -- what a caller points at -----------------------------------------------------------------

    def setting(self, layer: Any = None, head: Any = None, sinks: Any = True) -> Setting:
        """A checked setting.

        Raises:
            InputError: for a layer or head that is not there.
        """
        for name, value, count in (
            ("layer", layer, self.attention.n_layers),
            ("head", head, self.attention.n_heads),
        ):
            if value is not None and not is_index(value, count):
                raise InputError(f"{name}={value!r}", f"None for the mean, or 0 to {count - 1}")
        layer, head = (None if value is None else int(value) for value in (layer, head))
        return Setting(layer, head, bool(sinks))

    @cached_property
    def sentences(self) -> list[tuple[str, range]]:
        """The thought's sentences: the text of each, and the numbers of the words that it is made of."""
        numbers = [n for n, word in enumerate(self.words) if word.part == "thought"]
        starts = np.cumsum([0, *(len(self.words[n].text) for n in numbers)])
        thought = "".join(self.words[n].text for n in numbers)
        found = []
        for span in sentence_spans(thought):
            inside = [n for n, at in zip(numbers, starts, strict=False) if at < span.stop]
            inside = [n for n in inside if starts[n - numbers[0] + 1] > span.start]
            found.append((thought[span.start : span.stop], range(inside[0], inside[-1] + 1)))
        return found

    def sentence(self, number: Any) -> range:
        """The words of a sentence of the thought.

        Raises:
            InputError: if there is no such sentence.
        """
        if not is_index(number, len(self.sentences)):
            there = f"0 to {len(self.sentences) - 1}" if self.sentences else "none: this reply has no thought"
            raise InputError(f"sentence={number!r}", there)
        return self.sentences[int(number)][1]

    def word(self, number: Any) -> int:
        """A checked word's number.

        Raises:
            InputError: if there is no such word.
        """
        if not is_index(number, len(self.words)):
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

    # -- numbers ---------------------------------------------------------------------------------

    def cells(self, words: Sequence[int], setting: Setting) -> np.ndarray:
        """Attention of words on all patches, mean over a word's tokens.

        Returns:
            float32 ``[words, cells]``; the cells of all grids, picture by picture, the overview first.
        """
        return self._looks(words, setting)[:, : len(self._cells)]

    def slots(self, words: Sequence[int], setting: Setting) -> np.ndarray:
        """Attention of words on the words of the prompt, then on those of the reply ``[words, slots]``."""
        return self._looks(words, setting)[:, len(self._cells) :]

    def on_overview(self, cells: np.ndarray, image: int) -> np.ndarray:
        """The part of ``[..., cells]`` that lies on a picture's overview, as ``[..., rows, cols]``."""
        grid = self.grids[image][0]
        start = self._starts[grid]
        return cells[..., start : start + len(grid)].reshape(*cells.shape[:-1], grid.rows, grid.cols)

    def from_overviews(self, parts: Sequence[np.ndarray], blank: Any = 0.0) -> np.ndarray:
        """Values on each picture's overview ``[rows, cols]`` as ``[cells]``; crops stay blank."""
        found = np.full(len(self._cells), blank, dtype=np.result_type(*parts))
        for part, (grid, *_) in zip(parts, self.grids, strict=True):
            found[self._starts[grid] : self._starts[grid] + len(grid)] = part.ravel()
        return found

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

    @cached_property
    def heads(self) -> Heads:
        """All heads at a glance, over tokens of thought and answer, as many as can be read at once."""
        attention = self.attention
        tokens = [t for word in self.words if word.part for t in word.span] or list(self.words[0].span)
        per_token = attention.n_layers * attention.n_heads * attention.positions
        count = min(len(tokens), TOKENS, max(4, WORK // per_token))
        chosen = [tokens[round(at)] for at in np.linspace(0, len(tokens) - 1, count)]
        rows = [token - attention.tokens.start for token in dict.fromkeys(chosen)]
        shape = (attention.n_layers, attention.n_heads)
        cells = np.zeros((*shape, len(self._cells)), np.float32)
        points, sharpest = np.zeros(shape), np.zeros(shape)
        for layer in attention.places():
            looks = attention.layer_rows(layer, rows, None)[..., self._cells]  # [heads, tokens, cells]
            cells[layer] = looks.mean(axis=1)
            sharpest[layer] = looks.max(axis=-1).mean(axis=1)
            still = cells[layer].max(axis=-1) if len(rows) > 1 else 0.0
            points[layer] = sharpest[layer] - still
        return Heads(cells, points, sharpest, len(rows))

    def heads_on(self, region: Region) -> list[dict[str, float]]:
        """The heads that look at a region most, beyond what they look at its picture anyway.

        Returns:
            At most six, the first first: ``layer``, ``head``, ``share`` (of the attention of the tokens of
            `heads`, on the region).
        """
        cells = self.heads.cells
        inside, whole = self._inside(region.image, region.box), self._inside(region.image)
        share, total = cells[..., inside].sum(axis=-1), cells[..., whole].sum(axis=-1)
        score = share - total * (len(inside) / len(whole))
        order = np.argsort(-score, axis=None, kind="stable")[:BUTTONS]
        found = [divmod(int(at), score.shape[1]) for at in order]
        return [
            {"layer": layer, "head": head, "share": float(share[layer, head])}
            for layer, head in found
            if score[layer, head] > BEYOND
        ]

    def of_heads(self, word: int | None, sinks: bool) -> np.ndarray:
        """Attention of a word, or of the tokens of `heads`, by head ``[layers, heads, cells]``."""
        if word is None:
            return self.heads.cells
        attention = self.attention
        rows = [token - attention.tokens.start for token in self.words[word].span][:4]
        looks = (attention.layer_rows(layer, rows, None) for layer in attention.places())
        return np.stack([attention.drop_sinks(one, sinks)[..., self._cells].mean(axis=1) for one in looks])

    def opening(self, parts: Sequence[str] = ("thought", "answer")) -> dict[str, int]:
        """Where to begin: the head that points best, and the word of these parts that looks sharpest."""
        layer, head = self.heads.best
        words = [n for n, word in enumerate(self.words) if word.part in parts and word.text.strip()] or [0]
        sharpest = self.cells(words, Setting(layer, head)).max(axis=1)
        return {"layer": layer, "head": head, "word": words[int(np.argmax(sharpest))]}

    # -- for a view ------------------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """What a view needs to know at the start, as plain JSON values."""
        return {
            "words": [_word_info(word) for word in self.words],
            "prompt": [_word_info(word) for word in self.prompt],
            "sentences": [{"text": text, "words": [*words], "told": ""} for text, words in self.sentences],
            "pictures": [self._picture_info(number) for number in range(len(self.grids))],
            "question": self.answer.question,
            "layers": self.attention.n_layers,
            "numbers": list(self.attention.layers),
            "heads": self.attention.n_heads,
            "best": list(self.heads.best),
            "opening": self._opening_words(),
            "spotlight": asdict(SPOTLIGHT),
        }

    def _opening_words(self) -> str:
        layer, head = self.heads.best
        count = self.attention.n_layers * self.attention.n_heads
        number, sharpest = self.attention.layers[layer], 100 * self.heads.sharpest[layer, head]
        return (
            f"Layer {number}, head {head} points best of {count} heads: its looks move with the words, and a "
            f"token's strongest patch holds {sharpest:.0f}% of its attention "
            f"(mean of {self.heads.tokens} tokens)."
        )

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

    def elements_of(self, image: int) -> tuple[Element, ...]:
        """What is known to be on a picture."""
        return () if image else self.elements

    def picture(self, image: Any) -> bytes:
        """A picture as PNG, made smaller where it is larger than a screen.

        Raises:
            InputError: if there is no such picture.
        """
        if not is_index(image, len(self.answer.images)):
            raise InputError(f"image={image!r}", f"0 to {len(self.answer.images) - 1}")
        return png(self.answer.images[image])

    # -- inside ----------------------------------------------------------------------------------

    def _looks(self, words: Sequence[int], setting: Setting) -> np.ndarray:
        """Attention of words on all cells, then on all slots ``[words, cells + slots]``."""
        width = len(self._cells) + len(self.prompt) + len(self.words)
        with self._lock:
            values, known = self._kept.setdefault(
                setting, (np.zeros((len(self.words), width), np.float32), np.zeros(len(self.words), bool))
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
        layers = None if setting.layer is None else [self.attention.layers[setting.layer]]
        heads = None if setting.head is None else [setting.head]
        rows = self.attention.mean(tokens, layers=layers, heads=heads, sinks=setting.sinks)
        on_texts = [
            rows[:, word.span.start : word.span.stop].sum(axis=1) for word in (*self.prompt, *self.words)
        ]
        looks = np.concatenate([rows[:, self._cells], np.stack(on_texts, axis=1)], axis=1)
        ends = np.cumsum([len(span) for span in spans])
        return np.stack([looks[end - len(span) : end].mean(axis=0) for span, end in zip(spans, ends)])

    def _inside(self, image: int, box: Box | None = None) -> np.ndarray:
        """Numbers of a picture's cells, of all its grids, or of those in a box."""
        found = []
        for grid in self.grids[image]:
            cells = range(len(grid)) if box is None else [r * grid.cols + c for r, c in grid.cells(box)]
            found += [self._starts[grid] + cell for cell in cells]
        return np.asarray(found, dtype=int)


def thumbnails(maps: np.ndarray) -> np.ndarray:
    """Small maps of all heads as bytes, on one root scale, so that faint heads show.

    Args:
        maps: ``[layers, heads, rows, cols]``.

    Returns:
        uint8 of the same form; several cells that share a place show their largest.
    """
    for axis in (2, 3):
        count = -(-maps.shape[axis] // THUMBNAIL)
        maps = np.maximum.reduceat(maps, np.arange(0, maps.shape[axis], count), axis=axis)
    most = float(maps.max()) or 1.0
    return np.rint(255 * np.sqrt(np.clip(maps, 0, None) / most)).astype(np.uint8)


def quantised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``[..., cells]`` as bytes of each row's largest value, and these; off by half a step at most."""
    peaks = values.max(axis=-1, initial=0.0)
    scaled = values * (255 / np.where(peaks > 0, peaks, 1.0))[..., None]
    return np.rint(scaled).astype(np.uint8), peaks


def screen_sized(picture: Image.Image) -> Image.Image:
    """A copy of a picture, made smaller where it is larger than a screen."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return small


def png(picture: Image.Image) -> bytes:
    """A picture as PNG, made smaller where it is larger than a screen."""
    out = io.BytesIO()
    screen_sized(picture).save(out, "PNG")
    return out.getvalue()


def _word_info(word: Word) -> dict[str, str]:
    return {"text": word.text, "part": word.part, "name": word.name}


def is_index(value: object, count: int) -> bool:
    """Whether a value is a whole number from 0 to ``count - 1``."""
    return isinstance(value, SupportsIndex) and not isinstance(value, bool) and 0 <= value.__index__() < count


def _positions(grid: PatchGrid) -> np.ndarray:
    """Decoder positions of a grid's cells, row by row."""
    return (grid.start + np.arange(grid.rows)[:, None] * grid.row_stride + np.arange(grid.cols)).ravel()
