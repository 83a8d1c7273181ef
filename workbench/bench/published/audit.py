"""All claims together: a list to read, or a table"""

from __future__ import annotations

from dataclasses import asdict
from functools import cache

import pandas as pd

from .claim import Claim
from .claims_ablations import ablation_claims
from .claims_modes import mode_claims

__all__ = ["claims", "claims_table"]


def claims() -> list[Claim]:
    """The report's claims, tested one by one on its own tables.

    A difference counts as real where it is larger than its 95% sampling error without knowing which items
    were right (see `Margin`). Each claim is tested by itself, without a correction for how many there are.

    Example:
        >>> for claim in claims():
        ...     print(claim)
    """
    return list(_tested())


@cache
def _tested() -> tuple[Claim, ...]:
    return (*mode_claims(), *ablation_claims())


def claims_table() -> pd.DataFrame:
    """`claims` as a data frame: text, source, test, arithmetic, verdict, settles."""
    return pd.DataFrame([asdict(claim) for claim in claims()])
