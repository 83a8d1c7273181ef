"""The failure browser: its controls filter, sort and turn pages; its static form needs no kernel."""

from __future__ import annotations

import pytest
from PIL import Image

from workbench.bench import Results
from workbench.ui.failures import failures

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def results(tmp_path):
    Image.new("RGB", (40, 30), "white").save(tmp_path / "a.png")
    rows = [
        {
            "benchmark": "b1" if i < 8 else "b2",
            "item": str(i),
            "mode": mode,
            "model": "m",
            "gold": "yes",
            "question": f"question {i}",
            "response": "yes" if right else HOSTILE,
            "value": float(right),
            "images": ("a.png",),
            "tokens": float(i),
            "category": f"c{i % 2}",
        }
        for i in range(12)
        for mode, right in (("think", i % 3 > 0), ("nothink", i % 2 == 0))
    ]
    return Results.of(rows, folder=tmp_path)


def test_controls_filter_sort_and_turn_pages(results) -> None:
    shown = failures(results, per_page=3)
    assert len(shown.found) == 8
    assert [case.item for case in shown.page()] == ["0", "1", "3"]
    shown.turn(2)
    assert [case.item for case in shown.page()] == ["9", "11"]
    shown.turn(9)
    assert len(shown.page()) == 2  # no page behind the last one
    shown.pattern.value = "think only"
    assert [case.item for case in shown.found] == ["1", "5", "7", "11"]
    assert [case.item for case in shown.page()] == ["1", "5", "7"]  # from the first page again
    shown.sort.value = "tokens"
    assert [case.item for case in shown.page()] == ["11", "7", "5"]
    shown.benchmark.value = "b2"
    assert [case.item for case in shown.found] == ["11"]
    shown.text.value = "no such text"
    assert shown.found == []
    assert shown.children[1].children[1].value == "0 to 0 of 0"


def test_text_of_models_is_shown_and_not_run(results, monkeypatch) -> None:
    shown = failures(results)
    for html in (shown.children[2].value, shown.static()):
        assert HOSTILE not in html
        assert "&lt;img" in html
        assert "data:image/png;base64," in html
    monkeypatch.setenv("WORKBENCH_STATIC", "1")
    assert "8 of 8 items" in shown._repr_mimebundle_()["text/html"]


def test_the_page_carries_what_the_controls_leave_and_says_so(results, tmp_path) -> None:
    shown = failures(results, pattern="think only")
    shown.sort.value = "tokens"
    shown.text.value = "question"
    page = shown.save_html(tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    assert "4 items (think only, with &quot;question&quot;)" in page
    places = [page.index(f"question {item}<") for item in ("11", "7", "5", "1")]
    assert places == sorted(places), "in the order that is shown"
    assert HOSTILE not in page
    assert "4 items" in page
    few = shown.save_html(tmp_path / "few.html", limit=1).read_text(encoding="utf-8")
    assert "1 of 4 items" in few
    assert "question 7<" not in few


def test_its_style_stays_inside_of_it(results) -> None:
    style = failures(results).static().partition("<style>")[2].partition("</style>")[0]
    rules = [rule for rule in style.replace("\n", "").split("}") if rule]
    assert rules
    selectors = [part for rule in rules for part in rule.partition("{")[0].split(",")]
    assert all(part.startswith(".case") for part in selectors)
