"""Mixtures of domains: shares that sum to one, drawn, bounded, designed, and as the published table has them.

Besides: what repeating a domain's records allows, and the noise of runs of the same mixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd
from scipy.optimize import brentq, linprog, nnls
from scipy.stats import chi2, nct
from scipy.stats import t as student

from ..bench.published import mixture as published_table
from ..errors import InputError
from .recipe import DOMAINS, Domain, Mixture, number

__all__ = [
    "Noise",
    "TOLERANCE",
    "best",
    "beyond",
    "blended",
    "bounds",
    "checked_metric",
    "checked_shares",
    "dirichlet_design",
    "effective_records",
    "groups",
    "mixture_of",
    "named_mixtures",
    "onto",
    "published_response",
    "repetition_caps",
    "replicate_noise",
    "spread_out",
    "with_reasoning",
]

#: How far from one shares may sum: published ones are rounded to a digit or three. They are then scaled.
TOLERANCE = 0.01


def checked_shares(shares: object, domains: Sequence[str] | None = None) -> pd.DataFrame:
    """Shares as a frame of floats whose rows sum to one exactly.

    Args:
        shares: one row per run, one column per domain.
        domains: the columns that it must have, in the order to give them; None takes it as it comes.

    Raises:
        InputError: for columns that are missing or too many, anything but numbers, a negative share, and
            rows that do not sum to one within `TOLERANCE`.
    """
    if not isinstance(shares, pd.DataFrame):
        raise InputError(
            f"shares of type {type(shares).__name__}", "a pandas DataFrame, one column per domain"
        )
    frame = _columns(shares, domains)
    try:
        frame = frame.astype(float)
    except (TypeError, ValueError):
        other = [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
        raise InputError(f"shares with text in {other}", "numbers from 0 to 1") from None
    values = frame.to_numpy()
    _refuse(frame, ~np.isfinite(values).all(axis=1), "without a number in some domain", "a share everywhere")
    _refuse(frame, (values < 0).any(axis=1), "with a negative share", "shares from 0 to 1")
    total = values.sum(axis=1)
    fix = "from record counts: counts.div(counts.sum(axis=1), axis=0)"
    off = np.abs(total - 1) > TOLERANCE
    what = f"whose shares sum to {total[off][0]:.4g}" if off.any() else ""
    _refuse(frame, off, what, f"shares that sum to one (within {TOLERANCE})", fix)
    return frame / total[:, None]


def _columns(shares: pd.DataFrame, domains: Sequence[str] | None) -> pd.DataFrame:
    if not shares.columns.is_unique:
        twice = shares.columns[shares.columns.duplicated()].tolist()
        raise InputError(f"two columns {twice[0]!r}", "each domain once")
    if domains is None:
        if shares.shape[1] < 2:
            raise InputError(f"shares of {shares.shape[1]} domains", "at least two domains")
        return shares
    missing = [d for d in domains if d not in shares]
    extra = [str(c) for c in shares if c not in domains]
    if missing:
        close = get_close_matches(str(missing[0]), extra, n=1)
        fix = f"rename {close[0]!r} to {missing[0]!r}" if close else "a domain without data has the share 0"
        raise InputError(f"shares without the columns {missing}", f"all of {list(domains)}", fix)
    if extra:
        raise InputError(f"shares with the columns {extra}", f"only {list(domains)}", "leave them out")
    return shares[list(domains)]


def _refuse(frame: pd.DataFrame, wrong: np.ndarray, what: str, expected: str, fix: str = "") -> None:
    if wrong.any():
        rows = [str(label) for label in frame.index[wrong][:3]]
        more = f" and {wrong.sum() - 3} more" if wrong.sum() > 3 else ""
        raise InputError(f"row {', '.join(rows)}{more} {what}", expected, fix)


def checked_metric(metric: object, index: pd.Index) -> pd.Series:
    """The metric of each run, in the order of the shares.

    Raises:
        InputError: if it has other rows than the shares, holds no numbers, or is the same in every run.
    """
    series = metric if isinstance(metric, pd.Series) else pd.Series(np.asarray(metric), name="metric")
    if not isinstance(metric, pd.Series) and len(series) == len(index):
        series.index = index
    if len(series) != len(index):
        raise InputError(f"a metric of {len(series)} runs and shares of {len(index)}", "one number per run")
    if not series.index.equals(index):
        lost = index.difference(series.index)
        if len(lost) or not (series.index.is_unique and index.is_unique):
            what = f"no metric for the runs {list(lost[:3])}" if len(lost) else "rows with the same label"
            raise InputError(what, "shares and metric with the same index", "or pass metric.to_numpy()")
        series = series.loc[index]
    try:
        series = series.astype(float)
    except (TypeError, ValueError):
        raise InputError(f"a metric of type {series.dtype}", "one number per run") from None
    if not np.isfinite(series.to_numpy()).all():
        bad = [str(label) for label in index[~np.isfinite(series.to_numpy())][:3]]
        raise InputError(f"no metric in row {', '.join(bad)}", "one finite number a run", "drop these runs")
    if np.ptp(series.to_numpy()) <= 1e-12 * max(1.0, abs(float(series.iloc[0]))):
        raise InputError(
            f"a constant metric ({series.iloc[0]:g} in all {len(series)} runs)",
            "a metric that differs between runs",
            "choose another metric, or an easier or harder one: at the floor or ceiling nothing can be seen",
        )
    return series


def groups(shares: pd.DataFrame) -> np.ndarray:
    """A number for each run, the same for runs of the same mixture: repetitions must stay together."""
    return np.unique(shares.to_numpy().round(9), axis=0, return_inverse=True)[1].ravel()


def bounds(
    domains: Sequence[str],
    caps: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest share of each domain, ``[domains]`` each.

    Raises:
        InputError: for a domain that is not there, a cap outside 0 to 1, or caps that leave no mixture.
    """
    low, high = np.zeros(len(domains)), np.ones(len(domains))
    for what, given, into in (("caps", caps, high), ("floors", floors, low)):
        for domain, share in (given or {}).items():
            if domain not in domains:
                raise InputError(f"{what} name {domain!r}", f"some of {', '.join(domains)}")
            if not 0 <= share <= 1:
                raise InputError(f"{what}[{domain!r}] = {share}", "a share from 0 to 1")
            into[list(domains).index(domain)] = share
    if high.sum() < 1 - 1e-9 or low.sum() > 1 + 1e-9 or (low > high + 1e-12).any():
        raise InputError(
            f"shares of at least {low.sum():.3f} and at most {high.sum():.3f} in all",
            "caps and floors that leave a mixture whose shares sum to one",
            "raise a cap, allow more repetition, or train on fewer records",
        )
    return low, high


def onto(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The nearest mixtures within bounds: Euclidean projection by bisection, ``[points, domains]``."""
    down = (points - high).min(axis=1) - 1
    up = (points - low).max(axis=1) + 1
    for _ in range(60):
        middle = (down + up) / 2
        total = np.clip(points - middle[:, None], low, high).sum(axis=1)
        down, up = np.where(total > 1, middle, down), np.where(total > 1, up, middle)
    return np.clip(points - ((down + up) / 2)[:, None], low, high)


def spread_out(
    count: int,
    low: np.ndarray,
    high: np.ndarray,
    rng: np.random.Generator,
    *,
    centre: np.ndarray | None = None,
) -> np.ndarray:
    """Mixtures all over what is allowed: near corners, on edges, in the middle, ``[count, domains]``.

    Dirichlet draws around ``centre`` (None: equal shares) with strengths from 0.1 to 5 times the number of
    domains, as RegMix draws its runs, then moved within the bounds.
    """
    width = len(low)
    middle = np.full(width, 1 / width) if centre is None else np.maximum(centre, 1e-4)
    strength = 10 ** rng.uniform(-1, np.log10(5), size=count) * width
    drawn = rng.standard_gamma(strength[:, None] * middle / middle.sum())
    total = drawn.sum(axis=1, keepdims=True)
    drawn = np.where(total > 0, drawn / np.where(total > 0, total, 1), middle / middle.sum())
    return onto(drawn, low, high)


def best(
    value: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    rng: np.random.Generator,
    *,
    start: np.ndarray,
    within: bool = False,
    candidates: int = 1000,
    climbs: int = 3,
) -> np.ndarray:
    """The mixture within bounds with the largest value, ``[domains]``.

    Draws all over, then climbs from the best few.  A climb takes the best of all ways to move some share from
    one domain to another, or, ``within`` what was run, some way towards one of the runs, in steps that are
    halved where none helps.

    Args:
        value: of mixtures ``[points, domains]``, to be made large; ``[points]``.
        start: mixtures to begin with as well, ``[points, domains]``.
        within: only blends of the mixtures in ``start``: their joint range, not that of each domain alone.
        candidates: mixtures that are drawn.
        climbs: from how many of them to climb.

    Raises:
        InputError: if no blend lies within the bounds.
    """
    if within:
        points = blended(candidates, start, low, high, rng)
        targets = start[rng.permutation(len(start))[:MOST_TARGETS]]
    else:
        drawn = spread_out(candidates, low, high, rng)
        points = np.vstack([drawn, onto(np.vstack([start, np.eye(len(low))]), low, high)])
        targets = None
    first = np.argsort(-value(points), kind="stable")[:climbs]
    tops = np.array([_climb(value, low, high, points[i], targets) for i in first])
    return tops[np.argmax(value(tops))]


#: Runs towards which a climb may move: with more of them a step takes long, and is hardly better.
MOST_TARGETS = 200


def blended(
    count: int, runs: np.ndarray, low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Blends of some mixtures that lie within bounds: those themselves, and up to ``count`` of a few of them.

    Args:
        count: blends that are drawn, ``[blends, domains]``.
        runs: what is blended, ``[runs, domains]``.

    Raises:
        InputError: if no blend lies within the bounds.
    """
    few = rng.integers(len(runs), size=(count, 4))
    weights = rng.dirichlet(np.full(4, 0.7), count)
    points = np.vstack([runs, (runs[few] * weights[..., None]).sum(axis=1)])
    inside = ((points >= low - 1e-9) & (points <= high + 1e-9)).all(axis=1)
    if inside.all():
        return points
    room = _most_room(runs, low, high)
    if room is None:
        raise InputError(
            "bounds that no blend of the runs' mixtures keeps",
            "caps and floors that overlap with what was tried",
            "pass extrapolate=True to look beyond the runs",
        )
    # The blends outside are drawn towards one that is well inside, as far as they must be.
    outside = points[~inside]
    way = room - outside
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(outside > high, (outside - high) / -way, 0) + np.where(
            outside < low, (low - outside) / way, 0
        )
    part = np.clip(np.nan_to_num(needed, nan=0.0, posinf=1.0).max(axis=1), 0, 1)[:, None]
    return np.vstack([points[inside], np.clip(outside + part * way, low, high), room[None]])


def _most_room(runs: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """The blend of some mixtures that keeps farthest from all bounds; None if there is none within them."""
    count, width = runs.shape
    slack = np.where(high - low > 1e-9, 1.0, 0.0)  # a domain whose share is fixed has no room to keep
    above, below = (high < 1 - 1e-12), (low > 1e-12)
    rows = [np.hstack([runs.T, slack[:, None]])[above], np.hstack([-runs.T, slack[:, None]])[below]]
    found = linprog(
        np.r_[np.zeros(count), -1.0],
        A_ub=np.vstack(rows),
        b_ub=np.r_[high[above] + 1e-9, -low[below] + 1e-9],
        A_eq=np.r_[np.ones(count), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * count + [(0, 1)],
    )
    return np.clip(found.x[:count] @ runs, low, high) if found.status == 0 else None


def beyond(points: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """How far mixtures lie beyond all blends of some runs' mixtures; 0 for a blend.

    Args:
        points: ``[points, domains]``.
        runs: ``[runs, domains]``.

    Returns:
        Share of the records by which each differs from a blend near it, ``[points]``: by least squares with
        weights that are not negative (Lawson and Hanson 1974).
    """
    kinds = np.unique(runs.round(9), axis=0)
    sure = 10.0  # the weights sum to one as closely as ten shares are met
    sides = np.vstack([kinds.T, np.full(len(kinds), sure)])
    weights = np.array([nnls(sides, np.r_[point, sure])[0] for point in points])
    return np.abs(weights @ kinds - points).sum(axis=1) / 2


def _climb(
    value: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    point: np.ndarray,
    targets: np.ndarray | None,
) -> np.ndarray:
    """Go up as long as a move helps: towards one of the targets, or between pairs of domains without any."""
    height, step = value(point[None])[0], 0.16
    for _ in range(60):
        if targets is None:
            moves = _exchanges(point, low, high, step)
        else:
            moves = _towards(point, targets, low, high, 4 * step)
        heights = value(moves)
        top = int(np.argmax(heights))
        if heights[top] > height + 1e-9 * max(1.0, abs(height)):
            point, height = moves[top], heights[top]
        elif step < 0.004:
            break
        else:
            step /= 2
    return point


def _exchanges(point: np.ndarray, low: np.ndarray, high: np.ndarray, step: float) -> np.ndarray:
    """A point with some share moved from one domain to another, one row per pair of domains."""
    give, take = np.nonzero(~np.eye(len(low), dtype=bool))
    moved = np.minimum(step, np.minimum(point[give] - low[give], high[take] - point[take]))
    moves, rows = np.repeat(point[None], len(give), axis=0), np.arange(len(give))
    moves[rows, give] -= moved
    moves[rows, take] += moved
    return moves


def _towards(
    point: np.ndarray, targets: np.ndarray, low: np.ndarray, high: np.ndarray, step: float
) -> np.ndarray:
    """A point moved a part of the way to each target, as far as the bounds allow, one row per target."""
    way = targets - point
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(way > 0, (high - point) / way, np.where(way < 0, (low - point) / way, np.inf))
    part = np.minimum(step, np.nan_to_num(free, nan=0.0, posinf=np.inf).min(axis=1)).clip(0, 1)
    return point + part[:, None] * way


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
        Shares (six rows, columns `DOMAINS`), and one row per mixture and benchmark: ``name``, records of each
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


def with_reasoning(shares: pd.DataFrame, reasoning: object) -> pd.DataFrame:
    """Shares in which records with a thought are a part of their own, so that a response covers both choices.

    Args:
        shares: of the domains, one row per run.
        reasoning: share of each run's records that carry a thought: a number, or one per run.

    Returns:
        The shares, each times what is left of one, and the column "reasoning"; rows sum to one.

    Raises:
        InputError: for shares that are none, or anything but a share from 0 to 1 for each run.
    """
    frame = checked_shares(shares)
    part = np.broadcast_to(np.asarray(reasoning, dtype=float), len(frame))
    if not ((part >= 0) & (part <= 1)).all():
        raise InputError(f"reasoning={reasoning!r}", "a share from 0 to 1, or one per run")
    return frame.mul(1 - part, axis=0).assign(reasoning=part)


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
        Shares, one row per run, one column per domain; the index is ``("mixture", "replicate")``, both from
        0. Give every replicate another seed of training.

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


#: Passes after the first at which what they add has fallen by a factor of e (arXiv 2305.16264, R*_D).
FADES = 15.39


def effective_records(records: float, passes: float) -> float:
    """How many records, each seen once, are worth as much as some records seen several times.

    Each further pass teaches a little less: ``records * (1 + R (1 - exp(-(passes - 1) / R)))`` with R =
    `FADES`, as fitted to language models (Muennighoff et al. 2023, arXiv 2305.16264): four passes are worth
    3.7 times the records, and no number of passes more than 16.4 times.

    Args:
        records: distinct records.
        passes: over them; below one, only a part of them is seen.

    Raises:
        InputError: for negative numbers.
    """
    number(records, "records", 0, float("inf"))
    number(passes, "passes", 0, float("inf"))
    if passes <= 1:
        return records * passes
    return records * (1 + FADES * (1 - math.exp(-(passes - 1) / FADES)))


@dataclass(frozen=True)
class Noise:
    """Noise between runs of the same mixture.

    Attributes:
        deviation: pooled standard deviation of one run, in the metric's unit, with its 95% interval.
        freedom: degrees of freedom, runs minus mixtures; with few of them the interval is wide.
        between: standard deviation of the mixtures' means, the noise in them included.
    """

    deviation: float
    low: float
    high: float
    freedom: int
    mixtures: int
    between: float

    @property
    def detectable(self) -> float:
        """True difference of two single runs that a t test at 5% finds in four of five repetitions.

        The noise itself is known to few degrees of freedom, so a difference must be larger than twice the
        noise: with 4 of them, some 6 times (noncentral t; Cohen 1988).
        """
        return self.detectable_with(1)

    def detectable_with(self, n_seeds: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
        """Smallest true difference of the means of two kinds of runs that a two-sided t test finds.

        Args:
            n_seeds: runs of each kind.
            power: probability to find it.
            alpha: probability to find one where there is none.

        Raises:
            InputError: for no run, or probabilities outside 0 to 1.
        """
        number(n_seeds, "n_seeds", 1, float("inf"), whole=True)
        for name, value in (("power", power), ("alpha", alpha)):
            number(value, name, 1e-9, 1 - 1e-9)
        edge = student.ppf(1 - alpha / 2, self.freedom)

        def lacking(shift: float) -> float:
            other_side = np.nan_to_num(nct.cdf(-edge, self.freedom, shift))  # too small for SciPy to tell
            return float(1 - nct.cdf(edge, self.freedom, shift) + other_side - power)

        most = 1.0
        while lacking(most) < 0:
            most *= 2
        shift = brentq(lacking, 0.0, most) if power > alpha else 0.0
        return float(shift * self.deviation * (2 / n_seeds) ** 0.5)

    def __str__(self) -> str:
        return (
            f"runs of one mixture differ by {self.deviation:.3g} ({self.low:.3g} to {self.high:.3g}; "
            f"standard deviation, {self.freedom} degrees of freedom); means of {self.mixtures} mixtures by "
            f"{self.between:.3g}; a difference of {self.detectable:.3g} between two single runs is found "
            "four times in five"
        )


def replicate_noise(shares: object, metric: object) -> Noise:
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
