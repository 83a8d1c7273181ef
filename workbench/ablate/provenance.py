"""What a run was made with: versions, commit, machine; and the most memory that it took"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from .. import data
from ..train.card import hardware

__all__ = ["peak_memory", "provenance", "start_memory"]


def provenance() -> dict[str, Any]:
    """Date, host, hardware, versions, threads, and the commit of the workbench where it is a checkout."""
    from importlib.metadata import PackageNotFoundError, version

    made: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
    }
    made |= {**hardware(), "threads": torch.get_num_threads()}
    with contextlib.suppress(PackageNotFoundError):
        made["workbench"] = version("vlm-workbench")
    return {**made, **_commit()}


def _commit() -> dict[str, Any]:
    place = Path(data.__file__).resolve().parent.parent
    if not (place / ".git").exists():
        return {"commit": None}
    try:
        asked = ["git", "-C", str(place)]
        commit = subprocess.run([*asked, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=20)
        changed = subprocess.run(
            [*asked, "status", "--porcelain", "--untracked-files=no", "--", "workbench"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {"commit": None}
    return {"commit": commit.stdout.strip() or None, "changed": bool(changed.stdout.strip())}


def start_memory(device: str) -> None:
    """Begin to measure the most memory anew, where the system allows it."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):  # Linux; elsewhere it is the most since the process began
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int:
    """Most bytes since `start_memory`: of the GPU where there is one, else resident in this process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if os.name != "posix":
        import psutil

        return int(psutil.Process().memory_info().rss)
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
