"""A failure browser: filter, sort and page through items with their pictures and the replies of all modes"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ipywidgets

from ..bench.cases import CASE_STYLE, PATTERNS, SORTS, Case, case_html, cases, write_cases
from ..bench.results import Results
from ..errors import InputError
from ..html import frame
from ..viz import style
from .widget import HasStatic

__all__ = ["FailureBrowser", "failures"]

STATIC = 12  # items in the static form


class FailureBrowser(HasStatic, ipywidgets.VBox):
    """Items of a run with their replies side by side; controls filter, sort and turn pages.

    Args:
        results: of a run or an imported log.
        pattern: which items to begin with (`workbench.bench.cases.PATTERNS`); None for all.
        sort: their order (`workbench.bench.cases.SORTS`).
        per_page: items on a page.

    Attributes:
        found: the items that the controls leave, as `Case` records.
    """

    def __init__(
        self, results: Results, *, pattern: str | None = "any wrong", sort: str = "order", per_page: int = 5
    ) -> None:
        self._results = style.record(results, Results, "workbench.bench.run(vlm, tasks)")
        if per_page < 1:
            raise InputError(f"per_page={per_page}", "at least one item on a page")
        self._per_page, self._at = per_page, 0
        self.found: list[Case] = cases(results, pattern=pattern, sort=sort)
        self.benchmark = _choice("benchmark", sorted(results.table["benchmark"].unique()))
        categories = sorted(name for name in results.table["category"].unique() if name)
        self.category = _choice("category", categories)
        self.pattern = _choice("replies", PATTERNS, pattern)
        self.sort = ipywidgets.Dropdown(options=SORTS, value=sort, description="sort by")
        self.text = ipywidgets.Text(placeholder="text in question, gold answer or reply", description="text")
        self._place = ipywidgets.Label()
        self._shown = ipywidgets.HTML()
        super().__init__([self._tools(), self._turning(), self._shown])
        self.add_class("workbench-failures")
        for control in (self.benchmark, self.category, self.pattern, self.sort, self.text):
            control.observe(self._changed, names="value")
        self._draw()

    def turn(self, pages: int) -> None:
        """Go some pages on, or back where it is negative."""
        last = max(0, (len(self.found) - 1) // self._per_page)
        self._at = max(0, min(last, self._at + pages))
        self._draw()

    def static(self) -> str:
        """The first items as HTML that needs no kernel; `save_html` writes a whole page."""
        shown = self.found[:STATIC]
        told = f"{len(shown)} of {len(self.found)} items"
        inside = "".join(case_html(self._results, case) for case in shown)
        return f'<div class="workbench-failures"><style>{CASE_STYLE}</style><p>{told}</p>{inside}</div>'

    def save_html(self, path: str | Path, *, limit: int | None = 200) -> Path:
        """Save the items that the controls leave as one file that works offline and filters by itself.

        Args:
            path: of the file; one that is there is replaced.
            limit: most items, with their pictures; the page says how many there are.

        Returns:
            The path.

        Raises:
            DiskError: if it cannot be written.
        """
        chosen = [self.benchmark.value, self.category.value, self.pattern.value]
        text = f'with "{self.text.value}"' if self.text.value else None
        which = ", ".join(str(one) for one in (*chosen, text) if one)
        return write_cases(self._results, self.found, path, limit=limit, title="Failures", which=which)

    def page(self) -> list[Case]:
        """The items on the page that is shown."""
        start = self._at * self._per_page
        return self.found[start : start + self._per_page]

    def _tools(self) -> ipywidgets.Box:
        controls = [self.benchmark, self.category, self.pattern, self.sort, self.text]
        return ipywidgets.Box(controls, layout=ipywidgets.Layout(flex_flow="row wrap"))

    def _turning(self) -> ipywidgets.HBox:
        back, on = (ipywidgets.Button(description=name) for name in ("previous", "next"))
        back.on_click(lambda _: self.turn(-1))
        on.on_click(lambda _: self.turn(1))
        return ipywidgets.HBox([back, self._place, on])

    def _changed(self, _: object) -> None:
        wanted = {"benchmark": self.benchmark.value, "category": self.category.value}
        table = self._results.table
        there = all((table[name] == value).any() for name, value in wanted.items() if value is not None)
        options: dict[str, Any] = {
            "pattern": self.pattern.value,
            "sort": self.sort.value,
            "text": self.text.value,
        }
        self.found = cases(self._results, **wanted, **options) if there else []
        self._at = 0
        self._draw()

    def _draw(self) -> None:
        shown = self.page()
        first = self._at * self._per_page + 1 if shown else 0
        self._place.value = f"{first} to {first + len(shown) - bool(shown)} of {len(self.found)}"
        inside = "".join(case_html(self._results, case) for case in shown)
        self._shown.value = frame(f"<style>{CASE_STYLE}</style>{inside}")

    def __str__(self) -> str:
        return f"{len(self.found)} items"


def _choice(name: str, values: Sequence[str], value: str | None = None) -> ipywidgets.Dropdown:
    options = [("all", None), *((entry, entry) for entry in values)]
    return ipywidgets.Dropdown(options=options, value=value, description=name)


def failures(results: Results, **options: Any) -> FailureBrowser:
    """Browse the failures of a run; options as for `FailureBrowser`.

    Raises:
        InputError: for a pattern or order that does not exist.

    Example:
        >>> failures(results, pattern="think only")  # doctest: +SKIP
    """
    return FailureBrowser(results, **options)
