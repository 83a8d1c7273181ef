"""Small tables over asked questions that the figures and the reader need.

What a table says, in a sentence for a figure's title: computed, never written beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import InputError
from ..stats import wilson
from ..synth import FAMILIES
from ..train.evaluate import Scored
from ..types import Mode
from .style import columns

__all__ = [
    "choices",
    "confusion",
    "costs",
    "difference",
    "enough",
    "fall",
    "gain",
    "gains",
    "percent",
    "times",
]


RESAMPLES = 2000


def costs(scored: Sequence[Scored], *, seed: int = 0) -> pd.DataFrame:
    """Mean tokens and seconds of a reply by family and mode, with 95% intervals.

    Seconds mean something only for questions that were asked one at a time (``batch_size=1``): in
    a batch every reply takes the batch's time.

    Args:
        scored: from `workbench.train.evaluate.evaluate`.
        seed: of the bootstrap over questions that gives the intervals (percentiles; Efron 1979).

    Returns:
        Rows with family, several_steps, mode, n, and tokens and seconds, each with ``_low`` and ``_high``.

    Raises:
        InputError: if there are no replies.
    """
    if not scored:
        raise InputError(
            "no replies", "at least one", "make them with workbench.train.evaluate.evaluate(vlm)"
        )
    groups: dict[tuple[str, str], list[Scored]] = {}
    for one in scored:
        groups.setdefault((one.sample.family, str(one.answer.mode)), []).append(one)
    rng, rows = np.random.default_rng(seed), []
    for (family, mode), members in groups.items():
        row = {
            "family": family,
            "several_steps": FAMILIES[family].several_steps,
            "mode": mode,
            "n": len(members),
        }
        answers = [one.answer for one in members]
        row |= _mean("tokens", [math.nan if a.reply_tokens is None else a.reply_tokens for a in answers], rng)
        row |= _mean("seconds", [a.seconds for a in answers], rng)
        rows.append(row)
    return pd.DataFrame(rows)


def _mean(name: str, values: Sequence[float], rng: np.random.Generator) -> dict[str, float]:
    numbers = np.asarray(values, dtype=float)
    means = rng.choice(numbers, (RESAMPLES, len(numbers))).mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return {name: float(numbers.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def confusion(scored: Sequence[Scored]) -> pd.DataFrame:
    """When the model thought in auto mode, against when a thought would have helped.

    The same questions must have been asked in all three modes.  A thought *helps* where the
    thinking reply is right and the direct one is not, *hurts* the other way round, and else makes
    no difference.

    Returns:
        Counts of questions: a row for each of these, columns "thought" and "answered directly".

    Raises:
        InputError: if a question was not asked in every mode.
    """
    by_question: dict[tuple[str, int], dict[Mode, Scored]] = {}
    for one in scored:
        by_question.setdefault((one.sample.family, id(one.sample)), {})[one.answer.mode] = one
    names = {(True, False): "helps", (False, True): "hurts", (True, True): "both are right"}
    rows = [*names.values(), "both are wrong"]
    table = pd.DataFrame(0, index=pd.Index(rows, name="a thought"), columns=["thought", "answered directly"])
    for modes in by_question.values():
        if missing := set(Mode) - set(modes):
            raise InputError(
                f"a question that was not asked in mode {', '.join(map(str, missing))}",
                "every question in all three modes",
                "evaluate(vlm, ...) without modes=",
            )
        thinking, direct = modes[Mode.THINK].right, modes[Mode.NOTHINK].right
        thought = modes[Mode.AUTO].answer.thought is not None
        row = names.get((thinking, direct), "both are wrong")
        table.loc[row, "thought" if thought else "answered directly"] += 1
    return table


def difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """The difference of two shares and its 95% interval: (first - second, low, high).

    Newcombe's interval for independent shares from their Wilson intervals (Newcombe 1998, method 10);
    where the same questions were asked it is wider than it need be.

    Args:
        first, second: share, low and high of each.
    """
    (p, p_low, p_high), (q, q_low, q_high) = first, second
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return p - q, low, high


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """What thinking changes in each family: accuracy when thinking minus accuracy when answering directly.

    Args:
        table: from `workbench.train.evaluate.summarise` by family and mode.

    Returns:
        Rows with family, direct, thinking, gain, low and high (95%), the largest gain first, and
        ``says``: "helps", "hurts", or "no difference seen" where the interval holds zero.

    Raises:
        InputError: for a table without a column that is needed, or without both modes.
    """
    rows = columns(
        table, ("family", "mode", "accuracy", "low", "high"), "workbench.train.evaluate.summarise(scored)"
    )
    found = []
    for family, one in rows.groupby("family", sort=False):
        modes = one.drop_duplicates("mode").set_index("mode")[["accuracy", "low", "high"]]
        if not {"think", "nothink"} <= set(modes.index):
            raise InputError(
                f"family {family!r} without both modes", "rows of mode 'think' and mode 'nothink'"
            )
        gain, low, high = difference(modes.loc["think"].tolist(), modes.loc["nothink"].tolist())
        says = "helps" if low > 0 else "hurts" if high < 0 else "no difference seen"
        direct, thinking = modes.loc["nothink", "accuracy"], modes.loc["think", "accuracy"]
        found.append((family, direct, thinking, gain, low, high, says))
    names = ["family", "direct", "thinking", "gain", "low", "high", "says"]
    return pd.DataFrame(found, columns=names).sort_values("gain", ascending=False, ignore_index=True)


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
