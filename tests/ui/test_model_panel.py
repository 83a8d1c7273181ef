"""The panel for models, from Python: plan, load, unload, errors in words, no waiting where one listens."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from explorer_records import EVIL

from workbench import models
from workbench.errors import InputError, LoadError
from workbench.models.sources import BUILT_IN
from workbench.ui import ModelPanel
from workbench.ui.widget import STATIC_VARIABLE


def told(panel: ModelPanel, kind: str) -> ModelPanel:
    panel._heard(panel, {"kind": kind}, [])
    panel.wait()
    return panel


def test_the_built_in_model_is_planned_loaded_and_unloaded() -> None:
    panel = ModelPanel()
    panel.image_tokens = 144  # a handle of its own: other tests go on with theirs
    with pytest.raises(InputError, match="no model is loaded"):
        _ = panel.vlm
    told(panel, "plan")
    assert panel.plan is not None
    assert [row[0] for row in panel.planned["rows"]] == [row.precision for row in panel.plan.rows]
    panel.load()
    vlm = panel.vlm
    assert (vlm.loaded, panel.loaded, panel.doing, panel.problem) == (True, vlm.name, "", "")
    assert f"{vlm.name} is loaded" in panel.static()
    told(panel, "unload")
    assert (vlm.loaded, panel.loaded) == (False, "")
    told(panel, "memory")
    assert panel.memory.startswith("cpu: ")


def test_loading_goes_on_beside_the_thread_that_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    go, where = threading.Event(), []

    def slow(source: str, **options: Any) -> Any:
        where.append(threading.current_thread())
        assert go.wait(20)
        raise LoadError(f"{source} with {options['quantize']}")

    panel = ModelPanel()
    monkeypatch.setattr(models, "load", slow)
    panel._heard(panel, {"kind": "load"}, [])
    while not panel.doing.endswith("taken"):
        assert not panel.problem
    go.set()
    panel.wait()
    assert where != [threading.current_thread()]
    assert (panel.problem.startswith("nano with None"), panel.doing) == (True, "")
    with pytest.raises(InputError, match="nano with None"):
        _ = panel.vlm


def test_mistakes_are_told_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for source in (str(empty), "", EVIL):
        panel = told(ModelPanel(source), "load")
        assert panel.problem
        assert panel.loaded == ""
        saved = panel.save_html(tmp_path / "page.html").read_text(encoding="utf-8")
        assert EVIL not in saved
    panel._heard(panel, "nonsense", [])
    with pytest.raises(LoadError, match="abacus"):
        ModelPanel(device="abacus")
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    assert set(panel._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_each_rung_of_the_ladder_is_offered_once() -> None:
    choices = ModelPanel().choices
    assert tuple(one["source"] for one in choices[: len(BUILT_IN)]) == BUILT_IN
    calls = [(one["source"], one["quantize"], one["image_tokens"]) for one in choices]
    assert len(set(calls)) == len(calls)
    rungs = {rung.model for rung in models.ladder().rungs}
    assert {one["source"] for one in choices[len(BUILT_IN) :]} <= rungs
