"""What a table says, in a sentence for a figure's title: computed, never written beforehand."""

from __future__ import annotations

import math

import pandas as pd

from ..stats import wilson
from .tables import difference

__all__ = ["choices", "enough", "fall", "gain", "percent", "times"]


def times(rows: pd.DataFrame) -> str:
    """What a thought costs, as a mean over families."""
    means = rows.groupby("mode")[["tokens", "seconds"]].mean()
    if not {"think", "nothink"} <= set(means.index):
        return "Tokens and seconds by family"
    ratio = means.loc["think"] / means.loc["nothink"]
    return (
        f"Thinking takes {ratio.tokens:.1f} times the tokens and {ratio.seconds:.1f} times the seconds "
        "of a direct answer"
    )


def choices(rows: pd.DataFrame) -> str:
    """How often a thought was opened, by group; ``rows`` has ``thoughts`` and ``n``."""
    sums = rows.groupby("several_steps")[["thoughts", "n"]].sum()
    words = {True: "several-step", False: "one-look"}
    parts = [
        f"{percent(sums.loc[several, 'thoughts'] / sums.loc[several, 'n'])} of the {name} questions"
        for several, name in words.items()
        if several in sums.index
    ]
    return f"Left to itself, the model thinks on {' and '.join(parts)}"


def gain(rows: pd.DataFrame) -> str:
    """What thinking changes, pooled over families; a difference within its error is called none."""
    sums = rows.groupby(["several_steps", "mode"])[["right", "n"]].sum()
    found: dict[str, list[str]] = {}
    for several, name in ((True, "several-step"), (False, "one-look")):
        if {(several, "think"), (several, "nothink")} <= set(sums.index):
            says = _difference(sums.loc[(several, "think")], sums.loc[(several, "nothink")])
            found.setdefault(says, []).append(name)
    parts = [f"{says} on {' or on '.join(names)} questions" for says, names in found.items()]
    return f"Thinking {' and '.join(parts)}" if parts else "Accuracy by family"


def _difference(think: pd.Series, direct: pd.Series) -> str:
    counts = [(int(one.right), int(one.n)) for one in (think, direct)]
    points, low, high = (
        100 * x for x in difference(*((right / n, *wilson(right, n)) for right, n in counts))
    )
    if low <= 0 <= high:
        return "makes no measurable difference"
    small, large = sorted((abs(low), abs(high)))
    return f"{'adds' if points > 0 else 'costs'} {abs(points):.0f} points ({small:.0f} to {large:.0f})"


def enough(rows: pd.DataFrame) -> str:
    """The smallest budget whose accuracy, over all families, reaches the interval of the largest."""
    sums = rows.groupby("budget")[["right", "n"]].sum()
    share = sums["right"] / sums["n"]
    low, _ = wilson(int(sums["right"].iloc[-1]), int(sums["n"].iloc[-1]))
    least = next(level for level, p in share.items() if p >= low)
    first, last = (_limit(level) for level in (sums.index[0], sums.index[-1]))
    return f"{percent(share.iloc[0])} are right {first} and {percent(share.iloc[-1])} {last}; " + (
        f"{least:g} tokens are enough for that" if not math.isinf(least) else "no smaller budget reaches that"
    )


def _limit(level: float) -> str:
    return "without a limit" if math.isinf(level) else f"with {level:g} tokens of thought"


def fall(rows: pd.DataFrame) -> str:
    """How each mode's accuracy goes with the steps, over the numbers of steps that every family has."""
    shared = set.intersection(*(set(one["steps"]) for _, one in rows.groupby("family")))
    shared = shared if len(shared) > 1 else set(rows["steps"])
    sums = rows[rows["steps"].isin(shared)].groupby(["mode", "steps"])[["right", "n"]].sum()
    share = sums["right"] / sums["n"]
    first, last = min(shared), max(shared)
    parts = [
        f"{name} {percent(share[mode, first])} and {percent(share[mode, last])}"
        for mode, name in (("nothink", "answered directly,"), ("think", "thinking,"))
        if {(mode, first), (mode, last)} <= set(share.index)
    ]
    return (
        f"At {first} and at {last} steps the model is right: {'; '.join(parts)}"
        if parts
        else "Accuracy by steps"
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"
