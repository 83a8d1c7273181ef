"""A threshold on p_think as a router between the modes: its curve and its cross-validated gain"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from ...errors import InputError
from ...names import verb
from ...stats import clustered_error, mean_interval
from .lens import modes_wide

__all__ = ["router_curve", "router_gain"]


def router_curve(
    data: object, *, thresholds: Sequence[float] | None = None, pooled: bool = False, level: float = 0.95
) -> pd.DataFrame:
    """Accuracy and tokens if a thought is opened exactly where p_think reaches a threshold.

    The replies are those of the two forced modes, so nothing is asked again. A threshold of 0 is always
    thinking, one above 1 never. The best point of this curve is chosen with the answers in sight: what a
    router is worth on new items says `router_gain`.

    Args:
        data: as for `modes_wide`, with p_think; tokens where known.
        thresholds: None for 0, a tenth, ... 1, and every value at which something changes (at most 100).
        pooled: one curve over all benchmarks instead of one for each.
        level: of the intervals.

    Returns:
        Rows with the group's columns, ``threshold``, ``thinks`` (share), ``accuracy`` with ``low`` and
        ``high``, and ``tokens`` (mean a reply; NaN where not known).

    Raises:
        InputError: without p_think, and as `modes_wide`.
    """
    found = []
    for key, one in _groups(data, pooled):
        p, think, direct = _columns(one)
        codes = pd.factorize(one["cluster"])[0]
        for cut in _cuts(p, thresholds):
            opens = p >= cut
            interval = mean_interval(np.where(opens, think, direct), codes, level=level)
            row = {"threshold": float(cut), "thinks": float(opens.mean())}
            row |= {"accuracy": interval.value, "low": interval.low, "high": interval.high}
            found.append(key | row | {"tokens": _mean_tokens(one, opens)})
    return pd.DataFrame(found)


@verb(repeats="n_repeats", resamples="n_resamples")
def router_gain(
    data: object,
    *,
    folds: int = 5,
    n_repeats: int = 10,
    n_resamples: int = 200,
    price: float = 0.0,
    pooled: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """What a threshold on p_think is worth on items that it was not chosen on.

    The clusters are dealt into folds; the threshold is chosen on all folds but one and used on that one, and
    so is the better of the two fixed modes that it is compared with. The held-out differences, averaged over
    ``n_repeats`` deals, get the larger of two standard errors: the clustered one, and the spread of the whole
    procedure over resampled clusters. The first alone is too small where two modes or thresholds are nearly
    equal, so that which of them is chosen is luck (Bates, Hastie and Tibshirani 2024).

    Args:
        data: as for `router_curve`.
        folds: parts that the clusters are dealt into.
        n_repeats: how often they are dealt anew.
        n_resamples: of the bootstrap.
        price: accuracy (0 to 1) that 1000 output tokens must bring; above 0 the threshold also saves tokens.
        pooled: one threshold for all benchmarks instead of one for each.
        level, seed: of the intervals and of the dealing.

    Returns:
        One row per group: ``n``, ``threshold`` (chosen on all items; the one to use), ``routed`` (held-out
        accuracy), ``best_fixed``, ``auto``, ``oracle``; ``over_fixed`` and ``over_auto``, the routed accuracy
        minus theirs, with ``_low`` and ``_high``; ``thinks``, ``tokens`` (routed, held out),
        ``tokens_fixed``, ``tokens_auto``; and ``optimism``: the accuracy at the curve's best point minus
        ``routed``.

    Raises:
        InputError: with fewer clusters than folds, and as `router_curve`.
    """
    if folds < 2 or n_repeats < 1 or n_resamples < 2 or price < 0:
        raise InputError(
            f"folds={folds}, n_repeats={n_repeats}, n_resamples={n_resamples}, price={price}",
            "at least 2 folds, 1 repeat, 2 resamples, and a price of 0 or more",
        )
    found = []
    for key, one in _groups(data, pooled):
        count = one["cluster"].nunique()
        if count < folds:
            raise InputError(
                f"{count} clusters of items for {folds} folds", "at least one cluster a fold", "fewer folds"
            )
        if price and _tokens(one) is None:
            raise InputError("price without token counts", "output tokens of both forced modes", "price=0")
        found.append(key | _gain(one, (folds, n_repeats, price, n_resamples), level, seed))
    return pd.DataFrame(found)


def _gain(
    one: pd.DataFrame, settings: tuple[int, int, float, int], level: float, seed: int
) -> dict[str, Any]:
    folds, n_repeats, price, n_resamples = settings
    p, think, direct = _columns(one)
    codes = pd.factorize(one["cluster"])[0]
    table = np.stack([p, think, direct, *_worth(one, think, direct, price)], axis=1)
    opened, always = _held_out(table, codes, folds, n_repeats, seed)
    routed, fixed = direct + opened * (think - direct), direct + always * (think - direct)
    auto = one["value_auto"].to_numpy(float) if "value_auto" in one else np.full(len(one), math.nan)
    asked = ~np.isnan(auto)
    draws = []
    for picked in _picks(codes, n_resamples, seed):
        again, (opens, fixes) = table[picked], _held_out(table[picked], codes[picked], folds, 1, seed)
        over_fixed = float((opens - fixes) @ (again[:, 1] - again[:, 2])) / len(again)
        draws.append((over_fixed, _over_auto(opens, again, auto[picked])))
    spread = [float(np.std(column)) for column in np.asarray(draws).T]
    cut = best_cut(p, table[:, 3], table[:, 4])
    auto_tokens = one["tokens_auto"] if "tokens_auto" in one else pd.Series(dtype=float)
    row: dict[str, Any] = {
        "n": len(one), "threshold": float(cut), "routed": float(routed.mean()),
        "best_fixed": float(fixed.mean()), "auto": float(auto[asked].mean()) if asked.any() else math.nan,
        "oracle": float(np.maximum(think, direct).mean()),
    }  # fmt: skip
    row |= _over("over_fixed", routed - fixed, codes, spread[0], level)
    row |= _over("over_auto", (routed - auto)[asked], codes[asked], spread[1], level)
    return row | {
        "thinks": float(opened.mean()),
        "tokens": _mean_tokens(one, opened),
        "tokens_fixed": _mean_tokens(one, always),
        "tokens_auto": float(auto_tokens.astype(float).mean()),
        "optimism": float(np.where(p >= cut, think, direct).mean() - routed.mean()),
    }


def _held_out(
    table: np.ndarray, codes: np.ndarray, folds: int, n_repeats: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Share of deals in which each item, held out, got a thought: by the router, and by the fixed mode.

    Args:
        table: ``[items, (p_think, think, direct, worth of thinking, worth of a direct answer)]``.
        codes: cluster of each item; a cluster stays on one side.
    """
    p, worth = table[:, 0], table[:, 3:]
    opened, always = np.zeros(len(table)), np.zeros(len(table))
    for held in _deals(codes, folds, n_repeats, seed):
        seen = ~held
        opened[held] += p[held] >= best_cut(p[seen], worth[seen, 0], worth[seen, 1])
        always[held] += worth[seen, 0].mean() > worth[seen, 1].mean()
    return opened / n_repeats, always / n_repeats


def _over_auto(opened: np.ndarray, table: np.ndarray, auto: np.ndarray) -> float:
    gained = table[:, 2] + opened * (table[:, 1] - table[:, 2]) - auto
    return float(gained[~np.isnan(gained)].mean()) if not np.isnan(gained).all() else math.nan


def _picks(codes: np.ndarray, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Positions of the items of resampled clusters; copies of a cluster keep its code, and so its fold."""
    rng, count = np.random.default_rng(seed), int(codes.max()) + 1
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    while n_resamples > 0:
        drawn = rng.integers(count, size=count)
        if len(np.unique(drawn)) > 1:  # else there is nothing to hold out
            n_resamples -= 1
            yield np.concatenate([members[c] for c in drawn])


def best_cut(p: np.ndarray, think: np.ndarray, direct: np.ndarray) -> float:
    """The threshold with the highest mean worth; of equal ones the highest, with the fewest thoughts."""
    order = np.argsort(p, kind="stable")
    p, change = p[order], (think - direct)[order]
    # opening a thought for the items from position k on changes the sum by what these items change
    tail = np.concatenate([np.cumsum(change[::-1])[::-1], [0.0]])
    starts = np.concatenate([[True], p[1:] > p[:-1], [True]])  # equal p cannot be told apart
    tail = np.where(starts, tail, -np.inf)
    best = len(tail) - 1 - int(np.argmax(tail[::-1] >= tail.max() - 1e-12))
    if best == 0:
        return 0.0
    if best == len(p):
        return math.inf
    return float((p[best - 1] + p[best]) / 2)


def _deals(codes: np.ndarray, folds: int, n_repeats: int, seed: int) -> Iterator[np.ndarray]:
    """Which items are held out, fold by fold and deal by deal; a cluster stays together."""
    rng, count = np.random.default_rng(seed), int(codes.max()) + 1
    for _ in range(n_repeats):
        part = rng.permutation(count) % folds
        for number in range(folds):
            yield part[codes] == number


def _groups(data: object, pooled: bool) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    wide = modes_wide(data)
    if "p_think" not in wide or wide["p_think"].isna().any():
        lacking = len(wide) if "p_think" not in wide else int(wide["p_think"].isna().sum())
        raise InputError(
            f"{lacking} of {len(wide)} items without p_think", "the probability of a thought for every item",
            "run them with a model here: a server does not report p_think",
        )  # fmt: skip
    names = [name for name in wide.attrs["groups"] if not (pooled and name == "benchmark")]
    if not names:
        yield {"benchmark": "all"}, wide
        return
    for key, one in wide.groupby(names, sort=False):
        yield dict(zip(names, key, strict=True)), one


def _columns(one: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, think, direct = (one[name].to_numpy(float) for name in ("p_think", "value_think", "value_nothink"))
    return p, think, direct


def _worth(
    one: pd.DataFrame, think: np.ndarray, direct: np.ndarray, price: float
) -> tuple[np.ndarray, np.ndarray]:
    if not price:
        return think, direct
    tokens = _tokens(one)
    assert tokens is not None
    return think - price * tokens[0] / 1000, direct - price * tokens[1] / 1000


def _tokens(one: pd.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    names = ("tokens_think", "tokens_nothink")
    if not set(names) <= set(one.columns) or one[list(names)].isna().any(axis=None):
        return None
    think, direct = (one[name].to_numpy(float) for name in names)
    return think, direct


def _mean_tokens(one: pd.DataFrame, opened: np.ndarray) -> float:
    tokens = _tokens(one)
    return math.nan if tokens is None else float((opened * tokens[0] + (1 - opened) * tokens[1]).mean())


def _over(
    name: str, differences: np.ndarray, codes: np.ndarray, spread: float, level: float
) -> dict[str, float]:
    """Mean difference and its interval, by the larger of the clustered error and the bootstrap's."""
    if not len(differences):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), math.nan)
    mean, error = float(differences.mean()), max(spread, clustered_error(differences, codes))
    half = float(t.ppf((1 + level) / 2, max(1, len(np.unique(codes)) - 1))) * error
    return {name: mean, f"{name}_low": max(-1.0, mean - half), f"{name}_high": min(1.0, mean + half)}


def _cuts(p: np.ndarray, thresholds: Sequence[float] | None) -> np.ndarray:
    if thresholds is not None:
        return np.asarray(thresholds, dtype=float)
    values = np.unique(p)
    if len(values) > 100:
        values = np.quantile(values, np.linspace(0, 1, 100), method="nearest")
    above = np.nextafter(1.0, 2.0)
    return np.unique(np.concatenate([np.linspace(0, 1, 11), values, [above]]))
