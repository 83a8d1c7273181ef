"""What parts of a model do for an answer: records of patching, knock-out and single heads, without a model"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..answer import Answer
from ..html import framed, table
from ..names import later
from ..types import Region
from .record_file import SavedByField, making

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DecisionAttribution", "HeadEffects", "Knockout", "Patching"]


@dataclass(frozen=True)
class Patching(SavedByField):
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

    FORMAT = "workbench.patching"

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

    @classmethod
    def load(cls, path: str | Path) -> Patching:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """
        made = super().load(path)
        with making(path):
            return replace(made, table=made.table.apply(pd.to_numeric))

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
class Knockout(SavedByField):
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
        heads: heads in which it was so; None for all.
    """

    FORMAT = "workbench.knockout"

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
    heads: tuple[int, ...] | None = None

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

    def __repr__(self) -> str:
        return (
            f"Knockout({len(self.targets)} positions without {len(self.sources)}, {self._where()}: "
            f"{self.drop:.2f} nats lost, {len(self.broken)} of {len(self.positions)} tokens change)"
        )

    def _where(self) -> str:
        heads = "" if self.heads is None else f" x {len(self.heads)} heads"
        return f"{len(self.layers)} layers{heads}"

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


@dataclass(frozen=True, eq=False)
class HeadEffects(SavedByField):
    """What replacing each head's output costs an answer: estimated from one gradient, and exactly.

    Args:
        answer: the answer.
        target: whose log-odds were scored: "decision" (of thinking), or "reply", "thought" or "answer" (of
            their tokens against the likeliest other ones, summed).
        baseline: what the heads' outputs were replaced by, in words.
        score: the score with nothing replaced, in nats.
        estimated: ``[layers, heads]``, the score's fall in nats by its gradient; NaN in layers without heads.
        exact: ``[layers, heads]``, the fall as measured; NaN for heads that were not replaced.
        model: name of the model.
    """

    FORMAT = "workbench.head_effects"

    answer: Answer
    target: str
    baseline: str
    score: float
    estimated: np.ndarray
    exact: np.ndarray
    model: str = ""

    @property
    def agreement(self) -> float:
        """Correlation (Pearson) of estimated and exact falls; NaN for fewer than three heads."""
        both = np.isfinite(self.exact) & np.isfinite(self.estimated)
        if both.sum() < 3:
            return float("nan")
        return float(np.corrcoef(self.estimated[both], self.exact[both])[0, 1])

    def frame(self) -> pd.DataFrame:
        """A row for each head: layer, head, estimated, exact (nats), the largest estimated fall first."""
        layers, heads = np.indices(self.estimated.shape)
        columns = {"estimated": self.estimated.ravel(), "exact": self.exact.ravel()}
        table = pd.DataFrame({"layer": layers.ravel(), "head": heads.ravel(), **columns})
        return table.sort_values("estimated", ascending=False, kind="stable", ignore_index=True)

    def plot(self) -> Figure:
        """Layer by head, and estimated against exact: `workbench.viz.head_effects`."""
        return later("viz", "head_effects")(self)

    def __repr__(self) -> str:
        layers, heads = self.estimated.shape
        first = self.frame().iloc[0]
        return (
            f"HeadEffects({layers} layers x {heads} heads by {self.baseline}, {self.target}: layer "
            f"{first.layer:.0f} head {first['head']:.0f} is worth {first.estimated:.2f} nats; r "
            f"{self.agreement:.2f} with {int(np.isfinite(self.exact).sum())} exact)"
        )

    @framed
    def _repr_html_(self) -> str:
        rows = [
            [f"{r.layer}", f"{r.head}", f"{r.estimated:.2f}", f"{r.exact:.2f}" if r.exact == r.exact else ""]
            for r in self.frame().head(20).itertuples()
        ]
        return table(("layer", "head", "estimated fall (nats)", "exact"), rows)


@dataclass(frozen=True, eq=False)
class DecisionAttribution(SavedByField):
    """What each head and MLP writes towards thinking, at the position that decides it.

    All parts sum to the log-odds of thinking: the difference of the two tokens' scores, in nats.

    Args:
        answer: the answer.
        heads: ``[layers, heads]``; NaN in a layer without heads.
        mlp: ``[layers]``.
        embedding: the prompt's last token itself.
        bias: biases of the projections, the final norm and the output head.
        log_odds: the model's own difference of scores.
        think, other: the two tokens' texts.
        model: name of the model.
    """

    FORMAT = "workbench.decision"

    answer: Answer
    heads: np.ndarray
    mlp: np.ndarray
    embedding: float
    bias: float
    log_odds: float
    think: str
    other: str
    model: str = ""

    @property
    def error(self) -> float:
        """How far the sum of all parts is from the model's own log-odds, in nats."""
        parts = np.nansum(self.heads) + self.mlp.sum() + self.embedding + self.bias
        return float(abs(parts - self.log_odds))

    def frame(self) -> pd.DataFrame:
        """A row for each part: layer (-1 for embedding and bias), part, nats; the largest first."""
        rows = [
            (layer, f"head {head}", value)
            for (layer, head), value in np.ndenumerate(self.heads)
            if np.isfinite(value)
        ]
        rows += [(layer, "mlp", float(value)) for layer, value in enumerate(self.mlp)]
        rows += [(-1, "embedding", self.embedding), (-1, "bias", self.bias)]
        table = pd.DataFrame(rows, columns=["layer", "part", "nats"])
        return table.sort_values("nats", key=abs, ascending=False, kind="stable", ignore_index=True)

    def plot(self) -> Figure:
        """Layer by head and MLP: `workbench.viz.decision_attribution`."""
        return later("viz", "decision_attribution")(self)

    def __repr__(self) -> str:
        first = self.frame().iloc[0]
        where = first.part if first.layer < 0 else f"layer {first.layer} {first.part}"
        most = f"{where} {first.nats:+.2f}; error {self.error:.2g}"
        odds = f"{self.think!r} over {self.other!r}: log-odds {self.log_odds:+.2f}"
        return f"DecisionAttribution({odds}, of which {most})"

    @framed
    def _repr_html_(self) -> str:
        rows = [
            ["" if r.layer < 0 else str(r.layer), r.part, f"{r.nats:+.2f}"]
            for r in self.frame().head(20).itertuples()
        ]
        return table(("layer", "part", f"nats towards {self.think}"), rows)
