"""The thoughts of a run, tested: does the answer of a benchmark's item follow its thought?

The tests are those of `workbench.interpret.thought_faithfulness`, on the replies that a run has; what came of
them lies in the run's folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..answer import Answer
from ..errors import InputError
from ..files import read_json, write_json
from ..names import later
from ..records import plain
from ..types import Mode
from .results import Results

__all__ = ["check_thought_tests", "read_thoughts", "row_answer", "try_thoughts"]

FOLDER, NAME = "thoughts", "summary.json"


def check_thought_tests(tests: Sequence[str], *, blind: str = "") -> tuple[str, ...]:
    """The tests' names, checked before anything is asked.

    Raises:
        InputError: for an unknown test, or for questions without their images.
    """
    names = (tests,) if isinstance(tests, str) else tuple(tests)
    if names and blind:
        raise InputError(f"thought_tests={names} with blind={blind!r}", "one of the two")
    later("interpret.thought_record", "check_tests")(names)
    return names


def try_thoughts(
    vlm: object, results: Results, tests: Sequence[str], *, batch_size: int, progress: bool
) -> None:
    """Test the thoughts of a run's replies, and keep the outcome in its folder.

    Args:
        vlm: the model that was asked.
        results: of the run; replies in mode "think" where there are any, else those that thought in "auto".
        tests: names of tests.
        batch_size: replies at a time.
        progress: say what it costs, and show a bar.
    """
    assert results.folder is not None, "of a run"
    folder = results.folder
    rows = [row for row in results.rows() if row["thought"] and row["response"]]
    modes = [mode for mode in ("think", "auto") if any(row["mode"] == mode for row in rows)]
    rows = [row for row in rows if row["mode"] in modes[:1]]
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    if not rows:
        write_json(folder / FOLDER / NAME, {"verdict": "no reply has a thought to test", "tests": []})
        return
    found = later("interpret", "thought_faithfulness")(
        vlm,
        [row_answer(results, row) for row in rows],
        tests=tests,
        batch_size=batch_size,
        folder=folder / FOLDER,
        progress=progress,
    )
    found.save(folder / FOLDER / "found.json")
    table = plain(found.summary().to_dict("records"))
    write_json(folder / FOLDER / NAME, {"verdict": found.verdict, "mode": modes[0], "tests": table})


def read_thoughts(folder: Path) -> dict[str, Any] | None:
    """The outcome that `try_thoughts` kept; None where there is none."""
    path = folder / FOLDER / NAME
    return read_json(path, expect=dict) if path.is_file() else None


def row_answer(results: Results, row: Mapping[str, Any]) -> Answer:
    """The `Answer` of one row, as far as a row holds it: no tokens, no layout."""

    def count(name: str) -> int | None:
        return None if math.isnan(row[name]) else int(row[name])

    return Answer(
        text=row["response"],
        thought=row["thought"],
        mode=Mode.of(row["mode"]),
        p_think=None if math.isnan(row["p_think"]) else float(row["p_think"]),
        prompt_tokens=count("prompt_tokens"),  # type: ignore[arg-type]
        image_tokens=count("image_tokens"),
        thought_tokens=count("thought_tokens"),
        answer_tokens=count("answer_tokens"),
        seconds=float(row["seconds"]),
        seconds_to_first_token=None,
        stopped=row["stopped"] or "end",
        question=row["question"],
        images=tuple(results.images(row)),
        model=row["model"],
        created=row["created"],
    )
