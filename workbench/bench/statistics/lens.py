"""The three modes on the same items: where thinking helps, an oracle's gain, the model's own choice"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ...errors import InputError, warn
from ...names import verb
from ...stats import bootstrap_means, holm, mcnemar, mean_interval, paired_interval, student
from .intervals import averaged, clusters_of, groups_of, one_version, scored
from .paired import corrected_levels, deciding_intervals

__all__ = ["efficiency", "matthews", "mode_lens", "modes_wide"]


def matthews(needed: object, thought: object) -> float:
    """Matthews' correlation of two yes-or-no columns (Matthews 1975): 1 always alike, 0 as by chance.

    NaN where one of them never changes: then there was no choice to judge.
    """
    x, y = np.asarray(needed, dtype=float), np.asarray(thought, dtype=float)
    if not len(x) or x.std() == 0 or y.std() == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def modes_wide(data: object) -> pd.DataFrame:
    """One row per item, the modes side by side.

    Args:
        data: results or rows with benchmark, item, mode and value, and where known tokens, seconds, p_think,
            thought (the text, empty or None without one) and cluster.

    Returns:
        The group's columns, item, ``cluster`` (a number), and for each mode ``value_auto``, ``tokens_auto``,
        ``seconds_auto`` and so on; ``thinks``: whether the auto reply opened a thought; ``p_think``.
        Items without both forced modes are left out; how many is in ``attrs["left_out"]``, with a warning.

    Raises:
        InputError: without rows of mode think and of mode nothink, or for several versions of a benchmark.
    """
    rows = scored(data, ("benchmark", "item", "mode", "value"))
    one_version(rows, rows)
    rows["mode"] = rows["mode"].astype(str)
    names = groups_of(rows, without=("mode", "version"))
    there = set(rows["mode"])
    if lacking := [mode for mode in ("think", "nothink") if mode not in there]:
        raise InputError(
            f"rows of mode {', '.join(sorted(there))} only", f"rows of mode {' and '.join(lacking)} too",
            'run(vlm, tasks, modes=("auto", "think", "nothink"))',
        )  # fmt: skip
    rows = averaged(rows.assign(thinks=_thinks(rows)), [*names, "item", "mode"])
    rows = rows.assign(_cluster=clusters_of(rows))
    measured = [name for name in ("value", "tokens", "seconds", "p_think", "thinks") if name in rows]
    wide = rows.pivot(index=[*names, "item"], columns="mode", values=measured)
    wide.columns = [f"{name}_{mode}" for name, mode in wide.columns]
    wide["cluster"] = rows.groupby([*names, "item"])["_cluster"].first()
    both = wide["value_think"].notna() & wide["value_nothink"].notna()
    if left_out := int((~both).sum()):
        warn(f"{left_out} of {len(wide)} items were not scored both thinking and directly, and are left out.")
    wide = wide[both].reset_index()
    if wide.empty:
        raise InputError("no item that was scored both thinking and directly", "the same items in both modes")
    said = [name for name in ("p_think_auto", "p_think_nothink", "p_think_think") if name in wide]
    if said:  # the same prompt up to the first token, so any mode's will do
        wide["p_think"] = wide[said].astype(float).bfill(axis=1).iloc[:, 0]
    if "thinks_auto" in wide:
        wide["thinks"] = wide["thinks_auto"]
    wide = wide[[c for c in wide if not c.startswith(("thinks_", "p_think_"))]].infer_objects()
    wide.attrs.update(groups=names, left_out=left_out)
    return wide


def _thinks(rows: pd.DataFrame) -> pd.Series:
    if "thought" in rows:
        return (rows["thought"].notna() & (rows["thought"].astype(str) != "")).astype(float)
    if "thought_tokens" in rows:
        return (pd.to_numeric(rows["thought_tokens"]) > 0).astype(float)
    return pd.Series(math.nan, index=rows.index)


@verb(resamples="n_resamples")
def mode_lens(data: object, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """What thinking changes in each benchmark, and how good the model's own choice of mode is.

    An item is *helped* where the thinking reply scores higher than the direct one, *hurt* where lower. The
    oracle takes the better reply of each item. It is an upper bound that no router reaches: two replies of
    which each is right by luck also make a better pair, so look at it beside ``hurts``, which a thought that
    only ever helps would leave at zero. The choice is judged by Matthews' correlation of "opened a thought"
    with "helped", over all items, and by ``choice_right``: the share of items on which the modes differ where
    the model took the better one.

    Args:
        data: as for `modes_wide`; without rows of mode auto the columns about the choice are NaN.
        level: of the intervals.
        n_resamples, seed: of the bootstrap over clusters for ``mcc``.

    Returns:
        One row per benchmark (and model or run, where there are several): ``n``, ``clusters``; ``direct``,
        ``think`` and ``auto`` (accuracies); ``helps``, ``hurts``, ``both_right``, ``both_wrong`` (items);
        ``gain`` (think - direct) with ``gain_low``, ``gain_high`` (at the level that Holm's correction gives
        the row), ``p`` and ``p_holm``, and ``says``;
        ``oracle``; ``best_fixed``; ``oracle_gain`` (oracle - best_fixed); ``gap`` (oracle - auto) with
        ``gap_low`` and ``gap_high``; ``thinks`` (share of thoughts in auto); ``mcc`` with ``mcc_low`` and
        ``mcc_high``; ``choice_right`` with ``choice_low`` and ``choice_high``.
    """
    wide = modes_wide(data)
    names = wide.attrs["groups"]
    found = [
        dict(zip(names, key, strict=True)) | _lens(one, level, n_resamples, seed)
        for key, one in wide.groupby(names, sort=False)
    ]
    table = pd.DataFrame(found)
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm(table["p"]))
    levels = corrected_levels(table["p"], level)
    table["gain_low"], table["gain_high"], sure = deciding_intervals(
        table.pop("_pairs"), table["p_holm"], levels, level
    )
    word = np.where(table["gain"] > 0, "helps", "hurts")
    table.insert(table.columns.get_loc("p_holm") + 1, "says", np.where(sure, word, "no difference seen"))
    return table


def _lens(one: pd.DataFrame, level: float, n_resamples: int, seed: int) -> dict[str, Any]:
    think, direct = (one[f"value_{mode}"].to_numpy(float) for mode in ("think", "nothink"))
    codes = pd.factorize(one["cluster"])[0]
    d, count = think - direct, codes.max() + 1
    gain, low, high, error = paired_interval(d, codes, level=level)
    up, down = int((d > 0).sum()), int((d < 0).sum())
    binary = bool(np.isin(np.concatenate([think, direct]), (0, 1)).all())
    p = mcnemar(up, down) if binary and count == len(one) else student(gain, error, count=count)
    oracle, fixed = float(np.maximum(think, direct).mean()), float(max(think.mean(), direct.mean()))
    row: dict[str, Any] = {
        "_pairs": (d, codes), "n": len(one), "clusters": int(count),
        "direct": float(direct.mean()), "think": float(think.mean()), "auto": math.nan,
        "helps": up, "hurts": down,
        "both_right": int(((d == 0) & (think == 1)).sum()),
        "both_wrong": int(((d == 0) & (think == 0)).sum()),
        "gain": gain, "gain_low": low, "gain_high": high, "p": p,
        "oracle": oracle, "best_fixed": fixed, "oracle_gain": oracle - fixed,
    }  # fmt: skip
    return row | _choice(one, d, codes, np.maximum(think, direct), (level, n_resamples, seed))


def _choice(
    one: pd.DataFrame, d: np.ndarray, codes: np.ndarray, best: np.ndarray, drawing: tuple[float, int, int]
) -> dict[str, Any]:
    """What the auto replies say about the model's own choice."""
    level, n_resamples, seed = drawing
    names = "gap gap_low gap_high thinks mcc mcc_low mcc_high choice_right choice_low choice_high"
    row: dict[str, Any] = dict.fromkeys(names.split(), math.nan)
    if "value_auto" not in one or one["value_auto"].isna().all():
        return row
    asked = one["value_auto"].notna().to_numpy()
    auto = one["value_auto"].to_numpy(float)[asked]
    row["auto"] = float(auto.mean())
    row["gap"], row["gap_low"], row["gap_high"], _ = paired_interval(
        best[asked] - auto, codes[asked], level=level
    )
    thinks = one["thinks"].to_numpy(float)[asked] if "thinks" in one else np.full(asked.sum(), math.nan)
    if np.isnan(thinks).any():
        return row
    thinks = (thinks >= 0.5).astype(float)  # of repetitions of an item, most
    need = (d[asked] > 0).astype(float)
    row["thinks"], row["mcc"] = float(thinks.mean()), matthews(need, thinks)
    if not math.isnan(row["mcc"]):
        columns = np.stack([need, thinks, need * thinks], axis=1)
        draws = bootstrap_means(columns, codes[asked], statistic=_phi, n_resamples=n_resamples, seed=seed)
        bounds = np.nanquantile(draws, ((1 - level) / 2, (1 + level) / 2))
        row["mcc_low"], row["mcc_high"] = (float(x) for x in bounds)
    differ = d[asked] != 0
    if differ.any():
        right = (thinks[differ] == 1) == (d[asked][differ] > 0)
        share = mean_interval(right, codes[asked][differ], level=level)
        row |= {"choice_right": share.value, "choice_low": share.low, "choice_high": share.high}
    return row


def _phi(means: np.ndarray) -> np.ndarray:
    x, y, xy = means.T
    spread = np.sqrt(x * (1 - x) * y * (1 - y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (xy - x * y) / spread, np.nan)


@verb(resamples="n_resamples")
def efficiency(data: object, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Accuracy for what it costs: right answers per 1000 output tokens, and what each further 1000 buy.

    Args:
        data: results or rows with benchmark, item, mode, value and tokens (of output, thought and
            answer).
        level, n_resamples, seed: of the bootstrap over clusters (ratios of means).

    Returns:
        One row per group and mode: ``n``, ``accuracy``, ``tokens`` (mean), ``per_1000`` (accuracy per 1000
        output
        tokens: 2.0 means two right answers) with ``low`` and ``high``; ``seconds`` where known; and
        ``extra_per_1000``: the change in accuracy against mode nothink for each 1000 tokens spent beyond it
        (NaN where no more are spent).
    """
    rows = scored(data, ("benchmark", "item", "mode", "value", "tokens"))
    one_version(rows, rows)
    names = groups_of(rows, without=("version",))
    known = pd.to_numeric(rows["tokens"], errors="coerce")
    if lost := int(known.isna().sum()):
        warn(
            f"{lost} of {len(rows)} rows have no token count and are left out.",
        )
    rows = rows.assign(tokens=known)[known.notna()]
    if rows.empty:
        raise InputError("no row with a token count", "output tokens in the column 'tokens'")
    found = []
    for key, one in rows.groupby(names, sort=False):
        table = one[["value", "tokens"]].to_numpy(float)
        draws = bootstrap_means(
            table, clusters_of(one), statistic=_per_1000, n_resamples=n_resamples, seed=seed
        )
        low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2))
        mean = table.mean(axis=0)
        row = dict(zip(names, key, strict=True)) | {"n": len(one), "accuracy": mean[0], "tokens": mean[1]}
        row |= {"per_1000": float(_per_1000(mean[None])[0]), "low": float(low), "high": float(high)}
        if "seconds" in one:
            row["seconds"] = float(pd.to_numeric(one["seconds"], errors="coerce").mean())
        found.append(row)
    return _extra(pd.DataFrame(found), [name for name in names if name != "mode"])


def _per_1000(means: np.ndarray) -> np.ndarray:
    accuracy, tokens = means.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(tokens > 0, 1000 * accuracy / tokens, np.nan)


def _extra(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    direct = table[table["mode"] == "nothink"].set_index(names)[["accuracy", "tokens"]]
    base = table[names].merge(direct.reset_index(), on=names, how="left")
    more = table["tokens"] - base["tokens"].to_numpy()
    gained = table["accuracy"] - base["accuracy"].to_numpy()
    return table.assign(extra_per_1000=(1000 * gained / more).where(more > 0))
