"""Named mixtures in the published table's shape, designs, the noise of runs, caps on repetition"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from ..bench.published import mixture as published_table
from ..errors import InputError
from .recipe import DOMAINS, Domain, Mixture, number
from .response import checked_metric, checked_shares, groups
from .simplex import bounds, spread_out

__all__ = [
    "Noise",
    "dirichlet_design",
    "mixture_of",
    "named_mixtures",
    "published_response",
    "repetition_caps",
    "replicate_noise",
]

#: Columns of the published table, as this room names the domains.
PUBLISHED = {"general": "general", "math_science": "maths", "computer_use": "computer_use"}

#: Passes up to which repeated data is about as good as new (Muennighoff et al. 2023, arXiv 2305.16264).
PASSES = 4.0


def named_mixtures(scale: float = 0.01) -> dict[str, Mixture]:
    """The six rows of the published table, scaled down: "row1" to "row6", for ``Recipe(mixture=...)``.

    The table repeats 150,000 records of maths up to three times; so does this: records of maths stay the same
    and ``repeat`` is 3 where the table has three times as many.

    Args:
        scale: records here for one record there (0.01: 10,000 general, 1,500 maths, 4,500 computer use).

    Raises:
        InputError: for a scale that leaves a domain without records.
    """
    number(scale, "scale", 1e-12, 1.0)
    wide = _published_counts()
    fewest = wide["maths"].min()
    found = {}
    for row, counts in wide.iterrows():
        parts = {}
        for domain, count in counts.items():
            distinct = fewest if domain == "maths" else count
            parts[domain] = Domain(records=round(distinct * scale), repeat=float(count / distinct))
        if empty := [domain for domain, part in parts.items() if part.records == 0]:
            least = 1 / wide.to_numpy().min()
            raise InputError(f"scale={scale}: {empty[0]} would have no records", f"at least {least:.2g}")
        found[f"row{row}"] = Mixture(**parts)
    return found


def published_response() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The published table as a response: shares of the three domains, and scores with their errors.

    Returns:
        Shares (six rows, columns `DOMAINS`), and a row a mixture and benchmark: ``name``, records of each
        domain, ``benchmark, score, low, high, error`` in percent. One training run a row: the errors are
        those of the items alone.
    """
    wide = _published_counts()
    names = [f"row{row}" for row in wide.index]
    shares = wide.div(wide.sum(axis=1), axis=0).set_axis(names)
    table = published_table()
    scores = table.assign(name="row" + table["row"].astype(str)).rename(columns=PUBLISHED)
    return shares, scores[["name", *DOMAINS, "benchmark", "score", "low", "high", "error"]]


def _published_counts() -> pd.DataFrame:
    table = published_table().drop_duplicates("row").set_index("row")
    return table.rename(columns=PUBLISHED)[list(DOMAINS)]


def mixture_of(shares: Mapping[str, float] | pd.Series) -> Mixture:
    """A recipe's `Mixture` from shares, as a design's row or an optimum gives them.

    Raises:
        InputError: for unknown domains, or shares that do not sum to one.
    """
    given = pd.DataFrame([dict(shares)])
    missing = {domain: 0.0 for domain in DOMAINS if domain not in given}
    row = checked_shares(given.assign(**missing), DOMAINS).iloc[0]
    parts = {domain: round(float(share), 6) for domain, share in row.items()}
    largest = max(parts, key=lambda domain: parts[domain])
    parts[largest] = 1.0 - sum(share for domain, share in parts.items() if domain != largest)
    return Mixture(**{domain: Domain(share=share) for domain, share in parts.items()})


def dirichlet_design(
    mixtures: int,
    domains: Sequence[str] = DOMAINS,
    *,
    centre: Mapping[str, float] | None = None,
    caps: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    replicates: int = 1,
    replicated: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Mixtures to run: Dirichlet draws of many strengths, chosen to lie apart, some of them repeated.

    From twenty times as many draws (as RegMix draws them, with caps and floors kept) each next one is the
    farthest from those chosen before (Kennard and Stone 1969), beginning in the middle.

    Args:
        mixtures: different mixtures.
        centre: mean shares of the draws; None for equal ones.
        caps, floors: highest and lowest share of some domains.
        replicates: runs of each repeated mixture; they measure the noise itself.
        replicated: how many of the mixtures are repeated, from the middle outwards; None for all.

    Returns:
        Shares, a row a run, a column a domain; the index is ``("mixture", "replicate")``, both from 0.
        Give every replicate another seed of training.

    Raises:
        InputError: for counts below one, unknown domains, or caps that leave no mixture.
    """
    number(mixtures, "mixtures", 1, 1_000_000, whole=True)
    number(replicates, "replicates", 1, 1_000_000, whole=True)
    repeated = mixtures if replicated is None else replicated
    number(repeated, "replicated", 0, mixtures, whole=True)
    if len(domains) < 2 or len(set(domains)) < len(domains):
        raise InputError(f"domains={list(domains)}", "at least two, each once")
    low, high = bounds(domains, caps, floors)
    middle = None
    if centre is not None:
        middle = checked_shares(pd.DataFrame([dict(centre)]), domains).to_numpy()[0]
    rng = np.random.default_rng(seed)
    drawn = spread_out(20 * mixtures, low, high, rng, centre=middle)
    chosen = drawn[_apart(drawn, mixtures)]
    counts = [replicates if i < repeated else 1 for i in range(mixtures)]
    index = [(i, k) for i, count in enumerate(counts) for k in range(count)]
    rows = np.repeat(chosen, counts, axis=0)
    names = pd.MultiIndex.from_tuples(index, names=["mixture", "replicate"])
    return pd.DataFrame(rows, index=names, columns=list(domains))


def _apart(points: np.ndarray, count: int) -> list[int]:
    """Indices of points that lie apart, from the middle outwards."""
    distance = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    chosen = [int(np.argmin(distance))]
    nearest = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def repetition_caps(
    records: Mapping[str, int], samples: int, *, passes: float | Mapping[str, float] = PASSES
) -> dict[str, float]:
    """Highest share of each domain such that no record is seen more often than allowed.

    Args:
        records: distinct records of each domain; a domain that is left out has no limit.
        samples: records that the run sees in all.
        passes: most passes over the records, for all domains or each; by default `PASSES`.

    Returns:
        Domain -> share, for ``caps=`` of ``Response.optimum``, ``next_point`` and `dirichlet_design`.

    Raises:
        InputError: for negative counts, a budget of nothing, or passes that are not above zero.
    """
    number(samples, "samples", 1, float("inf"), whole=True)
    found = {}
    for domain, count in records.items():
        number(count, f"records[{domain!r}]", 0, float("inf"), whole=True)
        most = passes.get(domain, PASSES) if isinstance(passes, Mapping) else passes
        number(most, "passes", 1e-9, float("inf"))
        found[domain] = min(1.0, most * count / samples)
    return found


@dataclass(frozen=True)
class Noise:
    """What runs of the same mixture differ by.

    Attributes:
        deviation: pooled standard deviation of one run, in the metric's unit, with its 95% interval.
        freedom: degrees of freedom, runs minus mixtures; with few of them the interval is wide.
        between: standard deviation of the mixtures' means, the noise in them included.
        detectable: smallest difference of two single runs that is not noise at 95%.
    """

    deviation: float
    low: float
    high: float
    freedom: int
    mixtures: int
    between: float

    @property
    def detectable(self) -> float:
        return 1.959964 * 2**0.5 * self.deviation

    def __str__(self) -> str:
        return (
            f"runs of one mixture differ by {self.deviation:.3g} ({self.low:.3g} to {self.high:.3g}; "
            f"standard deviation, {self.freedom} degrees of freedom); means of {self.mixtures} mixtures by "
            f"{self.between:.3g}; two single runs must differ by {self.detectable:.3g} to tell"
        )


def replicate_noise(shares: Any, metric: Any) -> Noise:
    """The noise of a run, from mixtures that were run more than once.

    Raises:
        InputError: as ``fit_response``; where no mixture was run twice.
    """
    frame = checked_shares(shares)
    series = checked_metric(metric, frame.index)
    by = series.groupby(groups(frame))
    freedom = int((by.size() - 1).sum())
    if freedom == 0:
        raise InputError(
            "no mixture that was run twice",
            "replicate points",
            "dirichlet_design(..., replicates=3)",
        )
    inside = float(((series - by.transform("mean")) ** 2).sum())
    low, high = (float(np.sqrt(inside / chi2.ppf(p, freedom))) for p in (0.975, 0.025))
    spread = float(by.mean().std(ddof=1)) if by.ngroups > 1 else float("nan")
    return Noise(float(np.sqrt(inside / freedom)), low, high, freedom, by.ngroups, spread)
