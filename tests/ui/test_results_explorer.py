"""The results explorer, from Python: its points, its lens, what it sends and carries, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.bench import Results, mode_lens, pareto
from workbench.errors import InputError
from workbench.ui import ResultsExplorer
from workbench.ui.results import MEAN
from workbench.ui.widget import STATIC_VARIABLE

HOSTILE = "</script><img src=x onerror=alert(1)>"
TOKENS = {"nothink": 4, "auto": 20, "think": 60}


def rows(**more: Any) -> list[dict[str, Any]]:
    """Two runs on two benchmarks of 20 items in three modes; thinking is right more often."""
    rng = np.random.default_rng(0)
    return [
        {
            "run": run,
            "benchmark": benchmark,
            "item": f"{benchmark} {number}",
            "mode": mode,
            "value": float(rng.random() < chance),
            "tokens": tokens + float(number),
            "question": HOSTILE,
            "gold": "yes",
            "response": f"{HOSTILE} $x$",
            "images": ("a.png",),
            **more,
        }
        for run in ("small", "large")
        for benchmark in ("maths", "charts")
        for number in range(20)
        for (mode, tokens), chance in zip(TOKENS.items(), (0.3, 0.5, 0.8), strict=True)
    ]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    Image.new("RGB", (40, 30), "white").save(tmp_path / "a.png")
    return Results.of(rows(), folder=tmp_path)


@pytest.fixture
def shown(results: Results) -> ResultsExplorer:
    return ResultsExplorer(results)


def test_a_point_is_that_of_pareto(shown: ResultsExplorer, results: Results) -> None:
    for benchmark in ("maths", "charts"):
        expected = pareto(results.where(benchmark=benchmark), n_resamples=1000).set_index(["run", "mode"])
        own = [one for one in shown.info["points"] if one["benchmark"] == benchmark]
        assert len(own) == len(expected) == 6
        for one in own:
            row = expected.loc[(one["run"], one["mode"])]
            assert [one[name] for name in ("accuracy", "low", "cost_high", "p_front")] == pytest.approx(
                [row[name] for name in ("accuracy", "low", "cost_high", "p_front")]
            )
            assert shown.info["groups"][one["groups"][0]] == f"{benchmark}, {one['run']}"
    mean = [one for one in shown.info["points"] if one["benchmark"] == MEAN]
    assert len(mean) == 6
    assert all(len(one["groups"]) == 2 for one in mean)


def test_the_lens_counts_what_the_lines_hold(shown: ResultsExplorer, results: Results) -> None:
    lines = shown._lines
    expected = mode_lens(results, n_resamples=1000).set_index(["run", "benchmark"])
    assert len(shown.info["lens"]) == 4
    for one in shown.info["lens"]:
        own = [at for at, group in enumerate(lines["group"]) if group == one["group"]]
        think, direct = ([lines["values"][mode][at] for at in own] for mode in ("think", "nothink"))
        pairs = list(zip(think, direct, strict=True))
        assert one["helps"] == sum(a > b for a, b in pairs)
        assert one["hurts"] == sum(a < b for a, b in pairs)
        assert one["says"] == expected.loc[(one["run"], one["benchmark"]), "says"]


def test_items_are_asked_for_and_escaped(shown: ResultsExplorer) -> None:
    sent: list[dict[str, Any]] = []
    shown.send = lambda content, buffers=None: sent.append(content)
    shown._heard(shown, {"id": "a", "kind": "lines"}, [])
    assert len(sent[0]["lines"]["item"]) == 80
    shown._heard(shown, {"id": "b", "kind": "card", "number": 79}, [])
    assert "charts 19" in sent[1]["html"]
    assert "&lt;img" in sent[1]["html"]
    assert "<img" not in sent[1]["html"]
    for number in (80, -1, None, "0"):
        shown._heard(shown, {"id": "c", "kind": "card", "number": number}, [])
        assert "no item" in sent[-1]["error"]
    count = len(sent)
    shown._heard(shown, "card", [])
    assert len(sent) == count


def test_the_page_carries_failures_of_every_group_and_no_markup(
    shown: ResultsExplorer, tmp_path: Path
) -> None:
    groups = [shown._lines["group"][number] for number in shown._carried(8)]
    assert sorted(groups) == [0, 0, 1, 1, 2, 2, 3, 3]
    text = shown.save_html(tmp_path / "page.html", failures=8).read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 8
    assert "default-src 'none'" in text
    assert HOSTILE not in text
    assert text.count("</script>") == 1
    assert len(shown._carried(1000)) < 80  # items that are right in every mode are no failures


def test_what_cannot_be_placed_is_told(tmp_path: Path) -> None:
    given = rows()
    for row in given:
        if row["benchmark"] == "charts":
            del row["tokens"]
        row["version"] = "old" if row["run"] == "small" else "new"
    blind = [row | {"control": "grey"} for row in given[:3]]
    shown = ResultsExplorer(Results.of([*given, *blind]))
    assert set(shown.points["benchmark"]) == {"maths (old)", "maths (new)", MEAN}
    notes = " ".join(shown.info["notes"])
    assert "3 replies to withheld pictures" in notes
    assert "6 points without a score or output tokens" in notes
    assert len(shown.info["lens"]) == 4


def test_one_mode_is_enough_and_has_no_lens() -> None:
    shown = ResultsExplorer(Results.of([row for row in rows(seconds=2.0) if row["mode"] == "think"]))
    assert shown.info["lens"] == []
    assert list(shown.info["costs"]) == ["tokens", "seconds"]
    assert json.dumps(shown.info, allow_nan=False)
    shown.cost = "seconds"
    assert "seconds a reply" in shown.static()


def test_repetitions_of_an_item_are_one_line() -> None:
    given = [row | {"epoch": epoch, "value": float(epoch)} for row in rows() for epoch in (0, 1)]
    shown = ResultsExplorer(Results.of(given))
    assert len(shown._lines["item"]) == 80
    assert set(shown._lines["values"]["think"]) == {0.5}
    assert shown._card(0).count("<article") == 2


def test_the_static_form_tells_the_finding(shown: ResultsExplorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    html = shown._repr_mimebundle_()["text/html"]
    assert "On the front of accuracy against output tokens" in html
    assert "maths, small, thinking" in html
    assert shown.info["lens"][0]["says"] in html


def test_mistakes_are_told(shown: ResultsExplorer) -> None:
    with pytest.raises(InputError, match="Results"):
        ResultsExplorer([{"benchmark": "b"}])
    with pytest.raises(InputError, match="without rows"):
        ResultsExplorer(Results.of([]))
    with pytest.raises(InputError, match="withheld pictures only"):
        ResultsExplorer(Results.of(rows(control="blind")))
    with pytest.raises(InputError, match="tokens or seconds"):
        ResultsExplorer(Results.of(rows(value=None)))
    for name, value in (("cost", "euros"), ("benchmark", "MMMU"), ("which", "odd"), ("brush", [3, 1, 0, 1])):
        with pytest.raises(InputError, match=name):
            setattr(shown, name, value)
    assert shown.brush is None
