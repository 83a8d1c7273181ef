"""A claim of the report, what its own tables say about it, and the arithmetic in between"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError
from .margins import Margin

__all__ = ["CANNOT_TELL", "CONTRADICTED", "SUPPORTED", "VERDICTS", "Claim", "verdict_of"]

SUPPORTED, CONTRADICTED, CANNOT_TELL = VERDICTS = ("supported", "contradicted", "cannot tell")


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, tested.

    Args:
        text: what is claimed, in our words.
        source: where, and which table can say something about it.
        test: what was compared, and what would count for or against it.
        arithmetic: the numbers and the computation, a line a step.
        verdict: "supported" (the table agrees, by more than its sampling error), "contradicted" (the table's
            own numbers say otherwise), or "cannot tell" (within the error, or no number in the tables).
        settles: what would settle it, where the tables do not.
    """

    text: str
    source: str
    test: str
    arithmetic: str
    verdict: str
    settles: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InputError(f"verdict={self.verdict!r}", f"one of {', '.join(VERDICTS)}")

    def __str__(self) -> str:
        lines = [f"{self.verdict.upper()}: {self.text} ({self.source})", f"  Test: {self.test}"]
        lines += [f"    {line}" for line in self.arithmetic.split("\n")]
        return "\n".join([*lines, f"  To settle it: {self.settles}"] if self.settles else lines)


def verdict_of(margins: Sequence[Margin]) -> str:
    """The verdict on "the first is better" from its margins, all of which must agree.

    One that is surely the other way contradicts; else all must be surely right to support.
    """
    if any(m.sure and m.difference < 0 for m in margins):
        return CONTRADICTED
    return SUPPORTED if margins and all(m.sure and m.difference > 0 for m in margins) else CANNOT_TELL
