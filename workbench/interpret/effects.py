"""What changing the inside of a model did to an answer: records of patching and knock-out, without a model"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..answer import Answer
from ..files import local_path
from ..html import framed, table
from ..names import later
from ..types import Region
from .record_file import load_record, save_record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Knockout", "Patching"]


@dataclass(frozen=True)
class Patching:
    """How the answer moves when a region's hidden states come from another picture, layer by layer.

    All log-probabilities are sums over the scored tokens, in nats, with the reply given.

    Args:
        answer: the answer to the own picture.
        other: the answer to the other picture.
        region: what was patched.
        positions: image tokens of the region.
        target: which tokens were scored: "reply", "thought" or "answer".
        table: columns layer, own (log-probability of the answer), other (of the other answer), moved.
        own_picture: (answer, other answer) with the own picture, nothing patched.
        other_picture: (answer, other answer) with the whole other picture.
        model: name of the model.
    """

    answer: Answer
    other: Answer
    region: Region
    positions: tuple[int, ...]
    target: str
    table: pd.DataFrame
    own_picture: tuple[float, float]
    other_picture: tuple[float, float]
    model: str = ""

    @property
    def strongest(self) -> int:
        """The layer whose patch moved the answer most."""
        return int(self.table["layer"].iloc[int(self.table["moved"].to_numpy().argmax())])

    def plot(self) -> Figure:
        """How far the answer moves, layer by layer: `workbench.viz.patching`."""
        return later("viz", "patching")(self)

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path``; it loads without a model."""
        facts = {
            "region": {"box": list(self.region.box), "image": self.region.image},
            "positions": list(self.positions),
            "target": self.target,
            "table": self.table.to_dict(orient="list"),
            "own_picture": list(self.own_picture),
            "other_picture": list(self.other_picture),
            "model": self.model,
        }
        folder = save_record(path, "workbench.patching", answer=self.answer, facts=facts)
        self.other.save(folder / "other")
        return folder

    @classmethod
    def load(cls, path: str | Path) -> Patching:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """
        answer, _, facts = load_record(path, "workbench.patching")
        facts["region"] = Region(tuple(facts["region"]["box"]), facts["region"]["image"])
        facts["table"] = pd.DataFrame(facts["table"])
        for name in ("positions", "own_picture", "other_picture"):
            facts[name] = tuple(facts[name])
        return cls(answer=answer, other=Answer.load(local_path(path) / "other"), **facts)

    def __repr__(self) -> str:
        best = self.table["moved"].max()
        return (
            f"Patching({len(self.positions)} image tokens, {self.target} {self.answer.text[:30]!r} to "
            f"{self.other.text[:30]!r}: moved {best:.2f} at layer {self.strongest})"
        )

    @framed
    def _repr_html_(self) -> str:
        rows = [
            [str(r.layer), f"{r.own:.2f}", f"{r.other:.2f}", f"{r.moved:.2f}"]
            for r in self.table.itertuples()
        ]
        head = (
            "layer",
            f"log p({self.answer.text[:30]})",
            f"log p({self.other.text[:30]})",
            "moved (1: all the way)",
        )
        return table(head, rows)


@dataclass(frozen=True)
class Knockout:
    """What became of a reply when chosen positions could not see chosen positions.

    Args:
        answer: the answer.
        sources: positions that were not seen.
        targets: positions that did not see them.
        layers: blocks in which it was so.
        positions: ``[tokens]``, the tokens that the model wrote itself (not those that a mode forced).
        before, after: ``[tokens]``, log-probability of each of them, in nats, with the reply given.
        said: the most likely token instead of each, with attention cut.
        words: the tokens' texts.
        model: name of the model.
    """

    answer: Answer
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    layers: tuple[int, ...]
    positions: np.ndarray
    before: np.ndarray
    after: np.ndarray
    said: tuple[str, ...] = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    model: str = ""

    @property
    def drop(self) -> float:
        """How much log-probability the whole reply lost, in nats."""
        return float(self.before.sum() - self.after.sum())

    @property
    def broken(self) -> pd.DataFrame:
        """The tokens that the model would now write otherwise; columns as `frame`."""
        table = self.frame()
        return table[table["token"] != table["said"]]

    def frame(self) -> pd.DataFrame:
        """A row for each token: position, token, before, after, drop (nats), said (the likeliest now)."""
        return pd.DataFrame(
            {
                "position": self.positions,
                "token": self.words,
                "before": self.before,
                "after": self.after,
                "drop": self.before - self.after,
                "said": self.said,
            }
        )

    def plot(self) -> Figure:
        """What each token of the reply lost: `workbench.viz.knockout`."""
        return later("viz", "knockout")(self)

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path``; it loads without a model."""
        tuples = ("sources", "targets", "layers", "said", "words")
        facts = {name: list(getattr(self, name)) for name in tuples} | {"model": self.model}
        arrays = {name: getattr(self, name) for name in ("positions", "before", "after")}
        return save_record(path, "workbench.knockout", answer=self.answer, arrays=arrays, facts=facts)

    @classmethod
    def load(cls, path: str | Path) -> Knockout:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """
        answer, arrays, facts = load_record(path, "workbench.knockout")
        facts = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
        return cls(answer=answer, **arrays, **facts)

    def __repr__(self) -> str:
        return (
            f"Knockout({len(self.targets)} positions without {len(self.sources)}, {len(self.layers)} layers: "
            f"{self.drop:.2f} nats lost, {len(self.broken)} of {len(self.positions)} tokens change)"
        )

    @framed
    def _repr_html_(self) -> str:
        rows = [
            [
                str(r.position),
                r.token,
                f"{r.before:.2f}",
                f"{r.after:.2f}",
                r.said if r.said != r.token else "",
            ]
            for r in self.frame().itertuples()
        ]
        head = ("position", "token", "log p before", "log p after", "now rather")
        return table(head, rows)
