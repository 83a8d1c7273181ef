"""A few hostile inputs of each kind end clear; `python tools/hostile.py` tries them all."""

from __future__ import annotations

import hostile
import pytest

EVERY = {"pictures": 40, "checkpoints": 60, "records": 400, "servers": 60, "disks": 20, "arguments": 150}


@pytest.mark.slow
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_hostile_inputs_end_clear(kind: str) -> None:
    found = hostile.count(kind, every=EVERY[kind], limit=60)
    assert found["tried"] > 3
    assert not found["unclear"]


def test_what_is_not_clear_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [("a", "clear", ""), ("b", "raw", "TypeError"), ("c", "hang", "")]
    monkeypatch.setattr(hostile, "outcomes", lambda kind, every, limit: iter(ends))
    found = hostile.count("pictures")
    assert hostile.table({"pictures": found}).splitlines()[-1] == "| all | 3 | 1 | 1 | 1 |"
    assert [name for name, _, _ in found["unclear"]] == ["b", "c"]
