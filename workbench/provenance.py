"""What a number was made with: machine, instruction set, versions, and the code of the workbench itself.

A CPU of another make, or another instruction set, rounds differently: the same recipe then gives other
weights.  So these stand beside every run, card and benchmark.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import socket
import subprocess
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["code", "hardware", "provenance"]

_PACKAGE = Path(__file__).resolve().parent

#: Sources that decide what a training run comes to: data, loop, and the model's own classes.
_TRAINING = (
    "synth",
    "train",
    "ablate/stream.py",
    "ablate/training.py",
    "ablate/variant.py",
    "models/phi4_rv",
)


def provenance() -> dict[str, Any]:
    """Date, host, `hardware`, threads, and `code`."""
    import torch  # heavy: records are read without it

    made = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "host": socket.gethostname()}
    return {**made, **hardware(), "threads": torch.get_num_threads(), **code()}


def hardware() -> dict[str, Any]:
    """Machine and versions that a number was measured with."""
    import torch

    built = torch.__config__.show()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "onednn": _first(r"MKL-DNN v(\S+)", built) if torch.backends.mkldnn.is_available() else None,
        "mkl": _first(r"Math Kernel Library Version (\S+?)(?:-| )", built),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
    }


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1) if found else None


@lru_cache
def _processor() -> str:
    """The CPU's model where the system tells it, else its kind."""
    with contextlib.suppress(OSError):
        if model := _first(r"(?m)^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text()):
            return model.strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        if model := subprocess.run(asked, capture_output=True, text=True, timeout=5).stdout.strip():
            return model
    return platform.processor() or platform.machine()


@lru_cache
def code() -> dict[str, Any]:
    """Version and commit of the workbench, and a digest of the sources that decide what a run comes to.

    Returns:
        ``workbench`` (version), ``commit`` (None for an installed package), ``changed`` (whether the
        checkout differs from its commit) and ``code_sha256``.
    """
    made: dict[str, Any] = {}
    with contextlib.suppress(PackageNotFoundError):
        made["workbench"] = version("vlm-workbench")
    return {**made, **_commit(), "code_sha256": _digest()}


def _digest() -> str:
    found = hashlib.sha256()
    for name in _TRAINING:
        place = _PACKAGE / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            found.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _commit() -> dict[str, Any]:
    if not (_PACKAGE.parent / ".git").exists():
        return {"commit": None}
    asked = ["git", "-C", str(_PACKAGE.parent)]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 20}
    try:
        commit = subprocess.run([*asked, "rev-parse", "HEAD"], **options)
        changed = subprocess.run(
            [*asked, "status", "--porcelain", "--untracked-files=no", "--", "workbench"], **options
        )
    except (OSError, subprocess.TimeoutExpired):
        return {"commit": None}
    return {"commit": commit.stdout.strip() or None, "changed": bool(changed.stdout.strip())}
