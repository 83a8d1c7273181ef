"""The built-in model's training from a shell: a whole run, a snapshot of its checkpoint, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from workbench.train import __main__ as program
from workbench.train.data import Mix
from workbench.train.loop import Phase, TrainConfig
from workbench.train.nano import Edition

TINY = TrainConfig(
    steps=2,
    encoder_steps=2,
    warmup=1,
    checkpoint_interval=2,
    bf16=False,
    phases=(Phase(0, 3, Mix(weights={"shape_colour": 1.0})),),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    edition = Edition(recipe=TINY, width=32, depth=1, tower=1)
    monkeypatch.setattr(program, "EDITIONS", {1: edition})
    monkeypatch.setattr(program, "measure", lambda folder, *_, **__: (folder / "card.json").write_text("{}"))


def test_a_run_puts_its_model_in_place_and_gives_snapshots(tiny: None, tmp_path: Path) -> None:
    work, out, now = tmp_path / "work", tmp_path / "out", tmp_path / "now"
    places = ["--work", str(work), "--out", str(out)]
    assert program.main([*places, "--threads", "1", "--device", "cpu"]) == 0
    assert (out / "card.json").exists()
    assert (out / "tokenizer.json").exists()
    assert program.main([*places, "--device", "cpu", "--snapshot", str(now)]) == 0
    config = json.loads((now / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    whole, half = (load_file(folder / "model.safetensors") for folder in (out, now))
    assert whole.keys() == half.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor.bfloat16(), half[name]), name


def test_mistakes_are_told(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--work", str(tmp_path), "--out", str(tmp_path / "out"), "--world", "7"]) != 0
    told = capsys.readouterr().err
    assert "--world 7" in told
    assert "Traceback" not in told
