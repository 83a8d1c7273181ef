"""Is there evidence where a sentence of the thought was written from?

A sentence that names something ("News links to Mail.") was written from some place of the image, as far as a
map of the model tells.  Where that place is hidden and the rest of the reply is forced, the sentence's words
should become less probable, and by more than where equally large places elsewhere are hidden.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from tqdm.auto import tqdm

from .. import models
from ..answer import Answer
from ..attention.select import as_region
from ..errors import InputError
from ..html import framed, table, text
from ..names import Named, later, verb
from ..records import build, plain
from ..stats import clustered_error
from ..synth import Sample
from ..types import Box, PatchGrid, Region, Span
from .attribution import attribute
from .facts import Vocabulary
from .faithfulness import LEAST_DROP, Finding
from .record_file import load_record, making, save_record
from .regions import Baseline, baseline_setting
from .targets import layout_of
from .thought import sentences as sentences_of
from .thought import step_boxes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["SAYS", "SeenSentence", "SentenceEvidence", "sentence_evidence"]

SAYS = ("evidence", "none", "cannot tell")
"""What can be said of a sentence, see `SeenSentence.says`."""

FORMAT = "workbench.sentence_evidence"
LEVEL = 0.05  # of one sentence
LEAST_RANDOM = 19  # places, with which a p of 5% can be reached


@dataclass(frozen=True)
class SeenSentence:
    """One sentence of a thought, and what hiding the place behind it costs.

    Args:
        sentence: its number in the thought, from 0.
        text: the sentence.
        names: the words in it that name something, and that the question does not give.
        image: number of the picture.
        box: the place that the map points at (or that was given), in pixels of that picture.
        fall: log-probability that the words lose with the place hidden, in nats.
        elsewhere: the same for each of the places elsewhere, of the same size.
        everything: the same with all pictures hidden.
        truth: where the evidence lies, boxes in pixels; empty where that is not known.
    """

    sentence: int
    text: str
    names: tuple[str, ...]
    image: int
    box: Box
    fall: float
    elsewhere: tuple[float, ...]
    everything: float
    truth: tuple[Box, ...] = ()

    @property
    def ahead(self) -> float:
        """Nats by which the place's fall exceeds the mean of the places elsewhere; NaN without any."""
        return self.fall - float(np.mean(self.elsewhere)) if self.elsewhere else math.nan

    @property
    def error(self) -> float:
        """Standard error of that mean, in nats; NaN with fewer than two places."""
        count = len(self.elsewhere)
        return float(np.std(self.elsewhere, ddof=1)) / math.sqrt(count) if count > 1 else math.nan

    @property
    def p(self) -> float:
        """How probable it is that a place elsewhere costs as much: its rank among them, one-sided."""
        return (1 + sum(one >= self.fall for one in self.elsewhere)) / (1 + len(self.elsewhere))

    @property
    def says(self) -> str:
        """One of `SAYS`.

        "evidence": hiding the place costs at least 0.1 nats, and more than 95% of the places elsewhere do.
        "none": hiding it, or all pictures, costs less than 0.1 nats, or half of the places elsewhere cost as
        much.  "cannot tell": what lies between, and all where too few places lie elsewhere.
        """
        if min(self.fall, self.everything) < LEAST_DROP:
            return "none"
        if self.p <= LEVEL:
            return "evidence"
        return "none" if len(self.elsewhere) >= LEAST_RANDOM and self.p > 0.5 else "cannot tell"

    @property
    def covered(self) -> float:
        """Share of the evidence's area that the place covers; NaN where the evidence is not known."""
        whole = sum(_overlap(box, box) for box in self.truth)
        return sum(_overlap(box, self.box) for box in self.truth) / whole if whole else math.nan


COLUMNS = ("sentence", "text", "names", "image", "box", "fall", "ahead", "error", "p", "everything", "says")


@dataclass(frozen=True)
class SentenceEvidence(Named):
    """Which sentences of a thought have evidence where the model points while it writes them.

    Args:
        answer: the answer whose thought it is.
        sentences: one for each sentence that was tested.
        total: how many sentences the thought has.
        target: whose probability was asked, "sentence" or "answer".
        settings: how it was made.
    """

    answer: Answer
    sentences: tuple[SeenSentence, ...]
    total: int
    target: str = "sentence"
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def frame(self) -> pd.DataFrame:
        """One row for each sentence that was tested.

        Returns:
            ``sentence``, ``text``, ``names``, ``image``, ``box``; ``fall``, ``ahead``, its standard
            ``error``, ``p`` and ``everything`` (nats); ``says``; where the evidence is known, ``covered``.
        """
        import pandas as pd

        known = any(one.truth for one in self.sentences)
        names = (*COLUMNS, "covered") if known else COLUMNS
        rows = [[getattr(one, name) for name in names] for one in self.sentences]
        return pd.DataFrame(rows, columns=list(names))

    @cached_property
    def finding(self) -> Finding:
        """The verdict over all sentences: `SAYS`, or "some" where only some have evidence."""
        says = [one.says for one in self.sentences]
        have, lack = says.count("evidence"), says.count("none")
        rest = len(says) - have - lack
        told = (
            f"{have} of {len(says)} sentences that name something {'have' if have != 1 else 'has'} evidence"
        )
        if not have and not lack:
            return Finding("cannot tell", f"Of {len(says)} sentences none can be told from chance.")
        kind = "none" if not have else "evidence" if have == len(says) else "some"
        more = f", {lack} none" + (f", {rest} cannot be told" if rest else "")
        return Finding(kind, f"{told} where the model points{more if have < len(says) else ''}.")

    @property
    def verdict(self) -> str:
        """The finding, and the numbers behind it, in plain sentences."""
        words = {"sentence": "a sentence's words", "answer": "the answer"}[self.target]
        fall = float(np.mean([one.fall for one in self.sentences]))
        said = [self.finding.text, f"Hiding the place costs {words} {fall:.2f} nats"]
        ahead = [one.ahead for one in self.sentences if one.elsewhere]
        if len(ahead) > 1:
            error = clustered_error(ahead)
            said[-1] += f", {np.mean(ahead):.2f} (standard error {error:.2f}) more than hiding others"
        elif ahead:
            said[-1] += f", {ahead[0]:.2f} more than hiding others"
        return f"{' '.join(said)}."

    def plot(self) -> Figure:
        """The places on their picture, and what hiding them costs: `workbench.viz.sentence_evidence`."""
        return later("viz", "sentence_evidence")(self)

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path``, with the answer; see `load`.

        Raises:
            InputError: if the folder holds something else.
        """
        facts = {"sentences": plain(self.sentences), "total": self.total, "target": self.target}
        return save_record(path, FORMAT, answer=self.answer, facts=facts | {"settings": plain(self.settings)})

    @classmethod
    def load(cls, path: str | Path) -> SentenceEvidence:
        """Read what `save` wrote; needs neither torch nor the model.

        Raises:
            InputError: if it is not there, damaged or of another format.
        """
        answer, _, facts = load_record(path, FORMAT)
        with making(path):
            rows = [build(SeenSentence, row, f"path={str(path)!r}") for row in facts.pop("sentences")]
            return cls(answer, tuple(rows), **facts)

    def __repr__(self) -> str:
        return f"SentenceEvidence({self.answer.model}: {self.finding.text})"

    def __str__(self) -> str:
        return self.verdict

    @framed
    def _repr_html_(self) -> str:
        head = ("sentence", "hiding the place (nats)", "more than elsewhere", "p", "evidence")
        rows = [
            [one.text, f"{one.fall:.2f}", f"{one.ahead:+.2f} ± {one.error:.2f}", f"{one.p:.3f}", one.says]
            for one in self.sentences
        ]
        return f"<div><b>{text(self.verdict)}</b></div>{table(head, rows)}"


@verb()
def sentence_evidence(
    vlm: models.VLM,
    answer: Answer,
    *,
    sentences: Sequence[int] | None = None,
    target: Literal["sentence", "answer"] = "sentence",
    method: str = "attention",
    boxes: Sequence[Region | Box | None] | None = None,
    sample: Sample | None = None,
    share: float = 0.05,
    baseline: Baseline = "mean",
    n_random: int = 19,
    batch_size: int = 16,
    seed: int = 0,
    progress: bool = True,
) -> SentenceEvidence:
    """Test whether the sentences of a thought have evidence where the model points while writing them.

    For each sentence that names something, the method's map of the sentence's words gives a place: the
    rectangle with most of the map.  It is hidden, the reply is forced, and what its words lose is compared
    with what they lose where equally large places that do not overlap it are hidden, drawn at random.

    Args:
        vlm: the model that gave the answer.
        answer: an answer with a thought, about an image.
        sentences: numbers of the sentences to test, from 0; None for those with a number, a colour, a name
            or another of the `facts` that the question does not give.
        target: whose probability is asked: the "sentence" itself, or the "answer" with the thought forced.
        method: of `workbench.interpret.METHODS`, whose map tells the place.  Occlusion would find what it is
            then tested by.
        boxes: for each sentence of the thought, a place to test instead of the map's, or None.
        sample: the drawn question that was answered, for the true boxes of each step.
        share: of the image, how large the map's place is.
        baseline: what hidden places show; see `attribute`.
        n_random: places elsewhere, at least 19; fewer where there are no more.
        batch_size: altered images at a time.
        seed: of the places elsewhere.
        progress: show a bar that counts the altered images.

    Raises:
        InputError: for an answer without a thought or an image, a sentence or box that is not there, no
            sentence that names something, or settings that cannot be used.
        CapabilityError: for a server, or a method that this model's make does not allow.

    Example::

        found = interpret.sentence_evidence(vlm, vlm.ask(image, "...", mode="think"))
        print(found.verdict)
    """
    from .scoring import Scorer  # needs torch, and the record does not

    _check_settings(target, share, n_random)
    parts = _parts(vlm, answer)
    chosen = _chosen(answer, parts, sentences)
    given = _one_each(boxes, len(parts), "boxes")
    steps = step_boxes(sample) if sample is not None else []
    rng, found = np.random.default_rng(seed), []
    with tqdm(disable=not progress, unit="image", desc="evidence", leave=False) as bar:
        for number, names in chosen.items():
            part, words = parts[number]
            if given[number] is None:
                place = _pointed(
                    attribute(vlm, answer, target=part, method=method, progress=False).maps, share
                )
            else:
                place = _placed(answer, as_region(given[number], layout_of(answer)))
            scorer = Scorer(vlm, answer, part if target == "sentence" else "answer", batch_size=batch_size)
            scorer.on_batch = bar.update
            falls = _falls(scorer, place, rng, n_random, baseline)
            seen = SeenSentence(
                sentence=number,
                text=words,
                names=names,
                image=place.image,
                box=place.pixels(layout_of(answer).images[place.image]),
                fall=falls[0],
                elsewhere=tuple(falls[2:]),
                everything=falls[1],
                truth=steps[number] if number < len(steps) else (),
            )
            found.append(seen)
    shown = baseline_setting(baseline)
    settings = {"method": method, "share": share, "baseline": shown, "n_random": n_random, "seed": seed}
    return SentenceEvidence(answer, tuple(found), len(parts), target, settings)


def _check_settings(target: str, share: float, n_random: int) -> None:
    if target not in ("sentence", "answer"):
        raise InputError(f"target={target!r}", "'sentence' or 'answer'")
    if not 0 < share <= 0.25:
        raise InputError(f"share={share!r}", "above 0 and at most 0.25, so that places lie elsewhere")
    if isinstance(n_random, bool) or not isinstance(n_random, int) or n_random < LEAST_RANDOM:
        raise InputError(f"n_random={n_random!r}", f"a whole number, at least {LEAST_RANDOM}")


def _parts(vlm: models.VLM, answer: Answer) -> list[tuple[Span, str]]:
    """The sentences of the thought, as spans of tokens and as text."""
    from ..models.capture import token_texts  # needs torch, and the record does not

    if not layout_of(answer).images:
        raise InputError("an answer about no image", "an answer to a question with an image")
    if answer.thought is None or not len(answer.spans["thought"]):
        raise InputError(
            f"an answer without a thought (mode {answer.mode})", "one that thought", "ask with mode='think'"
        )
    texts = token_texts(vlm.tokenizer, answer.prompt_ids, answer.reply_ids)
    spans = sentences_of(texts, answer.spans["thought"])
    return [(span, "".join(texts[at] for at in span).strip()) for span in spans]


def _chosen(
    answer: Answer, parts: Sequence[tuple[Span, str]], sentences: Sequence[int] | None
) -> dict[int, tuple[str, ...]]:
    """The sentences to test, and what each names that the question does not give."""
    texts = [words for _, words in parts]
    vocabulary = Vocabulary.of([answer.question, *texts, f"is {answer.text}"])
    asked = {fact.word.lower() for fact in vocabulary.facts(answer.question)}
    names = [tuple(f.word for f in vocabulary.facts(t) if f.word.lower() not in asked) for t in texts]
    if sentences is not None:
        if not len(sentences) or not set(sentences) <= set(range(len(parts))):
            raise InputError(f"sentences={list(sentences)}", f"some of 0 to {len(parts) - 1}")
        return {number: names[number] for number in sorted(set(sentences))}
    found = {number: named for number, named in enumerate(names) if named}
    if not found:
        raise InputError(
            "a thought in which no sentence names a number, colour or thing besides the question's",
            "a sentence to test",
            f"say which: sentences=[0], up to {len(parts) - 1}",
        )
    return found


def _one_each(given: Sequence[Any] | None, count: int, name: str) -> Sequence[Any]:
    if given is None:
        return [None] * count
    if len(given) != count:
        raise InputError(f"{len(given)} {name}", f"{count}, one for each sentence of the thought, or None")
    return given


# -- places ----------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A rectangle of cells of one picture's grid."""

    image: int
    top: int
    left: int
    rows: int
    cols: int

    def pixels(self, grid: PatchGrid) -> Box:
        """The same in pixels of the picture."""
        first = grid.box(self.top, self.left)
        last = grid.box(self.top + self.rows - 1, self.left + self.cols - 1)
        width, height = grid.size
        return max(0.0, first[0]), max(0.0, first[1]), min(float(width), last[2]), min(float(height), last[3])

    def elsewhere(self, grid: PatchGrid) -> Iterator[_Place]:
        """All rectangles of the same size on the same picture that do not overlap this one."""
        for top in range(grid.rows - self.rows + 1):
            for left in range(grid.cols - self.cols + 1):
                if abs(top - self.top) >= self.rows or abs(left - self.left) >= self.cols:
                    yield self._replace(top=top, left=left)


def _pointed(maps: Sequence[np.ndarray], share: float) -> _Place:
    """The rectangle with most of what speaks for the words, of about a share of its picture."""
    best, found = -math.inf, _Place(0, 0, 0, 1, 1)
    for image, part in enumerate(maps):
        rows, cols = (max(1, round(side * math.sqrt(share))) for side in part.shape)
        sums = sliding_window_view(np.maximum(part, 0), (rows, cols)).sum(axis=(-2, -1))
        top, left = (int(at) for at in np.unravel_index(int(sums.argmax()), sums.shape))
        if sums[top, left] > best:
            best, found = float(sums[top, left]), _Place(image, top, left, rows, cols)
    return found


def _placed(answer: Answer, region: Region) -> _Place:
    """The cells under a box."""
    cells = layout_of(answer).images[region.image].cells(region.box)
    rows, cols = (sorted({cell[axis] for cell in cells}) for axis in (0, 1))
    return _Place(region.image, rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1)


def _falls(
    scorer: Any, place: _Place, rng: np.random.Generator, n_random: int, baseline: Baseline
) -> list[float]:
    """Nats lost with the place hidden, with everything hidden, and with each of the places elsewhere."""
    grids = scorer.answer.layout.images
    others = list(place.elsewhere(grids[place.image]))
    drawn = [others[at] for at in rng.permutation(len(others))[:n_random]]
    masks = [_hidden(grids, one) for one in (place, *drawn)]
    masks.insert(1, np.ones_like(masks[0]))
    return (scorer.base - scorer.masked(np.stack(masks), baseline=baseline)).tolist()


def _hidden(grids: Sequence[PatchGrid], place: _Place) -> np.ndarray:
    """Which cells of all pictures a place hides, bool ``[cells]``."""
    parts = [np.zeros((grid.rows, grid.cols), dtype=bool) for grid in grids]
    parts[place.image][place.top : place.top + place.rows, place.left : place.left + place.cols] = True
    return np.concatenate([part.ravel() for part in parts])


def _overlap(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, tall)
