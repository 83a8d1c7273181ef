"""When does thinking help? Accuracy, tokens, seconds and the model's own choice, by task and mode.

The tables under the figures, and the sentences in their titles, are computed from asked questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..errors import InputError
from ..stats import wilson
from ..synth import FAMILIES
from ..train.evaluate import Scored
from ..types import Mode
from .style import FAINT, INK, MODES, SERIES, Figure, Look, columns, panels, plain, titled

__all__ = [
    "accuracy",
    "budget",
    "choice",
    "choices",
    "confusion",
    "cost",
    "costs",
    "difference",
    "enough",
    "fall",
    "gain",
    "gains",
    "percent",
    "steps",
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


SUMMARISE = "workbench.train.evaluate.summarise(scored)"
GROUPS = {True: "multi-step", False: "single-step"}


def accuracy(table: pd.DataFrame) -> Figure:
    """Accuracy by family and mode with 95% intervals, several-step families first.

    Args:
        table: from `workbench.train.evaluate.summarise` by family and mode, or a model card's rows.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    rows = _grouped(table, ("family", "mode", "n", "right", "accuracy", "low", "high"), SUMMARISE)
    drawn, axes = _by_family(rows, 1)
    _dots(axes[0], rows, "accuracy", scale=100)
    axes[0].set_xlabel("accuracy (%), with 95% interval")
    axes[0].set_xlim(-2, 102)
    _legend(drawn)
    titled(drawn, gain(rows))
    return drawn


def cost(table: pd.DataFrame) -> Figure:
    """Tokens and seconds of a reply by family and mode.

    Args:
        table: from `workbench.viz.costs` (with intervals), or from ``summarise`` (without).

    Raises:
        InputError: as `accuracy`.
    """
    rows = _grouped(table, ("family", "mode", "tokens", "seconds"), "workbench.viz.costs(scored)")
    drawn, axes = _by_family(rows, 2)
    for panel, name, unit in zip(axes, ("tokens", "seconds"), ("tokens", "s"), strict=True):
        own = rows.drop(columns=["low", "high"], errors="ignore")  # in a summary these are of the accuracy
        _dots(panel, own.rename(columns={f"{name}_low": "low", f"{name}_high": "high"}), name)
        panel.set_xlabel(f"{name} of a reply" + (f" ({unit})" if unit != name else ", thought and answer"))
        panel.set_xlim(left=0)
    _legend(drawn)
    titled(drawn, times(rows))
    return drawn


def choice(table: pd.DataFrame) -> Figure:
    """What the model does when the choice is its own: p_think and the share of thoughts, by family.

    Families of a kind that it always thinks about, or never, are one row.

    Args:
        table: as for `accuracy`, with rows of mode "auto".

    Raises:
        InputError: as `accuracy`, or if nothing was asked in auto mode.
    """
    rows = _grouped(table, ("family", "mode", "n", "thinks", "p_think"), SUMMARISE)
    rows = columns(rows[rows["mode"] == "auto"], ("family",), "evaluate(vlm, modes=['auto'])")
    rows = _alike(rows.assign(thoughts=(rows["thinks"] * rows["n"]).round().astype(int)))
    bounds = [wilson(int(k), int(n)) for k, n in zip(rows["thoughts"], rows["n"], strict=True)]
    rows = rows.assign(low=[low for low, _ in bounds], high=[high for _, high in bounds])
    drawn, axes = _by_family(rows, 1)
    _dots(
        axes[0], rows, "thinks", scale=100, look=Look("opened a thought, with 95% interval", "#004488", "^")
    )
    places = _places(rows)
    axes[0].plot(
        100 * rows["p_think"], [places[f] for f in rows["family"]], linestyle="", marker="|", markersize=13,
        markeredgewidth=2, color="#BB5566", label="mean p_think before the first token", zorder=4,
    )  # fmt: skip
    axes[0].axvline(50, color=FAINT, linewidth=0.8, linestyle=":")
    axes[0].set_xlabel("questions (%), asked in auto mode")
    axes[0].set_xlim(-2, 102)
    _legend(drawn)
    titled(drawn, choices(rows))
    return drawn


def _alike(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of families, those of a kind in one where all of them think always or all of them never."""
    made = []
    for _, kind in rows.groupby(rows["several_steps"].astype(bool), sort=False):
        n, thoughts = int(kind["n"].sum()), int(kind["thoughts"].sum())
        if len(kind) < 3 or thoughts not in (0, n):
            made.append(kind)
            continue
        mean = float(np.average(kind["p_think"], weights=kind["n"]))
        one = {"family": f"all {len(kind)} families", "n": n, "thoughts": thoughts, "thinks": thoughts / n}
        made.append(kind.iloc[:1].assign(**one, p_think=mean))
    found = pd.concat(made)
    doubled = found["family"].duplicated(keep=False)  # both kinds may have as many families
    kinds = found["several_steps"].astype(bool).map(GROUPS)
    return found.assign(family=found["family"].mask(doubled, found["family"] + ", " + kinds))


def budget(table: pd.DataFrame) -> Figure:
    """Accuracy against the thinking budget, one line per family.

    Args:
        table: rows of ``summarise`` with one more column, ``budget``: tokens after which the
            thought was closed, None (or NaN) for no limit.

    Raises:
        InputError: as `accuracy`.
    """
    needed = ("family", "budget", "n", "right", "accuracy", "low", "high")
    rows = columns(table, needed, "summarise(evaluate(vlm, thinking_budget=8)).assign(budget=8), and so on")
    rows = rows.assign(budget=pd.to_numeric(rows["budget"]).fillna(math.inf))
    rows = rows.sort_values("budget", kind="stable")
    levels = sorted(rows["budget"].unique())
    drawn, (axes,) = panels(1, 1, width=7.2, height=4)
    for number, (family, one) in enumerate(rows.groupby("family", sort=False)):
        look = SERIES[number % len(SERIES)]
        shift = 0.05 * (number - (rows["family"].nunique() - 1) / 2)
        _line(axes, [levels.index(b) + shift for b in one["budget"]], one, look, str(family))
    axes.set_xticks(range(len(levels)), ["no limit" if math.isinf(b) else f"{b:g}" for b in levels])
    axes.set_xlabel("thinking budget (tokens after which the thought is closed)")
    _percent_axis(axes)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    titled(drawn, enough(rows))
    return drawn


def steps(table: pd.DataFrame) -> Figure:
    """Accuracy by the number of steps that a question takes, one line per mode; one panel per family.

    Args:
        table: from ``summarise(scored, by=("family", "steps", "mode"))``; without a family column
            there is one panel.

    Raises:
        InputError: as `accuracy`.
    """
    made = f'{SUMMARISE[:-1]}, by=("family", "steps", "mode"))'
    rows = columns(table, ("steps", "mode", "n", "right", "accuracy", "low", "high"), made)
    rows = rows.sort_values("steps", kind="stable")
    if "family" not in rows:
        rows = rows.assign(family="all families")
    families = list(rows["family"].unique())
    drawn, axes = panels(
        1, len(families), width=max(4.5, 2.5 * len(families)), height=3.6, sharey=True, sharex=True
    )
    for panel, family in zip(axes, families, strict=True):
        for shift, (mode, look) in zip((-0.08, 0, 0.08), MODES.items(), strict=True):
            one = rows[(rows["family"] == family) & (rows["mode"] == mode)]
            if len(one):
                _line(panel, one["steps"] + shift, one, look, look.label)
        panel.set_title(family, fontsize=10, color=INK)
        panel.set_xlabel("steps")
        panel.set_xticks(sorted(rows["steps"].unique()))
        _percent_axis(panel)
        panel.label_outer()
    _legend(drawn)
    titled(drawn, fall(rows))
    return drawn


def _grouped(table: pd.DataFrame, needed: tuple[str, ...], made_by: str) -> pd.DataFrame:
    """A table whose families are told apart by ``several_steps``; synth knows it of its own families."""
    rows = columns(table, needed, made_by)
    if "several_steps" not in rows and set(rows["family"]) <= set(FAMILIES):
        rows = rows.assign(several_steps=[FAMILIES[family].several_steps for family in rows["family"]])
    return columns(rows, ("several_steps",), made_by)


# -- drawing ---------------------------------------------------------------------------------------


def _places(rows: pd.DataFrame) -> dict[str, float]:
    """Height of each family: several-step ones on top, a gap, then the others."""
    known = rows.drop_duplicates("family")
    several = list(known.loc[known["several_steps"].astype(bool), "family"])
    others = list(known.loc[~known["several_steps"].astype(bool), "family"])
    gap = 0.8 if several and others else 0
    order = {family: float(-i) for i, family in enumerate(several)}
    return order | {family: -len(several) - gap - i for i, family in enumerate(others)}


def _by_family(rows: pd.DataFrame, count: int) -> tuple[Figure, list[Axes]]:
    """Panels with a line for each family, the two groups apart and named."""
    places = _places(rows)
    lines = max(places.values()) - min(places.values()) + 1
    drawn, axes = panels(1, count, width=7.6 + 1.4 * (count - 1), height=1.7 + 0.36 * lines, sharey=True)
    several = rows.drop_duplicates("family").set_index("family")["several_steps"].astype(bool)
    for panel in axes:
        plain(panel)
        panel.set_ylim(min(places.values()) - 0.6, 0.6)
        panel.tick_params(axis="y", length=0)
        for group in (True, False):
            inside = [places[family] for family in places if several[family] == group]
            if inside:
                panel.axhspan(min(inside) - 0.5, max(inside) + 0.5, color="#f4f4f4", zorder=0)
                if panel is axes[-1]:
                    panel.text(
                        1.015, sum(inside) / len(inside), GROUPS[group], rotation=270, color=FAINT,
                        fontsize=9, transform=panel.get_yaxis_transform(), va="center", ha="left",
                    )  # fmt: skip
    axes[0].set_yticks(list(places.values()), list(places))
    return drawn, axes


def _dots(axes: Axes, rows: pd.DataFrame, name: str, *, scale: float = 1, look: Look | None = None) -> None:
    """A marker a family and mode, with its interval where the table has one."""
    places, modes = _places(rows), [mode for mode in MODES if mode in set(rows["mode"])]
    for number, mode in enumerate(modes):
        one = rows[rows["mode"] == mode]
        shown, shift = look or MODES[mode], 0.24 * ((len(modes) - 1) / 2 - number)
        spread = None
        if {"low", "high"} <= set(one.columns):
            spread = [
                scale * (one[name] - one["low"]).clip(lower=0),
                scale * (one["high"] - one[name]).clip(lower=0),
            ]
        axes.errorbar(
            scale * one[name], [places[f] + shift for f in one["family"]], xerr=spread, linestyle="",
            marker=shown.marker, markersize=6, color=shown.colour, markeredgecolor=INK, markeredgewidth=0.5,
            elinewidth=1.6, label=shown.label, zorder=3,
        )  # fmt: skip


def _line(axes: Axes, x: Any, rows: pd.DataFrame, look: Look, label: str) -> None:
    spread = [100 * (rows["accuracy"] - rows["low"]), 100 * (rows["high"] - rows["accuracy"])]
    axes.errorbar(
        x, 100 * rows["accuracy"], yerr=[s.clip(lower=0) for s in spread], color=look.colour,
        linestyle=look.line, marker=look.marker, markersize=6, markeredgecolor=INK, markeredgewidth=0.5,
        elinewidth=1.2, capsize=2, label=label,
    )  # fmt: skip


def _percent_axis(axes: Axes) -> None:
    plain(axes, grid="y")
    axes.set_ylim(-3, 103)
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_ylabel("accuracy (95% interval)")


def _legend(drawn: Figure) -> None:
    """One legend under all panels, from the first."""
    handles, labels = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
