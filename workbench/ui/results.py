"""Results to explore: accuracy against cost with brushing, the modes item by item, failures at a click"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from ..bench import statistics
from ..bench.cases import CASE_STYLE, MARKS, MODES, Case, case_html, cases
from ..bench.results import Results
from ..errors import InputError
from ..html import frame, page, table
from ..html import text as html_text
from ..viz import style
from .widget import HasStatic, asset, in_words, write

__all__ = ["COSTS", "FAILURES", "WHICH", "ResultsExplorer"]


COSTS = {"tokens": "output tokens", "seconds": "seconds"}
"""What accuracy is drawn against, where it is known."""

WHICH = ("wrong", "won", "lost", "both right", "both wrong", "missed", "all")
"""Which items are listed: wrong in a mode that is shown; won or lost by thinking; alike in both forced modes;
those on which auto scores below the better forced mode; all."""

FAILURES = 100  # items whose pictures and replies a saved page carries

MEAN = "mean of benchmarks"
SPLITS = ("run", "mode")  # what names a point of one benchmark


class ResultsExplorer(HasStatic, anywidget.AnyWidget):
    """Accuracy against cost, one point for each run, mode and benchmark; brush it, and click a point.

    Brushing the plane leaves the points of a range in the table, the three-mode lens and the list of items.
    Clicking a point lists its failures; clicking a count of the lens lists the items that thinking won or
    lost.  An item shows its pictures, the gold answer and the replies of all modes.  Replies to withheld
    pictures are left out.

    Args:
        results: of a run or an imported log; several as ``first + second``, told apart by their ``run``.
        n_resamples, seed: of the bootstraps behind the intervals.

    Attributes:
        points: one row per point and kind of cost, as of `workbench.bench.pareto` with ``of`` (the kind of
            cost), ``run``, ``benchmark`` and ``mode``.
        lens: what thinking changes in each run and benchmark, as of `workbench.bench.mode_lens`.

    Raises:
        InputError: for anything but results, and for results without a scored reply whose tokens or seconds
            are known.

    Example:
        >>> ResultsExplorer(bench.run(vlm, "suite"))  # doctest: +SKIP
    """

    _esm = asset("dom.js") + asset("sources.js") + asset("results.js")
    _css = asset("explorer.css") + asset("results.css") + CASE_STYLE
    info = traitlets.Dict().tag(sync=True)
    cost = traitlets.Unicode().tag(sync=True)
    benchmark = traitlets.Unicode("").tag(sync=True)
    brush = traitlets.List(traitlets.Float(), allow_none=True, default_value=None).tag(sync=True)
    point = traitlets.Int(None, allow_none=True).tag(sync=True)
    group = traitlets.Int(None, allow_none=True).tag(sync=True)
    which = traitlets.Unicode("wrong").tag(sync=True)

    def __init__(self, results: Results, *, n_resamples: int = 1000, seed: int = 0) -> None:
        self._results, notes = _seen(style.record(results, Results, "workbench.bench.run(vlm, tasks)"))
        rows = self._results.frame()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unscored rows are counted in the results' own warnings
            self.points = _points(rows, n_resamples=n_resamples, seed=seed)
            self.lens = _lens(rows, n_resamples=n_resamples, seed=seed)
        groups = rows[["run", "benchmark"]].drop_duplicates(ignore_index=True)
        self._lines = _lines(rows, groups)
        self._cases = _by_line(self._results, self._lines, groups)
        super().__init__(info=self._told(groups, notes), cost=self.points["of"].iloc[0])
        self.on_msg(self._heard)

    def static(self) -> str:
        """The finding, the points and the lens as tables that need no kernel."""
        told = [point for point in self.info["points"] if point["of"] == self.cost]
        head = ("point", "items", "score, % (95%)", f"{COSTS[self.cost]} a reply (95%)", "on the front")
        rows = [(one["name"], one["n"], *_intervals(one), f"{one['p_front']:.0%}") for one in told]
        parts = [f"<p>{html_text(self.info['headlines'][self.cost])}</p>", table(head, rows)]
        if self.info["lens"]:
            columns = ("benchmark", "items", "thinking wins", "loses", "gain, points (95%)", "after Holm")
            lens = [
                (one["name"], one["n"], one["helps"], one["hurts"], _gain(one), one["says"])
                for one in self.info["lens"]
            ]
            parts.append(table(columns, lens))
        return frame("".join(parts) + "".join(f"<p>{html_text(note)}</p>" for note in self.info["notes"]))

    def save_html(self, path: str | Path, *, failures: int = FAILURES) -> Path:
        """Save it as one file that works offline, brush, lens and items.

        Args:
            path: of the file; replaced if it is there.
            failures: most items whose pictures and replies are in the page; those on which the modes differ
                come first, of every run and benchmark in turn.

        Raises:
            DiskError: if it cannot be written there.
        """
        carried = self._carried(failures)
        names = ("info", "cost", "benchmark", "brush", "point", "group", "which")
        data = {
            "state": {name: getattr(self, name) for name in names},
            "lines": self._lines,
            "cards": {number: self._card(number) for number in carried},
        }
        # "<" is written as an escape, so that no text can end the element that holds it
        told = json.dumps(data).replace("<", "\\u003c")
        module = str(self._esm).replace("export default { render };", "").replace("export ", "")
        look = f"{self._css}\nbody {{ background: Canvas; color: CanvasText; color-scheme: light dark; }}"
        script = f"{{ {module}\nopen(document.getElementById('here'), {told}); }}"
        return write(path, page("Results", '<div id="here"></div>', style=look, script=script))

    # -- inside ----------------------------------------------------------------------------------

    def _told(self, groups: pd.DataFrame, notes: Sequence[str]) -> dict[str, Any]:
        """What a view shows before it asks for items."""
        keys = list(groups.itertuples(index=False, name=None))
        several = groups["run"].nunique() > 1, groups["benchmark"].nunique() > 1
        ids: dict[tuple[str, ...], int] = {}  # the same point has one number, whatever it costs
        points = []
        for one in self.points.to_dict("records"):
            run, benchmark, mode = (one[name] for name in ("run", "benchmark", "mode"))
            parts = [benchmark] * several[1] + [run] * several[0] + [MODES[mode]]
            of = [at for at, key in enumerate(keys) if key[0] == run and benchmark in (key[1], MEAN)]
            told = {"id": ids.setdefault((run, benchmark, mode), len(ids)), "name": ", ".join(parts)}
            told["label"] = ", ".join(parts[:-1] or parts)  # the mode is seen by shape and colour
            points.append({**_plain(one), **told, "groups": of})
        lens = [
            {**_plain(one), "group": keys.index((one["run"], one["benchmark"])), "name": _name(one, several)}
            for one in self.lens.to_dict("records")
        ]
        return {
            "points": points,
            "lens": sorted(lens, key=lambda one: one["group"]),
            "costs": {name: COSTS[name] for name in dict.fromkeys(self.points["of"])},
            "benchmarks": list(dict.fromkeys(self.points["benchmark"])),
            "modes": {mode: {"label": MODES[mode], "colour": MARKS[mode]} for mode in MODES},
            "groups": [_name({"run": run, "benchmark": name}, several) for run, name in keys],
            "headlines": {name: self._headline(name) for name in dict.fromkeys(self.points["of"])},
            "notes": [*notes, *_unplaced(self._results.table, self.points), *self._results.warnings],
        }

    def _headline(self, cost: str) -> str:
        """Which points are surely on the front, and what thinking changes, as far as it can be told."""
        points = self.points[self.points["of"] == cost]
        mean = points[points["benchmark"] == MEAN]
        one_plane = len(mean) or points["benchmark"].nunique() == 1
        told = []
        if one_plane:
            front = (mean if len(mean) else points).sort_values("cost")
            sure = front[front["p_front"] >= 0.95]
            several = front["run"].nunique() > 1
            names = [f"{run} {MODES[mode]}" if several else MODES[mode] for run, mode in _pairs(sure)]
            names = names or ["no point"]
            told.append(
                f"On the front of accuracy against {COSTS[cost]} in at least 95% of resamples: "
                f"{', '.join(names)}."
            )
        if len(self.lens) == 1:
            row = self.lens.iloc[0]
            told.append(f"Thinking changes the score by {_gain(row)} points: {row['says']}.")
        elif len(self.lens):
            counts = self.lens["says"].value_counts()
            helps, hurts = counts.get("helps", 0), counts.get("hurts", 0)
            told.append(
                f"Thinking helps on {helps} of {len(self.lens)}, hurts on {hurts}; "
                f"on {len(self.lens) - helps - hurts} no difference is seen."
            )
        return " ".join(told) or "The runs share no items: each has its own front."

    def _carried(self, failures: int) -> list[int]:
        """Lines whose items a page carries: those wrong in some mode, of each group in turn."""
        number = {_key(many[0]): at for at, many in enumerate(self._cases)}
        groups: dict[int, list[int]] = {}
        found = cases(self._results, pattern="any wrong", sort="spread")
        for line in dict.fromkeys(number[_key(case)] for case in found):
            groups.setdefault(self._lines["group"][line], []).append(line)
        in_turn = (line for many in zip_longest(*groups.values()) for line in many if line is not None)
        return list(islice(in_turn, failures))

    def _card(self, number: int) -> str:
        """An item with its pictures and replies, as often as it was asked."""
        return "".join(case_html(self._results, case) for case in self._cases[number])

    def _heard(self, _: object, content: object, buffers: object) -> None:
        """A view asks for the lines of all items, or for one item."""
        if not isinstance(content, dict):
            return
        number = content.get("number")
        if content.get("kind") == "lines":
            self.send({"id": content.get("id"), "lines": self._lines})
        elif isinstance(number, int) and 0 <= number < len(self._cases):
            try:
                told = {"html": self._card(number)}
            except Exception as error:  # a view that gets no reply waits for one
                told = {"error": in_words(error, f"item {number}")}
            self.send({"id": content.get("id"), **told})
        else:
            self.send({"id": content.get("id"), "error": f"There is no item {number}."})

    @traitlets.validate("cost", "benchmark", "which")
    def _check_choice(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        offered = {
            "cost": tuple(self.info["costs"]),
            "benchmark": ("", *self.info["benchmarks"]),
            "which": WHICH,
        }[name]
        if value not in offered:
            raise InputError(f"{name}={value!r}", f"one of {', '.join(map(repr, offered))}")
        return str(value)

    @traitlets.validate("brush")
    def _check_brush(self, proposal: Any) -> list[float] | None:
        value = proposal["value"]
        if value is not None and (len(value) != 4 or value[0] > value[1] or value[2] > value[3]):
            raise InputError(
                f"brush={value!r}", "[lowest cost, highest cost, lowest accuracy, highest accuracy]"
            )
        return value

    def __repr__(self) -> str:
        points = (self.points["of"] == self.cost).sum()
        return f"ResultsExplorer({points} points, {len(self._cases)} items)"


def _seen(results: Results) -> tuple[Results, list[str]]:
    """Replies to pictures that were seen, each version of a benchmark by a name of its own; and notes."""
    if not len(results):
        raise InputError("results without rows", "at least one reply", "make them with workbench.bench.run")
    table = results.frame()
    withheld = table["control"] != ""
    if withheld.all():
        raise InputError(
            "replies to withheld pictures only", "replies to the pictures", "compare with blind_control"
        )
    notes = [f"{withheld.sum()} replies to withheld pictures are left out."] if withheld.any() else []
    several = table.groupby("benchmark")["version"].transform("nunique") > 1
    names = table["benchmark"].where(~several, table["benchmark"] + " (" + table["version"] + ")")
    if withheld.any() or several.any():
        results = results.replaced(table.assign(benchmark=names)[~withheld].reset_index(drop=True))
    return results, notes


def _points(rows: pd.DataFrame, **options: int) -> pd.DataFrame:
    """Every point of every plane: of each cost that is known, benchmark by benchmark, and of their mean."""
    found = []
    benchmarks = rows["benchmark"].nunique()
    for cost in COSTS:
        planes = [one.assign(benchmark=name) for name, part in rows.groupby("benchmark", sort=False)
                  for one in [_front(part, cost, SPLITS, **options)]]  # fmt: skip
        if benchmarks > 1:
            planes.append(_front(rows, cost, SPLITS[:1], **options).assign(benchmark=MEAN))
        found += [plane.assign(of=cost) for plane in planes if len(plane)]
    if not found:
        raise InputError(
            "results without a scored reply whose tokens or seconds are known",
            "the columns value and tokens, or value and seconds",
            "look at the items with workbench.ui.failures(results)",
        )
    return pd.concat(found, ignore_index=True)


def _front(rows: pd.DataFrame, cost: str, splits: Sequence[str], **options: int) -> pd.DataFrame:
    """The points on the items that all of them answered; where there are none, each split by itself."""
    try:
        return statistics.pareto(rows, cost=cost, points=SPLITS, **options)
    except InputError:
        if not splits:
            return pd.DataFrame()
        parts = rows.groupby(splits[0], sort=False)
        return pd.concat([_front(part, cost, splits[1:], **options) for _, part in parts])


def _lens(rows: pd.DataFrame, **options: int) -> pd.DataFrame:
    """What thinking changes in each run and benchmark; without rows where no item has both forced modes."""
    wanted = rows.drop(columns=["harness", "model"])
    try:
        lens = statistics.mode_lens(wanted, **options)
    except InputError:
        return pd.DataFrame()
    return lens if "run" in lens else lens.assign(run=rows["run"].iloc[0])


def _lines(rows: pd.DataFrame, groups: pd.DataFrame) -> dict[str, Any]:
    """One line per item: its group, name, category, and the score in each mode (repetitions averaged)."""
    names = ["run", "benchmark", "item"]
    values = rows.groupby([*names, "mode"])["value"].mean().unstack("mode")
    first = rows.drop_duplicates(names)
    values = values.reindex(pd.MultiIndex.from_frame(first[names]))
    order = {key: at for at, key in enumerate(groups.itertuples(index=False, name=None))}
    return {
        "group": [order[key] for key in zip(first["run"], first["benchmark"], strict=True)],
        "item": list(first["item"]),
        "category": list(first["category"]),
        "values": {mode: [_number(one) for one in values[mode]] for mode in MODES if mode in values},
    }


def _by_line(results: Results, lines: dict[str, Any], groups: pd.DataFrame) -> list[list[Case]]:
    """The cases of each line."""
    found: dict[tuple[str, str, str], list[Case]] = {}
    for case in cases(results):
        found.setdefault(_key(case), []).append(case)
    keys = list(groups.itertuples(index=False, name=None))
    return [found[(*keys[group], item)] for group, item in zip(lines["group"], lines["item"], strict=True)]


def _key(case: Case) -> tuple[str, str, str]:
    return case.run, case.benchmark, case.item


def _unplaced(table: pd.DataFrame, points: pd.DataFrame) -> list[str]:
    """A sentence on the points that lack what places them."""
    told = []
    asked = set(table[["run", "benchmark", "mode"]].drop_duplicates().itertuples(index=False, name=None))
    for cost, one in points.groupby("of", sort=False):
        placed = set(one[["run", "benchmark", "mode"]].itertuples(index=False, name=None))
        if lacking := sorted(asked - placed):
            names = "; ".join(", ".join(dict.fromkeys(key)) for key in lacking[:4])
            told.append(
                f"{len(lacking)} points without a score or {COSTS[str(cost)]} are not drawn ({names})."
            )
    return told


def _pairs(points: pd.DataFrame) -> list[tuple[str, str]]:
    return list(points[["run", "mode"]].itertuples(index=False, name=None))


def _name(one: dict[str, Any], several: tuple[bool, bool]) -> str:
    """The benchmark, and the run where there are several."""
    return ", ".join([one["benchmark"]] + [one["run"]] * several[0])


def _intervals(point: dict[str, Any]) -> tuple[str, str]:
    accuracy, low, high = (100 * point[name] for name in ("accuracy", "low", "high"))
    digits = 2 if point["cost"] < 10 else 1
    cost, least, most = (f"{point[name]:.{digits}f}" for name in ("cost", "cost_low", "cost_high"))
    return f"{accuracy:.1f} ({low:.1f} to {high:.1f})", f"{cost} ({least} to {most})"


def _gain(row: Any) -> str:
    gain, low, high = (100 * row[name] for name in ("gain", "gain_low", "gain_high"))
    return f"{gain:+.1f} ({low:+.1f} to {high:+.1f})"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON takes it: None for NaN, no NumPy scalars."""
    return {name: value if isinstance(value, str) else _number(value) for name, value in row.items()}


def _number(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value
