"""The report of a benchmark in a browser: failures are filtered, sorted and paged; no text runs as code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bench_fakes import hostile_results

from workbench import bench

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.browser
def test_the_page_filters_and_pages_in_a_browser_and_runs_no_text_as_code(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "own-cache"))
    path = bench.report(hostile_results(tmp_path / "run"), tmp_path / "r.html", n_resamples=20)
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    assert page.inner_text("[data-place]") == "1 to 5 of 5"
    page.fill("[data-by=text]", "What is 7")
    assert page.inner_text("[data-place]") == "1 to 1 of 1"
    page.fill("[data-by=text]", "")
    page.select_option("[data-by=pattern]", "direct only")
    assert page.inner_text("[data-place]") == "0 to 0 of 0"
    page.select_option("[data-by=pattern]", "")
    page.fill("[data-by=text]", "")
    assert "What is 1" in page.inner_text("article:first-child .question")
    page.select_option("[data-by=sort]", "size")
    assert "What is 9" in page.inner_text("article:first-child .question")
    assert page.title() == "Benchmark report"
    assert errors == []
    page.close()
