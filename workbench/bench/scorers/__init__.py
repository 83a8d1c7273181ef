"""The scorers: one module a kind of benchmark, with its variants under each protocol

`BENCHMARKS` holds the scorer of each benchmark under each of the `PROTOCOLS`; `canonical` reads a name.
"""

from __future__ import annotations

from ._table import BENCHMARKS, canonical, recognise
from .base import PROTOCOLS, Asked, Score, by_category, hallusion

__all__ = ["BENCHMARKS", "PROTOCOLS", "Asked", "Score", "by_category", "canonical", "hallusion", "recognise"]
