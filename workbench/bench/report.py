"""`report`: results as one HTML file that opens without a network: scores, modes, costs, failures"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import local_path, write_bytes, writing
from ..html import Markup, page
from ..html import table as html_table
from ..names import verb
from .cases import MARKS, MODES, SCRIPT, STYLE, browser_html, cases
from .results import Results
from .statistics import efficiency, mode_lens, pareto, scores

__all__ = ["report"]

FAILURES = 100  # items with pictures, unless asked otherwise


@verb(resamples="n_resamples")
def report(
    results: Results,
    path: str | Path,
    *,
    title: str = "Benchmark report",
    failures: int = FAILURES,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Path:
    """Write results as one HTML file: scores with intervals, the three-mode lens, costs, and failures.

    Nothing in it is fetched: pictures are inside, and its content security policy forbids the rest.  All text
    of models and benchmarks is escaped.

    Args:
        results: of runs or imported logs; several are told apart by their ``run``.
        path: of the file; replaced if it is there.
        title: of the page.
        failures: most items to show with their pictures.
        n_resamples, seed: of the bootstraps.

    Returns:
        The path.

    Raises:
        InputError: for results without rows.

    Example:
        >>> report(results, "report.html")  # doctest: +SKIP
    """
    if not len(results):
        raise InputError("results without rows", "at least one reply")
    options = {"n_resamples": n_resamples, "seed": seed}
    parts = [f"<h1>{escape(title)}</h1>", _facts(results), _warnings(results)]
    tested = [("Do answers follow their thoughts?", _thoughts)] if "thoughts" in results.about else []
    for heading, make in (*SECTIONS, *tested):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unscored rows are counted in the results' own warnings
            parts.append(f"<h2>{escape(heading)}</h2>" + _section(make, results, options))
    parts.append(_failures(results, failures))
    target = local_path(path)
    with writing(path):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, page(title, "".join(parts), style=STYLE, script=SCRIPT).encode("utf-8", "replace"))
    return target


def _section(make: Callable[..., str], results: Results, options: Mapping[str, Any]) -> str:
    try:
        return make(results, options)
    except InputError as error:  # one mode only, or no row with a score: said in its place
        return f"<p class=note>{escape(str(error))}</p>"


def _facts(results: Results) -> str:
    table = results.table
    about = results.about.get("settings") or {}
    settings = ", ".join(f"{name} {value}" for name, value in about.items() if value is not None)
    days = sorted(day[:10] for day in table["created"] if day)
    counted = ", ".join(f"{n} {mode}" for mode, n in table["mode"].value_counts().items())
    rows = [
        ("models", ", ".join(table["model"].unique())),
        ("benchmarks", ", ".join(f"{n} ({v})" for n, v in _versions(table))),
        ("rows", f"{len(table)} ({counted})"),
        ("protocol", results.protocol),
        ("settings", settings or "unknown"),
        ("replies from", f"{days[0]} to {days[-1]}" if days else "unknown"),
    ]
    return _table(("", ""), [(name, Markup(escape(text))) for name, text in rows])


def _versions(table: pd.DataFrame) -> list[tuple[str, str]]:
    pairs = table[["benchmark", "version"]].drop_duplicates().itertuples(index=False)
    return [(name, version or "version unknown") for name, version in pairs][:40]


def _warnings(results: Results) -> str:
    if not results.warnings:
        return ""
    return "<ul class=warnings>" + "".join(f"<li>{escape(text)}</li>" for text in results.warnings) + "</ul>"


def _scores(results: Results, options: Mapping[str, Any]) -> str:
    table = scores(results, **options)
    named = _telling(table, "benchmark", "mode")
    rows = []
    for row in table.to_dict("records"):
        interval = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        told = [row["n"], row["clusters"], _percent(row["value"]), interval, Markup(_bar(row))]
        rows.append([*_named(row, named), *told])
    head = [*named, "items", "clusters", "score, %", "95% interval", "0 to 100"]
    note = "Intervals are clustered where items share a picture or a problem (Miller 2024), else Wilson's."
    return _table(head, rows) + f"<p class=note>{note}</p>"


def _bar(row: Mapping[str, Any]) -> str:
    colour = MARKS.get(row.get("mode", ""), "#555555")
    low, high, at = (200 * row[name] + 5 for name in ("low", "high", "value"))
    return (
        '<svg width="210" height="14" role="img"><line x1="5" x2="205" y1="7" y2="7" stroke="#ddd"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7" stroke="{colour}" stroke-width="3"/>'
        f'<circle cx="{at:.1f}" cy="7" r="4" fill="{colour}"/></svg>'
    )


def _lens(results: Results, options: Mapping[str, Any]) -> str:
    table = mode_lens(_seeing(results), **options)
    names = _telling(table, "benchmark")
    rows = []
    for row in table.to_dict("records"):
        gain = f"{100 * row['gain']:+.1f} ({100 * row['gain_low']:+.1f} to {100 * row['gain_high']:+.1f})"
        choice = "-" if math.isnan(row["mcc"]) else f"{row['mcc']:.2f}"
        shares = [_percent(row[name]) for name in ("direct", "think")]
        after = [_percent(row[name]) for name in ("auto", "oracle", "gap")]
        helped = f"{row['helps']:.0f} / {row['hurts']:.0f}"
        rows.append([*(row[name] for name in names), *shares, gain, row["says"], helped, *after, choice])
    head = [*names, "direct", "thinking", "gain, points (95%)", "after Holm", "helped / hurt items"]
    head += ["auto", "oracle", "oracle - auto", "choice, MCC"]
    note = (
        "The oracle takes the better reply of each item; no router reaches it. MCC: whether the model opened "
        "a thought of its own accord where thinking helps (1: always and only there; 0: as by chance)."
    )
    return _table(head, rows) + f"<p class=note>{note}</p>"


def _telling(table: pd.DataFrame, *always: str) -> list[str]:
    """Columns that name a row, without those that are the same everywhere."""
    names = [n for n in ("run", "model", "source", "benchmark", "control", "mode") if n in table]
    return [name for name in names if name in always or table[name].nunique() > 1]


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _costs(results: Results, options: Mapping[str, Any]) -> str:
    """All runs in one plane where they share items, else a plane a run."""
    seen = _seeing(results)
    try:
        return _cost(seen, options)
    except InputError:
        runs = list(dict.fromkeys(seen.table["run"]))
        if len(runs) < 2:
            raise
    each = [f"<h3>{escape(run)}</h3>{_cost(seen.where(run=run), options)}" for run in runs]
    return "<p class=note>These runs share no items: each has its own front.</p>" + "".join(each)


def _cost(seen: Results, options: Mapping[str, Any]) -> str:
    table = pareto(seen, cost="tokens", **options)
    names = _telling(table, "mode")
    rows = []
    for row in table.to_dict("records"):
        score = f"{_percent(row['accuracy'])} ({_percent(row['low'])} to {_percent(row['high'])})"
        cost = f"{row['cost']:.1f} ({row['cost_low']:.1f} to {row['cost_high']:.1f})"
        rows.append([*_named(row, names), score, cost, f"{row['p_front']:.2f}"])
    head = [*names, "mean score, % (95%)", "output tokens a reply (95%)", "probability to be on the front"]
    each = efficiency(seen, **options)
    cells = _telling(each, "benchmark", "mode")
    worth = []
    for row in each.to_dict("records"):
        per_1000 = f"{row['per_1000']:.1f} ({row['low']:.1f} to {row['high']:.1f})"
        worth.append([*_named(row, cells), per_1000, f"{row['tokens']:.1f}"])
    per = _table([*cells, "right answers per 1000 output tokens (95%)", "output tokens a reply"], worth)
    return _plane(table) + _table(head, rows) + f"<details><summary>by benchmark</summary>{per}</details>"


def _thoughts(results: Results, options: Mapping[str, Any]) -> str:
    """What `workbench.interpret.thought_faithfulness` found on the replies."""
    found = results.about["thoughts"]
    shares = ("same", "thought", "picture", "both", "neither")
    rows = []
    for row in found["tests"]:
        interval = f"{100 * row['low']:.0f} to {100 * row['high']:.0f}"
        told = [row["test"], row["questions"], row["trials"], *(f"{100 * row[name]:.0f}" for name in shares)]
        rows.append([*told, interval, "-" if row["p_holm"] is None else f"{row['p_holm']:.2g}"])
    head = ["test", "questions", "trials", *(f"{name}, %" for name in shares), "thought, 95%", "p (Holm)"]
    return f"<p class=note>{escape(found['verdict'])}</p>" + (_table(head, rows) if rows else "")


def _named(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [MODES.get(row[name], row[name]) if name == "mode" else (row[name] or "-") for name in names]


def _plane(table: pd.DataFrame) -> str:
    """Accuracy against output tokens, a cross of intervals a point."""
    most = 1.05 * float(table["cost_high"].max()) or 1.0
    marks = ""
    for row in table.to_dict("records"):
        colour = MARKS.get(row.get("mode", ""), "#555555")
        x, left, right = (60 + 500 * row[name] / most for name in ("cost", "cost_low", "cost_high"))
        y, below, above = (210 - 190 * row[name] for name in ("accuracy", "low", "high"))
        label = escape(" ".join(_named(row, _telling(table, "mode"))))
        marks += (
            f'<path d="M{left:.1f} {y:.1f}H{right:.1f}M{x:.1f} {below:.1f}V{above:.1f}" stroke="{colour}"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour if row["on_front"] else "#fff"}" '
            f'stroke="{colour}"/><text x="{x + 9:.1f}" y="{y - 6:.1f}">{label}</text>'
        )
    ticks = "".join(
        f'<text x="52" y="{214 - 190 * s / 100}" text-anchor="end">{s}</text>' for s in (0, 50, 100)
    )
    ends = f'<text x="60" y="228">0</text><text x="560" y="228" text-anchor="end">{most:.0f}</text>'
    names = '<text x="310" y="240" text-anchor="middle">output tokens a reply</text>'
    names += '<text transform="translate(16 115) rotate(-90)" text-anchor="middle">mean score, %</text>'
    axes = '<path d="M60 20V210H560" stroke="#666" fill="none"/>'
    style = 'style="font:12px system-ui,sans-serif" fill="#222"'
    told = "Filled: on the front of accuracy against output tokens. Bars: 95% intervals."
    if left_out := int(table["left_out"].max()):
        told += f" {left_out} items that not every point answered are left out."
    inside = f"{axes}{ticks}{ends}{names}{marks}"
    return f'<svg width="640" height="246" role="img" {style}>{inside}</svg><p class=note>{told}</p>'


def _seeing(results: Results) -> Results:
    """Without the controls that withhold the picture."""
    return results.where(control="")


SECTIONS = (("Scores", _scores), ("What thinking changes", _lens), ("What it costs", _costs))


def _failures(results: Results, most: int) -> str:
    found = cases(results, pattern="any wrong", sort="spread")
    shown = found[:most]
    told = f"{len(found)} items are wrong in at least one mode"
    told += f"; {len(shown)} of them are here, those on which the modes differ first." if shown else "."
    return f"<h2>Failures</h2><p class=note>{escape(told)}</p>" + browser_html(results, shown)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return f"<div class=scroll>{html_table(header, rows)}</div>"
