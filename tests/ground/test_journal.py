"""The append-only journal: what a kill, a torn line and another writer leave, byte by byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.errors import InputError
from workbench.journal import Journal

LINES = [b'{"key": "a", "n": 1}\n', b'{"key": "b", "n": 2}\n', b'{"key": "c", "n": 3}\n']


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


@pytest.mark.parametrize("cut", range(len(LINES[2]) + 1))
def test_wherever_the_last_line_is_torn_the_whole_ones_are_read_and_it_is_cut_off(
    tmp_path: Path, cut: int
) -> None:
    path = write(tmp_path / "j", LINES[0], LINES[1], LINES[2][:cut])
    whole = cut == len(LINES[2])  # without its line end even complete JSON is not trusted
    journal = Journal(path)
    assert list(journal.entries) == (["a", "b", "c"] if whole else ["a", "b"])
    assert journal.torn == (0 if whole else cut)
    assert path.stat().st_size == len(LINES[0]) + len(LINES[1]) + cut, "reading changes nothing"
    journal.append([{"key": "d"}])
    journal.close()
    kept = b"".join(LINES if whole else LINES[:2])
    assert path.read_bytes() == kept + b'{"key": "d"}\n'
    assert list(Journal(path).entries) == [*(["a", "b", "c"] if whole else ["a", "b"]), "d"]


@pytest.mark.parametrize("damage", [b"half\n", b'{"n": 1}\n', b"[1]\n", b"null\n", b'"key"\n', b"\n", b"5\n"])
def test_a_damaged_line_that_is_not_the_last_is_refused_by_its_number(tmp_path: Path, damage: bytes) -> None:
    path = write(tmp_path / "j", LINES[0], damage, LINES[1])
    with pytest.raises(InputError, match=r"line 2 of .* is damaged"):
        Journal(path)
    shared = Journal(path, shared=True)
    assert list(shared.entries) == ["a", "b"]


def test_a_shared_journal_is_never_cut_and_a_torn_line_spoils_no_new_one(tmp_path: Path) -> None:
    torn = LINES[1][:9]
    path = write(tmp_path / "j", LINES[0], torn)
    journal = Journal(path, shared=True)
    journal.append([{"key": "c"}])
    journal.append([{"key": "d"}])
    journal.close()
    assert path.read_bytes() == LINES[0] + torn + b'\n{"key": "c"}\n{"key": "d"}\n'
    assert list(Journal(path, shared=True).entries) == ["a", "c", "d"]


def test_the_latest_entry_of_a_key_counts_and_every_entry_is_on_disk_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "below" / "j")
    journal.append([{"key": "a", "n": 1}, {"key": "a", "n": 2}])
    on_disk = [json.loads(line) for line in (tmp_path / "below" / "j").read_text().splitlines()]
    assert [entry["n"] for entry in on_disk] == [1, 2], "before it is closed"
    journal.append([])
    journal.append([{"key": "b", "text": "ü€😀\ud800"}])
    journal.close()
    again = Journal(tmp_path / "below" / "j")
    assert again.entries["a"]["n"] == 2
    assert journal.entries == {"a": {"key": "a", "n": 2}, "b": {"key": "b", "text": "ü€😀\ud800"}}


def test_what_json_does_not_have_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    journal = Journal(write(tmp_path / "j", LINES[0]))
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            journal.append([{"key": "b"}, {"key": "c", "x": value}])
    journal.close()
    assert (tmp_path / "j").read_bytes() == LINES[0]
