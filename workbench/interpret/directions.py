"""Directions of the hidden states: what they separate, and what a push along them does; records, no model"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..html import framed, table
from ..names import later
from ..stats import Interval, bootstrap_mean, mean_interval
from .record_file import SavedByField

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Direction", "Probe", "Steering"]


@dataclass(frozen=True, eq=False)
class Direction(SavedByField):
    """Where one set of answers lies from another in the hidden states, at the token that decides.

    Args:
        vectors: float32 ``[layers + 1, hidden]``, mean of the positive set minus mean of the negative one,
            where layer 0 is the embeddings and the last one what leaves the last block.
        separation: ``[layers + 1]``, how far apart the two sets lie along the direction, in standard
            deviations within a set; each question is measured along a direction that it had no part in.
        norms: ``[layers + 1]``, mean length of the hidden states there.
        positive, negative: number of answers in each set.
        model: name of the model.
    """

    FORMAT = "workbench.direction"

    vectors: np.ndarray
    separation: np.ndarray
    norms: np.ndarray
    positive: int
    negative: int
    model: str = ""

    @property
    def best(self) -> int:
        """The layer that separates the two sets best, of those that a block still reads."""
        return int(np.argmax(self.separation[:-1]))

    def frame(self) -> pd.DataFrame:
        """A row for each layer: layer, length (of the direction), norm (of the states), separation."""
        return pd.DataFrame(
            {
                "layer": range(len(self.vectors)),
                "length": np.linalg.norm(self.vectors, axis=-1),
                "norm": self.norms,
                "separation": self.separation,
            }
        )

    def __repr__(self) -> str:
        apart = f"{self.separation[self.best]:.1f} standard deviations apart at layer {self.best}"
        sets, last = f"{self.positive} answers against {self.negative}", len(self.vectors) - 1
        return f"Direction({sets}, layers 0 to {last}: {apart})"

    @framed
    def _repr_html_(self) -> str:
        rows = [
            [str(r.layer), f"{r.length:.1f}", f"{r.norm:.1f}", f"{r.separation:.1f}"]
            for r in self.frame().itertuples()
        ]
        head = ("layer", "length of the direction", "length of the states", "standard deviations apart")
        return table(head, rows)


COLUMNS = ("p_think", "thinks", "thought_tokens", "right")


@dataclass(frozen=True, eq=False)
class Steering(SavedByField):
    """What the same questions got when the model was pushed along a direction, strength by strength.

    Args:
        table: a row for each strength and question: strength, question (its number), family, p_think,
            thinks (whether it wrote a thought), thought_tokens, right.
        layers: where it was pushed.
        place: "decision" or "all".
        model: name of the model.
    """

    FORMAT = "workbench.steering"

    table: pd.DataFrame
    layers: tuple[int, ...]
    place: str = "decision"
    model: str = ""

    @property
    def strengths(self) -> tuple[float, ...]:
        """The strengths, rising."""
        return tuple(sorted({float(strength) for strength in self.table["strength"]}))

    def at(self, strength: float, column: str) -> tuple[float, float, float]:
        """One number at one strength: mean, low, high (95%; Wilson for shares, otherwise bootstrap).

        Args:
            strength: one of ``strengths``.
            column: "p_think", "thinks", "thought_tokens" or "right".
        """
        values = self.table[self.table["strength"] == strength][column].to_numpy(float)
        if column in ("thinks", "right"):
            found = mean_interval(values)
            return found.value, found.low, found.high
        return bootstrap_mean(values)

    def frame(self) -> pd.DataFrame:
        """A row for each strength: n, and for each of `COLUMNS` its mean, ..._low and ..._high."""
        rows = []
        for strength in self.strengths:
            row: dict[str, float] = {
                "strength": strength,
                "n": int((self.table["strength"] == strength).sum()),
            }
            for column in COLUMNS:
                row[column], row[f"{column}_low"], row[f"{column}_high"] = self.at(strength, column)
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self) -> Figure:
        """Thinking, its length and the accuracy against strength: `workbench.viz.steering`."""
        return later("viz", "steering")(self)

    def __repr__(self) -> str:
        questions, strengths = self.table["question"].nunique(), self.strengths
        return (
            f"Steering({questions} questions at {len(strengths)} strengths from {strengths[0]:g} to "
            f"{strengths[-1]:g}, layers {list(self.layers)})"
        )

    @framed
    def _repr_html_(self) -> str:
        rows = [
            [f"{r.strength:g}", f"{r.p_think:.2f}", f"{100 * r.thinks:.0f}%", f"{r.thought_tokens:.1f}"]
            + [f"{100 * r.right:.0f}% ({100 * r.right_low:.0f} to {100 * r.right_high:.0f})"]
            for r in self.frame().itertuples()
        ]
        return table(("strength", "p_think", "thinks", "thought tokens", "accuracy"), rows)


@dataclass(frozen=True, eq=False)
class Probe(SavedByField):
    """Whether a line in the hidden states tells two sets of answers apart, layer by layer.

    Args:
        hits: bool ``[points, layers + 1, answers]``, whether a probe that was fitted on other questions put
            the answer on its side.
        shuffled: ``[shuffles, points, layers + 1]``, accuracy of the same probes on shuffled labels.
        labels: bool ``[answers]``, True for the positive set; both are equally large.
        questions: ``[answers]``, number of the question that each answers.
        points: where it was read: (0.0,) at the decision, or shares of the thought from 0 to 1.
        place: "decision" or "thought".
        model: name of the model.
    """

    FORMAT = "workbench.probe"

    hits: np.ndarray
    shuffled: np.ndarray
    labels: np.ndarray
    questions: np.ndarray
    points: tuple[float, ...]
    place: str = "decision"
    model: str = ""

    @property
    def accuracy(self) -> np.ndarray:
        """Share of the answers that are put on their side ``[points, layers + 1]``; chance is a half."""
        return self.hits.mean(axis=-1)

    @property
    def best(self) -> tuple[int, int]:
        """The number of the point and the layer with the highest accuracy; of equal ones the first."""
        point, layer = np.unravel_index(int(np.argmax(self.accuracy)), self.accuracy.shape)
        return int(point), int(layer)

    @property
    def p(self) -> float:
        """How often shuffled labels do as well at their own best point and layer (permutation test)."""
        reached = self.shuffled.reshape(len(self.shuffled), -1).max(axis=1) >= self.accuracy.max()
        return float((1 + reached.sum()) / (1 + len(reached)))

    def interval(self, point: int, layer: int) -> Interval:
        """Accuracy at a point and layer with its 95% interval, clustered by question."""
        return mean_interval(self.hits[point, layer], self.questions)

    def frame(self) -> pd.DataFrame:
        """A row for each point and layer: accuracy, low, high, shuffled (labels), shuffled_high (95%)."""
        rows = []
        for number, point in enumerate(self.points):
            for layer in range(self.hits.shape[1]):
                found, chance = self.interval(number, layer), self.shuffled[:, number, layer]
                beside = (float(chance.mean()), float(np.quantile(chance, 0.95)))
                rows.append((point, layer, found.value, found.low, found.high, *beside))
        names = ["point", "layer", "accuracy", "low", "high", "shuffled", "shuffled_high"]
        return pd.DataFrame(rows, columns=names)

    def plot(self) -> Figure:
        """Accuracy by layer beside shuffled labels, or layer by point: `workbench.viz.probe`."""
        return later("viz", "probe")(self)

    def __repr__(self) -> str:
        where = f"layer {self.best[1]}"
        if self.place == "thought":
            where += f", {100 * self.points[self.best[0]]:.0f}% into the thought"
        return (
            f"Probe({len(self.labels)} answers to {len(set(self.questions.tolist()))} questions: "
            f"accuracy {self.interval(*self.best)} at {where}, p {self.p:.3g} against shuffled labels)"
        )

    @framed
    def _repr_html_(self) -> str:
        rows = [
            [f"{r.point:.2f}", str(r.layer)]
            + [
                f"{100 * r.accuracy:.0f}% ({100 * r.low:.0f} to {100 * r.high:.0f})",
                f"{100 * r.shuffled:.0f}%",
            ]
            for r in self.frame().itertuples()
        ]
        where = "place in the thought" if self.place == "thought" else "decision"
        return table((where, "layer", "accuracy", "shuffled labels"), rows)
