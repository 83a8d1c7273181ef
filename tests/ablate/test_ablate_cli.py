"""``workbench ablate`` and ``workbench runs`` from a shell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
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


def test_a_folder_without_runs_says_so(tmp_path: Path, capsys) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert "no runs" in capsys.readouterr().out
    assert main(["runs", str(tmp_path / "none")]) == 2
