"""Where the benchmarks' results go"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["keep"]


def keep(result: dict[str, Any], out: Path | None) -> None:
    """Print a result, and write it where it is wanted: beside, then in its place."""
    text = json.dumps(result, indent=2)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = out.with_suffix(".tmp")
        beside.write_text(text + "\n", encoding="utf-8")
        os.replace(beside, out)
