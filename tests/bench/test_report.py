"""A report is one file that opens without a network, says what the numbers say, and trusts no text."""

from __future__ import annotations

import re

import pytest
from bench_fakes import HOSTILE, FakeVLM, hostile_results, yes_no

from workbench import bench
from workbench.bench import Results, pareto, scores
from workbench.errors import InputError


@pytest.fixture
def results(tmp_path):
    return hostile_results(tmp_path / "run")


def test_the_report_holds_scores_modes_costs_and_pictures_and_fetches_nothing(results, tmp_path) -> None:
    text = bench.report(results, tmp_path / "r.html", n_resamples=50).read_text()
    assert "50.0" in text  # direct: five of ten
    assert "100.0" in text
    assert "+50.0" in text  # what thinking adds
    assert text.count("<article") == 5  # items that some mode got wrong
    assert text.count("data:image/png;base64,") == 5
    assert not re.findall(r'<[a-z]+\b[^<>]*\s(?:src|href)="(?!data:)', text)
    assert "default-src 'none'" in text
    assert HOSTILE not in text
    assert "<b>up</b>" not in text


def test_a_report_of_one_mode_or_of_failures_says_what_is_missing(tmp_path) -> None:
    one = bench.run(FakeVLM(), yes_no(4), modes=["auto"], folder=tmp_path / "one", progress=False)
    text = bench.report(one, tmp_path / "one.html", n_resamples=20).read_text()
    assert "What thinking changes" in text
    assert "nothink" in text  # says which modes are needed
    with pytest.raises(InputError, match="without rows"):
        bench.report(one.where(item="none"), tmp_path / "none.html")


def test_items_that_not_every_mode_answered_are_counted(tmp_path) -> None:
    run = bench.run(FakeVLM(), yes_no(4), folder=tmp_path / "run", progress=False)
    part = run.replaced(run.frame().query("mode != 'auto' or item != '0'"))
    text = bench.report(part, tmp_path / "part.html", n_resamples=20).read_text()
    assert "1 items that not every point answered are left out" in text


def test_runs_that_share_no_items_have_a_front_each(tmp_path) -> None:
    parts = []
    for name in ("first", "second"):
        run = bench.run(FakeVLM(), yes_no(4, name), modes=["auto"], folder=tmp_path / name, progress=False)
        parts.append(run.replaced(run.frame().assign(run=name)))
    text = bench.report(parts[0] + parts[1], tmp_path / "two.html", n_resamples=20).read_text()
    assert "share no items" in text
    assert text.count("output tokens a reply</text>") == 2


def test_one_score_has_one_interval_in_table_and_plane() -> None:
    """Of one benchmark, `pareto` gives the interval that `scores` gives."""
    made = [
        {
            "benchmark": "B", "item": str(at), "mode": mode, "model": "M", "tokens": 10.0 + at % 3,
            "value": float((at * step) % 5 < 3), "cluster": f"c{at // 2}",
        }
        for mode, step in (("think", 1), ("nothink", 3))
        for at in range(60)
    ]  # fmt: skip
    results = Results.of(made)
    plane = pareto(results).set_index("mode")
    for row in scores(results).to_dict("records"):
        assert (plane.at[row["mode"], "low"], plane.at[row["mode"], "high"]) == (row["low"], row["high"])


def test_thoughts_are_tested_beside_a_run_and_told_in_its_report(tmp_path) -> None:
    def run(vlm, **options):
        return bench.run(
            vlm, yes_no(9), modes=["think", "nothink"], folder=tmp_path / "run", progress=False, **options
        )

    assert "thoughts" not in run(FakeVLM()).about
    vlm = FakeVLM()
    results = run(vlm, thought_tests=["early_answering"])
    found = results.about["thoughts"]
    assert len(vlm.asked) == 9 * 2, "for each thought of one sentence: as it is, and without it"
    assert [option["thought_done"] for option in vlm.options] == [True] * 9
    assert (found["mode"], found["tests"][0]["questions"], found["tests"][0]["picture"]) == ("think", 9, 1.0)
    assert "Answers stand without the thought" in found["verdict"]
    text = bench.report(results, tmp_path / "r.html", n_resamples=20).read_text()
    assert "Do answers follow their thoughts?" in text
    assert "early_answering" in text
    vlm = FakeVLM()
    assert run(vlm, thought_tests="early_answering").about["thoughts"] == found
    assert vlm.asked == [], "it is resumed like the run"
    assert "Do answers follow" not in bench.report(run(vlm), tmp_path / "n.html", n_resamples=20).read_text()


def test_thought_tests_that_cannot_be_made_are_said_before_or_after(tmp_path) -> None:
    for options, words in (({}, "tests="), ({"blind": True}, "one of the two")):
        vlm = FakeVLM()
        tests = "early_answering" if options else "early"
        with pytest.raises(InputError, match=words):
            bench.run(vlm, yes_no(2), folder=tmp_path, thought_tests=tests, progress=False, **options)
        assert vlm.asked == []
    results = bench.run(
        FakeVLM(),
        yes_no(2),
        modes=["nothink"],
        folder=tmp_path,
        thought_tests="early_answering",
        progress=False,
    )
    assert results.about["thoughts"]["verdict"] == "no reply has a thought to test"
