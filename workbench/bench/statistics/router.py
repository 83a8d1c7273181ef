"""A threshold on p_think as a router between the modes: its curve and its cross-validated gain"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import InputError
from .intervals import mean_interval
from .lens import modes_wide
from .paired import paired_interval

__all__ = ["router_curve", "router_gain"]


def router_curve(
    data: Any, *, thresholds: Sequence[float] | None = None, pooled: bool = False, level: float = 0.95
) -> pd.DataFrame:
    """Accuracy and tokens if a thought is opened exactly where p_think reaches a threshold.

    The replies are those of the two forced modes, so nothing is asked again. A threshold of 0 is always
    thinking, one above 1 never. The best point of this curve is chosen with the answers in sight: what a
    router is worth on new items says `router_gain`.

    Args:
        data: as for `modes_wide`, with p_think; tokens where known.
        thresholds: None for 0, a tenth, ... 1, and every value at which something changes (at most 200).
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


def router_gain(
    data: Any,
    *,
    folds: int = 5,
    repeats: int = 10,
    price: float = 0.0,
    pooled: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """What a threshold on p_think is worth on items that it was not chosen on.

    The clusters are dealt into folds; the threshold is chosen on all folds but one and used on that one, and
    so is the better of the two fixed modes that it is compared with. The held-out differences, averaged over
    ``repeats`` deals, get a clustered standard error (Bayle et al. 2020: valid for the mean held-out
    difference of a rule as stable as a single threshold).

    Args:
        data: as for `router_curve`.
        folds: parts that the clusters are dealt into.
        repeats: how often they are dealt anew.
        price: accuracy (0 to 1) that 1000 output tokens must bring; above 0 the threshold also saves tokens.
        pooled: one threshold for all benchmarks instead of one for each.
        level, seed: of the intervals and of the dealing.

    Returns:
        A row a group: ``n``, ``threshold`` (chosen on all items; the one to use), ``routed`` (held-out
        accuracy), ``best_fixed``, ``auto``, ``oracle``; ``over_fixed`` and ``over_auto``, the routed accuracy
        minus theirs, with ``_low`` and ``_high``; ``thinks``, ``tokens`` (routed, held out),
        ``tokens_fixed``, ``tokens_auto``; and ``optimism``: the accuracy at the curve's best point minus
        ``routed``.

    Raises:
        InputError: with fewer clusters than folds, and as `router_curve`.
    """
    if folds < 2 or repeats < 1 or price < 0:
        raise InputError(
            f"folds={folds}, repeats={repeats}, price={price}",
            "at least 2 folds, 1 repeat, and a price of 0 or more",
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
        found.append(key | _gain(one, folds, repeats, price, level, seed))
    return pd.DataFrame(found)


def _gain(
    one: pd.DataFrame, folds: int, repeats: int, price: float, level: float, seed: int
) -> dict[str, Any]:
    p, think, direct = _columns(one)
    codes = pd.factorize(one["cluster"])[0]
    worth = _worth(one, think, direct, price)
    routed, fixed, opened, fixed_opened = (np.zeros(len(one)) for _ in range(4))
    for held in _deals(codes, folds, repeats, seed):
        cut = best_cut(p[~held], *(w[~held] for w in worth))
        opens = p[held] >= cut
        always = worth[0][~held].mean() > worth[1][~held].mean()
        routed[held] += np.where(opens, think[held], direct[held]) / repeats
        fixed[held] += (think if always else direct)[held] / repeats
        opened[held] += opens / repeats
        fixed_opened[held] += always / repeats
    cut = best_cut(p, *worth)
    at_best = float(np.where(p >= cut, think, direct).mean())
    row: dict[str, Any] = {
        "n": len(one), "threshold": float(cut), "routed": float(routed.mean()),
        "best_fixed": float(fixed.mean()),
        "auto": math.nan, "oracle": float(np.maximum(think, direct).mean()),
    }  # fmt: skip
    row |= _over("over_fixed", routed - fixed, codes, level)
    row |= dict.fromkeys(("over_auto", "over_auto_low", "over_auto_high"), math.nan)
    if "value_auto" in one and one["value_auto"].notna().any():
        asked = one["value_auto"].notna().to_numpy()
        auto = one["value_auto"].to_numpy(float)
        row["auto"] = float(auto[asked].mean())
        row |= _over("over_auto", (routed - auto)[asked], codes[asked], level)
    auto_tokens = one["tokens_auto"] if "tokens_auto" in one else pd.Series(dtype=float)
    return row | {
        "thinks": float(opened.mean()),
        "tokens": _mean_tokens(one, opened),
        "tokens_fixed": _mean_tokens(one, fixed_opened),
        "tokens_auto": float(auto_tokens.astype(float).mean()),
        "optimism": at_best - float(routed.mean()),
    }


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


def _deals(codes: np.ndarray, folds: int, repeats: int, seed: int) -> Iterator[np.ndarray]:
    """Which items are held out, fold by fold and deal by deal; a cluster stays together."""
    rng, count = np.random.default_rng(seed), int(codes.max()) + 1
    for _ in range(repeats):
        part = rng.permutation(count) % folds
        for number in range(folds):
            yield part[codes] == number


def _groups(data: Any, pooled: bool) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
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


def _over(name: str, differences: np.ndarray, codes: np.ndarray, level: float) -> dict[str, float]:
    mean, low, high, _ = paired_interval(differences, codes, level=level)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def _cuts(p: np.ndarray, thresholds: Sequence[float] | None) -> np.ndarray:
    if thresholds is not None:
        return np.asarray(thresholds, dtype=float)
    values = np.unique(p)
    if len(values) > 200:
        values = np.quantile(values, np.linspace(0, 1, 200), method="nearest")
    above = np.nextafter(1.0, 2.0)
    return np.unique(np.concatenate([np.linspace(0, 1, 11), values, [above]]))
