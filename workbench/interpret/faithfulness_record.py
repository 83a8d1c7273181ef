"""What a check of a map measured, as a record that needs no model: curves, drop, plausibility, verdict"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..answer import html_table
from ..errors import InputError
from .curves import Curve
from .plausibility import Plausibility
from .verdict import LEAST_DROP, Finding, above_random, judge, outlook

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MAP", "RANDOM", "Faithfulness", "read_record", "write_record"]

MAP = "map"
RANDOM = "random"
FORMAT = {"format": "workbench.faithfulness", "version": 1}


@dataclass(frozen=True)
class Faithfulness:
    """Whether one map tells what the answer depends on.

    Scores are log-probabilities of the target, teacher-forced, in nats.

    Args:
        method: how the map was made.
        target: what was scored, in words.
        model: name of the model.
        regions: how many regions the curves are made of; the same ones for every map and baseline.
        curves: masking -> ``"map"``, ``"random 0"``, ``"random 1"`` ..., ``"centre"``, ``"sink"`` -> `Curve`.
        full: score with the pictures as they are.
        no_image: score of the same reply after the prompt without any picture; None where this family
            cannot be asked so.
        plausibility: against the true evidence boxes; None where they are not known.
        randomisation: Spearman correlation with the same method's map after the weights were
            randomised, one a seed (Adebayo et al. 2018, arXiv 1810.03292); None where it was not measured.
        notes: what could not be measured, and why.
        seconds: of the whole check.
        forwards: states of the pictures that were scored, the baselines' included.
        settings: fills, steps, random, regions, seed.
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
    def fills(self) -> tuple[str, ...]:
        """The maskings."""
        return tuple(self.curves)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The baselines besides random that were measured."""
        names = next(iter(self.curves.values()))
        return tuple(name for name in names if name != MAP and not name.startswith(RANDOM))

    @property
    def drop(self) -> float:
        """Nats that the target loses without any picture; where that could not be asked, under the
        masking that costs most with everything hidden."""
        if self.no_image is not None:
            return self.full - self.no_image
        return max(self.full - named[MAP].insertion[0] for named in self.curves.values())

    @property
    def needed(self) -> bool:
        """Whether the target needs the picture at all."""
        return self.drop >= LEAST_DROP

    def gap(self, fill: str, name: str = MAP) -> float:
        """Insertion minus deletion AUC in nats, of the map or of a baseline; zero for "random"."""
        named = self._named(fill)
        if name == RANDOM:
            return 0.0  # each random order counts with its reverse, whose gap is the opposite
        if name not in named:
            raise InputError(f"baseline {name!r}", f"one of {', '.join(map(repr, (RANDOM, *named)))}")
        return named[name].gap

    def random_gaps(self, fill: str) -> list[float]:
        """The gaps of the random orders, in nats."""
        return [curve.gap for name, curve in self._named(fill).items() if name.startswith(RANDOM)]

    def ahead(self, fill: str, of: str = RANDOM) -> float:
        """Nats by which the map's gap exceeds a baseline's."""
        return self.gap(fill) - self.gap(fill, of)

    def passed(self, fill: str) -> float:
        """Share of random orders, each counted with its reverse, whose gap is smaller than the map's."""
        gap, random = self.gap(fill), self.random_gaps(fill)
        return sum((gap > one) + (gap > -one) for one in random) / (2 * len(random))

    @cached_property
    def finding(self) -> Finding:
        """The verdict with its kind."""
        return judge(
            {f: above_random(self.gap(f), outlook(self.random_gaps(f))) for f in self.fills},
            ahead={f: self.ahead(f) for f in self.fills},
            beaten={name: all(self.ahead(f, name) > 0 for f in self.fills) for name in self.baselines},
            drop=self.drop,
            needed=self.needed,
            unchanged=self.unchanged,
            passed={f: self.passed(f) for f in self.fills},
        )

    @property
    def unchanged(self) -> float | None:
        """Mean correlation with the maps of randomised weights; None where it was not measured."""
        return sum(self.randomisation) / len(self.randomisation) if self.randomisation else None

    @property
    def verdict(self) -> str:
        """One line: whether this map is better than random, under which maskings, or means nothing."""
        return self.finding.text

    def frame(self) -> pd.DataFrame:
        """A row a masking and order: insertion and deletion AUC and their gap, in nats.

        For random orders, each counted with its reverse, these are means; ``low`` and ``high`` are the
        gaps that a random order passes with a probability of 5% each: see `verdict.outlook`.
        """
        import pandas as pd

        rows: list[tuple[Any, ...]] = []
        for fill, named in self.curves.items():
            shown = {name: curve for name, curve in named.items() if not name.startswith(RANDOM)}
            for name, curve in shown.items():
                rows.append((fill, name, curve.insertion_auc, curve.deletion_auc, curve.gap, None, None))
            orders = [c for name, c in named.items() if name.startswith(RANDOM)]
            height = sum(c.insertion_auc + c.deletion_auc for c in orders) / (2 * len(orders))
            rows.append((fill, RANDOM, height, height, 0.0, *outlook([c.gap for c in orders])))
        return pd.DataFrame(rows, columns=["fill", "order", "insertion", "deletion", "gap", "low", "high"])

    def points(self, fill: str) -> pd.DataFrame:
        """The curves under one masking as rows, for plots of your own: columns curve, map, fraction (0 to 1),
        score; for random orders, each counted with its reverse, the mean and the range (low, high).

        Raises:
            InputError: for a masking that was not measured.
        """
        import numpy as np
        import pandas as pd

        named = self._named(fill)
        orders = [c for name, c in named.items() if name.startswith(RANDOM)]
        rows: list[tuple[Any, ...]] = []
        for kind in ("insertion", "deletion"):
            for name in (MAP, *self.baselines):
                scores = getattr(named[name], kind)
                rows += [(kind, name, x, y, y, y) for x, y in zip(named[name].share, scores, strict=True)]
            heights = np.concatenate([curve.both_ways(kind) for curve in orders])
            band = (heights.mean(0), heights.min(0), heights.max(0))
            rows += [(kind, RANDOM, x, *y) for x, y in zip(orders[0].share, np.array(band).T, strict=True)]
        return pd.DataFrame(rows, columns=["curve", "map", "fraction", "score", "low", "high"])

    # -- kept and shown --------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Faithfulness:
        """The inverse of `to_dict`."""
        given = dict(data)
        given["curves"] = {
            fill: {name: Curve(**{k: tuple(v) for k, v in curve.items()}) for name, curve in named.items()}
            for fill, named in given["curves"].items()
        }
        given["plausibility"] = Plausibility(**given["plausibility"]) if given["plausibility"] else None
        given["randomisation"] = None if given["randomisation"] is None else tuple(given["randomisation"])
        return cls(**{**given, "notes": tuple(given["notes"])})

    def save(self, path: str | Path) -> Path:
        """Save as one JSON file; returns its path."""
        return write_record(path, {**FORMAT, **self.to_dict()})

    @classmethod
    def load(cls, path: str | Path) -> Faithfulness:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or something else.
        """
        return read_record(path, FORMAT, cls.from_dict)

    def __repr__(self) -> str:
        return f"Faithfulness({self.method}: {self.verdict})"

    def _repr_html_(self) -> str:
        rows = [
            [
                row.fill,
                row.order,
                f"{row.insertion:.2f}",
                f"{row.deletion:.2f}",
                f"{row.gap:+.2f}",
                _range(row),
            ]
            for row in self.frame().itertuples()
        ]
        header = ("masking", "order", "insertion AUC", "deletion AUC", "gap", "90% of random orders")
        facts = "".join(f"<li>{escape(line)}</li>" for line in self._facts())
        return (
            '<div class="workbench-faithfulness" style="max-width:60em;line-height:1.45">'
            f"<b>{escape(self.method)}</b>: {escape(self.verdict)}<ul>{facts}</ul>{html_table(header, rows)}"
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

    def _named(self, fill: str) -> Mapping[str, Curve]:
        if fill not in self.curves:
            raise InputError(f"masking {fill!r}", f"one of {', '.join(map(repr, self.curves))}")
        return self.curves[fill]


def _range(row: Any) -> str:
    return f"{row.low:+.2f} to {row.high:+.2f}" if row.order == RANDOM else ""


def write_record(path: str | Path, record: Mapping[str, Any]) -> Path:
    """Write JSON beside its place and move it there.

    Raises:
        InputError: if the place is a folder.
    """
    from ..answer_file import write_file

    place = Path(path).expanduser()
    if place.is_dir():
        raise InputError(f"path={str(path)!r} is a folder", "a file name, for example 'check.json'")
    place.parent.mkdir(parents=True, exist_ok=True)
    write_file(place, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode())
    return place


def read_record(path: str | Path, header: Mapping[str, Any], build: Any) -> Any:
    """Read JSON that `write_record` wrote, check its header, and build the record from the rest.

    Raises:
        InputError: if it cannot be read, is damaged, or has another format.
    """
    try:
        data = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        if not isinstance(data, dict) or {k: data.pop(k, None) for k in header} != dict(header):
            raise InputError(
                f"path={str(path)!r} has another format", f"{header['format']} version {header['version']}"
            )
        return build(data)
    except OSError as error:
        raise InputError(f"path={str(path)!r}: {error.strerror or error}", "a saved record") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"path={str(path)!r} is damaged: {type(error).__name__}: {error}",
            "a saved record",
            "save it again",
        ) from None
