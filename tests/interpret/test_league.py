"""The league: what is measured, that a killed run goes on, and a table whose right answer is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from workbench.errors import InputError
from workbench.interpret import leaderboard as league
from workbench.interpret.leaderboard import SINK, LeaderboardJournal, LeaderboardSettings, units
from workbench.interpret.standings import Leaderboard, read_leaderboard, standings

BASELINES = ("mean", "blur", "white")


def row(question: int, mode: str, method: str, gap: float, **more) -> dict:
    gaps = {f"gap_{baseline}": gap for baseline in BASELINES}
    base = {
        "question": question, "family": "read_sign", "mode": mode, "method": method, "note": "",
        "right": True, "full": -1.0, "no_image": -9.0, "drop_answer": 0.5,
        "pointing": 1.0, "iou": 0.5, "chance": 0.1, "seconds": 0.1, "forwards": 26, "backwards": 0,
    }  # fmt: skip
    return {**base, **gaps, **more}


GAPS = {"occlusion": 2.0, "tam": 0.0, "centre": 0.5, "random": 0.0, "chefer": -1.5}


def measured(n: int = 40) -> pd.DataFrame:
    """Known mean gaps with noise that cancels out over the questions."""
    rng, rows = np.random.default_rng(0), []
    for mode in ("nothink", "think"):
        for method, gap in GAPS.items():
            noise = rng.normal(scale=0.5, size=n)
            rows += [row(i, mode, method, gap + x) for i, x in enumerate(noise - noise.mean())]
    return pd.DataFrame(rows)


# -- the table ---------------------------------------------------------------------------------------


def test_the_most_faithful_comes_first_and_each_verdict_is_the_right_one() -> None:
    table = standings(measured())
    own = table[table["mode"] == "think"].set_index("method")
    assert own.index[0] == "occlusion"
    assert own.loc["occlusion", "verdict"] == "better than random and centre"
    assert own.loc["centre", "verdict"] == "better than random"
    assert own.loc["tam", "verdict"] == own.loc["random", "verdict"] == "no better than random"
    assert own.loc["chefer", "verdict"] == "worse than random"
    assert own.loc["occlusion", "gap_low"] < 2 < own.loc["occlusion", "gap_high"]
    assert own.loc["occlusion", "over_centre"] == pytest.approx(1.5)
    assert own.loc["occlusion", "n"] == 40


def test_a_method_that_holds_under_some_maskings_only_is_called_that() -> None:
    rows = measured()
    rows.loc[rows["method"] == "tam", "gap_blur"] += 3
    own = standings(rows).set_index(["mode", "method"])
    assert own.loc[("think", "tam"), "verdict"] == "better than random under blur only"


def test_answers_that_need_no_picture_say_nothing_about_faithfulness() -> None:
    rows = measured()
    blind = rows["question"] >= 30
    rows.loc[blind, "no_image"] = -1.01
    rows.loc[blind & (rows["method"] == "occlusion"), [f"gap_{f}" for f in BASELINES]] = 1000.0
    own = standings(rows).set_index(["mode", "method"]).loc[("think", "occlusion")]
    assert own["n"] == 30
    assert own["gap_high"] < 3


def test_plausibility_counts_right_answers_only() -> None:
    rows = measured()
    rows["right"] = rows["question"] < 10
    rows.loc[~rows["right"], "pointing"] = 0.0
    own = standings(rows).set_index(["mode", "method"]).loc[("nothink", "tam")]
    assert (own["n_right"], own["pointing"], own["n"]) == (10, 1.0, 40)


def test_the_findings_are_computed_from_the_table() -> None:
    found = Leaderboard(standings(measured()), measured())
    text = " ".join(found.findings)
    assert "Thinking, 1 of 3 methods are better than random" in text
    assert "the most faithful is occlusion (2." in text
    assert "not better: tam, chefer" in text
    need = found.needed().set_index("mode")
    assert need.loc["think", "drop"] == pytest.approx(8)
    assert need.loc["think", "answer"] == pytest.approx(0.5)
    assert need.loc["think", "n"] == 40
    assert "<li>" in found._repr_html_()


def test_an_empty_league_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="without a measured row"):
        standings(measured().assign(note="empty reply"))
    with pytest.raises(InputError, match="no finished leaderboard"):
        read_leaderboard(tmp_path)


# -- the run -----------------------------------------------------------------------------------------


def pretend(calls: list, *, stop_at: int | None = None):
    def measure(vlm, settings, number, mode):
        if stop_at is not None and len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append((number, mode))
        return [row(number, mode, method, float(number)) for method in settings.methods]

    return measure


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(league, "_load", lambda source: None)


SMALL = LeaderboardSettings(n=3, methods=("random", "centre", SINK), families=("read_sign",))


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(no_model, monkeypatch, tmp_path) -> None:
    calls: list = []
    monkeypatch.setattr(league, "measure", pretend(calls, stop_at=4))
    with pytest.raises(KeyboardInterrupt):
        league.run_leaderboard(SMALL, tmp_path / "cut", say=lambda line: None)
    assert not (tmp_path / "cut" / "league.json").exists()
    with (tmp_path / "cut" / "journal.jsonl").open("a") as file:
        file.write('{"unit": [2, "noth')  # what a kill leaves of a line
    more: list = []
    monkeypatch.setattr(league, "measure", pretend(more))
    cut = league.run_leaderboard(SMALL, tmp_path / "cut", say=lambda line: None)
    assert calls + more == units(SMALL)
    monkeypatch.setattr(league, "measure", pretend([]))
    whole = league.run_leaderboard(SMALL, tmp_path / "whole", say=lambda line: None)
    pd.testing.assert_frame_equal(cut.table, whole.table)
    pd.testing.assert_frame_equal(cut.rows, whole.rows)
    assert not (tmp_path / "cut" / "journal.jsonl").exists()


def test_a_finished_league_is_read_and_not_measured_again(no_model, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(league, "measure", pretend([]))
    first = league.run_leaderboard(SMALL, tmp_path, say=lambda line: None)
    monkeypatch.setattr(league, "measure", pretend([], stop_at=0))
    said: list[str] = []
    again = league.run_leaderboard(SMALL, tmp_path, say=said.append)
    pd.testing.assert_frame_equal(first.table, again.table)
    assert "finished" in said[0]
    about = json.loads((tmp_path / "league.json").read_text())
    assert about["settings"]["n"] == 3
    assert about["settings"]["seed"] == SMALL.seed
    assert {"date", "hardware", "commit", "model", "seconds"} <= set(about)
    assert len(about["model"]["weights"]) == 16


def test_a_journal_of_another_league_is_refused(tmp_path) -> None:
    LeaderboardJournal(tmp_path, {"settings": {"n": 3}, "model": "a"}).add((0, "think"), [{"x": 1}])
    with pytest.raises(InputError, match="other settings"):
        LeaderboardJournal(tmp_path, {"settings": {"n": 4}, "model": "a"})
    again = LeaderboardJournal(tmp_path, {"settings": {"n": 3}, "model": "a"})
    assert again.rows() == [{"x": 1}]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n": 0}, "n=0"),
        ({"methods": ("saliency",)}, "methods"),
        ({"methods": ()}, "methods"),
        ({"families": ("photographs",)}, "families"),
        ({"modes": ("fast",)}, "modes"),
    ],
)
def test_settings_of_no_league_are_refused(options, says) -> None:
    with pytest.raises(InputError, match=says):
        LeaderboardSettings(**options)


def test_no_process_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="jobs=0"):
        league.run_leaderboard(SMALL, tmp_path, jobs=0)


# -- with the built-in model -------------------------------------------------------------------------


def test_the_command_measures_the_built_in_model(tmp_path, capsys) -> None:
    chosen = [
        "--n",
        "1",
        "--families",
        "read_sign",
        "--modes",
        "nothink",
        "--regions",
        "3",
        "3",
        "--jobs",
        "1",
    ]
    methods = ["occlusion", "random", "centre", "sink"]
    league.main(["--out", str(tmp_path), *chosen, "--methods", *methods])
    assert "Answering directly" in capsys.readouterr().out
    found = read_leaderboard(tmp_path)
    rows = found.rows.set_index("method")
    assert set(rows.index) == set(methods)
    assert rows.loc["occlusion", "forwards"] > rows.loc["random", "forwards"]
    assert np.isfinite(rows[[f"gap_{baseline}" for baseline in BASELINES]].to_numpy()).all()
    assert (rows["insertion_mean"] <= 0).all()
    assert rows["seconds"].gt(0).all()


def test_methods_measured_later_stand_beside_the_others_as_if_measured_at_once(tmp_path) -> None:
    options = {"n": 2, "families": ("read_sign",), "modes": ("nothink", "think"), "regions": (3, 3)}
    first = ("random", "embedding_x_gradient")
    at_once = LeaderboardSettings(methods=(*first, "centre"), **options)
    whole = league.run_leaderboard(at_once, tmp_path / "whole", say=lambda _: None)
    league.run_leaderboard(
        LeaderboardSettings(methods=first, **options), tmp_path / "parts", say=lambda _: None
    )
    league.extend_leaderboard(tmp_path / "parts", ["centre"], say=lambda _: None)
    both = league.extend_leaderboard(tmp_path / "parts", ["embedding_x_gradient"], say=lambda _: None)
    same = [name for name in whole.rows if name != "seconds"]
    pd.testing.assert_frame_equal(both.rows[same], whole.rows[same])
    assert both.about["settings"] == whole.about["settings"]
    assert [one["methods"] for one in both.about["added"]] == [["centre"], ["embedding_x_gradient"]]
    about = json.loads((tmp_path / "parts" / "league.json").read_text())
    (tmp_path / "parts" / "league.json").write_text(
        json.dumps(about | {"model": {"name": "x", "weights": "0"}})
    )
    with pytest.raises(InputError, match="the same weights"):
        league.extend_leaderboard(tmp_path / "parts", ["tam"], say=lambda _: None)
