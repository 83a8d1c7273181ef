"""Benchmark results in figures: scores and differences with intervals, three-mode lens, Pareto front.

The router and the published tables are drawn here too: certain ranks, what an average of four hides,
margins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..bench import statistics
from ..bench.results import Results
from ..errors import InputError
from .style import FAINT, INK, MODES, SERIES, Figure, Look, columns, panels, plain, titled

__all__ = [
    "benchmark_subsets",
    "differences",
    "forest",
    "four_of_ten",
    "mode_lens",
    "mode_margins",
    "pareto",
    "rank_stability",
    "router",
]


STATISTICS = "workbench.bench.statistics"
SURE, UNSURE = "#004488", "#888888"


def forest(table: pd.DataFrame, *, series: str | None = None, rows: str = "benchmark") -> Figure:
    """Scores with their 95% intervals, one line per benchmark (a forest plot; Lewis and Clarke 2001).

    Args:
        table: results; or a table from ``statistics.scores`` (shares) or ``published.scores`` (points).
        series: column that tells markers of one line apart; None for "mode" where there is one.
        rows: column that makes a line.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    table = statistics.scores(table) if isinstance(table, Results) else table
    value = "score" if "score" in getattr(table, "columns", ()) else "value"
    found = columns(table, (rows, value, "low", "high"), f"{STATISTICS}.scores(results)")
    scale = 1 if value == "score" else 100
    series = series or ("mode" if "mode" in found else None)
    if series is not None and series not in found:
        raise InputError(f"series={series!r}", f"one of {', '.join(map(str, found.columns))}")
    names = list(dict.fromkeys(found[rows]))
    kinds: list[Any] = list(dict.fromkeys(found[series])) if series else [None]
    if set(kinds) <= set(MODES):
        kinds = [mode for mode in MODES if mode in kinds]
    drawn, (axes,) = panels(1, 1, width=7.6, height=1.5 + len(names) * max(0.3, 0.17 * len(kinds)))
    for number, kind in enumerate(kinds):
        one = found if kind is None else found[found[series] == kind]
        look = MODES.get(str(kind)) or SERIES[number % len(SERIES)]
        shift = 0.7 * ((len(kinds) - 1) / 2 - number) / max(1, len(kinds))
        places = [-names.index(name) + shift for name in one[rows]]
        _marks(
            axes, scale * one[[value, "low", "high"]].to_numpy(float), places, look, look.label or str(kind)
        )
    _lines(axes, names)
    axes.set_xlabel("score (%), with 95% interval")
    if len(kinds) > 1:
        drawn.legend(loc="outside lower center", ncols=min(4, len(kinds)), frameon=False, fontsize=9)
    widest = found.loc[(found["high"] - found["low"]).idxmax()]
    half = scale * (widest["high"] - widest["low"]) / 2
    many = f"{len(found)} scores" if len(found) > 1 else "One score"
    titled(drawn, f"{many}; the least certain, on {widest[rows]}, is known to {half:.1f} points either way")
    return drawn


def differences(table: pd.DataFrame, *, first: str = "first", second: str = "second") -> Figure:
    """Paired differences of two runs with their 95% intervals; filled where Holm's correction leaves them.

    Args:
        table: from ``statistics.compare``.
        first, second: names of the two runs, for the axis.

    Raises:
        InputError: as `forest`.
    """
    needed = ("benchmark", "difference", "low", "high", "p_holm", "n")
    found = columns(table, needed, f"{STATISTICS}.compare(first, second)")
    label = found["benchmark"] + (" " + found["mode"] if "mode" in found else "")
    names = [f"{name} ({n})" for name, n in zip(label, found["n"], strict=True)]
    drawn, (axes,) = panels(1, 1, width=7.6, height=1.5 + 0.34 * len(names))
    sure = (found["p_holm"] < 0.05).to_numpy()
    values, places = 100 * found[["difference", "low", "high"]].to_numpy(float), -np.arange(len(names))
    for which, look, text in (
        (sure, Look("", SURE, "o"), "p < 0.05 after Holm's correction"),
        (~sure, Look("", UNSURE, "D"), "no difference seen"),
    ):
        if which.any():
            _marks(axes, values[which], places[which], look, text, hollow=which is not sure)
    axes.axvline(0, color=INK, linewidth=0.9)
    _lines(axes, names)
    axes.set_xlabel(f"{first} minus {second} (points), paired by item, with 95% interval")
    drawn.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    up, down = (int((sure & (np.sign(values[:, 0]) == sign)).sum()) for sign in (1, -1))
    rest = len(names) - up - down
    titled(
        drawn,
        f"{first} is better than {second} on {up} of {len(names)}, worse on {down}; {rest} cannot be told",
    )
    return drawn


def mode_lens(table: pd.DataFrame) -> Figure:
    """What thinking changes: items helped and hurt, and the accuracies of the modes beside the oracle's.

    Args:
        table: results that were asked in several modes, or their ``statistics.mode_lens``.

    Raises:
        InputError: as `forest`.
    """
    needed = ("benchmark", "n", "helps", "hurts", "direct", "think", "auto", "oracle", "says")
    table = statistics.mode_lens(table) if isinstance(table, Results) else table
    found = columns(table, needed, f"{STATISTICS}.mode_lens(results)")
    names = _names(found)
    drawn, (left, right) = panels(1, 2, width=10, height=1.8 + 0.42 * len(names), sharey=True)
    places = -np.arange(len(names))
    helps, hurts = (100 * found[name] / found["n"] for name in ("helps", "hurts"))
    left.barh(places, helps, height=0.55, color="#004488", label="thinking helps")
    left.barh(places, -hurts, height=0.55, color="#DDAA33", hatch="///", edgecolor="white", label="hurts")
    left.axvline(0, color=INK, linewidth=0.9)
    for place, row in zip(places, found.itertuples(), strict=True):
        left.annotate(f"{row.helps}", (100 * row.helps / row.n, place), (4, 0), **_TEXT)
        left.annotate(f"{row.hurts}", (-100 * row.hurts / row.n, place), (-4, 0), **{**_TEXT, "ha": "right"})
    left.set_xlabel("items that change (%), thinking against direct")
    left.use_sticky_edges = False  # bars of length 0 need room for their numbers, too
    left.margins(x=0.18)
    left.xaxis.set_major_formatter(lambda x, _: f"{abs(x):g}")
    for name, look in {"direct": MODES["nothink"], "auto": MODES["auto"], "think": MODES["think"]}.items():
        _plot(right, 100 * found[name], places, look)
    _plot(right, 100 * found["oracle"], places, Look("oracle (the better of both)", INK, "|"))
    right.set_xlabel("score (%)")
    for axes in (left, right):
        _lines(axes, names)
    drawn.legend(loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    says = found["says"].value_counts()
    gap = (found["oracle"] - found["auto"]).dropna()
    text = f"Thinking helps on {says.get('helps', 0)} of {len(names)}, hurts on {says.get('hurts', 0)}"
    if len(gap):
        text += f"; choosing each item's better mode would gain up to {100 * gap.max():.0f} points over auto"
    titled(drawn, text)
    return drawn


def pareto(table: pd.DataFrame, *, unit: str = "output tokens", log: bool = True) -> Figure:
    """Accuracy against cost with 95% intervals, the front, and how often each point is on it.

    Args:
        table: results that were asked in several modes, or their ``statistics.pareto``.
        unit: of the cost, for the axis: "output tokens" or "seconds".
        log: logarithmic cost.

    Raises:
        InputError: as `forest`.
    """
    needed = ("accuracy", "low", "high", "cost", "cost_low", "cost_high", "on_front", "p_front")
    table = statistics.pareto(table) if isinstance(table, Results) else table
    found = columns(table, needed, f"{STATISTICS}.pareto(results)").sort_values("cost", ignore_index=True)
    names = _point_names(found)
    drawn, (axes,) = panels(1, 1, width=7.6, height=4.6)
    front = found[found["on_front"]]
    axes.step(front["cost"], 100 * front["accuracy"], where="post", color=FAINT, linewidth=1.2, zorder=1)
    scaled = np.log(found["cost"]) if log and (found["cost"] > 0).all() else found["cost"]
    crowded = (scaled.diff(-1).abs() < 0.3 * (scaled.max() - scaled.min())).to_numpy()
    for name, row, left in zip(names, found.to_dict("records"), crowded, strict=True):
        look = MODES.get(str(row.get("mode")), SERIES[0])
        accuracy, low, high = (100 * row[key] for key in ("accuracy", "low", "high"))
        axes.errorbar(
            row["cost"], accuracy,
            xerr=[[max(0, row["cost"] - row["cost_low"])], [max(0, row["cost_high"] - row["cost"])]],
            yerr=[[max(0, accuracy - low)], [max(0, high - accuracy)]], marker=look.marker, markersize=7,
            color=look.colour, markerfacecolor=look.colour if row["on_front"] else "white", elinewidth=1.4,
            markeredgecolor=INK, markeredgewidth=0.7, zorder=3,
        )  # fmt: skip
        axes.annotate(
            f"{name}\non the front in {100 * row['p_front']:.0f}%", (row["cost"], accuracy),
            (-8, -6) if left else (8, -6), textcoords="offset points", fontsize=8, color=INK, va="top",
            ha="right" if left else "left",
        )  # fmt: skip
    if log and (found["cost"] > 0).all():
        axes.set_xscale("log")
    axes.margins(x=0.28, y=0.2)
    plain(axes, grid="y")
    axes.set_xlabel(f"{unit} a reply (mean, 95% interval)")
    axes.set_ylabel("score (%), mean of benchmarks, 95% interval")
    sure = [name for name, p in zip(names, found["p_front"], strict=True) if p >= 0.95]
    verb = "are" if len(sure) > 1 else "is"
    titled(
        drawn, f"{_list(sure) or 'No point'} {verb} on the front in at least 95% of resamples (filled: on it)"
    )
    return drawn


def router(curve: object, gain: object = None) -> Figure:
    """Accuracy of a threshold on p_think against the share of questions that it thinks on.

    Args:
        curve: results with p_think that were asked in both modes, or their ``statistics.router_curve``.
        gain: from ``statistics.router_gain``; its held-out accuracy is marked, and the title tells its gain.
            Of results it is computed.

    Raises:
        InputError: as `forest`.
    """
    needed = ("threshold", "thinks", "accuracy", "low", "high")
    if isinstance(curve, Results):
        curve, gain = statistics.router_curve(curve), statistics.router_gain(curve) if gain is None else gain
    found = columns(curve, needed, f"{STATISTICS}.router_curve(results)")
    if "benchmark" not in found:
        found = found.assign(benchmark="all")
    names = list(dict.fromkeys(found["benchmark"]))
    across = min(3, len(names))
    down = -(-len(names) // across)
    drawn, axes = panels(down, across, width=max(5.2, 3.4 * across), height=1.1 + 2.9 * down, sharex=True)
    gained = None if gain is None else pd.DataFrame(gain).set_index("benchmark")
    for panel, name in zip(axes, names, strict=False):
        one = found[found["benchmark"] == name].sort_values("thinks")
        x = 100 * one["thinks"]
        panel.fill_between(x, 100 * one["low"], 100 * one["high"], color="#004488", alpha=0.15, linewidth=0)
        panel.plot(x, 100 * one["accuracy"], color="#004488", linewidth=1.6, label="threshold on p_think")
        ends = one.iloc[[0, -1]]
        for (_, end), mode in zip(ends.iterrows(), ("nothink", "think"), strict=True):
            _plot(panel, [100 * end["accuracy"]], [100 * end["thinks"]], MODES[mode], across=True)
        if gained is not None and name in gained.index:
            row = gained.loc[name]
            held = Look("held-out items", INK, "*")
            _plot(panel, [100 * row["routed"]], [100 * row["thinks"]], held, across=True, size=11)
        panel.set_title(name, fontsize=10, color=INK)
        panel.set_xlabel("thinks on (% of items)")
        panel.set_ylabel("score (%), 95% interval")
        plain(panel, grid="y")
    for panel in axes[len(names) :]:
        panel.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    wide = 4 if across > 1 else 2
    drawn.legend(handles, labels, loc="outside lower center", ncols=wide, frameon=False, fontsize=9)
    titled(drawn, _routed(gained, names))
    return drawn


def _routed(gained: pd.DataFrame | None, names: Sequence[str]) -> str:
    if gained is None:
        return "Accuracy of a threshold on p_think, on the items that it can be chosen on"
    sure = [n for n in names if n in gained.index and gained.at[n, "over_fixed_low"] > 0]
    best = 100 * gained["over_fixed"].max()
    text = f"On held-out items a threshold beats the better fixed mode on {len(sure)} of {len(names)}"
    return f"{text} (by up to {best:.1f} points)" if sure else f"{text} by more than its error"


# -- drawing ---------------------------------------------------------------------------------------

_TEXT: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": INK, "va": "center"}


def _marks(axes: Axes, values: Any, places: Any, look: Look, label: str, *, hollow: bool = False) -> None:
    """A marker and an interval for each row of ``[rows, (value, low, high)]``."""
    middle, low, high = values.T
    axes.errorbar(
        middle, places, xerr=[np.clip(middle - low, 0, None), np.clip(high - middle, 0, None)], linestyle="",
        marker=look.marker, markersize=5.5, color=look.colour, markeredgecolor=look.colour if hollow else INK,
        markerfacecolor="white" if hollow else look.colour, markeredgewidth=0.9 if hollow else 0.5,
        elinewidth=1.5, label=label, zorder=3,
    )  # fmt: skip


def _plot(axes: Axes, values: Any, places: Any, look: Look, *, across: bool = False, size: float = 7) -> None:
    x, y = (places, values) if across else (values, places)
    size = 13 if look.marker == "|" else size
    axes.plot(
        x, y, linestyle="", marker=look.marker, markersize=size, color=look.colour, markeredgecolor=INK,
        markeredgewidth=2 if look.marker == "|" else 0.5, label=look.label, zorder=4,
    )  # fmt: skip


def _lines(axes: Axes, names: Sequence[str]) -> None:
    """A named line for each row, from the top."""
    plain(axes)
    axes.set_yticks(-np.arange(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-len(names) + 0.4, 0.6)


def _names(found: pd.DataFrame) -> list[str]:
    """The benchmark, and the model or run where there are several."""
    more = [n for n in ("run", "model", "version", "control") if n in found and found[n].nunique() > 1]
    return [" ".join(map(str, row)) for row in found[["benchmark", *more]].to_numpy()]


def _point_names(found: pd.DataFrame) -> list[str]:
    names = [n for n in ("run", "model", "mode", "control") if n in found]
    kept = [n for n in names if found[n].nunique() > 1] or names[:1]
    if not kept:
        return [f"point {i + 1}" for i in range(len(found))]
    spoken = {mode: look.label for mode, look in MODES.items()}
    return [
        " ".join(spoken.get(str(value), str(value)) for value in row if str(value))
        for row in found[kept].to_numpy()
    ]


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


PUBLISHED = "workbench.bench.published"
OURS, OTHERS = "#BB5566", "#555555"


def rank_stability(table: pd.DataFrame, *, highlight: str = "Phi-4-reasoning-vision") -> Figure:
    """Each entry's rank by mean score, with the ranks that 95% of simulated draws give it.

    Args:
        table: from ``published.rank_stability``.
        highlight: entries whose name starts like this are told apart.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    needed = ("entry", "score", "error", "rank", "rank_low", "rank_high")
    found = columns(table, needed, f"{PUBLISHED}.rank_stability()")
    drawn, (axes,) = panels(1, 1, width=7.8, height=1.4 + 0.31 * len(found))
    places = -np.arange(len(found))
    ours = found["entry"].str.startswith(highlight).to_numpy()
    for which, colour, marker in ((ours, OURS, "s"), (~ours, OTHERS, "o")):
        one = found[which]
        spread = [one["rank"] - one["rank_low"], one["rank_high"] - one["rank"]]
        axes.errorbar(
            one["rank"], places[which], xerr=np.clip(spread, 0, None), linestyle="", marker=marker,
            markersize=6, color=colour, markeredgecolor=INK, markeredgewidth=0.5, elinewidth=3, zorder=3,
        )  # fmt: skip
    labels = [
        f"{e}  {s:.1f} ± {1.96 * x:.1f}" for e, s, x in zip(found["entry"], found["score"], found["error"])
    ]
    axes.set_yticks(places, labels, fontsize=9)
    axes.tick_params(axis="y", length=0)
    plain(axes)
    axes.set_xlim(0.4, len(found) + 0.6)
    axes.set_xticks(range(1, len(found) + 1))
    axes.set_xlabel("rank by mean score (bars: 95% of draws of the sampling error)")
    loose = int((found["rank_low"] < found["rank_high"]).sum())
    first = int((found["rank_low"] == 1).sum())
    titled(drawn, f"{loose} of {len(found)} ranks are not certain; {first} entries may be the first")
    return drawn


def four_of_ten(table: pd.DataFrame, *, highlight: str = "Phi-4-reasoning-vision-15B auto") -> Figure:
    """Ranks by the article's four benchmarks beside those by all ten, one line per entry.

    Args:
        table: from ``published.four_of_ten``.
        highlight: the entry that the others are compared with.

    Raises:
        InputError: as `rank_stability`.
    """
    needed = ("entry", "four", "ten", "rank_four", "rank_ten", "reversed")
    found = columns(table, needed, f"{PUBLISHED}.four_of_ten()")
    drawn, (axes,) = panels(1, 1, width=8.6, height=1.2 + 0.33 * len(found))
    for row in found.to_dict("records"):
        ours, turned = row["entry"] == highlight, row["reversed"]
        colour = OURS if ours else "#004488" if turned else "#aaaaaa"
        line = "-" if ours else "--" if turned else "-"
        axes.plot(
            [0, 1], [row["rank_four"], row["rank_ten"]], color=colour, linestyle=line, marker="o",
            linewidth=2.2 if ours or turned else 1.1, markersize=5, zorder=3 if ours or turned else 2,
        )  # fmt: skip
        weight = "bold" if ours or turned else "normal"
        words: dict[str, Any] = {"fontsize": 8.5, "va": "center", "color": INK, "fontweight": weight}
        axes.text(-0.03, row["rank_four"], f"{row['entry']}  {row['four']:.1f}", ha="right", **words)
        axes.text(1.03, row["rank_ten"], f"{row['ten']:.1f}  {row['entry']}", ha="left", **words)
    axes.set_xlim(-0.9, 1.9)
    axes.set_ylim(len(found) + 0.6, 0.4)
    axes.set_xticks([0, 1], ["mean of four (%)", "mean of ten (%)"])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    changed = found.loc[found["reversed"], "entry"].tolist()
    text = f"by the four and on the other by the ten{', both beyond the error' if changed else ''}"
    titled(drawn, f"{', '.join(changed) or 'No entry'} is surely on one side of {highlight} {text}")
    return drawn


def benchmark_subsets(table: pd.DataFrame) -> Figure:
    """How an entry stands by every choice of some benchmarks, and where the article's choice lies.

    Args:
        table: from ``published.subsets``.

    Raises:
        InputError: as `rank_stability`.
    """
    found = columns(table, ("over_others", "chosen", "benchmarks"), f"{PUBLISHED}.subsets()")
    drawn, (axes,) = panels(1, 1, width=7.2, height=3.4)
    axes.hist(found["over_others"], bins=24, color="#9fb4cc", edgecolor="white")
    size = len(found["benchmarks"].iloc[0])
    text = f"{len(found)} ways to choose {size} benchmarks"
    chosen = found[found["chosen"]]
    if len(chosen):
        value = float(chosen["over_others"].iloc[0])
        higher = int((found["over_others"] > value).sum())
        axes.axvline(value, color=OURS, linewidth=2)
        top = axes.get_ylim()[1]
        axes.annotate(
            "the article's four", (value, top), (-5, -4), textcoords="offset points", ha="right", va="top",
            color=OURS, fontsize=9, fontweight="bold",
        )  # fmt: skip
        text = f"Of {text}, {higher} are more favourable than the article's"
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("above the mean of the compared entries (points)")
    axes.set_ylabel("choices of benchmarks")
    plain(axes, grid="y")
    titled(drawn, text)
    return drawn


def mode_margins(table: pd.DataFrame) -> Figure:
    """Auto against each forced mode by benchmark, with the unpaired 95% error.

    Args:
        table: from ``published.modes``.

    Raises:
        InputError: as `rank_stability`.
    """
    needed = ("benchmark", "over_think", "over_think_error", "over_nothink", "over_nothink_error")
    found = columns(table, needed, f"{PUBLISHED}.modes()")
    drawn, (axes,) = panels(1, 1, width=7.6, height=1.8 + 0.36 * len(found))
    sure = 0
    for shift, forced in ((0.15, "think"), (-0.15, "nothink")):
        value, error = found[f"over_{forced}"], found[f"over_{forced}_error"]
        sure += int((value.abs() > error).sum())
        look = MODES[forced]
        axes.errorbar(
            value, -np.arange(len(found)) + shift, xerr=error, linestyle="", marker=look.marker, markersize=6,
            color=look.colour, markeredgecolor=INK, markeredgewidth=0.5, elinewidth=1.6,
            label=f"auto minus forced {'thinking' if forced == 'think' else 'direct answers'}", zorder=3,
        )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_yticks(-np.arange(len(found)), found["benchmark"])
    axes.tick_params(axis="y", length=0)
    plain(axes)
    axes.set_xlabel("difference (points), with unpaired 95% error: too long rather than too short")
    drawn.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    titled(drawn, f"{sure} of {2 * len(found)} differences between auto and a forced mode exceed their error")
    return drawn
