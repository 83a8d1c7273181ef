"""``workbench ablate`` and ``workbench runs`` from a shell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from ablate_tiny import TINY

from workbench import ablate
from workbench.cli import main


def test_a_sweep_file_is_run_and_listed(finished: ablate.Run, tmp_path: Path, capsys) -> None:
    folder = str(finished.folder.parent)
    file = TINY.save(tmp_path / "recipe.yaml")
    assert main(["ablate", str(file), "--folder", folder]) == 0
    told = capsys.readouterr().out
    assert "1 finished (1 of them before)" in told
    assert TINY.hash in told
    assert main(["runs", folder, "--save", str(tmp_path / "runs.csv")]) == 0
    assert "nothink" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 6


def test_a_run_prints_its_table_and_no_noise_of_libraries(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.setattr("workbench.terminal.PATIENCE", 600)
    file = TINY.replace(seed=5, budget=8).save(tmp_path / "recipe.yaml")
    assert main(["ablate", str(file), "--folder", str(tmp_path / "runs")]) == 0
    out, err = capfd.readouterr()
    assert "1 finished (0 of them before)" in out
    assert err == ""


def test_a_typo_in_the_file_is_told_and_nothing_runs(tmp_path: Path, capsys) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("recipe: {budgt: 100}\n")
    assert main(["ablate", str(file), "--folder", str(tmp_path / "runs")]) == 2
    assert "did you mean 'budget'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_failed_run_is_told_and_is_the_exit_status(tmp_path: Path, capsys, monkeypatch) -> None:
    def fails(*_, **__):
        raise RuntimeError("no luck\x1b[2J")

    monkeypatch.setattr("workbench.ablate.engines.run", fails)
    file = TINY.save(tmp_path / "recipe.json")
    (tmp_path / "runs").mkdir()
    assert main(["ablate", str(file), "--folder", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().out
    assert f"run {TINY.hash} failed: RuntimeError: no luck" in told
    assert "\x1b" not in told


def test_a_benchmark_beside_the_runs_is_left_out_with_a_word(tmp_path: Path, capsys) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "journal.jsonl").write_text("{}\n")
    assert main(["runs", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "no runs" in out
    assert "left out: suite" in err
    assert "damaged" not in out + err


def test_a_saved_table_holds_no_formula_and_numbers_stay_numbers(
    finished: ablate.Run, tmp_path: Path, monkeypatch, capsys
) -> None:
    table = pd.DataFrame(
        {"run": ["=1+1", "@SUM(A1)", "-x", "+y", "\t=1", "plain"], "=a": [-0.5, 1.5, 2.0, 3.0, 4.0, 5.0]}
    )
    monkeypatch.setattr("workbench.ablate.runs", lambda folder: table)
    target = tmp_path / "runs.csv"
    assert main(["runs", str(tmp_path), "--save", str(target)]) == 0
    read = pd.read_csv(target)
    assert list(read["run"]) == ["'=1+1", "'@SUM(A1)", "'-x", "'+y", "'\t=1", "plain"]
    assert list(read["'=a"]) == [-0.5, 1.5, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("name", ["runs.xlsx", "runs", "missing/runs.csv"])
def test_a_table_that_cannot_be_saved_is_told_and_leaves_nothing(
    name: str, finished: ablate.Run, tmp_path: Path, capsys
) -> None:
    assert main(["runs", str(finished.folder.parent), "--save", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("workbench runs: ")
    assert not list(tmp_path.iterdir())


def test_a_saved_table_is_replaced_whole_or_not_at_all(
    finished: ablate.Run, tmp_path: Path, monkeypatch, capsys
) -> None:
    target = tmp_path / "runs.csv"
    target.write_text("the old one")

    def full(*_, **__):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("os.replace", full)
    assert main(["runs", str(finished.folder.parent), "--save", str(target)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert target.read_text() == "the old one"


def test_a_folder_without_runs_says_so(tmp_path: Path, capsys) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert "no runs" in capsys.readouterr().out
    assert main(["runs", str(tmp_path / "none")]) == 2
