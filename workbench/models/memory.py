"""Main memory: how much there is and how much is free.  Needs no PyTorch."""

from __future__ import annotations

from pathlib import Path

__all__ = ["free_ram", "total_ram"]

_GROUPS = (  # a container's limit, use and statistics: control groups version 2, then 1
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def free_ram() -> int:
    """Bytes of main memory that can still be taken, a container's limit included."""
    import psutil

    free = psutil.virtual_memory().available
    room = container_room()
    return free if room is None else min(free, room)


def total_ram() -> int:
    """Bytes of main memory, or of the container's limit where that is less."""
    import psutil

    limits = [n for group in _GROUPS if (n := _number(_root() / group[0])) is not None]
    return min([psutil.virtual_memory().total, *limits])


def container_room(root: Path | None = None) -> int | None:
    """Bytes below the container's limit (page cache counts as free), or None where there is no limit."""
    root = root or _root()
    for limit_name, used_name, stat_name, cache_field in _GROUPS:
        limit, used = _number(root / limit_name), _number(root / used_name)
        if limit is None or used is None:
            continue
        cache = 0
        if (root / stat_name).is_file():
            fields = dict(line.split()[:2] for line in (root / stat_name).read_text().splitlines())
            cache = int(fields.get(cache_field, 0))
        return max(0, limit - used + cache)
    return None


def _root() -> Path:
    return Path("/sys/fs/cgroup")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" stands for no limit
        return None
