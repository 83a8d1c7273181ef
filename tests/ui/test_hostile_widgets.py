"""What no widget can show is said in words: by an error that helps, before anything is drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import attribution_records
import explorer_records
import pytest
from PIL import Image

import workbench
from workbench import ablate, ui
from workbench.bench import Results
from workbench.errors import InputError, WorkbenchError
from workbench.ui.widget import in_words

ROW = {
    "benchmark": "b", "item": "0", "mode": "think", "model": "m", "gold": "yes", "question": "q",
    "response": "", "value": 0.0, "images": ("gone.png",), "tokens": 1.0, "category": "",
}  # fmt: skip


def large() -> Image.Image:
    """A picture of 10,000 x 10,000 pixels, one bit each."""
    return Image.new("1", (10_000, 10_000))


def small() -> Image.Image:
    return Image.new("RGB", (64, 64), "white")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ui.AttentionExplorer(None), "type NoneType.*pass what vlm.ask returned"),
        (lambda: ui.AttentionExplorer("answer"), "type str.*pass what vlm.ask returned"),
        (lambda: ui.AskPanel(None), "vlm=None.*workbench.load"),
        (lambda: ui.AskPanel("nano"), "vlm='nano'.*workbench.load"),
        (lambda: ui.AttributionExplorer([], []), "0 maps and 0 checks"),
        (lambda: ui.AttributionExplorer([attribution_records.attribution()], []), "1 maps and 0 checks"),
        (lambda: ui.AttributionExplorer([explorer_records.answer()], [None]), "interpret.attribute"),
        (lambda: ui.ResolutionMicroscope(None, small()), "ablate.microscope"),
        (
            lambda: ui.ResolutionMicroscope(ablate.microscope(small(), budget=256), large()),
            "10000x10000.*smaller first",
        ),
        (lambda: ablate.microscope(large(), budget=256), "10000x10000.*smaller first"),
        (lambda: ui.MixtureExplorer(None), "ablate.fit_response"),
        (lambda: ui.MixtureExplorer({"general": 1.0}), "ablate.fit_response"),
        (lambda: ui.ResultsExplorer(None), "bench.run"),
        (lambda: ui.failures(None), "bench.run"),
        (lambda: ui.failures(Results.of([ROW]), per_page=0), "per_page=0.*at least one"),
        (lambda: ui.ModelPanel(7), "source of type int.*workbench.load"),
    ],
)
def test_what_cannot_be_shown_is_said(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(WorkbenchError, match=says):
        make()


def test_a_record_with_a_missing_file_or_of_another_version_is_named(tmp_path: Path) -> None:
    folder = Path(explorer_records.answer().save(tmp_path / "record"))
    files = sorted(folder.glob("*"))
    assert len(files) == 3, files
    for file in files:
        kept = file.read_bytes()
        file.unlink()
        with pytest.raises(WorkbenchError, match=file.name):
            workbench.Answer.load(folder)
        file.write_bytes(kept)
    told = json.loads((folder / "answer.json").read_text())
    (folder / "answer.json").write_text(json.dumps(told | {"version": 99}))
    with pytest.raises(WorkbenchError, match="version 99.*version 1"):
        workbench.Answer.load(folder)


def test_what_a_library_raises_in_a_thread_or_a_request_is_told() -> None:
    assert (
        in_words(RuntimeError("no kernel image"), "asking") == "asking failed: RuntimeError: no kernel image"
    )
    assert in_words(InputError("x=1", "2"), "asking") == "x=1. Expected: 2."
    explorer = ui.AttentionExplorer(explorer_records.answer())
    sent: list[Any] = []
    explorer.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    explorer._answered = lambda content: (_ for _ in ()).throw(MemoryError())  # type: ignore[method-assign]
    explorer._reply({"id": 7, "kind": "map"})
    assert sent == [{"id": 7, "error": "the request failed: MemoryError: "}]


def test_an_empty_answer_is_shown_as_empty() -> None:
    empty = replace(explorer_records.answer(), text="", thought=None)
    assert "<img" in ui.AttentionExplorer(empty).static()


def test_an_item_whose_picture_is_gone_is_shown_without_it(tmp_path: Path) -> None:
    results = Results.of([ROW], folder=tmp_path)
    assert "1 of 1 items" in ui.failures(results).static()
    page = ui.ResultsExplorer(results).save_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "gone.png" in page
