"""Can a map be trusted? What a check of it measured, as a record that needs no model, and its verdict

The rule reads measured numbers only and has no way to be kind: a map is called better than random when its
gap exceeds what random orders reach, under every baseline; under some only, the line says which.

What every map is measured against: random orders, the middle of the picture, attention sinks alone.  Whether
a map points at the place that a person would name (pointing game, IoU) stands apart: a map can be plausible
and wrong about the model, or faithful and surprising, so these two numbers never enter a verdict.

`workbench.interpret.checking` measures with a model; here is the part of a check that needs none, from a
score over kept regions to curves of a map and its baselines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..answer import Answer
from ..errors import InputError
from ..files import local_path, read_json, write_json
from ..html import framed, table
from ..names import Named, later
from ..records import with_format, without_format
from ..stats import bootstrap_mean
from ..synth import Sample
from ..types import Box, PatchGrid, Region
from .curves import Curve, Score, curves, ranking
from .regions import BASELINES, CHECKED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

R = TypeVar("R")

__all__ = [
    "Estimate",
    "Faithfulness",
    "FaithfulnessSummary",
    "Finding",
    "LEAST_DROP",
    "LEAST_RANDOM",
    "MAP",
    "Plausibility",
    "RANDOM",
    "SAME_MAP",
    "reference_orders",
    "blocks",
    "centre",
    "check_settings",
    "evidence",
    "evidence_of",
    "examine",
    "iou",
    "judge",
    "orders_of",
    "outlook",
    "p_value",
    "plausibility",
    "pointing",
    "read_record",
    "region_means",
    "sinks",
    "summarise",
    "write_record",
]


LEAST_DROP = 0.1
"""Nats that the answer must lose without any picture, else no map of the picture means anything."""

LEAST_SHARE = 0.1
"""Share of that loss by which maps must be ahead of random orders to be of any use."""

LEVEL = 0.05
"""Probability with which a random order is called better than random (or worse)."""

LEAST_RANDOM = 9
"""Random orders without which nothing can be told apart at 5% a side."""

SAME_MAP = 0.5
"""Spearman correlation with the map of randomised weights from which a map is called unchanged by them."""


@dataclass(frozen=True)
class Finding:
    """A verdict: ``kind`` for programs, ``text`` for people.

    Kinds: ``"better than random"``, ``"no better than random"``, ``"worse than random"``, ``"cannot tell"``;
    ``"depends on the baseline"`` where only some baselines say that it is better, and ``"no picture needed"``
    where no map can mean anything.
    """

    kind: str
    text: str


def outlook(random: Sequence[float], *, level: float = 0.05) -> tuple[float, float]:
    """Between which gaps random orders stay, but for ``level`` of them on either side.

    An order and its reverse have opposite gaps, so the distribution is symmetric, whatever its shape.  A
    map that is no better than a random order exceeds the upper bound with a probability of at most
    ``level``: an exact Monte Carlo test (Dwass 1957) against the orders and their reverses.

    Args:
        random: gaps of random orders; with fewer than ``LEAST_RANDOM`` of them the bounds are infinite.
        level: probability of an error on one side.
    """
    heights = np.sort(np.abs(np.asarray(random, dtype=float)))[::-1]
    allowed = math.floor(2 * level * (len(heights) + 1) + 1e-9) - 1  # of |gaps| that may be as large
    bound = float(heights[allowed]) if 0 <= allowed < len(heights) else math.inf
    return -bound, bound


def p_value(gap: float, random: Sequence[float], *, tolerance: float = 1e-9) -> float:
    """How probable it is that a random order has a gap as large, one-sided: the mid-p value.

    Each random order counts with its reverse, whose gap is the opposite, so the test is one of the ranks of
    ``|gap|``.  An order whose gap is equal counts half (Lancaster 1961): where an answer rests on one region,
    every order that begins with it is equal, and a strict test could hardly ever be passed.  In simulation
    this keeps to 5% (`tests/interpret/test_faithfulness.py`).

    Args:
        gap: of the map.
        random: gaps of random orders.
        tolerance: gaps that differ by less, as a share of the largest, are equal.
    """
    heights = np.abs(np.asarray(random, dtype=float))
    slack = tolerance * max(float(heights.max(initial=0.0)), abs(gap))
    larger = int((heights > abs(gap) + slack).sum())
    equal = int((np.abs(heights - abs(gap)) <= slack).sum())
    p = (larger + equal / 2 + 1) / (2 * (len(heights) + 1))
    return p if gap > 0 else 1 - p


def judge(
    signs: Mapping[str, int],
    *,
    ahead: Mapping[str, float],
    beaten: Mapping[str, bool],
    drop: float,
    needed: bool,
    otherwise: str = "cannot tell",
    reason: str = "",
    unchanged: float | None = None,
    passed: Mapping[str, float] | None = None,
) -> Finding:
    """Put measurements into one line.

    Args:
        signs: baseline -> 1 above random, 0 not told apart, -1 below.
        ahead: baseline -> nats by which the gap exceeds that of random orders.
        beaten: other reference ("centre", "sink") -> whether the map is ahead of it under every baseline.
        drop: nats that the answer loses without any picture.
        needed: whether that drop is one.
        otherwise: what is said of a map that no baseline tells apart: "no better than random" or "cannot
            tell".
        reason: why it cannot be told, where there is one.
        unchanged: correlation with the map of randomised weights; None where it was not measured.
        passed: baseline -> share of random orders with a smaller gap, for a single answer.
    """
    told = ", ".join(f"{baseline} {ahead[baseline]:+.2f}" for baseline in signs) + " nats against random"
    if passed:
        told += (
            f"; ahead of {', '.join(f'{100 * passed[baseline]:.0f}%' for baseline in signs)} of random orders"
        )
    tail = ""
    if unchanged is not None and abs(unchanged) >= SAME_MAP:
        tail = f" It hardly changes with randomised weights (Spearman {unchanged:.2f})."
    if not needed:
        text = f"No map means anything here: without any picture the answer loses {_loss(drop)}."
        return Finding("no picture needed", text)
    better, worse = [f for f, s in signs.items() if s > 0], [f for f, s in signs.items() if s < 0]
    if len(better) == len(signs):
        rivals = _rivals(beaten)
        return Finding("better than random", f"Better than random{rivals} ({told}).{tail}")
    if better:
        rest = " and ".join(f for f in signs if f not in better)
        text = f"Better than random under {' and '.join(better)}, not under {rest} ({told}).{tail}"
        return Finding("depends on the baseline", text)
    if len(worse) == len(signs):
        return Finding("worse than random", f"Worse than random here ({told}).{tail}")
    if otherwise == "cannot tell":
        why = f": {reason}" if reason else ""
        return Finding("cannot tell", f"Cannot tell from random here{why} ({told}).{tail}")
    return Finding("no better than random", f"No better than random here ({told}).{tail}")


def _loss(drop: float) -> str:
    return f"{drop:.2f} nats" if drop >= 0.005 else f"nothing ({drop:+.2f} nats)"


def _rivals(beaten: Mapping[str, bool]) -> str:
    won, lost = [n for n, b in beaten.items() if b], [n for n, b in beaten.items() if not b]
    parts = [f", and than {' and '.join(won)}"] if won else []
    parts += [f", but not than {' and '.join(lost)}"] if lost else []
    return "".join(parts)


def blocks(grids: Sequence[PatchGrid], regions: tuple[int, int] | str) -> list[np.ndarray]:
    """Divide every picture's cells into equal regions, numbered through all pictures.

    Args:
        grids: the pictures' grids.
        regions: (rows, cols) of regions a picture, fewer where a picture has fewer cells; or
            ``"patches"``, one region a cell.

    Returns:
        One int ``[rows, cols]`` a picture: each cell's region.

    Raises:
        InputError: for anything else.
    """
    if regions != "patches" and not _is_pair(regions):
        raise InputError(f"regions={regions!r}", "(rows, cols) of at least 1, or 'patches'")
    labels, first = [], 0
    for grid in grids:
        wanted = (grid.rows, grid.cols) if regions == "patches" else regions
        rows, cols = min(int(wanted[0]), grid.rows), min(int(wanted[1]), grid.cols)
        row, col = np.indices((grid.rows, grid.cols))
        labels.append(first + row * rows // grid.rows * cols + col * cols // grid.cols)
        first += rows * cols
    return labels


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in value)
    )


def region_means(maps: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of a map over each region, ``[regions]``."""
    values = np.concatenate([np.asarray(part, dtype=float).ravel() for part in maps])
    at = np.concatenate([part.ravel() for part in labels])
    return np.bincount(at, weights=values) / np.bincount(at)


def centre(grid: PatchGrid) -> np.ndarray:
    """The centre prior: minus the distance to the middle, in picture widths and heights, ``[rows, cols]``."""
    y = (np.arange(grid.rows) + 0.5) / grid.rows - 0.5
    x = (np.arange(grid.cols) + 0.5) / grid.cols - 0.5
    return -np.hypot(y[:, None], x[None, :])


def sinks(grid: PatchGrid, norms: np.ndarray) -> np.ndarray:
    """Sinks alone: how large each patch's hidden state is, by which sinks are known, ``[rows, cols]``.

    Patches that draw attention whatever is asked carry massive activations (Sun et al. 2024, arXiv
    2402.17762; in vision-language models Kang et al. 2025, arXiv 2503.03321).  A map that ranks patches
    as this one does has found sinks.

    Args:
        grid: the picture's grid.
        norms: one number a position of the prompt, ``[tokens]``.
    """
    positions = [[grid.position(row, col) for col in range(grid.cols)] for row in range(grid.rows)]
    return np.asarray(norms, dtype=float)[np.array(positions)]


@dataclass(frozen=True)
class Plausibility:
    """A map against the true evidence boxes.

    Args:
        pointing: whether the map's highest cell lies on the evidence (Zhang et al. 2018, arXiv
            1608.00507): 0 or 1, or the share of the highest cells that do where several are equal.
        iou: intersection over union of the evidence's cells with as many of the map's highest cells.
        chance: share of all cells that are evidence: what pointing blindly would reach.
    """

    pointing: float
    iou: float
    chance: float


def evidence(grids: Sequence[PatchGrid], regions: Sequence[Region]) -> list[np.ndarray]:
    """Which cells lie on the evidence: one bool ``[rows, cols]`` a picture.

    Raises:
        InputError: for no box, a box of a picture that is not there, or one outside its picture.
    """
    if not regions:
        raise InputError("no box", "at least one evidence box, or None for unknown")
    inside = [np.zeros((grid.rows, grid.cols), dtype=bool) for grid in grids]
    for region in regions:
        if not 0 <= region.image < len(grids):
            raise InputError(f"a box of picture {region.image}", f"pictures 0 to {len(grids) - 1}")
        cells = grids[region.image].cells(region.box)
        if not cells:
            raise InputError(
                f"the box {region.box}", f"one on picture {region.image}, {grids[region.image].size} pixels"
            )
        inside[region.image][tuple(np.array(cells).T)] = True
    return inside


def pointing(values: np.ndarray, inside: np.ndarray) -> float:
    """Share of the highest cells that lie inside: 0 or 1 unless several cells are equally high."""
    return float(inside[values == values.max()].mean())


def iou(values: np.ndarray, inside: np.ndarray) -> float:
    """IoU of the evidence with as many of the highest cells; equal cells at the threshold count in part."""
    wanted = int(inside.sum())
    threshold = np.sort(values)[::-1][wanted - 1]
    above, level = values > threshold, values == threshold
    chosen = above + level * (wanted - above.sum()) / level.sum()
    return float(np.minimum(chosen, inside).sum() / np.maximum(chosen, inside).sum())


def plausibility(
    maps: Sequence[np.ndarray], grids: Sequence[PatchGrid], regions: Sequence[Region]
) -> Plausibility:
    """Pointing game and IoU of one map over all pictures together.

    Args:
        maps: signed ``[rows, cols]``, one per picture.
        grids: the pictures' grids.
        regions: the true evidence.

    Raises:
        InputError: as `evidence`, or if a map is not on its picture's grid.
    """
    for number, (values, grid) in enumerate(zip(maps, grids, strict=True)):
        if values.shape != (grid.rows, grid.cols):
            raise InputError(f"map {number} of shape {values.shape}", f"({grid.rows}, {grid.cols})")
    inside = np.concatenate([part.ravel() for part in evidence(grids, regions)])
    values = np.concatenate([np.asarray(part, dtype=float).ravel() for part in maps])
    return Plausibility(pointing(values, inside), iou(values, inside), float(inside.mean()))


MAP = "map"
RANDOM = "random"

#: Settings as checks were saved before.
OLD_SETTINGS = {"fills": "baselines", "random": "n_random", "randomise": "n_shuffles"}
FORMAT = "workbench.faithfulness"


@dataclass(frozen=True)
class Faithfulness(Named, fills="baselines"):
    """Whether one map tells what the answer depends on.

    Scores are log-probabilities of the target, teacher-forced, in nats.

    Args:
        method: how the map was made.
        target: what was scored, in words.
        model: name of the model.
        regions: how many regions the curves are made of; the same ones for every map and reference.
        curves: baseline -> ``"map"``, ``"random 0"``, ``"random 1"`` ..., ``"centre"``, ``"sink"`` ->
            `Curve`.
        full: score with the pictures as they are.
        no_image: score of the same reply after the prompt without any picture; None where this family
            cannot be asked so.
        plausibility: against the true evidence boxes; None where they are not known.
        randomisation: Spearman correlation with the same method's map after the weights were
            randomised, one a seed (Adebayo et al. 2018, arXiv 1810.03292); None where it was not measured.
        notes: what could not be measured, and why.
        seconds: of the whole check.
        forwards: states of the pictures that were scored, the references' included.
        settings: baselines, steps, n_random, n_shuffles, regions, seed.
        created: UTC time, ISO 8601.
    """

    method: str
    target: str
    model: str
    regions: int
    curves: Mapping[str, Mapping[str, Curve]] = field(hash=False)
    full: float
    no_image: float | None
    plausibility: Plausibility | None = None
    randomisation: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    forwards: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    created: str = ""

    # -- what follows from the numbers -----------------------------------------------------------

    @property
    def baselines(self) -> tuple[str, ...]:
        """The baselines that it was measured under."""
        return tuple(self.curves)

    @property
    def references(self) -> tuple[str, ...]:
        """The references besides random that were measured."""
        names = next(iter(self.curves.values()))
        return tuple(name for name in names if name != MAP and not name.startswith(RANDOM))

    @property
    def drop(self) -> float:
        """Nats that the target loses without any picture; where that could not be asked, under the
        baseline that costs most with everything hidden."""
        if self.no_image is not None:
            return self.full - self.no_image
        return max(self.full - named[MAP].insertion[0] for named in self.curves.values())

    @property
    def needed(self) -> bool:
        """Whether the target needs the picture at all."""
        return self.drop >= LEAST_DROP

    def gap(self, baseline: str, name: str = MAP) -> float:
        """Insertion minus deletion AUC in nats, of the map or of a reference; zero for "random"."""
        named = self._named(baseline)
        if name == RANDOM:
            return 0.0  # each random order counts with its reverse, whose gap is the opposite
        if name not in named:
            raise InputError(f"reference {name!r}", f"one of {', '.join(map(repr, (RANDOM, *named)))}")
        return named[name].gap

    def random_gaps(self, baseline: str) -> list[float]:
        """The gaps of the random orders, in nats."""
        return [curve.gap for name, curve in self._named(baseline).items() if name.startswith(RANDOM)]

    def ahead(self, baseline: str, of: str = RANDOM) -> float:
        """Nats by which the map's gap exceeds a reference's."""
        return self.gap(baseline) - self.gap(baseline, of)

    def passed(self, baseline: str) -> float:
        """Share of random orders, each counted with its reverse, whose gap is smaller than the map's."""
        gap, random = self.gap(baseline), self.random_gaps(baseline)
        return sum((gap > one) + (gap > -one) for one in random) / (2 * len(random))

    def p(self, baseline: str) -> float:
        """How probable it is that a random order is as good as the map, one-sided; see `p_value`."""
        return p_value(self.gap(baseline), self.random_gaps(baseline))

    def best_p(self, baseline: str) -> float:
        """The p of the best order that was measured: what a perfect map could reach with these regions.

        It is large where many random orders are as good as the best: few regions, or a score that hardly
        depends on any.
        """
        random = self.random_gaps(baseline)
        named = (self.gap(baseline, name) for name in (MAP, *self.references))
        best = max(*map(abs, random), *named)
        return p_value(best, random, tolerance=0.01) if best > 0 else 0.5

    @cached_property
    def finding(self) -> Finding:
        """The verdict with its kind.

        Better or worse than random where that is told apart at 5% a side under every baseline.  A map in
        between is no better than random where it is behind half of the random orders under every baseline;
        else, and where not even the best order that was measured could be told apart, nothing can be told.
        """
        p, passed = ({f: measure(f) for f in self.baselines} for measure in (self.p, self.passed))
        told = {f: self.best_p(f) <= LEVEL for f in self.baselines}
        behind = all(told.values()) and all(share <= 0.5 for share in passed.values())
        poor = max((self.best_p(f) for f in self.baselines if not told[f]), default=0.0)
        return judge(
            {f: int(p[f] <= LEVEL) - int(p[f] >= 1 - LEVEL) for f in self.baselines},
            ahead={f: self.ahead(f) for f in self.baselines},
            beaten={name: all(self.ahead(f, name) > 0 for f in self.baselines) for name in self.references},
            drop=self.drop,
            needed=self.needed,
            otherwise="no better than random" if behind else "cannot tell",
            reason=f"even the best order has p = {poor:.2f}, more regions tell more" if poor else "",
            unchanged=self.unchanged,
            passed=passed,
        )

    @property
    def unchanged(self) -> float | None:
        """Mean correlation with the maps of randomised weights; None where it was not measured."""
        return sum(self.randomisation) / len(self.randomisation) if self.randomisation else None

    @property
    def verdict(self) -> str:
        """One line: whether this map is better than random, under which baselines, or means nothing."""
        return self.finding.text

    def frame(self) -> pd.DataFrame:
        """One row per baseline and order: insertion and deletion AUC and their gap, in nats.

        For random orders, each counted with its reverse, these are means; ``low`` and ``high`` are the
        gaps that a random order passes with a probability of 5% each: see `verdict.outlook`.
        """
        import pandas as pd

        rows: list[tuple[Any, ...]] = []
        for baseline, named in self.curves.items():
            shown = {name: curve for name, curve in named.items() if not name.startswith(RANDOM)}
            for name, curve in shown.items():
                rows.append((baseline, name, curve.insertion_auc, curve.deletion_auc, curve.gap, None, None))
            orders = [c for name, c in named.items() if name.startswith(RANDOM)]
            height = sum(c.insertion_auc + c.deletion_auc for c in orders) / (2 * len(orders))
            rows.append((baseline, RANDOM, height, height, 0.0, *outlook([c.gap for c in orders])))
        return pd.DataFrame(
            rows, columns=["baseline", "order", "insertion", "deletion", "gap", "low", "high"]
        )

    def points(self, baseline: str) -> pd.DataFrame:
        """The curves under one baseline as rows, for plots of your own: columns curve, map, fraction (0 to
        1), score; for random orders, each counted with its reverse, the mean and the range (low, high).

        Raises:
            InputError: for a baseline that was not measured.
        """
        import pandas as pd

        named = self._named(baseline)
        orders = [c for name, c in named.items() if name.startswith(RANDOM)]
        rows: list[tuple[Any, ...]] = []
        for kind in ("insertion", "deletion"):
            for name in (MAP, *self.references):
                scores = getattr(named[name], kind)
                rows += [(kind, name, x, y, y, y) for x, y in zip(named[name].share, scores, strict=True)]
            heights = np.concatenate([curve.both_ways(kind) for curve in orders])
            band = (heights.mean(0), heights.min(0), heights.max(0))
            rows += [(kind, RANDOM, x, *y) for x, y in zip(orders[0].share, np.array(band).T, strict=True)]
        return pd.DataFrame(rows, columns=["curve", "map", "fraction", "score", "low", "high"])

    # -- kept and shown --------------------------------------------------------------------------

    def plot(self) -> Figure:
        """Insertion and deletion curves beside their baselines: `workbench.viz.curves`."""
        return later("viz", "curves")(self)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Faithfulness:
        """The inverse of `to_dict`."""
        given = dict(data)
        given["curves"] = {
            baseline: {
                name: Curve(**{k: tuple(v) for k, v in curve.items()}) for name, curve in named.items()
            }
            for baseline, named in given["curves"].items()
        }
        given["plausibility"] = Plausibility(**given["plausibility"]) if given["plausibility"] else None
        given["randomisation"] = None if given["randomisation"] is None else tuple(given["randomisation"])
        given["settings"] = {OLD_SETTINGS.get(name, name): value for name, value in given["settings"].items()}
        return cls(**{**given, "notes": tuple(given["notes"])})

    def save(self, path: str | Path) -> Path:
        """Save as one JSON file; returns its path."""
        return write_record(path, with_format(self.to_dict(), FORMAT))

    @classmethod
    def load(cls, path: str | Path) -> Faithfulness:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """
        return read_record(path, FORMAT, cls.from_dict)

    def __repr__(self) -> str:
        return f"Faithfulness({self.method}: {self.verdict})"

    @framed
    def _repr_html_(self) -> str:
        rows = [
            [
                row.baseline,
                row.order,
                f"{row.insertion:.2f}",
                f"{row.deletion:.2f}",
                f"{row.gap:+.2f}",
                _range(row),
            ]
            for row in self.frame().itertuples()
        ]
        header = ("baseline", "order", "insertion AUC", "deletion AUC", "gap", "90% of random orders")
        facts = "".join(f"<li>{escape(line)}</li>" for line in self._facts())
        return (
            '<div style="max-width:60em;line-height:1.45">'
            f"<b>{escape(self.method)}</b>: {escape(self.verdict)}<ul>{facts}</ul>{table(header, rows)}"
            '<div style="opacity:.6;font-size:.85em">AUC in nats of log-probability; insertion: higher is '
            "better, deletion: lower is better, gap: their difference</div></div>"
        )

    def _facts(self) -> list[str]:
        facts = [f"without any picture the answer loses {self.drop:.2f} nats (scored: {self.target})"]
        if self.plausibility is not None:
            p = self.plausibility
            facts.append(
                f"plausibility, apart from the verdict: pointing {p.pointing:.2f} (chance {p.chance:.2f}), "
                f"IoU {p.iou:.2f} with the true evidence"
            )
        if self.unchanged is not None:
            facts.append(f"Spearman correlation with the map of randomised weights: {self.unchanged:.2f}")
        return [*facts, *self.notes, f"{self.forwards} scored states in {self.seconds:.1f} s"]

    def _named(self, baseline: str) -> Mapping[str, Curve]:
        if baseline not in self.curves:
            raise InputError(f"baseline {baseline!r}", f"one of {', '.join(map(repr, self.curves))}")
        return self.curves[baseline]


def _range(row: Any) -> str:
    return f"{row.low:+.2f} to {row.high:+.2f}" if row.order == RANDOM else ""


def write_record(path: str | Path, record: Mapping[str, Any]) -> Path:
    """Write a record as one JSON file, in a folder that is made if needed.

    Raises:
        InputError: if the place is a folder.
    """
    place = local_path(path)
    if place.is_dir():
        raise InputError(f"path={str(path)!r} is a folder", "a file name, for example 'check.json'")
    place.parent.mkdir(parents=True, exist_ok=True)
    return write_json(place, record)


def read_record(path: str | Path, format_name: str, make: Callable[[Mapping[str, Any]], R]) -> R:
    """Read JSON that `write_record` wrote, check its format, and make the record from the rest.

    Raises:
        InputError: if it cannot be read, is damaged, or has another format.
    """
    where = f"path={str(path)!r}"
    data = without_format(read_json(path), format_name, where)
    try:
        return make(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{where} is damaged: {type(error).__name__}: {error}", "a saved record", "save it again"
        ) from None


SUMMARY_FORMAT = "workbench.faithfulness_summary"


@dataclass(frozen=True)
class Estimate:
    """A mean over samples with its 95% bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """From one value per sample."""
        return cls(*bootstrap_mean(values), len(values))

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on that side of zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class FaithfulnessSummary(Named, fills="baselines"):
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
    def baselines(self) -> tuple[str, ...]:
        """The baselines that it was measured under."""
        return self.items[0].baselines

    @property
    def references(self) -> tuple[str, ...]:
        """References besides random that every check has."""
        shared = set.intersection(*(set(item.references) for item in self.items))
        return tuple(name for name in self.items[0].references if name in shared)

    def ahead(self, baseline: str, of: str = RANDOM) -> Estimate:
        """Nats by which the maps' gap exceeds a reference's, paired by sample."""
        return Estimate.of([item.ahead(baseline, of) for item in self.items])

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
        """The verdict over all samples, with its kind: intervals of the paired differences decide.

        No better than random where the interval leaves no more than a tenth of what the pictures are worth.
        """
        ahead = {baseline: self.ahead(baseline) for baseline in self.baselines}
        changed = self.randomisation
        nothing = all(one.high <= LEAST_SHARE * self.drop.mean for one in ahead.values())
        return judge(
            {baseline: one.sign for baseline, one in ahead.items()},
            ahead={baseline: one.mean for baseline, one in ahead.items()},
            beaten={
                name: all(self.ahead(f, name).sign > 0 for f in self.baselines) for name in self.references
            },
            drop=self.drop.mean,
            needed=self.drop.low >= LEAST_DROP,
            otherwise="no better than random" if nothing else "cannot tell",
            unchanged=None if changed is None else changed.mean,
        )

    @property
    def verdict(self) -> str:
        """One line over all samples."""
        return f"Over {len(self.items)} answers: {self.finding.text[0].lower()}{self.finding.text[1:]}"

    def curves(self, baseline: str, name: str) -> Curve:
        """The mean curves of the map or of a reference; "random" is the mean of all random orders, each
        with its reverse.  Answers with other numbers of regions are read at the same shares of them.

        Raises:
            InputError: for a reference that was not measured.
        """
        found = [c for item in self.items for n, c in item.curves[baseline].items() if _is(n, name)]
        if not found:
            raise InputError(f"reference {name!r}", f"one of {', '.join((RANDOM, *self.references))}")
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
        """One row per measurement: what, baseline, mean, low, high, n."""
        import pandas as pd

        rows: list[tuple[str, str, Estimate | None]] = [
            (f"ahead of {name}", baseline, self.ahead(baseline, name))
            for name in (RANDOM, *self.references)
            for baseline in self.baselines
        ]
        rows += [("drop without pictures", "", self.drop), ("better than random", "", self.better)]
        rows += [(name, "", self.plausibility(name)) for name in ("pointing", "iou", "chance")]
        rows.append(("correlation with randomised", "", self.randomisation))
        return pd.DataFrame(
            [(what, baseline, e.mean, e.low, e.high, e.n) for what, baseline, e in rows if e is not None],
            columns=["measured", "baseline", "mean", "low", "high", "n"],
        )

    def plot(self) -> Figure:
        """Insertion and deletion curves beside their baselines: `workbench.viz.curves`."""
        return later("viz", "curves")(self)

    def save(self, path: str | Path) -> Path:
        """Save as one JSON file; returns its path."""
        return write_record(
            path, with_format({"items": [item.to_dict() for item in self.items]}, SUMMARY_FORMAT)
        )

    @classmethod
    def load(cls, path: str | Path) -> FaithfulnessSummary:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """

        def build(data: Mapping[str, Any]) -> FaithfulnessSummary:
            return summarise([Faithfulness.from_dict(item) for item in data["items"]])

        return read_record(path, SUMMARY_FORMAT, build)

    def __repr__(self) -> str:
        return f"FaithfulnessSummary({self.method}: {self.verdict})"

    @framed
    def _repr_html_(self) -> str:
        rows = [
            [row.measured, row.baseline, f"{row.mean:.2f}", f"{row.low:.2f} to {row.high:.2f}", str(row.n)]
            for row in self.frame().itertuples()
        ]
        header = ("measured", "baseline", "mean", "95% interval over samples", "n")
        return f"<b>{escape(self.method)}</b>: {escape(self.verdict)}{table(header, rows)}"

    def _known(self, values: Sequence[float | None]) -> Estimate | None:
        known = [value for value in values if value is not None]
        return Estimate.of(known) if known else None


def _is(found: str, wanted: str) -> bool:
    return found == wanted or (wanted == RANDOM and found.startswith(f"{RANDOM} "))


def summarise(items: Sequence[Faithfulness]) -> FaithfulnessSummary:
    """Checks of one method together.

    Raises:
        InputError: for none, or checks of several methods or baselines.
    """
    if not items:
        raise InputError("no check", "at least one")
    kinds = {(item.method, item.baselines) for item in items}
    if len(kinds) > 1:
        raise InputError(f"checks of {sorted(kinds)}", "checks of one method under the same baselines")
    return FaithfulnessSummary(tuple(items))


def check_settings(baselines: Sequence[str], *, steps: int | None, n_random: int) -> None:
    """Refuse what no check can be made of.

    Raises:
        InputError: for an unknown baseline or none, fewer than two steps, or too few random orders.
    """
    if (
        isinstance(baselines, str)
        or not baselines
        or any(baseline not in BASELINES for baseline in baselines)
    ):
        raise InputError(f"baselines={baselines!r}", f"a sequence of {', '.join(map(repr, BASELINES))}")
    if (steps is not None and steps < 2) or n_random < LEAST_RANDOM:
        raise InputError(
            f"steps={steps}, n_random={n_random}",
            f"at least 2 steps and {LEAST_RANDOM} random orders",
            "with fewer random orders nothing could be told apart from them",
        )


def orders_of(
    maps: Mapping[str, Sequence[np.ndarray]], labels: Sequence[np.ndarray], *, seed: int
) -> dict[str, np.ndarray]:
    """Rank the regions by each map's mean over them; ties in random order."""
    return {name: ranking(region_means(parts, labels), seed=seed) for name, parts in maps.items()}


def reference_orders(
    grids: Sequence[PatchGrid],
    labels: Sequence[np.ndarray],
    *,
    n_random: int,
    seed: int,
    sink: Sequence[np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Orders of the references: random ones, the centre prior, and the sinks where they are known."""
    size = 1 + max(int(part.max()) for part in labels)
    rng = np.random.default_rng((seed, 1))
    found = {f"{RANDOM} {i}": rng.permutation(size) for i in range(n_random)}
    maps: dict[str, Sequence[np.ndarray]] = {"centre": [centre(grid) for grid in grids]}
    if sink is not None:
        maps["sink"] = sink
    return {**found, **orders_of(maps, labels, seed=seed)}


def examine(
    score: Score,
    maps: Sequence[np.ndarray],
    grids: Sequence[PatchGrid],
    *,
    regions: tuple[int, int] | str = (6, 6),
    baselines: Sequence[str] = CHECKED,
    steps: int | None = None,
    n_random: int = 19,
    sink: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Curve]]:
    """Curves of one map and of its references, as `Faithfulness.curves` holds them.

    Args:
        score: log-probability in nats with only some regions visible.
        maps: signed ``[rows, cols]``, one per picture.
        grids: the pictures' grids.
        regions, baselines, steps, n_random, seed: as for `workbench.interpret.faithfulness.check`.
        sink: the sink reference's maps.

    Raises:
        InputError: for settings that cannot be used, or a single region, which has no order.
    """
    check_settings(baselines, steps=steps, n_random=n_random)
    labels = blocks(grids, regions)
    if sum(len(np.unique(part)) for part in labels) < 2:
        raise InputError("a single region", "at least two, to have an order", "pass regions=(rows, cols)")
    orders = reference_orders(grids, labels, n_random=n_random, seed=seed, sink=sink)
    orders = {**orders_of({MAP: maps}, labels, seed=seed), **orders}
    return curves(score, orders, baselines=baselines, steps=steps)


def evidence_of(
    answer: Answer, sample: Sample | None = None, boxes: Sequence[Region | Box] | None = None
) -> list[Region] | None:
    """The true evidence over the pictures of a conversation; None where it is not known.

    Raises:
        InputError: for both at once, a sample of another question, or what is no box.
    """
    if sample is not None and boxes is not None:
        raise InputError("both sample and boxes", "one of them")
    if sample is not None:
        shown = answer.question_images
        if sample.question != answer.question or [i.size for i in sample.images] != [i.size for i in shown]:
            raise InputError(
                f"a sample that asks {sample.question!r} for an answer to {answer.question!r}",
                "the sample that was asked about",
            )
        first = len(answer.images) - len(shown)
        return [Region(box, first + sample.image) for box in sample.boxes]
    if boxes is None:
        return None
    try:
        found = [b if isinstance(b, Region) else Region(tuple(float(v) for v in b)) for b in boxes]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = []
    if (boxes and not found) or any(len(region.box) != 4 for region in found):
        raise InputError(f"boxes={boxes!r}", "regions, or boxes (x1, y1, x2, y2) in pixels")
    return found
