"""A benchmark: its scorer, its task, and the reader of a harness's logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from workbench import bench
from workbench.bench import Asked, Item, Score, Task

__all__ = ["register"]

COLOURS = ("red", "green", "blue", "white", "black")


def exact(asked: Asked) -> Score:
    """Right if the reply is a gold answer, apart from case and a full stop."""
    said = asked.reply.strip().rstrip(".").lower()
    return Score(float(said in asked.golds), said or None, "compared with the colour's name")


def colours(folder: str | Path | None = None, n: int | None = None) -> Task:
    """Squares of one colour each."""
    items = [
        Item(name, "What colour is the square?", name, (Image.new("RGB", (32, 32), name),), size=(32, 32))
        for name in COLOURS
    ]
    return Task("Colours", items[:n], scorer="Colours", origin="vlm_plugin_example")


def is_log(path: Path, start: bytes) -> bool:
    """A log of this harness begins with its name."""
    return start.startswith(b'{"colour_log"')


def read(path: Path, notes: bench.importers.Notes) -> Iterator[dict[str, Any]]:
    """One row a line, behind a first line that names the model and the run."""
    with path.open(encoding="utf-8") as file:
        header = json.loads(next(file))["colour_log"]
        notes.run = header["run"]
        rows = 0
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                notes.add("cut: the last line is not complete")
                break
            rows += 1
            yield {"model": header["model"], "harness": "colour-log", "benchmark": "Colours", **row}
        if rows < header["rows"]:
            notes.add(f"cut: {rows} of {header['rows']} rows are here")


def example(folder: Path) -> Path:
    """A small log."""
    rows = [{"item": name, "gold": name, "response": name.title()} for name in COLOURS]
    header = {"colour_log": {"model": "M", "run": "first", "rows": len(rows)}}
    path = folder / "colours.log"
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *rows)), "utf-8")
    return path


def register() -> None:
    """Add all three to the workbench's tables."""
    bench.register_scorer("Colours", exact, example={"prediction": "Red.", "gold": "red"})
    bench.register_task("Colours", colours)
    bench.register_importer("colour-log", read, recognises=is_log, example=example)
