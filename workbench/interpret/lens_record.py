"""What a logit lens read, as a record that needs no model: by position and layer, likely words"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ..answer import Answer
from ..errors import InputError
from ..html import framed, table
from ..names import later
from ..records import check_fields
from ..types import PatchGrid
from .record_file import load_record, making, save_record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LogitLens", "Says"]

FORMAT = "workbench.lens"


class Says(NamedTuple):
    """What the patches of one picture say at one layer, on the picture's grid.

    ``words`` ``[rows, cols]`` of text, ``probabilities`` ``[rows, cols]`` of the same words, and ``grid``:
    where the cells lie on the picture.
    """

    words: np.ndarray
    probabilities: np.ndarray
    grid: PatchGrid


@dataclass(frozen=True)
class LogitLens:
    """Hidden states read through the model's own output head (logit lens; nostalgebraist 2020).

    Layer 0 is the embeddings (for a patch: what the projector gives), layer ``layers`` what leaves the
    last block: there the probabilities are the model's own.  Made by `workbench.interpret.logit_lens`.

    Args:
        answer: what was read.
        positions: ``[positions]``, in ``answer.token_ids``, ascending.
        top_ids: ``[layers + 1, positions, k]``, the most likely next tokens.
        top_probabilities: ``[layers + 1, positions, k]``, of the same tokens.
        next_log_probabilities: ``[layers + 1, positions]``, natural logarithm of the probability of the
            token that really stands next; NaN at the last position.
        next_ranks: ``[layers + 1, positions]``, 0 where that token is the most likely one; -1 at the last.
        words: token id -> its text, for all ids that occur.
        decision: the first position of the reply by layer, see `workbench.interpret.logit_lens`; None for a
            family that writes no thoughts.
        error: largest difference between the lens at the last layer and the model's own scores.
        model: name of the model.
    """

    answer: Answer
    positions: np.ndarray
    top_ids: np.ndarray
    top_probabilities: np.ndarray
    next_log_probabilities: np.ndarray
    next_ranks: np.ndarray
    words: Mapping[int, str] = field(repr=False)
    decision: pd.DataFrame | None = None
    error: float = 0.0
    model: str = ""

    @property
    def layers(self) -> int:
        """Number of blocks; layers count from 0 (embeddings) to this number."""
        return len(self.top_ids) - 1

    @property
    def k(self) -> int:
        """How many tokens are kept of each position and layer."""
        return self.top_ids.shape[2]

    def at(self, position: int, *, layer: int | None = None) -> pd.DataFrame:
        """What one position says: a row for each layer (or one layer) and each of its likely tokens.

        Args:
            position: in ``answer.token_ids``; negative ones count from the end.
            layer: one layer; None for all.

        Returns:
            Columns layer, rank, token, probability.

        Raises:
            InputError: for a position that was not read, or a layer that does not exist.
        """
        at = self._index(position)
        rows = [
            (number, rank, self.words[int(token)], float(p))
            for number in (range(self.layers + 1) if layer is None else [self._layer(layer)])
            for rank, (token, p) in enumerate(
                zip(self.top_ids[number, at], self.top_probabilities[number, at], strict=True)
            )
        ]
        return pd.DataFrame(rows, columns=["layer", "rank", "token", "probability"])

    def patch(self, row: int, col: int, *, image: int = 0, layer: int | None = None) -> pd.DataFrame:
        """What one patch of a picture says, as `at`.

        Raises:
            InputError: for a picture or a cell that is not there.
        """
        return self.at(self._grid(image).position(row, col), layer=layer)

    def says(self, layer: int, *, image: int = 0, rank: int = 0) -> Says:
        """What every patch of a picture says at one layer.

        Args:
            layer: 0 (what the projector gives) to ``layers``.
            image: which picture of the conversation.
            rank: 0 for the most likely word, 1 for the next one, ...

        Raises:
            InputError: for a layer, picture or rank that is not there, or patches that were not read.
        """
        grid, number = self._grid(image), self._layer(layer)
        if not 0 <= rank < self.k:
            raise InputError(f"rank={rank}", f"0 to {self.k - 1}", "read more with logit_lens(..., k=...)")
        at = [[self._index(grid.position(r, c)) for c in range(grid.cols)] for r in range(grid.rows)]
        ids = self.top_ids[number][at][..., rank]
        words = np.array([[self.words[int(token)] for token in line] for line in ids], dtype=object)
        return Says(words, self.top_probabilities[number][at][..., rank].astype(float), grid)

    def written(self, token: int) -> pd.DataFrame:
        """How one token of the answer came about, layer by layer.

        Args:
            token: its position in ``answer.token_ids``; negative ones count from the end.

        Returns:
            Columns layer, probability (of this token, read one position earlier), rank (0: the most likely),
            says (the most likely token there).

        Raises:
            InputError: if the position before it was not read.
        """
        length = len(self.answer.token_ids)
        at = self._index((token % length if -length <= token < length else token) - 1)
        return pd.DataFrame(
            {
                "layer": range(self.layers + 1),
                "probability": np.exp(self.next_log_probabilities[:, at].astype(float)),
                "rank": self.next_ranks[:, at],
                "says": [self.words[int(ids[0])] for ids in self.top_ids[:, at]],
            }
        )

    @property
    def decided_at(self) -> int | None:
        """The first layer from which on the choice to think keeps its sign; None without such a choice.

        Counted from layer 1: the embedding of the prompt's last token knows nothing of the question.
        """
        if self.decision is None:
            return None
        signs = np.sign(self.decision["log_odds"].to_numpy())[1:]
        different = np.flatnonzero(signs != signs[-1])
        return int(different[-1]) + 2 if len(different) else 1

    def plot(self, **options: Any) -> Figure:
        """What each patch of a picture says at some layers; options as for `workbench.viz.lens_sheet`."""
        return later("viz", "lens_sheet")(self, **options)

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path``, replacing a lens that is there; it loads without a model.

        Raises:
            InputError: if the folder holds something else.
        """
        names = ("positions", "top_ids", "top_probabilities", "next_log_probabilities", "next_ranks")
        facts = {
            "words": {str(token): word for token, word in self.words.items()},
            "decision": None if self.decision is None else self.decision.to_dict(orient="list"),
            "error": self.error,
            "model": self.model,
        }
        arrays = {name: getattr(self, name) for name in names}
        return save_record(path, FORMAT, answer=self.answer, arrays=arrays, facts=facts)

    @classmethod
    def load(cls, path: str | Path) -> LogitLens:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """
        answer, arrays, facts = load_record(path, FORMAT)
        with making(path):
            facts["words"] = {int(token): str(word) for token, word in facts["words"].items()}
            if facts["decision"] is not None:
                numbers = dict.fromkeys(("p_think", "p_other", "log_odds"), float)
                facts["decision"] = pd.DataFrame(facts["decision"]).astype(numbers)
            made = cls(answer=answer, **arrays, **facts)
            if not facts["words"].keys() >= {*answer.token_ids, *np.unique(made.top_ids).tolist()}:
                raise ValueError("tokens without their words")
        return check_fields(made, f"path={str(path)!r}")

    def __repr__(self) -> str:
        decided = "" if self.decided_at is None else f", thinking decided at layer {self.decided_at}"
        return f"LogitLens({len(self.positions)} positions, layers 0 to {self.layers}, top {self.k}{decided})"

    @framed
    def _repr_html_(self) -> str:
        """The reply, a row for each token: what was most likely at each layer where it was written."""
        start = self.answer.prompt_tokens
        read = [at for at in range(start, len(self.answer.token_ids)) if at - 1 in self.positions][:60]
        header = ["position", "written", *(f"layer {number}" for number in range(self.layers + 1))]
        rows = [
            [str(at), self.words[self.answer.token_ids[at]]]
            + [self.words[int(ids[0])] for ids in self.top_ids[:, self._index(at - 1)]]
            for at in read
        ]
        return table(header, rows)

    def _index(self, position: int) -> int:
        length = len(self.answer.token_ids)
        wanted = position % length if -length <= position < length else position
        at = int(np.searchsorted(self.positions, wanted))
        if at == len(self.positions) or self.positions[at] != wanted:
            raise InputError(
                f"position {position}",
                f"one of the {len(self.positions)} positions that were read, of 0 to {length - 1}",
                "read more with logit_lens(..., positions='all')",
            )
        return at

    def _layer(self, layer: int) -> int:
        if not 0 <= layer <= self.layers:
            raise InputError(f"layer={layer}", f"0 (embeddings) to {self.layers}")
        return layer

    def _grid(self, image: int) -> PatchGrid:
        grids = self.answer.layout.images if self.answer.layout else ()
        if not 0 <= image < len(grids):
            raise InputError(
                f"image={image}", f"0 to {len(grids) - 1}" if grids else "an answer about a picture"
            )
        return grids[image]
