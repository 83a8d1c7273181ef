"""What a response is fitted to: runs with shares that sum to one and a metric; everything else is refused"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError
from .methods import TABLE

__all__ = ["TOLERANCE", "checked_metric", "checked_shares", "enough", "groups"]

#: How far from one shares may sum: published ones are rounded to a digit or three. They are then scaled.
TOLERANCE = 0.01


def checked_shares(shares: Any, domains: Sequence[str] | None = None) -> pd.DataFrame:
    """Shares as a frame of floats whose rows sum to one exactly.

    Args:
        shares: a row a run, a column a domain.
        domains: the columns that it must have, in the order to give them; None takes it as it comes.

    Raises:
        InputError: for columns that are missing or too many, anything but numbers, a negative share, and
            rows that do not sum to one within `TOLERANCE`.
    """
    if not isinstance(shares, pd.DataFrame):
        raise InputError(f"shares of type {type(shares).__name__}", "a pandas DataFrame, a column a domain")
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


def checked_metric(metric: Any, index: pd.Index) -> pd.Series:
    """The metric of each run, in the order of the shares.

    Raises:
        InputError: if it has other rows than the shares, holds no numbers, or is the same in every run.
    """
    series = metric if isinstance(metric, pd.Series) else pd.Series(np.asarray(metric), name="metric")
    if not isinstance(metric, pd.Series) and len(series) == len(index):
        series.index = index
    if len(series) != len(index):
        raise InputError(f"a metric of {len(series)} runs and shares of {len(index)}", "one number a run")
    if not series.index.equals(index):
        lost = index.difference(series.index)
        if len(lost) or not (series.index.is_unique and index.is_unique):
            what = f"no metric for the runs {list(lost[:3])}" if len(lost) else "rows with the same label"
            raise InputError(what, "shares and metric with the same index", "or pass metric.to_numpy()")
        series = series.loc[index]
    try:
        series = series.astype(float)
    except (TypeError, ValueError):
        raise InputError(f"a metric of type {series.dtype}", "one number a run") from None
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


def enough(shares: pd.DataFrame, method: str) -> None:
    """Refuse a method that these runs cannot carry.

    Raises:
        InputError: naming how many different mixtures the method needs, and methods that need fewer.
    """
    have, width = len(set(groups(shares))), shares.shape[1]
    needed = max(3, TABLE[method].fewest(width))
    if have < needed:
        other = [m for m in TABLE if max(3, TABLE[m].fewest(width)) <= have]
        raise InputError(
            f"too few runs for {method!r}: {have} different mixtures of {width} domains",
            f"at least {needed}",
            f"use {' or '.join(map(repr, other))}, or run more mixtures" if other else "run more mixtures",
        )
