"""Studies are recorded run by run, go on where they stopped, and each row gives its run again."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from ablate_tiny import TINY

from workbench.ablate import Recipe, studies
from workbench.ablate import studies as recording
from workbench.ablate.studies import again, record, recorded
from workbench.errors import InputError

RUNS = [TINY.replace(budget=4, modes=["nothink"], seed=seed) for seed in (1, 2)]


def tiny_study() -> studies.Study:
    runs = tuple(studies.Planned(r, {"kind": "tiny"}) for r in RUNS)
    return studies.Study("tiny", "Does it run?", runs)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(studies.STUDIES, "tiny", tiny_study)
    return tmp_path / "out"


def test_a_study_goes_on_where_it_stopped_and_every_row_gives_its_run_again(
    out: Path, tmp_path: Path, monkeypatch
) -> None:
    whole, ran, cut = recording.run, [], []

    def stops(recipe: Recipe, *args, **options):
        if recipe == RUNS[1] and not cut:
            cut.append(recipe)
            raise KeyboardInterrupt
        ran.append(recipe.hash)
        return whole(recipe, *args, **options)

    monkeypatch.setattr(recording, "run", stops)
    with pytest.raises(KeyboardInterrupt):
        record(tiny_study(), out, tmp_path / "runs")
    assert recorded("tiny", out)["run"].unique().tolist() == [RUNS[0].hash]
    record(tiny_study(), out, tmp_path / "elsewhere")
    table = recorded("tiny", out)
    assert table["run"].unique().tolist() == [r.hash for r in RUNS]
    assert ran == [RUNS[0].hash, RUNS[1].hash], "what is recorded is not run again"
    assert set(zip(table["family"], table["mode"], strict=True)) == {
        ("read_sign", "nothink"),
        ("chain", "nothink"),
    }
    for name, rows in table.groupby("run"):
        assert Recipe.from_dict(json.loads(rows["recipe"].iloc[0])).hash == name
    assert "host" not in table
    monkeypatch.setattr(recording, "run", whole)
    made = again(RUNS[0].hash[:8], out, tmp_path / "again")
    assert made.same, "one thread of one machine gives the same weights"
    assert "the same weights" in str(made)


@pytest.mark.parametrize(("gain", "made"), [(0.1, 1), (0.3, 2), (float("nan"), 2)])
def test_a_study_whose_first_runs_show_nothing_is_not_gone_on_with(
    gain: float, made: int, tmp_path: Path, capsys
) -> None:
    first, second = (studies.Planned(recipe, {"share": number}) for number, recipe in enumerate(RUNS))
    gate = studies.Gate({"share": 1}, lambda rows: gain, 0.2, "{found} points, not {least}")
    gated = studies.Study("tiny", "Does it think?", (first, second), gate)
    path = record(gated, tmp_path / "out", tmp_path / "runs")
    assert pd.read_parquet(path)["share"].unique().tolist() == [1, 0][:made], "what is asked first is first"
    told = "tiny: 1 runs are not made: +10.0 points, not 20"
    assert (told in capsys.readouterr().out) == (made == 1)


def test_shares_of_thoughts_need_a_model_that_learned_to_think() -> None:
    rows = [
        {"family": family, "mode": mode, "reasoning": 1.0, "n": 10, "accuracy": accuracy}
        for family, direct, thinking in (
            ("chain", 0.2, 0.5),
            ("gui_links", 0.3, 0.7),
            ("bar_value", 0.9, 0.1),
        )
        for mode, accuracy in (("nothink", direct), ("think", thinking), ("auto", 0.0))
    ]
    gate = studies.study("reasoning").gate
    assert gate.closed(pd.DataFrame(rows)) == "", "look-ups do not count: 35 points"
    for row in rows[:6]:
        row["accuracy"] *= 0.5
    assert "differ by +17.5 points" in gate.closed(pd.DataFrame(rows))
    assert gate.closed(pd.DataFrame(rows).assign(reasoning=0.4)) == "", "not recorded yet"
    assert [gate.asks(one) for one in studies.study("reasoning").runs].count(True) == 3


def test_what_was_not_recorded_is_named(out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'mixture'"):
        studies.study("mixtur")
    with pytest.raises(InputError, match=r"studies tiny"):
        recorded("tiny", out)
    with pytest.raises(InputError, match="is recorded in"):
        again("0123", out, tmp_path)


@pytest.mark.parametrize(
    ("name", "runs"),
    [("mixture", 35), ("reasoning", 21), ("pipelines", 12), ("feeding", 24), ("architecture", 21)],
)
def test_the_studies_have_their_runs(name: str, runs: int) -> None:
    made = studies.study(name)
    hashes = {one.recipe.hash for one in made.runs}
    assert len(hashes) == len(made.runs) == runs
    assert {one.recipe.start for one in made.runs} == {"nano"}
    labels = pd.DataFrame([one.labels for one in made.runs]).drop_duplicates()
    assert runs % len(labels) == 0
