"""Pictures with exactly known answers, boxes and reasoning traces.

>>> from workbench import synth
>>> sample = synth.sample("bar_value", 1, seed=0)[0]
>>> sample.question, sample.answer
>>> sample.correct("The value is " + sample.answer)
True

`FAMILIES` lists what can be drawn.  The same family, seed and difficulty give the same bytes.
"""

from __future__ import annotations

from .families import DIFFICULTIES, FAMILIES, Family, draw, sample
from .sample import Sample, parse_point

__all__ = ["DIFFICULTIES", "FAMILIES", "Family", "Sample", "draw", "parse_point", "sample"]
