"""Accuracy against tokens or seconds: the Pareto front, and how sure a point's place on it is"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...errors import InputError, warn
from ...names import verb
from ...stats import mean_interval, resampled
from .intervals import averaged, clusters_of, one_version, scored

__all__ = ["on_front", "pareto"]


def on_front(accuracy: object, cost: object) -> np.ndarray:
    """Which points no other point beats: as good and cheaper, or better and no dearer.

    Args:
        accuracy, cost: ``[..., points]``; any leading dimensions are taken one by one. Equal points are
            all on the front.

    Returns:
        ``[..., points]`` of bool.
    """
    a, c = np.asarray(accuracy, dtype=float), np.asarray(cost, dtype=float)
    if a.shape != c.shape or not a.size:
        raise InputError(
            f"accuracy of shape {a.shape}, cost of shape {c.shape}", "one of each for every point"
        )
    if not (np.isfinite(a).all() and np.isfinite(c).all()):
        raise InputError("a point without an accuracy or a cost", "finite numbers", "leave that point out")
    as_good = (a[..., None, :] >= a[..., :, None]) & (c[..., None, :] <= c[..., :, None])
    better = (a[..., None, :] > a[..., :, None]) | (c[..., None, :] < c[..., :, None])
    beaten = np.any(as_good & better, axis=-1)
    return np.logical_not(np.asarray(beaten))


@verb(resamples="n_resamples")
def pareto(
    data: object,
    *,
    cost: str = "tokens",
    points: Sequence[str] | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy against cost for each model and mode, with the probability that a point is on the front.

    Accuracy and cost are means over benchmarks of the means over items (each benchmark counts the same). A
    draw resamples the clusters of items of every benchmark, the same ones for all points, so that what makes
    items hard or long for all is not taken for a difference (a bootstrap of the front).

    Args:
        data: results or rows with benchmark, item, value and the cost, one row per item and point.
        cost: column: "tokens" (output tokens) or "seconds", a reply. Seconds mean something only for
            questions that were asked one at a time.
        points: columns that name a point; None for those of run or model, and mode, that are there.
        level, n_resamples, seed: of the bootstrap.

    Returns:
        One row per point, the cheapest first: its columns, ``n`` items, ``accuracy`` with ``low`` and
        ``high``,
        ``cost`` with ``cost_low`` and ``cost_high``, ``on_front``, and ``p_front``: the share of draws in
        which it is on the front. Only items that every point answered count; ``left_out``
        and a warning say how many others there are.

    Raises:
        InputError: as `scored`; if the points have no item in common, or for a benchmark in several versions.
    """
    rows = scored(data, ("benchmark", "item", "value", cost))
    one_version(rows, rows)
    rows[cost] = pd.to_numeric(rows[cost], errors="coerce")
    names = list(points) if points is not None else _points(rows)
    if absent := [name for name in names if name not in rows.columns]:
        raise InputError(
            f"points={names!r} without column {absent[0]!r}", f"any of {', '.join(rows.columns)}"
        )
    labels = pd.Series("", index=rows.index)
    for number, name in enumerate(names):
        labels += ("\n" if number else "") + rows[name].astype(str)
    rows = averaged(rows.assign(_point=labels), ["_point", "benchmark", "item"])
    if rows.duplicated(["_point", "benchmark", "item"]).any():
        raise InputError("several rows an item and point", "one", "name more columns in points=")
    known = rows[rows[cost].notna()]
    counts = known.groupby(["benchmark", "item"])["_point"].transform("nunique")
    shared = known[counts == rows["_point"].nunique()]
    if shared.empty:
        raise InputError("points without an item in common", f"items with a score and {cost} in every point")
    left_out = rows.groupby(["benchmark", "item"]).ngroups - shared.groupby(["benchmark", "item"]).ngroups
    if left_out:
        warn(
            f"{left_out} items that not every point answered (or without {cost}) are left out.",
        )
    return _table(shared, names, cost, left_out, (level, n_resamples, seed))


def _points(rows: pd.DataFrame) -> list[str]:
    who = [n for n in ("run", "model") if n in rows and rows[n].nunique() > 1][:1]
    if not who and "model" in rows:
        who = ["model"]
    control = [n for n in ("control",) if n in rows and rows[n].nunique() > 1]
    return [*who, *(["mode"] if "mode" in rows else []), *control]


def _table(
    rows: pd.DataFrame, names: list[str], cost: str, left_out: int, drawing: tuple[float, int, int]
) -> pd.DataFrame:
    level, n_resamples, seed = drawing
    order = list(dict.fromkeys(rows["_point"]))
    means, draws = [], []
    for number, (_, one) in enumerate(rows.groupby("benchmark", sort=False)):
        wide = one.pivot(index="item", columns="_point", values=["value", cost])
        table = np.stack([wide[name][order].to_numpy(float) for name in ("value", cost)], axis=2)
        own = one.drop_duplicates("item").set_index("item").loc[wide.index].reset_index()
        codes = clusters_of(own)
        sums = np.zeros((codes.max() + 1, *table.shape[1:]))
        np.add.at(sums, codes, table)
        sizes = np.bincount(codes).astype(float)
        flat = sums.reshape(len(sizes), -1)
        blocks = [
            (w @ flat) / (w @ sizes)[:, None]
            for w in resampled(codes, n_resamples=n_resamples, seed=seed + number)
        ]
        means.append(table.mean(axis=0))
        draws.append(np.concatenate(blocks).reshape(-1, *table.shape[1:]))
    mean, drawn = np.mean(means, axis=0), np.mean(draws, axis=0)  # [points, 2], [resamples, points, 2]
    front, p_front = on_front(*mean.T), on_front(drawn[..., 0], drawn[..., 1]).mean(axis=0)
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2), axis=0)
    found = pd.DataFrame(
        [dict(zip(names, label.split("\n"), strict=True)) if names else {} for label in order]
    )
    if rows["benchmark"].nunique() == 1:  # the mean score of one benchmark has the interval of `scores`
        each = [rows[rows["_point"] == label] for label in order]
        own = [mean_interval(one["value"].to_numpy(float), clusters_of(one), level=level) for one in each]
        low[:, 0], high[:, 0] = [one.low for one in own], [one.high for one in own]
    found = found.assign(
        n=len(rows) // len(order), accuracy=mean[:, 0], low=low[:, 0], high=high[:, 0],
        cost=mean[:, 1], cost_low=low[:, 1], cost_high=high[:, 1],
        on_front=front, p_front=p_front, left_out=left_out,
    )  # fmt: skip
    return found.sort_values("cost", ignore_index=True)
