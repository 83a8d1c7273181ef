"""Ablations in figures: responses to data mixtures, and recorded studies with every run a dot.

Intervals of 95% stand at each mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..ablate.studies import interval
from ..errors import InputError
from .style import FAINT, INK, MODES, SERIES, Figure, Look, columns, panels, plain, titled

__all__ = [
    "agreement",
    "learning_curve",
    "published_mixtures",
    "runs_by_amount",
    "runs_by_kind",
    "slices",
    "triangle",
]


#: One look a method in every figure.
LOOKS = dict(zip(("ridge", "log-ridge", "quadratic", "LightGBM", "Gaussian process", "exponential"), SERIES))


def published_mixtures(scores: object) -> Figure:
    """The published mixture table with error bars, one panel per benchmark, mixtures by their records.

    Args:
        scores: the second part of ``ablate.published_response()``.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    needed = ("name", "benchmark", "score", "low", "high", "error")
    found = columns(scores, needed, "workbench.ablate.published_response()[1]")
    names = list(dict.fromkeys(found["benchmark"]))
    drawn, axes = panels(1, len(names), width=3.1 * len(names), height=3.3, sharey=True)
    told = []
    for place, name in zip(axes, names):
        one = found[found["benchmark"] == name].reset_index(drop=True)
        spread = [one["score"] - one["low"], one["high"] - one["score"]]
        place.errorbar(
            one["score"], -np.arange(len(one)), xerr=np.clip(spread, 0, None), linestyle="", marker="o",
            markersize=6, color="#004488", markeredgecolor=INK, markeredgewidth=0.5, elinewidth=1.8, zorder=3,
        )  # fmt: skip
        place.axvline(one["score"].mean(), color=FAINT, linewidth=0.9, linestyle=":")
        place.set_xlabel(f"{name} (%)")
        plain(place)
        pairs = [(a, b) for a in range(len(one)) for b in range(a)]
        gap = 1.96 * np.hypot(*(one["error"].to_numpy()[list(side)] for side in zip(*pairs))) if pairs else []
        apart = [abs(one["score"][a] - one["score"][b]) > g for (a, b), g in zip(pairs, gap)]
        told.append(f"{name} {int(np.sum(apart))} of {len(pairs)}")
    one = found[found["benchmark"] == names[0]]
    axes[0].set_yticks(-np.arange(len(one)), [_counts(row) for row in one.to_dict("records")], fontsize=8.5)
    titled(drawn, f"Pairs of mixtures apart by more than the items' error: {', '.join(told)}; one run a row")
    return drawn


def _counts(row: Mapping[str, Any]) -> str:
    parts = [f"{row[d] / 1000:.0f}k" for d in ("general", "maths", "computer_use") if d in row]
    return f"{row['name']}: {' / '.join(parts)}" if parts else str(row["name"])


def learning_curve(curve: object) -> Figure:
    """Rank correlation with unseen runs by the number of training runs, one line per method.

    Args:
        curve: from ``ablate.learning_curve``, or ``regmix.recorded()["curve"]``.

    Raises:
        InputError: as `published_mixtures`.
    """
    found = columns(curve, ("method", "runs", "spearman"), "workbench.ablate.learning_curve(...)")
    if "least" not in found:
        found = found.groupby(["method", "runs"], sort=False, as_index=False).agg(
            spearman=("spearman", "mean"), least=("spearman", "min"), most=("spearman", "max")
        )
    drawn, (axes,) = panels(1, 1, width=7.2, height=3.9)
    names = list(dict.fromkeys(found["method"]))
    for number, name in enumerate(names):
        one, look = found[found["method"] == name].sort_values("runs"), LOOKS.get(name, SERIES[5])
        at = one["runs"] * 1.025 ** (number - (len(names) - 1) / 2)  # beside each other, not on top
        spread = [one["spearman"] - one["least"], one["most"] - one["spearman"]]
        axes.errorbar(
            at, one["spearman"], yerr=np.clip(spread, 0, None), label=name, color=look.colour,
            marker=look.marker, linestyle=look.line, markersize=6, linewidth=1.6, elinewidth=1,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    sizes = sorted(set(found["runs"]))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("training runs")
    axes.set_ylabel("Spearman, unseen runs\n(bars: least and most of the repeats)")
    plain(axes, grid="y")
    drawn.legend(loc="outside right center", frameon=False, fontsize=9)
    last = found[found["runs"] == sizes[-1]].set_index("method")["spearman"]
    best = last.idxmax()
    enough = found[(found["method"] == best) & (found["spearman"] >= last[best] - 0.01)]["runs"].min()
    titled(
        drawn,
        f"With {sizes[-1]} runs {best} ranks best ({last[best]:.3f}), {last.idxmin()} worst "
        f"({last.min():.3f}); {best} is within 0.01 of that from {enough} runs on",
    )
    return drawn


def slices(
    fits: Any, *, domains: Sequence[str] | None = None, centre: Any = None, level: float = 0.95
) -> Figure:
    """What each fit says as one domain's share grows and the others keep their proportions.

    The band is the interval of the first fit's surface; the dotted lines are where a new run should fall.

    Args:
        fits: a ``Response``, or several of the same runs (``agreement.fits``).
        domains: which to draw; None: the four whose share in the runs varies most.
        centre: shares to start from; None: the mean of the runs.

    Raises:
        InputError: for a domain that is not there, or fits of other domains.
    """
    many = list(fits.values()) if isinstance(fits, Mapping) else fits if isinstance(fits, list) else [fits]
    first = many[0]
    if any(one.domains != first.domains for one in many):
        raise InputError("fits of other domains", "fits of the same runs")
    shares = first.shares
    shown = list(domains) if domains is not None else list(shares.std().nlargest(4).index)
    if unknown := [name for name in shown if name not in first.domains]:
        raise InputError(f"domains name {unknown[0]!r}", f"some of {', '.join(first.domains)}")
    middle = pd.Series(dict(centre))[list(first.domains)] if centre is not None else shares.mean()
    drawn, axes = panels(1, len(shown), width=1.2 + 2.5 * len(shown), height=3.5, sharey=True)
    moves = []
    for place, domain in zip(axes, shown):
        path = _path(middle, domain, float(shares[domain].min()), float(shares[domain].max()))
        band = first.interval(path, level=level)
        x = 100 * path[domain]
        place.fill_between(x, band["low"], band["high"], color="#cdd8e6", zorder=1)
        for edge in ("run_low", "run_high"):
            place.plot(x, band[edge], color=FAINT, linewidth=0.9, linestyle=":", zorder=2)
        for one in many:
            look = LOOKS[one.method]
            place.plot(
                x, one.predict(path), color=look.colour, linestyle=look.line, linewidth=1.8, label=one.method
            )
        place.axvline(100 * middle[domain], color=FAINT, linewidth=0.8)
        place.set_xlabel(f"{domain} (%)")
        plain(place, grid="y")
        told = first.predict(path)
        better = (first.sign * told).idxmax()
        moves.append(f"{domain} {path.loc[better, domain]:.0%}")
    axes[0].set_ylabel(str(first.metric.name))
    handles, labels = axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    titled(drawn, f"Alone, each domain is best at: {', '.join(moves)} ({first.method}; band: {level:.0%})")
    return drawn


def _path(middle: pd.Series, domain: str, low: float, high: float, points: int = 41) -> pd.DataFrame:
    """Mixtures in which one domain grows and the others share the rest as they do in the middle."""
    at = np.linspace(low, high, points)
    rest = middle.drop(domain)
    rest = rest / rest.sum() if rest.sum() > 0 else rest * 0 + 1 / len(rest)
    path = pd.DataFrame(np.outer(1 - at, rest), columns=rest.index)
    return path.assign(**{domain: at})[list(middle.index)]


def triangle(response: Any, *, best: Any = None, point: Any = None) -> Figure:
    """A response to three domains over their triangle: heights, runs, optimum with its region, next run.

    Args:
        response: a ``Response`` to three domains.
        best: its ``optimum()``; its refits are shown as its region.
        point: its ``next_point()``.

    Raises:
        InputError: for a response to more or fewer than three domains.
    """
    if len(response.domains) != 3:
        raise InputError(f"a response to {len(response.domains)} domains", "three", "use viz.slices")
    drawn, (axes,) = panels(1, 1, width=7.4, height=5.2)
    grid = _lattice(44)
    told = response.predict(pd.DataFrame(grid, columns=list(response.domains)))
    filled = axes.tricontourf(*_flat(grid), told, levels=12, cmap="cividis")
    bar = drawn.colorbar(filled, ax=axes, shrink=0.8)
    bar.set_label(f"{response.metric.name}, predicted by {response.method}", fontsize=9)
    axes.plot(
        *_flat(response.shares.to_numpy()),
        "o",
        color="white",
        markeredgecolor=INK,
        markersize=5,
        label="runs",
    )
    text = "Predicted by " + response.method
    if best is not None:
        if len(best.refits):
            axes.plot(
                *_flat(best.refits.to_numpy()), ".", color="#BB5566", markersize=4, label="optimum of refits"
            )
        at = _flat(best.shares.to_numpy()[None])
        axes.plot(*at, "*", color="#BB5566", markeredgecolor="white", markersize=17, label="optimum")
        top = best.shares.idxmax()
        edge = best.region.loc[top]
        told_edge = f" ({edge['low']:.0%} to {edge['high']:.0%})" if np.isfinite(edge["low"]) else ""
        text = (
            f"Best mixture by {response.method}: {top} {edge['share']:.0%}{told_edge}, beats the best run in "
        )
        text += f"{best.sure:.0%} of refits" if np.isfinite(best.sure) else "no tested number of refits"
    if point is not None:
        at = _flat(point.shares.to_numpy()[None])
        axes.plot(*at, "X", color="#DDAA33", markeredgecolor=INK, markersize=11, label="next run")
    _corners(axes, response.domains)
    drawn.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    titled(drawn, text)
    return drawn


def _lattice(steps: int) -> np.ndarray:
    return np.array([(i, k, steps - i - k) for i in range(steps + 1) for k in range(steps + 1 - i)]) / steps


def _flat(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares ``[points, 3]`` in the plane: first domain left, second right, third on top."""
    return shares[:, 1] + shares[:, 2] / 2, shares[:, 2] * np.sqrt(3) / 2


def _corners(axes: Axes, domains: Sequence[str]) -> None:
    axes.plot([0, 1, 0.5, 0], [0, 0, np.sqrt(3) / 2, 0], color=INK, linewidth=0.9)
    for name, x, y, side in zip(domains, (0.0, 1.0, 0.5), (-0.03, -0.03, 0.89), ("top", "top", "bottom")):
        axes.text(x, y, f"only {name}", ha="center", va=side, fontsize=9, color=INK)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_xlim(-0.15, 1.15)


def agreement(found: object, *, most: int = 6) -> Figure:
    """Where each method puts the best mixture, and how alike the methods rank mixtures.

    Args:
        found: from ``ablate.agreement``.
        most: domains that are shown, by their largest share in any optimum.

    Raises:
        InputError: for anything else.
    """
    if not hasattr(found, "optima") or not hasattr(found, "ranks"):
        raise InputError(
            f"{type(found).__name__}", "an Agreement", "workbench.ablate.agreement(shares, metric)"
        )
    names, shown = list(found.optima.index), list(found.optima.max().nlargest(most).index)
    drawn, (left, right) = panels(1, 2, width=10.4, height=1.9 + 0.42 * len(shown), width_ratios=[3, 2])
    for number, name in enumerate(names):
        look = LOOKS[name]
        at = -np.arange(len(shown)) - 0.13 * (number - (len(names) - 1) / 2)
        left.plot(100 * found.optima.loc[name, shown], at, look.marker, color=look.colour, markersize=7,
                  markeredgecolor=INK, markeredgewidth=0.5, label=name)  # fmt: skip
    left.set_yticks(-np.arange(len(shown)), shown)
    left.set_xlabel("share in the best mixture (%)")
    plain(left)
    grid = found.ranks.to_numpy()
    right.imshow(grid, cmap="cividis", vmin=min(0.0, grid.min()), vmax=1)
    for i in range(len(names)):
        for k in range(len(names)):
            colour = "white" if grid[i, k] < 0.6 else INK
            right.text(k, i, f"{grid[i, k]:.2f}", ha="center", va="center", fontsize=8.5, color=colour)
    right.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8.5)
    right.set_yticks(range(len(names)), names, fontsize=8.5)
    right.set_title("Spearman of predictions over mixtures", fontsize=9)
    told = left.get_legend_handles_labels()
    drawn.legend(*told, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    apart = (found.optima.max() - found.optima.min()).sort_values(ascending=False)
    pairs = grid[np.triu_indices(len(names), k=1)]
    titled(
        drawn,
        f"The fits' rankings correlate by {pairs.min():.2f} to {pairs.max():.2f}; their best mixtures hold "
        f"{apart.index[0]} at "
        f"{found.optima[apart.index[0]].min():.0%} to {found.optima[apart.index[0]].max():.0%}",
    )
    return drawn


MADE_BY = "workbench.ablate.studies.per_run(...)"


def runs_by_amount(
    values: object, x: str, *, value: str, line: str, label: str, title: str, panel: str = ""
) -> Figure:
    """A quantity that grows: each run a dot, a line through the means, bars for their 95% interval.

    Lines stand a little beside one another, so that their intervals can be told apart.

    Args:
        values: from `per_run`.
        x: column of the quantity.
        value: column of what was measured, a share.
        line: column that tells the lines apart, such as "mode".
        label: of the x axis, with its unit.
        title: the finding.
        panel: column that tells the panels apart; none draws one.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    needed = [name for name in (x, value, line, panel) if name]
    found = columns(values, needed, MADE_BY)
    names = list(dict.fromkeys(found[panel])) if panel else [""]
    kinds = list(dict.fromkeys(found[line]))
    beside = _beside(found[x], len(kinds))
    drawn, axes = panels(1, len(names), width=2.2 + 2.6 * len(names), height=3.4, sharey=True)
    for place, name in zip(axes, names):
        rows = found[found[panel] == name] if panel else found
        for number, kind in enumerate(kinds):
            one = rows[rows[line] == kind].sort_values(x)
            if one.empty:
                continue
            look = _look(str(kind), number)
            groups = [(at + beside[number], _shares(group[value])) for at, group in one.groupby(x)]
            place.plot(
                one[x] + beside[number], one[value], linestyle="", marker=".", color=look.colour, alpha=0.5
            )
            _bars(place, [at for at, _ in groups], [made for _, made in groups], look)
        place.set_xlabel(label)
        place.set_title(str(name), fontsize=10, color=INK)
        plain(place, grid="y")
    _share(axes[0], value)
    handles, texts = axes[0].get_legend_handles_labels()
    drawn.legend(handles, texts, loc="outside right center", frameon=False, fontsize=9)
    titled(drawn, title)
    return drawn


def runs_by_kind(
    values: object, kind: str, *, value: str, panel: str, title: str, order: Sequence[Any] = ()
) -> Figure:
    """Kinds of runs below each other, a panel each for another column: dots, mean and 95% interval.

    Args:
        values: from `per_run`.
        kind: column of the kinds.
        value: column of what was measured, a share.
        panel: column that tells the panels apart, such as "domain".
        title: the finding.
        order: of the kinds; that of the table by default.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    found = columns(values, [kind, value, panel], MADE_BY)
    names = list(order) or list(dict.fromkeys(found[kind]))
    parts = list(dict.fromkeys(found[panel]))
    height = 1.2 + 0.34 * len(names)
    drawn, axes = panels(1, len(parts), width=2.0 + 2.6 * len(parts), height=height, sharex=True, sharey=True)
    for place, part in zip(axes, parts):
        look = _look(str(part), 0)  # a panel's own colour would stand for a difference
        for at, name in enumerate(names):
            runs = found[(found[panel] == part) & (found[kind] == name)][value]
            if runs.empty:
                continue
            mean, low, high = _shares(runs)
            place.plot(runs, [-at] * len(runs), linestyle="", marker=".", color=look.colour, alpha=0.5)
            spread = [[mean - low], [high - mean]] if np.isfinite(low) else None
            place.errorbar(
                [mean], [-at], xerr=spread, color=look.colour, marker=look.marker, markersize=6,
                markeredgecolor=INK, markeredgewidth=0.5, elinewidth=1.6,
            )  # fmt: skip
        place.set_title(look.label, fontsize=10, color=INK)
        place.xaxis.set_major_formatter("{x:.0%}")
        place.set_xlabel(value)
        plain(place)
    axes[0].set_yticks([-at for at in range(len(names))], [str(name) for name in names], fontsize=9)
    titled(drawn, title)
    return drawn


def _shares(runs: object) -> tuple[float, float, float]:
    """Mean of some shares and its interval, which is drawn only as far as shares go."""
    mean, low, high = interval(runs)
    return (mean, max(0.0, low), min(1.0, high)) if np.isfinite(low) else (mean, low, high)


def _beside(amounts: pd.Series, lines: int) -> np.ndarray:
    """How far each line is moved along x, of which the next amount leaves room for all: ``[lines]``."""
    there = np.unique(amounts.to_numpy(dtype=float))
    gap = float(np.diff(there).min()) if len(there) > 1 else 1.0
    return (np.arange(lines) - (lines - 1) / 2) * min(0.12 * gap, 0.4 * gap / lines)


def _look(name: str, number: int) -> Look:
    return MODES.get(name) or replace(SERIES[number % len(SERIES)], label=name)


def _bars(place: Any, at: list[Any], made: list[tuple[float, float, float]], look: Look) -> None:
    mean, low, high = (np.array(part) for part in zip(*made))
    spread = np.where(np.isfinite([mean - low, high - mean]), [mean - low, high - mean], 0)
    place.errorbar(
        at, mean, yerr=spread, label=look.label, color=look.colour, marker=look.marker,
        linestyle=look.line, markersize=6, linewidth=1.6, elinewidth=1.2,
    )  # fmt: skip


def _share(axes: Any, value: str) -> None:
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel(value)
