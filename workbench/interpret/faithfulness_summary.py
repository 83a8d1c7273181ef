"""Checks of many answers together: means with bootstrap intervals over samples, and one verdict"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..answer import html_table
from ..errors import InputError
from ..stats import bootstrap_mean
from .curves import Curve
from .faithfulness_record import RANDOM, Faithfulness, read_record, write_record
from .verdict import LEAST_DROP, Finding, judge

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Estimate", "FaithfulnessSummary", "summarise"]

FORMAT = {"format": "workbench.faithfulness_summary", "version": 1}


@dataclass(frozen=True)
class Estimate:
    """A mean over samples with its 95% bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """From one value a sample."""
        return cls(*bootstrap_mean(values), len(values))

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on that side of zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class FaithfulnessSummary:
    """Checks of one method's maps on several answers, which all measured the same things.

    Args:
        items: the single checks.
    """

    items: tuple[Faithfulness, ...]

    @property
    def method(self) -> str:
        """How the maps were made."""
        return self.items[0].method

    @property
    def fills(self) -> tuple[str, ...]:
        """The maskings."""
        return self.items[0].fills

    @property
    def baselines(self) -> tuple[str, ...]:
        """Baselines besides random that every check has."""
        shared = set.intersection(*(set(item.baselines) for item in self.items))
        return tuple(name for name in self.items[0].baselines if name in shared)

    def ahead(self, fill: str, of: str = RANDOM) -> Estimate:
        """Nats by which the maps' gap exceeds a baseline's, paired by sample."""
        return Estimate.of([item.ahead(fill, of) for item in self.items])

    @property
    def drop(self) -> Estimate:
        """Nats that the targets lose without any picture."""
        return Estimate.of([item.drop for item in self.items])

    @property
    def better(self) -> Estimate:
        """Share of the answers whose own check says "better than random"."""
        return Estimate.of([float(item.finding.kind == "better than random") for item in self.items])

    @property
    def randomisation(self) -> Estimate | None:
        """Correlation with the maps of randomised weights."""
        return self._known([item.unchanged for item in self.items])

    def plausibility(self, name: str) -> Estimate | None:
        """``"pointing"``, ``"iou"`` or ``"chance"`` over the answers whose evidence is known."""
        known = [item.plausibility for item in self.items]
        return self._known([None if one is None else float(getattr(one, name)) for one in known])

    @cached_property
    def finding(self) -> Finding:
        """The verdict over all samples, with its kind: intervals of the paired differences decide."""
        ahead = {fill: self.ahead(fill) for fill in self.fills}
        changed = self.randomisation
        return judge(
            {fill: one.sign for fill, one in ahead.items()},
            ahead={fill: one.mean for fill, one in ahead.items()},
            beaten={name: all(self.ahead(f, name).sign > 0 for f in self.fills) for name in self.baselines},
            drop=self.drop.mean,
            needed=self.drop.low >= LEAST_DROP,
            unchanged=None if changed is None else changed.mean,
        )

    @property
    def verdict(self) -> str:
        """One line over all samples."""
        return f"Over {len(self.items)} answers: {self.finding.text[0].lower()}{self.finding.text[1:]}"

    def curves(self, fill: str, name: str) -> Curve:
        """The mean curves of the map or of a baseline; "random" is the mean of all random orders, each
        with its reverse.  Answers with other numbers of regions are read at the same shares of them.

        Raises:
            InputError: for a baseline that was not measured.
        """
        found = [c for item in self.items for n, c in item.curves[fill].items() if _is(n, name)]
        if not found:
            raise InputError(f"baseline {name!r}", f"one of {', '.join((RANDOM, *self.baselines))}")
        share = (
            found[0].share if len({c.share for c in found}) == 1 else tuple(np.linspace(0, 1, 11).tolist())
        )
        means = []
        for kind in ("insertion", "deletion"):
            rows = [c.both_ways(kind).mean(0) if name == RANDOM else getattr(c, kind) for c in found]
            means.append(
                np.mean([np.interp(share, c.share, r) for c, r in zip(found, rows, strict=True)], axis=0)
            )
        return Curve(share, tuple(means[0].tolist()), tuple(means[1].tolist()))

    def frame(self) -> pd.DataFrame:
        """A row a measurement: what, masking, mean, low, high, n."""
        import pandas as pd

        rows: list[tuple[str, str, Estimate | None]] = [
            (f"ahead of {name}", fill, self.ahead(fill, name))
            for name in (RANDOM, *self.baselines)
            for fill in self.fills
        ]
        rows += [("drop without pictures", "", self.drop), ("better than random", "", self.better)]
        rows += [(name, "", self.plausibility(name)) for name in ("pointing", "iou", "chance")]
        rows.append(("correlation with randomised", "", self.randomisation))
        return pd.DataFrame(
            [(what, fill, e.mean, e.low, e.high, e.n) for what, fill, e in rows if e is not None],
            columns=["measured", "fill", "mean", "low", "high", "n"],
        )

    def save(self, path: str | Path) -> Path:
        """Save as one JSON file; returns its path."""
        return write_record(path, {**FORMAT, "items": [item.to_dict() for item in self.items]})

    @classmethod
    def load(cls, path: str | Path) -> FaithfulnessSummary:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """

        def build(data: Mapping[str, Any]) -> FaithfulnessSummary:
            return summarise([Faithfulness.from_dict(item) for item in data["items"]])

        return read_record(path, FORMAT, build)

    def __repr__(self) -> str:
        return f"FaithfulnessSummary({self.method}: {self.verdict})"

    def _repr_html_(self) -> str:
        rows = [
            [row.measured, row.fill, f"{row.mean:.2f}", f"{row.low:.2f} to {row.high:.2f}", str(row.n)]
            for row in self.frame().itertuples()
        ]
        table = html_table(("measured", "masking", "mean", "95% interval over samples", "n"), rows)
        return f"<div><b>{escape(self.method)}</b>: {escape(self.verdict)}{table}</div>"

    def _known(self, values: Sequence[float | None]) -> Estimate | None:
        known = [value for value in values if value is not None]
        return Estimate.of(known) if known else None


def _is(found: str, wanted: str) -> bool:
    return found == wanted or (wanted == RANDOM and found.startswith(f"{RANDOM} "))


def summarise(items: Sequence[Faithfulness]) -> FaithfulnessSummary:
    """Checks of one method together.

    Raises:
        InputError: for none, or checks of several methods or maskings.
    """
    if not items:
        raise InputError("no check", "at least one")
    kinds = {(item.method, item.fills) for item in items}
    if len(kinds) > 1:
        raise InputError(f"checks of {sorted(kinds)}", "checks of one method under the same maskings")
    return FaithfulnessSummary(tuple(items))
