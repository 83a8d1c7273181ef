"""Items with the replies of all modes: patterns, filters, order, and the places that replies name."""

from __future__ import annotations

import pytest
from bench_fakes import FakeVLM
from PIL import Image

from workbench import bench
from workbench.bench.cases import case_html, named_place
from workbench.errors import InputError


@pytest.fixture
def results(tmp_path):
    """Five items: both right, thinking only, direct only, none right, and one that asks for a place."""
    said = {
        "a": {"think": "yes", "nothink": "yes"},
        "b": {"think": "yes", "nothink": "no"},
        "c": {"think": "no", "nothink": "yes"},
        "d": {"think": "no", "nothink": "<i>no</i>"},
        "e": {"think": "[0.1, 0.1, 0.3, 0.3]", "nothink": "[0.9, 0.9]"},
    }
    picture = Image.new("RGB", (100, 50), "white")
    rule = {"rule": "words"}
    items = [bench.Item(name, name, "yes", (picture,), scoring=rule, category="letters") for name in "abcd"]
    place = {"rule": "point", "boxes": [[10, 5, 30, 15]], "image_size": [100, 50]}
    items.append(
        bench.Item("e", "e", "[0.1, 0.1, 0.3, 0.3]", (picture,), scoring=place, boxes=((10, 5, 30, 15),))
    )
    vlm = FakeVLM(lambda images, question, mode: said[question][mode])
    return bench.run(vlm, bench.Task("t", items), modes=["think", "nothink"], folder=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("pattern", "items"),
    [
        (None, "abcde"),
        ("any wrong", "bcde"),
        ("all wrong", "d"),
        ("think only", "be"),
        ("direct only", "c"),
        ("modes differ", "bce"),
        ("all right", "a"),
        ("not scored", ""),
    ],
)
def test_items_are_found_by_what_their_replies_have_in_common(results, pattern, items) -> None:
    assert [case.item for case in bench.cases(results, pattern=pattern)] == list(items)


def test_items_are_filtered_by_text_and_category_and_sorted(results) -> None:
    assert [c.item for c in bench.cases(results, text="<I>")] == ["d"]
    assert [c.item for c in bench.cases(results, category="letters", limit=2)] == ["a", "b"]
    assert [c.item for c in bench.cases(results, sort="size")][0] == "e"
    assert {c.item for c in bench.cases(results, sort="spread")[:3]} == set("bce")
    for options, told in (
        ({"pattern": "odd"}, "pattern="),
        ({"sort": "colour"}, "sort="),
        ({"benchmark": "none"}, "no item"),
    ):
        with pytest.raises(InputError, match=told):
            bench.cases(results, **options)


def test_the_places_that_replies_name_are_drawn_on_the_picture(results) -> None:
    case = bench.cases(results)[-1]
    size = (100, 50)
    assert named_place(case, case.replies["think"], size) == pytest.approx((10, 5, 30, 15))
    assert named_place(case, case.replies["nothink"], size) == pytest.approx((90, 45, 90, 45))
    html = case_html(results, case)
    assert html.count("<rect") == 2  # gold and thinking
    assert html.count("<circle") == 1  # direct named a point
    assert named_place(bench.cases(results)[0], case.replies["think"], size) is None  # asks for no place


def test_the_export_is_escaped_and_says_how_many_there_are(results, tmp_path) -> None:
    text = bench.export_failures(results, tmp_path / "f.html", limit=2, title="<Mine>").read_text()
    assert "2 of 4 items" in text
    assert "&lt;Mine&gt;" in text
    assert "<i>no</i>" not in bench.export_failures(results, tmp_path / "f.html").read_text()


def test_a_picture_that_is_gone_is_said_where_it_would_stand(results, tmp_path) -> None:
    for path in (tmp_path / "pictures").iterdir():
        path.unlink()
    assert "picture cannot be shown" in case_html(results, bench.cases(results)[0])
