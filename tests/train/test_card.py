"""The card tells what was measured, and takes a robustness table afterwards."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from workbench.errors import CheckpointError
from workbench.files import data_path
from workbench.train.card import add_robustness, write_card
from workbench.train.loop import TrainConfig


def row(mode: str, **more: float) -> dict:
    told = {"family": "chain", "several_steps": True, "mode": mode, "accuracy": 0.5, "low": 0.4, "high": 0.6}
    return told | {"thinks": 1.0, "tokens": 9.0} | more


def table() -> pd.DataFrame:
    told = {"n": 20, "accuracy": 0.25, "low": 0.1, "high": 0.5, "points": -75.0, "chain": 0.25}
    return pd.DataFrame([{"perturbation": "moved 1 to 7 px", **told}])


def test_a_cards_robustness_table_is_added_and_replaced(tmp_path) -> None:
    for name in ("card.json", "README.md"):
        shutil.copy(data_path("nano", name), tmp_path)
    before = json.loads((tmp_path / "card.json").read_text())
    before.pop("robustness", None)
    for _ in range(2):
        add_robustness(tmp_path, table(), n=20, world=1)
    after = json.loads((tmp_path / "card.json").read_text())
    assert after.pop("robustness") == {
        "n": 20,
        "world": 1,
        "rows": json.loads(table().to_json(orient="records")),
    }
    assert after == before
    text = (tmp_path / "README.md").read_text()
    assert text.count("| moved 1 to 7 px | 20 | 25.0 (10.0 to 50.0) | -75.0 |") == 1
    assert "on the grid of 4 pixels" in text


def test_a_folder_without_a_card_is_told(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"no card\.json"):
        add_robustness(tmp_path, table(), n=20, world=1)


def test_the_card_says_how_many_thoughts_are_true_throughout(tmp_path) -> None:
    scores = pd.DataFrame([row("nothink"), row("think", true=0.2, true_if_right=0.4), row("auto")])
    run = {"parameters": 1, "seconds": 60, "most_patches": 256, "note": "", "pictures": 1, "questions": 2}
    write_card(
        tmp_path, config=TrainConfig(), run=run | {"think_share": 0.1}, scores=scores, n=5, seed=1, world=2
    )
    text = (tmp_path / "README.md").read_text()
    assert "20.0; 40.0 where right" in text
    assert "8 to 24 pixels" in text
