"""The image-blind control: how much of a benchmark can be answered without its pictures"""

from __future__ import annotations

import pandas as pd

from ..errors import InputError
from ..names import verb
from .results import Results
from .statistics import compare, scores

__all__ = ["answerable_blind", "blind_control"]


@verb(resamples="n_resamples")
def blind_control(seeing: Results, blind: Results, *, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """What the pictures are worth: the same items with and without them, paired.

    A benchmark on which a model scores well without its pictures measures what the model knows or guesses;
    Chen et al. 2024 (MMStar) found several that are.

    Args:
        seeing: results with the pictures.
        blind: results of ``run(..., blind=True)`` or ``blind="grey"`` on the same items.
        n_resamples, seed: of the bootstraps.

    Returns:
        One row per benchmark and mode: ``n`` pairs, ``seeing``, ``blind`` with ``blind_low`` and
        ``blind_high``,
        ``difference`` (what the pictures add) with ``low`` and ``high``, ``p_holm``; ``chance``, where the
        task says it; ``control``, "blind" or "grey".

    Raises:
        InputError: if ``blind`` was asked with its pictures, or both kinds of control are in it, or no item
            is in both.
    """
    kinds = sorted(set(blind.table["control"]))
    if len(kinds) != 1 or kinds == [""]:
        raise InputError(f"blind= with control {kinds}", "one of 'blind' and 'grey'", "run(..., blind=True)")
    first, second = (_plain(part) for part in (seeing, blind))
    table = compare(first, second)
    own = scores(second, by=["benchmark", "mode"], n_resamples=n_resamples, seed=seed)
    own = own.rename(columns={"low": "blind_low", "high": "blind_high"})
    table = table.merge(own[["benchmark", "mode", "blind_low", "blind_high"]], on=["benchmark", "mode"])
    table = table.rename(columns={"first": "seeing", "second": "blind"})
    tasks = seeing.about.get("tasks") or {}
    table["chance"] = [(tasks.get(name) or {}).get("chance") for name in table["benchmark"]]
    table["control"] = kinds[0]
    shown = ["benchmark", "mode", "n", "seeing", "blind", "blind_low", "blind_high"]
    return table[[*shown, "difference", "low", "high", "p_holm", "chance", "control"]]


def answerable_blind(seeing: Results, blind: Results) -> pd.DataFrame:
    """Items that are right without their picture, in every mode that was asked.

    Returns:
        One row per item: benchmark, item, question, gold, response (without the picture), images.
    """
    rows = blind.table[blind.table["control"] != ""]
    right = rows.groupby(["benchmark", "item"], sort=False)["value"].min() > 0.5
    first = rows.drop_duplicates(["benchmark", "item"]).set_index(["benchmark", "item"])
    there = seeing.table.set_index(["benchmark", "item"]).index
    kept = first[right.reindex(first.index).to_numpy() & first.index.isin(there)]
    return kept[["question", "gold", "response", "images"]].reset_index()


def _plain(results: Results) -> pd.DataFrame:
    """The rows without what tells the two runs apart, so that they are paired by item and mode."""
    return results.table.drop(columns=["control", "run"])
