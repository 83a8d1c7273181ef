"""Who stands above whom, and how much of that is luck: ranks, the article's four, training tokens"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ...errors import InputError
from ...names import verb
from .tables import FOUR, PHI, Margin, Z, margin, mean_margin, models, scores

__all__ = [
    "averages",
    "four_of_ten",
    "margins_of",
    "matrix",
    "modes",
    "rank_stability",
    "subsets",
    "tokens_against_score",
]


def matrix(column: str = "score", table: pd.DataFrame | None = None) -> pd.DataFrame:
    """One column of `scores` as ``[entry, benchmark]``, entries in the order of the report."""
    rows = scores() if table is None else table
    wide = rows.pivot(index="entry", columns="benchmark", values=column)
    return wide.loc[list(dict.fromkeys(rows["entry"])), list(dict.fromkeys(rows["benchmark"]))]


def averages(benchmarks: Sequence[str] | None = None, *, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean score of each entry over some benchmarks, all ten by default.

    Returns:
        Rows with entry, score and error (points; benchmarks are independent), rank (1 is best, ties share).
    """
    value, error = matrix(table=table), matrix("error", table)
    names = list(benchmarks) if benchmarks is not None else list(value)
    if unknown := [name for name in names if name not in value] or not names:
        raise InputError(
            f"benchmarks={names!r}", f"some of {', '.join(value)}", f"{unknown} is not in the table"
        )
    mean = value[names].mean(axis=1)
    found = pd.DataFrame({"entry": mean.index, "score": mean.to_numpy()})
    found["error"] = np.sqrt((error[names] ** 2).sum(axis=1)).to_numpy() / len(names)
    found["rank"] = rankdata(-found["score"].round(6), method="min").astype(int)
    return found


@verb(draws="n_resamples")
def rank_stability(
    benchmarks: Sequence[str] | None = None,
    *,
    table: pd.DataFrame | None = None,
    resample_benchmarks: bool = False,
    correlation: float = 0.0,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """How far the ranking by mean score can be trusted.

    Each draw gives every printed score its sampling error (normal, by the number of items) and ranks anew.

    Args:
        benchmarks: to average over; None for all.
        table: from `scores`; None for the published one.
        resample_benchmarks: also draw which benchmarks count, with replacement: is the ranking one of models,
            or of this choice of benchmarks?
        correlation: of the errors of two entries on the same items, 0 to 1. 0 takes their items as different
            ones and calls more ranks uncertain; models that fail on the same items have more.
        n_resamples, seed: of the simulation.

    Returns:
        Rows with entry, score, error, rank, ``rank_low`` and ``rank_high`` (95% of draws), ``p_first``, and
        ``p_above``: the share of draws in which it is above the next entry of the list. The best first.
    """
    if not 0 <= correlation <= 1 or n_resamples < 1:
        raise InputError(
            f"correlation={correlation}, n_resamples={n_resamples}",
            "0 <= correlation <= 1 and at least one draw",
        )
    found = averages(benchmarks, table=table)
    names = list(benchmarks) if benchmarks is not None else list(matrix(table=table))
    value, error = (matrix(column, table)[names].to_numpy() for column in ("score", "error"))
    rng, ranks, means = np.random.default_rng(seed), [], []
    for size in [1000] * (n_resamples // 1000) + [n_resamples % 1000] * bool(n_resamples % 1000):
        shared, own = rng.normal(size=(size, 1, len(names))), rng.normal(size=(size, *value.shape))
        drawn = value + error * (np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)
        weights = np.full((size, len(names)), 1.0)
        if resample_benchmarks:
            weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size).astype(float)
        mean = np.einsum("seb,sb->se", drawn, weights) / len(names)
        means.append(mean)
        ranks.append(rankdata(-mean, axis=1, method="min"))
    rank, mean = np.concatenate(ranks), np.concatenate(means)
    low, high = np.quantile(rank, (0.025, 0.975), axis=0, method="nearest")
    order = found["score"].to_numpy().argsort(kind="stable")[::-1]
    found = found.assign(
        rank_low=low.astype(int), rank_high=high.astype(int), p_first=(rank == 1).mean(axis=0)
    )
    above = [(mean[:, a] > mean[:, b]).mean() for a, b in itertools.pairwise(order)]
    found = found.iloc[order].reset_index(drop=True)
    return found.assign(p_above=[*above, np.nan])


def four_of_ten() -> pd.DataFrame:
    """The article's average of four benchmarks beside that of all ten.

    Returns:
        Rows with entry, ``four``, ``ten`` (points) and their ranks, ``over_phi_four`` and ``over_phi_ten``:
        how far the entry is above Phi-4-reasoning-vision in auto mode, with ``_sure`` where that is more than
        its error, and ``reversed``: surely on one side of it by the four and surely on the other by the ten.
    """
    ten, four = averages(), averages(FOUR)
    found = pd.DataFrame({"entry": ten["entry"], "four": four["score"], "ten": ten["score"]})
    found["rank_four"], found["rank_ten"] = four["rank"], ten["rank"]
    for name, chosen in (("four", list(FOUR)), ("ten", list(matrix()))):
        gaps = [mean_margin(margins_of(entry, f"{PHI} auto", chosen)) for entry in found["entry"]]
        found[f"over_phi_{name}"] = [gap.difference for gap in gaps]
        found[f"over_phi_{name}_sure"] = [gap.sure for gap in gaps]
    opposite = np.sign(found["over_phi_four"]) * np.sign(found["over_phi_ten"]) < 0
    found["reversed"] = opposite & found["over_phi_four_sure"] & found["over_phi_ten_sure"]
    return found.sort_values("ten", ascending=False, ignore_index=True)


def subsets(
    size: int = 4, *, entry: str = f"{PHI} auto", others: Sequence[str] | None = None
) -> pd.DataFrame:
    """Every choice of some benchmarks out of ten: where an entry stands by each.

    Args:
        size: how many are chosen.
        entry: whose standing.
        others: whom it is compared with; None for all entries of other models.

    Returns:
        Rows with ``benchmarks`` (a tuple), ``score``, ``rank`` among the entries, ``over_others`` (points
        above the mean of the others), and ``chosen``: the article's four. The most favourable first.

    Raises:
        InputError: for an entry that does not exist, or a size that cannot be chosen.
    """
    value = matrix()
    if unknown := {entry, *(others or ())} - set(value.index):
        raise InputError(f"{sorted(unknown)[0]!r}", f"one of {', '.join(value.index)}")
    if not 1 <= size <= value.shape[1]:
        raise InputError(f"size={size}", f"1 to {value.shape[1]}")
    if others is None:  # its own other modes are no other models
        others = [name for name in value.index if not name.startswith(entry.split(" ")[0])]
    others = [name for name in others if name != entry]
    own, rest = value.loc[entry].to_numpy(), value.loc[others].to_numpy()
    found = []
    for picked in itertools.combinations(range(value.shape[1]), size):
        score, theirs = own[list(picked)].mean(), rest[:, picked].mean(axis=1)
        names = tuple(value.columns[list(picked)])
        found.append(
            {
                "benchmarks": names,
                "score": float(score),
                "rank": 1 + int((theirs > score + 1e-9).sum()),
                "over_others": float(score - theirs.mean()),
                "chosen": set(names) == set(FOUR),
            }
        )
    return pd.DataFrame(found).sort_values("over_others", ascending=False, ignore_index=True)


def tokens_against_score(benchmarks: Sequence[str] | None = None) -> pd.DataFrame:
    """Multimodal training tokens (billions; many only as "over") beside the mean score of each entry."""
    rows = scores().drop_duplicates("entry")[["entry", "model", "mode"]]
    found = averages(benchmarks).merge(rows, on="entry").merge(models(), on="model", how="left")
    return found.sort_values("score", ascending=False, ignore_index=True)


def modes() -> pd.DataFrame:
    """Phi-4-reasoning-vision in its three modes by benchmark, with the margins of auto over each forced mode.

    Returns:
        Rows with benchmark, auto, think, nothink, ``best`` (the forced mode with the higher score), and for
        each forced mode ``over_think``, ``over_think_error`` (95%, points, unpaired), ``over_think_says``.
    """
    value, found = matrix(), []
    for name in value:
        row = {"benchmark": name} | {m: value.at[f"{PHI} {m}", name] for m in ("auto", "think", "nothink")}
        row["best"] = "think" if row["think"] > row["nothink"] else "nothink"
        for forced in ("think", "nothink"):
            (gap,) = margins_of(f"{PHI} auto", f"{PHI} {forced}", [name])
            says = "no difference seen" if not gap.sure else "better" if gap.difference > 0 else "worse"
            row |= {f"over_{forced}": gap.difference, f"over_{forced}_error": Z * gap.error}
            row[f"over_{forced}_says"] = says
        found.append(row)
    return pd.DataFrame(found)


def margins_of(first: str, second: str, names: Sequence[str]) -> list[Margin]:
    """How far one entry is above another on each of some benchmarks."""
    value, items = _printed()
    return [
        margin(value[first, name], value[second, name], items=items[name][0], independent=items[name][1])
        for name in names
    ]


@cache
def _printed() -> tuple[dict[tuple[str, str], float], dict[str, tuple[int, int]]]:
    """The published scores by entry and benchmark, and each benchmark's items and independent items."""
    rows = scores()
    value = dict(zip(zip(rows["entry"], rows["benchmark"], strict=True), rows["score"], strict=True))
    counts = zip(rows["items"].astype(int), rows["independent"].astype(int), strict=True)
    return value, dict(zip(rows["benchmark"], counts, strict=True))
