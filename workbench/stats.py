"""Sampling error of a share, the one formula that every table needs."""

from __future__ import annotations

import math

from .errors import InputError

__all__ = ["wilson"]


def wilson(right: int, n: int, *, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share ``right / n`` (Wilson 1927), 95% by default.

    Unlike the normal interval it stays inside 0 to 1 and is honest at 0% and 100%.

    Raises:
        InputError: if there are no items, or more right ones than items.
    """
    if n <= 0 or not 0 <= right <= n:
        raise InputError(f"{right} right of {n}", "0 <= right <= n and n of at least 1")
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
