"""The rules: one module a kind of benchmark, with its variants in VLMEvalKit, lmms-eval and ours

`BENCHMARKS` holds the scorer of each benchmark under each of the `RULES`; `canonical` reads a name.
"""

from __future__ import annotations

from ._table import BENCHMARKS, canonical, recognise
from .base import RULES, Asked, Score, by_category, hallusion

__all__ = ["BENCHMARKS", "RULES", "Asked", "Score", "by_category", "canonical", "hallusion", "recognise"]
