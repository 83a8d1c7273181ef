"""Files: what is refused unread, and what is written whole or not at all."""

from __future__ import annotations

import json
import os
import threading
import zipfile
from pathlib import Path

import pytest

from workbench import files
from workbench.errors import DiskError, InputError


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "kind", ["pipe", "device", "folder", "missing", "large", "nul", "empty name", "number"]
)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path: object = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(tmp_path / "x")
    elif kind == "device":
        path = "/dev/zero"
    elif kind == "folder":
        path = tmp_path
    elif kind == "large":
        with (tmp_path / "x").open("wb") as file:
            file.truncate(20 * 2**30)  # a hole: 20 GiB that take no room
    elif kind == "nul":
        path = "a\0b"
    elif kind == "empty name":
        path = ""
    elif kind == "number":
        path = 5
    with pytest.raises(InputError, match="notes="):
        files.read_bytes(path, "notes")  # type: ignore[arg-type]


def test_a_regular_file_is_read_whole_and_a_tilde_is_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"\0abc")
    assert files.read_bytes(tmp_path / "x") == b"\0abc"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.read_bytes("~/x") == b"\0abc"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~x").mkdir()
    (tmp_path / "~x" / "y").write_bytes(b"in a folder that is named so")
    assert files.read_bytes("~x/y").startswith(b"in")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a": ' * 300 + "1" + "}" * 300, "nested too deeply"),
        ("{", "no JSON"),
        ("", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        ("[1]", "holds a list"),
        ("null", "holds null"),
        ('"text"', "holds text"),
        ("3.5", "holds a number"),
    ],
)
def test_the_json_of_strangers(tmp_path: Path, text: str | bytes, match: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=match):
        files.read_json(path, "settings", expect=dict)


def test_json_of_a_sensible_depth_is_read(tmp_path: Path) -> None:
    value = {"a": [1, {"b": None}], "ü": "€"}
    files.write_json(tmp_path / "x.json", value)
    assert files.read_json(tmp_path / "x.json", expect=dict, max_depth=3) == value
    with pytest.raises(InputError, match="at most 2 levels"):
        files.read_json(tmp_path / "x.json", max_depth=2)


def test_what_json_does_not_have_never_touches_the_disk(tmp_path: Path) -> None:
    path = files.write_json(tmp_path / "x.json", [1])
    for value in (float("nan"), float("inf"), {1, 2}, object()):
        with pytest.raises(InputError):
            files.write_json(path, value)
    assert json.loads(path.read_text()) == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_an_error_while_writing_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = files.write_bytes(tmp_path / "x", b"old")

    def pieces():
        yield b"new"
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        files.write_bytes(path, pieces())
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_and_a_missing_folder_are_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DiskError, match="out="):
        files.write_bytes(tmp_path / "none" / "x", b"a", "out")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match=r"No space left.*free some space"):
        files.write_bytes(tmp_path / "x", b"a")
    assert list(tmp_path.iterdir()) == []


def test_many_writers_of_one_place_do_not_disturb_each_other(tmp_path: Path) -> None:
    path, errors, bad = tmp_path / "x", [], []
    files.write_bytes(path, b"0" * 5000)
    stop = threading.Event()

    def write(letter: bytes) -> None:
        try:
            for _ in range(30):
                files.write_bytes(path, letter * 5000)
        except Exception as error:
            errors.append(error)

    def read() -> None:
        while not stop.is_set():
            data = path.read_bytes()
            if len(data) != 5000 or len(set(data)) != 1:
                bad.append(data[:20])

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(bytes([65 + n]),)) for n in range(6)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert not errors
    assert not bad
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_litter_of_a_killed_process_is_cleaned_and_does_not_make_a_folder_full(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".x.0123456789abcdef.tmp", tmp_path / ".x.fedcba9876543210.tmp"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert files.holds_nothing(tmp_path)
    files.write_bytes(tmp_path / "x", b"whole")
    assert not old.exists()
    assert fresh.exists(), "another process may be writing it at this moment"
    assert not files.holds_nothing(tmp_path)


def _fail_half_way(folder: Path) -> None:
    (folder / "a").write_text("2")
    raise ValueError("half done")


def test_a_folder_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    with files.new_folder(tmp_path / "model") as folder:
        (folder / "a").write_text("1")
    with pytest.raises(ValueError, match="half"), files.new_folder(tmp_path / "model") as folder:
        _fail_half_way(folder)
    assert (tmp_path / "model" / "a").read_text() == "1"
    with files.new_folder(tmp_path / "model") as folder:
        (folder / "b").write_text("3")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["b", "model"]


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with files.locked(tmp_path / "run"), pytest.raises(InputError, match="another process"):  # noqa: SIM117
        with files.locked(tmp_path / "run"):
            pass
    with files.locked(tmp_path / "run"):
        pass


def test_archives_are_bounded_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"0" * 100_000)
        archive.writestr("b", b"0")
    with zipfile.ZipFile(path) as archive:
        files.check_archive(archive, "log")
        with pytest.raises(InputError, match="100,001 bytes"):
            files.check_archive(archive, "log", max_bytes=100_000)
        with pytest.raises(InputError, match="2 files"):
            files.check_archive(archive, "log", max_files=1)
