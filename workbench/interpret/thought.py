"""Thinking, seen: at which sentence of its thought a model looked where, and both modes compared.

A thought's sentences are spans of tokens; of a drawn question the evidence of each step is known.  A pair
of modes has its answers' tokens aligned, with what each looked at and the difference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import label

from .. import models
from ..answer import Answer
from ..attention import Attention
from ..attention.select import as_region
from ..errors import CapabilityError, InputError
from ..files import local_path
from ..html import framed, table
from ..names import later, verb
from ..sentences import sentence_ends
from ..synth import Sample
from ..types import Box, ImagesLike, PatchGrid, Region, Span

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ModePair", "PairedMaps", "compare_thinking", "looked_at", "sentences", "step_boxes", "timeline"]


def sentences(texts: Sequence[str], span: Span) -> list[Span]:
    """Split a span of tokens into sentences; together they are the span.

    They are those of `workbench.sentences`, and end where tokens end: a token that holds the end of one and
    the beginning of the next belongs to the first.

    Args:
        texts: text of each token of the sequence.
        span: the tokens to split, for example ``answer.spans["thought"]``.
    """
    ends = np.cumsum([len(texts[at]) for at in span])
    text = "".join(texts[at] for at in span)
    stops = {span.start + 1 + int(np.searchsorted(ends, end)) for end in sentence_ends(text)[:-1]}
    cuts = [span.start, *sorted(stops - {span.stop}), span.stop]
    return [Span(*both) for both in pairwise(cuts)] if len(span) else []


def step_boxes(sample: Sample) -> list[tuple[Box, ...]]:
    """Where the evidence of each sentence of a drawn question's trace lies, in pixels.

    A sample holds its boxes in the order of the steps, a place that is visited twice only once: steps are
    told apart by what their sentence begins with ("News links to Mail.").

    Raises:
        InputError: if the boxes cannot be told apart by step.
    """
    steps = [part.strip() for part in re.split(r"(?<=\.)\s+", sample.trace.strip()) if part.strip()]
    if len(steps) == 1:
        return [tuple(sample.boxes)]
    if len(steps) == len(sample.boxes):
        return [(box,) for box in sample.boxes]
    if (
        len(sample.boxes) == 2 * len(steps) + 1
    ):  # an expression: a value, then an operator and one number per step
        first, rest = sample.boxes[:1], sample.boxes[1:]
        pairs = [tuple(rest[2 * i : 2 * i + 2]) for i in range(len(steps))]
        return [(*first, *pairs[0]), *pairs[1:]]
    order = list(dict.fromkeys(step.split()[0] for step in steps))
    if len(order) != len(sample.boxes):
        raise InputError(
            f"a sample of {sample.family!r} with {len(steps)} steps and {len(sample.boxes)} boxes",
            "one box a step",
            "pass boxes=[...], one entry a sentence",
        )
    return [(sample.boxes[order.index(step.split()[0])],) for step in steps]


COLUMNS = ("step", "sentence", "start", "stop", "tokens", "share", "entropy", "sink_share", "peak", "box")


@verb()
def timeline(
    answer: Answer,
    *,
    image: int = 0,
    sample: Sample | None = None,
    boxes: Sequence[Any] | None = None,
    layers: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    sinks: bool = True,
) -> pd.DataFrame:
    """The thought sentence by sentence: how much of it looked at a picture, how widely, and where.

    Every value is a mean over the sentence's tokens, each with the attention from which it was written.

    Args:
        answer: an answer with a thought, asked with ``capture=True``.
        image: which picture of the conversation; a sample's boxes lie on ``sample.image``.
        sample: the drawn question, whose evidence is known step by step: sentence ``i`` is compared
            with step ``i`` of its trace.
        boxes: the same from elsewhere: for each sentence a box (x1, y1, x2, y2) in pixels of the picture,
            several, or None.
        layers, heads: averaged over; None for all.
        sinks: whether sinks count in the map; False shows where it looked besides them.

    Returns:
        A row for each sentence: ``step`` (from 0), ``sentence``, ``start`` and ``stop`` (positions in
        ``answer.token_ids``), ``tokens``; ``share`` (of the attention, on the picture, sinks included),
        ``entropy`` (bits, of the map), ``sink_share`` (of the attention); ``peak`` (row and column of the
        most seen patch) and ``box`` (pixels around the connected patches above half of the peak).  With
        ``sample`` or ``boxes`` also ``truth`` (the step's boxes), ``hit`` (the peak lies in them; None for a
        sentence without), ``inside`` (of the attention on the picture, the part in them) and ``chance``
        (their part of the patches: what uniform attention gives to both).

    Raises:
        InputError: for an answer without a thought or without its attention, a picture that is not
            there, both or wrong ``sample`` and ``boxes``, or a layer or head out of range.
        CapabilityError: for an answer of a server.
    """
    attention, span = _thought(answer)
    truth = _truth(answer, image, sample, boxes)
    grid = attention.grid(image)
    over = attention.over_time(image, layers=layers, heads=heads).set_index("token")
    rows = []
    for step, part in enumerate(sentences(attention.texts, span)):
        map_ = attention.map(part, image, layers=layers, heads=heads, sinks=sinks)
        means = over.loc[list(part)][["share", "sink_share"]].mean()
        peak, box = looked_at(map_, grid)
        row = {
            "step": step,
            "sentence": "".join(attention.texts[at] for at in part).strip(),
            "start": part.start,
            "stop": part.stop,
            "tokens": len(part),
            "share": float(means["share"]),
            "entropy": _entropy(map_),
            "sink_share": float(means["sink_share"]),
            "peak": peak,
            "box": box,
        }
        rows.append(row | ({} if truth is None else _against(truth, step, map_, peak, grid)))
    names = COLUMNS if truth is None else (*COLUMNS, "truth", "hit", "inside", "chance")
    return pd.DataFrame(rows, columns=list(names))


def looked_at(map_: np.ndarray, grid: PatchGrid) -> tuple[tuple[int, int], Box]:
    """The most seen patch (row, col), and the pixels around the connected patches above half of it.

    Args:
        map_: ``[rows, cols]`` of the grid.
        grid: where it lies on the picture.
    """
    row, col = (int(i) for i in np.unravel_index(int(np.argmax(map_)), map_.shape))
    regions, _ = label(map_ >= map_[row, col] / 2)
    at = np.argwhere(regions == regions[row, col])
    top, bottom = grid.box(*map(int, at.min(axis=0))), grid.box(*map(int, at.max(axis=0)))
    width, height = grid.size
    return (row, col), (max(0.0, top[0]), max(0.0, top[1]), min(width, bottom[2]), min(height, bottom[3]))


def _thought(answer: Answer) -> tuple[Attention, Span]:
    attention = answer.attention
    span = answer.spans["thought"]
    if answer.thought is None or not len(span):
        raise InputError(
            f"an answer without a thought (mode {answer.mode})",
            "an answer that thought first",
            "ask with mode='think', capture=True",
        )
    return attention, span


def _truth(
    answer: Answer, image: int, sample: Sample | None, boxes: Sequence[Any] | None
) -> list[tuple[Box, ...]] | None:
    """The true boxes of each sentence; checked against the picture."""
    if sample is None and boxes is None:
        return None
    if sample is not None and boxes is not None:
        raise InputError("both sample and boxes", "one of them")
    if sample is not None:
        if sample.image != image:
            raise InputError(f"image={image}", f"image={sample.image}, on which the sample's evidence lies")
        if sample.question != answer.question:
            raise InputError(
                f"a sample of another question ({sample.question[:40]!r})",
                f"the sample that was asked ({answer.question[:40]!r})",
            )
        return step_boxes(sample)
    layout = answer.attention.layout
    return [tuple(as_region(Region(b, image), layout).box for b in _several(one)) for one in boxes or ()]


def _several(entry: Any) -> Sequence[Box]:
    if entry is None:
        return ()
    entry = entry.box if isinstance(entry, Region) else entry
    several = [one.box if isinstance(one, Region) else one for one in entry]
    return [tuple(entry)] if several and np.isscalar(several[0]) else several


def _against(
    truth: list[tuple[Box, ...]], step: int, map_: np.ndarray, peak: tuple[int, int], grid: PatchGrid
) -> dict[str, Any]:
    own = truth[step] if step < len(truth) else ()
    cells = sorted({cell for box in own for cell in grid.cells(box)})
    if not cells:
        return {"truth": own, "hit": None, "inside": np.nan, "chance": np.nan}
    total = float(map_.sum())
    return {
        "truth": own,
        "hit": peak in cells,
        "inside": float(sum(map_[cell] for cell in cells)) / total if total else np.nan,
        "chance": len(cells) / len(grid),
    }


def _entropy(map_: np.ndarray) -> float:
    """Bits of a map's distribution over its patches."""
    total = float(map_.sum())
    p = map_[map_ > 0].astype(float) / total if total else np.ones(1)
    return float(-(p * np.log2(p)).sum())


class PairedMaps(NamedTuple):
    """Attention on one picture in both modes, ``[rows, cols]`` each, and ``think - direct``."""

    think: np.ndarray
    direct: np.ndarray
    difference: np.ndarray


@dataclass(frozen=True)
class ModePair:
    """The same question, thought about and answered directly, with attention.

    Args:
        think: the answer that thought first.
        direct: the answer without a thought.
    """

    think: Answer
    direct: Answer

    def __post_init__(self) -> None:
        for name in ("think", "direct"):
            answer = getattr(self, name)
            _ = answer.attention  # says what is missing
            if not len(answer.spans["answer"]):
                raise InputError(f"an empty answer ({name})", "two answers with a token", "raise max_tokens")
        if self.think.thought is None:
            raise InputError("a thinking answer without a thought", "mode='think', and a model that thinks")
        if self.direct.thought is not None:
            raise InputError("a direct answer with a thought", "mode='nothink'")
        if (self.think.question, _shapes(self.think)) != (self.direct.question, _shapes(self.direct)):
            raise InputError("answers to two questions", "the same question about the same pictures")

    @property
    def same(self) -> bool:
        """Whether both answers are the same text."""
        return self.think.text == self.direct.text

    @property
    def tokens(self) -> pd.DataFrame:
        """The answers' tokens, aligned: equal ones side by side, others alone or against each other.

        Returns:
            A row for each pair: ``think``, ``direct`` (texts; "" where there is none), ``think_position``,
            ``direct_position`` (in each ``token_ids``; -1 where there is none), ``same``.
        """
        spans = [answer.spans["answer"] for answer in (self.think, self.direct)]
        ids = [a.token_ids[s.start : s.stop] for a, s in zip((self.think, self.direct), spans, strict=True)]
        rows: list[tuple[int, int, bool]] = []
        for kind, a, b, c, d in SequenceMatcher(a=ids[0], b=ids[1], autojunk=False).get_opcodes():
            for i in range(max(b - a, d - c)):
                left = spans[0].start + a + i if i < b - a else -1
                right = spans[1].start + c + i if i < d - c else -1
                rows.append((left, right, kind == "equal"))
        texts = [answer.attention.texts for answer in (self.think, self.direct)]
        return pd.DataFrame(
            {
                "think": ["" if at < 0 else texts[0][at] for at, _, _ in rows],
                "direct": ["" if at < 0 else texts[1][at] for _, at, _ in rows],
                "think_position": [at for at, _, _ in rows],
                "direct_position": [at for _, at, _ in rows],
                "same": [same for _, _, same in rows],
            }
        )

    def maps(
        self,
        row: int | None = None,
        *,
        image: int = 0,
        layers: int | Sequence[int] | None = None,
        heads: int | Sequence[int] | None = None,
        sinks: bool = True,
    ) -> PairedMaps:
        """What a pair of answer tokens looked at in each mode.

        Args:
            row: a row of `tokens`; None for the mean over each whole answer.
            image: which picture.
            layers, heads: averaged over; None for all.
            sinks: whether sinks count.

        Raises:
            InputError: for a row, picture, layer or head out of range, or a row without a partner.
        """
        options: dict[str, Any] = {"layers": layers, "heads": heads, "sinks": sinks}
        left, right = self._places(row)
        think = self.think.attention.map(left, image, **options)
        direct = self.direct.attention.map(right, image, **options)
        return PairedMaps(think, direct, think - direct)

    def shares(self) -> pd.DataFrame:
        """Where the answers' tokens looked: shares of the attention, all layers and heads.

        Returns:
            A row for each mode and answer token: ``mode``, ``token`` (position), ``text``, ``pictures``,
            ``prompt`` (the prompt's other tokens), ``thought``, ``reply`` (the rest of the reply so far).
        """
        return pd.concat([_shares(self.think, "think"), _shares(self.direct, "direct")], ignore_index=True)

    def timeline(self, **options: Any) -> pd.DataFrame:
        """The thought sentence by sentence; see `workbench.interpret.timeline`."""
        return timeline(self.think, **options)

    def plot(self, row: int | None = None, **options: Any) -> Figure:
        """What an answer token looked at in both modes, and the difference: see `workbench.viz.mode_pair`."""
        return later("viz", "mode_pair")(self, row, **options)

    def save(self, path: str | Path) -> Path:
        """Save into a folder, the two answers as ``think`` and ``direct`` in it; it loads without a model.

        Raises:
            InputError: if there is something else.
        """
        folder = local_path(path)
        self.think.save(folder / "think")
        self.direct.save(folder / "direct")
        return folder

    @classmethod
    def load(cls, path: str | Path) -> ModePair:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there or damaged.
        """
        folder = local_path(path)
        return cls(Answer.load(folder / "think"), Answer.load(folder / "direct"))

    def __repr__(self) -> str:
        return (
            f"ModePair(think {self.think.text[:40]!r} after {self.think.thought_tokens} tokens, "
            f"direct {self.direct.text[:40]!r}: {'the same' if self.same else 'different'})"
        )

    @framed
    def _repr_html_(self) -> str:
        means = self.shares().groupby("mode")[["pictures", "prompt", "thought", "reply"]].mean()
        rows = [
            [name, answer.text, *(f"{100 * share:.0f}%" for share in means.loc[name])]
            for name, answer in (("think", self.think), ("direct", self.direct))
        ]
        head = ("mode", "answer", "on pictures", "on the prompt", "on the thought", "on the rest")
        return table(head, rows)

    def _places(self, row: int | None) -> tuple[Any, Any]:
        if row is None:
            return self.think.spans["answer"], self.direct.spans["answer"]
        table = self.tokens
        if not 0 <= row < len(table):
            raise InputError(f"row={row}", f"a row of .tokens, 0 to {len(table) - 1}")
        left, right = table["think_position"].iloc[row], table["direct_position"].iloc[row]
        if left < 0 or right < 0:
            raise InputError(f"row={row}, a token that only one answer has", "a row with both tokens")
        return int(left), int(right)


@verb("question")
def compare_thinking(vlm: models.VLM, images: ImagesLike, *, question: str, **options: Any) -> ModePair:
    """Ask one question in both modes and keep the attention of both.

    Args:
        vlm: a model that can think and answer directly.
        images, question: as for `VLM.ask`.
        options: as for `VLM.ask`, without ``mode`` and ``capture``.

    Raises:
        ModeError: if the model lacks a mode.
        CapabilityError: for a server.
        InputError: as `VLM.ask`; for ``mode`` or ``capture``; if an answer is empty or a thought is missing.
    """
    if wrong := {"mode", "capture"} & set(options):
        raise InputError(f"{wrong.pop()}= for a comparison of both modes", "the other options of vlm.ask")
    think, direct = (vlm.ask(images, question, mode=m, capture=True, **options) for m in ("think", "nothink"))
    return ModePair(think, direct)


def _shapes(answer: Answer) -> list[tuple[int, int, int]]:
    if answer.layout is None:
        raise CapabilityError("an answer without a layout", "one of a model that was loaded here")
    return [(grid.image, grid.rows, grid.cols) for grid in answer.layout.grids]


def _shares(answer: Answer, mode: str) -> pd.DataFrame:
    attention, span = answer.attention, answer.spans["answer"]
    rows = attention.mean(span)  # [tokens, positions]
    at = np.arange(rows.shape[1])
    assert answer.layout is not None, "checked when the pair was made"
    picture = np.array([answer.layout.locate(int(p)) is not None for p in at])
    thought: Span = answer.spans["thought"]
    inside = (at >= thought.start) & (at < thought.stop)
    prompt = (at < answer.prompt_tokens) & ~picture
    return pd.DataFrame(
        {
            "mode": mode,
            "token": list(span),
            "text": [attention.texts[p] for p in span],
            "pictures": rows[:, picture].sum(axis=1),
            "prompt": rows[:, prompt].sum(axis=1),
            "thought": rows[:, inside].sum(axis=1),
            "reply": rows[:, ~(picture | prompt | inside)].sum(axis=1),
        }
    )
