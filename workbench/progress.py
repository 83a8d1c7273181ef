"""How far long work is: the time left, in words."""

from __future__ import annotations

__all__ = ["time_words"]


def time_words(seconds: float) -> str:
    """Seconds as a reader takes them: about 5 min, for instance."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
