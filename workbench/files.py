"""Read and write files safely: shipped data, strangers' files, atomic writes, locks, archives.

Everything that touches a disk goes through here, so that one rule holds everywhere: a stranger's file is
checked to be a regular file of a sensible size before it is read, and what we write is whole or not there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from .errors import BusyError, DiskError, InputError

__all__ = [
    "check_archive",
    "data_path",
    "holds_nothing",
    "local_path",
    "locked",
    "new_folder",
    "open_regular",
    "own_folder",
    "parse_json",
    "read_bytes",
    "read_json",
    "sync",
    "temporary",
    "write_bytes",
    "write_json",
    "write_text",
    "writing",
]

_PACKAGE = Path(__file__).resolve().parent

MAX_BYTES = 4 * 2**30
"""Largest file that is read whole unless a caller says otherwise: 4 GiB."""

# not blocking: a pipe without a writer would keep an ordinary open() waiting for ever
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

STALE = 3600.0
"""Seconds after which a temporary file of ours belongs to a process that was killed."""


# ---------------------------------------------------------------------------------------------- shipped data


def data_path(*parts: str) -> Path:
    """Path of a file or folder that ships with the workbench.

    A wheel carries the data inside the package; a checkout keeps it in ``data/`` beside the package.

    Args:
        parts: names below the data folder (``data_path("nano", "config.json")``); none for the folder itself.

    Raises:
        InputError: if nothing of that name ships, or the name leads out of the data folder.

    Example:
        >>> data_path("samples").name
        'samples'
    """
    packaged = _PACKAGE / "_data"
    root = packaged if packaged.is_dir() else _PACKAGE.parent / "data"
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"data_path{parts!r}", "names below the data folder")
    if not path.exists():
        folder = next(p for p in path.parents if p.is_dir())
        names = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise InputError(
            f"data_path{parts!r}: nothing of that name ships in {folder}",
            f"one of: {names}",
            "if the installation is damaged, run: pip install --force-reinstall --no-deps vlm-workbench",
        )
    return path


# --------------------------------------------------------------------------------------------------- reading


def local_path(path: str | os.PathLike[str], what: str = "path") -> Path:
    """A path that a user named, with ``~`` expanded.

    Raises:
        InputError: for something that is no path.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path) or "\0" in str(os.fspath(path)):
        raise InputError(f"{what}={path!r}", "the path of a file or folder")
    given = Path(path)
    try:
        os.lstat(given)
    except (OSError, UnicodeEncodeError) as error:  # what pathlib's is_dir and exists would raise
        if isinstance(error, UnicodeEncodeError) or error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{what}={str(path)[:80]!r}...", "a path that this system can hold") from None
    if os.path.exists(given):  # a folder may really be named "~x"; Path.exists raises for long names
        return given
    try:
        return given.expanduser()
    except RuntimeError:  # "~x" where there is no user x
        return given


def open_regular(
    path: str | os.PathLike[str], what: str = "path", *, max_bytes: int = MAX_BYTES
) -> IO[bytes]:
    """Open a file to read it; pipes, devices, folders and files that are too large are refused unread.

    Args:
        path: the file.
        what: how errors name it.
        max_bytes: the largest file that is opened.

    Raises:
        InputError: if it is not there, cannot be read, is no regular file, or is larger.
    """
    place = local_path(path, what)
    try:
        descriptor = os.open(place, _READING)
    except OSError as error:
        raise _unreadable(path, what, error) from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > max_bytes:
        os.close(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "no regular file but a pipe or device"
            raise InputError(f"{what}={str(path)!r} is {kind}", "a file")
        raise InputError(
            f"{what}={str(path)!r} has {facts.st_size:,} bytes", f"a file of at most {max_bytes:,} bytes"
        )
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str | os.PathLike[str], what: str = "path", *, max_bytes: int = MAX_BYTES) -> bytes:
    """A whole file's bytes; see `open_regular` for what is refused.

    Raises:
        InputError: if it cannot be read whole.
    """
    with open_regular(path, what, max_bytes=max_bytes) as file:
        try:
            return file.read(max_bytes + 1)
        except OSError as error:
            raise _unreadable(path, what, error) from None


def _unreadable(path: object, what: str, error: OSError) -> InputError:
    return InputError(f"{what}={str(path)!r}: {error.strerror or error}", "a file that can be read")


def parse_json(
    text: str | bytes, what: str, *, expect: type | tuple[type, ...] = object, max_depth: int | None = None
) -> Any:
    """JSON that somebody else wrote.

    Args:
        text: the document.
        what: how errors name it.
        expect: type of its outermost value: dict, list, ...
        max_depth: how deeply lists and objects may lie in each other; None takes what Python's reader takes.

    Raises:
        InputError: if it is no JSON, nested too deeply, or another type.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise InputError(f"{what} is nested too deeply", "JSON of a sensible depth") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{what} is no JSON: {error}", "a JSON document") from None
    if not isinstance(value, expect):
        kinds = expect if isinstance(expect, tuple) else (expect,)
        raise InputError(
            f"{what} holds {_json_kind(type(value))}", " or ".join(_json_kind(kind) for kind in kinds)
        )
    if max_depth is not None and _deeper_than(value, max_depth):
        raise InputError(f"{what} is nested too deeply", f"at most {max_depth} levels")
    return value


def read_json(
    path: str | os.PathLike[str],
    what: str = "path",
    *,
    expect: type | tuple[type, ...] = object,
    max_bytes: int = 2**28,
    max_depth: int | None = 200,
) -> Any:
    """A JSON file that somebody else may have written; see `open_regular` and `parse_json`.

    Raises:
        InputError: if it cannot be read, is no JSON, nested too deeply, or another type.
    """
    data = read_bytes(path, what, max_bytes=max_bytes)
    return parse_json(data, f"{what}={str(path)!r}", expect=expect, max_depth=max_depth)


def _json_kind(kind: type) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null", bool: "true or false"}
    return names.get(kind, "a number" if kind in (int, float) else "any JSON")


def _deeper_than(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(outer, (dict, list)) for outer in level)


def check_archive(
    archive: zipfile.ZipFile, what: str, *, max_bytes: int = MAX_BYTES, max_files: int = 200_000
) -> None:
    """Refuse a zip archive that would unpack to more than it should.

    Members are read by name and never extracted by their own paths; this bounds their number and total size.

    Raises:
        InputError: for too many members, too large ones, or two of one name.
    """
    members = archive.infolist()
    if len(members) > max_files:
        raise InputError(f"{what} holds {len(members):,} files", f"at most {max_files:,}")
    if (total := sum(member.file_size for member in members)) > max_bytes:
        raise InputError(f"{what} unpacks to {total:,} bytes", f"at most {max_bytes:,}")
    if len({member.filename for member in members}) < len(members):
        raise InputError(f"{what} holds two files of one name", "an archive as its program wrote it")


# --------------------------------------------------------------------------------------------------- writing


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], what: str = "path") -> Iterator[None]:
    """Turn what the system says of a disk into an error that a user can act on.

    Raises:
        DiskError: for a full disk, a missing permission, a folder that is not there, and the like.
    """
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DiskError(
            f"{what}={str(path)!r}: {error.strerror or error}",
            "room on the disk" if full else "a place that can be written to",
            "free some space and try again" if full else "pass another place, or change its permissions",
        ) from error


def temporary(path: Path) -> Path:
    """A name beside ``path`` that nobody else uses; what killed processes left there is removed."""
    for old in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - old.lstat().st_mtime > STALE:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is empty but for our own temporaries, which a kill may leave there."""
    return not any(
        not (entry.name.startswith(".") and entry.name.endswith(".tmp")) for entry in folder.iterdir()
    )


def own_folder(path: str | os.PathLike[str], name: str, expected: str) -> Path:
    """Make a folder that holds one record of ours, or find it: a file called ``name`` tells it.

    Raises:
        InputError: if it is a file, or a folder that holds something else.
        DiskError: if it cannot be made.
    """
    folder = local_path(path)
    if folder.is_file() or (folder.is_dir() and not holds_nothing(folder) and not (folder / name).is_file()):
        raise InputError(f"path={str(path)!r} holds something else", expected)
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def sync(path: Path) -> None:
    """Hand a folder's entries to the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(path: str | os.PathLike[str], data: bytes | Iterable[bytes], what: str = "path") -> Path:
    """Write a file whole or not at all: beside its place, synced, then moved there.

    A crash, a full disk, or an error while ``data`` is made leaves the old file as it was.  Two writers of
    one place do not disturb each other; the last one counts.

    Args:
        path: the file; its folder must exist.
        data: its contents, or the pieces of them.
        what: how errors name it.

    Returns:
        The path.

    Raises:
        DiskError: if it cannot be written.
    """
    place = local_path(path, what)
    with writing(place, what):
        beside = temporary(place)
        try:
            with beside.open("xb") as file:
                for piece in (data,) if isinstance(data, bytes) else data:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, place)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        sync(place.parent)
    return place


def write_text(path: str | os.PathLike[str], text: str, what: str = "path") -> Path:
    """Write UTF-8 text as `write_bytes` does."""
    return write_bytes(path, text.encode("utf-8"), what)


def write_json(
    path: str | os.PathLike[str], value: object, what: str = "path", *, indent: int | None = 1
) -> Path:
    """Write JSON as `write_bytes` does; it is serialised before the disk is touched.

    Raises:
        InputError: for a value that JSON does not have, NaN included.
        DiskError: if it cannot be written.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: {error}", "values that JSON has; no NaN, no infinity") from None
    return write_bytes(path, text.encode("utf-8", "surrogatepass"), what)


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str], what: str = "path") -> Iterator[Path]:
    """Make a folder whole or not at all: fill what this yields, and it is moved to its place at the end.

    A folder that stands there is replaced; an error leaves it as it was.

    Raises:
        DiskError: if it cannot be written.
    """
    place = local_path(path, what)
    with writing(place, what):
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = temporary(place)
        beside.mkdir()
    try:
        yield beside
        with writing(place, what):
            if place.is_dir():
                aside = temporary(place)
                os.replace(place, aside)
                os.replace(beside, place)
                shutil.rmtree(aside, ignore_errors=True)
            else:
                os.replace(beside, place)
            sync(place.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], what: str = "folder") -> Iterator[None]:
    """Hold a folder, so that no second process writes into it; the system lets go when this one ends.

    Raises:
        BusyError: if another process holds it.
        DiskError: if the folder cannot be written to, or its file system has no locks.
    """
    place = local_path(folder, what)
    with writing(place, what):
        place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / ".lock", timeout=0)
    with writing(place, what):
        try:
            lock.acquire()
        except Timeout:
            raise BusyError(
                f"{what}={str(folder)!r} is being written by another process",
                "one writer at a time in a folder",
                f"wait for the other one, or pass another {what}=",
            ) from None
        except NotImplementedError:
            raise DiskError(
                f"{what}={str(folder)!r} lies on a file system without locks",
                "one that has them: without, two processes could write one folder",
                f"pass another {what}=",
            ) from None
    try:
        yield
    finally:
        lock.release()
