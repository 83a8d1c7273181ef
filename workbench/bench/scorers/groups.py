"""Scores of groups: HallusionBench's three accuracies, and the mean over categories or over items"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...errors import InputError

__all__ = ["by_category", "hallusion"]


def hallusion(frame: pd.DataFrame) -> pd.DataFrame:
    """aAcc, fAcc and qAcc of HallusionBench rows (Guan et al. 2023), one row a run and mode.

    aAcc is the share of right answers; fAcc of figures with all their questions right; qAcc of question pairs
    (the same question on the original and the changed figure) with all right.  ``mean`` is the mean of the
    three, the one number that leaderboards of VLMEvalKit show.

    Args:
        frame: ``Results.frame()``, or its columns ``run``, ``mode``, ``value``, and ``item`` as in
            ``VD_chart_0_1_0`` (category, subcategory, set, figure, question), or
            ``details`` with ``set_id``, ``figure_id``, ``question_id``.

    Raises:
        InputError: if a row's figure or question cannot be read, or a value is NaN.
    """
    table = pd.DataFrame({name: frame[name] for name in ("run", "mode", "value")}).reset_index(drop=True)
    if table["value"].isna().any():
        raise InputError(
            f"{int(table['value'].isna().sum())} of {len(table)} rows are not scored", "a value in each row",
            "score them first: workbench.bench.rescore(results, 'workbench')",
        )  # fmt: skip
    details = list(frame["details"]) if "details" in frame else [{}] * len(frame)
    keys = [_keys(str(item), more or {}) for item, more in zip(frame["item"], details)]
    table["figure"], table["question"] = [k[0] for k in keys], [k[1] for k in keys]
    right = table.assign(right=table["value"] >= 1.0)
    by = ["run", "mode"]
    out = right.groupby(by)["right"].agg(aAcc="mean", items="size")
    for name, column in (("fAcc", "figure"), ("qAcc", "question")):
        whole = right.groupby([*by, column])["right"].all()
        out[name] = whole.groupby(by).mean()
        out[f"{column}s"] = whole.groupby(by).size()
    out["mean"] = out[["aAcc", "fAcc", "qAcc"]].mean(axis=1)
    return out.reset_index()[["run", "mode", "aAcc", "fAcc", "qAcc", "mean", "items", "figures", "questions"]]


def _keys(item: str, details: dict[str, object]) -> tuple[str, str]:
    """(figure, question pair) of an item."""
    if {"set_id", "figure_id", "question_id"} <= details.keys():
        group = f"{details.get('category', '')}_{details.get('subcategory', '')}_{details['set_id']}"
        return f"{group}_{details['figure_id']}", f"{group}_{details['question_id']}"
    parts = item.split("_")[-5:]  # VLMEvalKit's ids have one part more in front
    if len(parts) < 5:
        raise InputError(
            f"HallusionBench item {item!r}", "an id like VD_chart_0_1_0, or details with set_id and so on"
        )
    return "_".join(parts[:4]), "_".join([*parts[:3], parts[4]])


def by_category(frame: pd.DataFrame, *, by: Sequence[str] = ("run", "benchmark", "mode")) -> pd.DataFrame:
    """Micro mean (over items) and macro mean (over categories) of each run; they differ where categories do.

    VLMEvalKit reports AI2D, MMStar and V*Bench by items; lmms-eval's MMStar is the mean over its 18 finer
    categories, and MMMU's is over items.

    Args:
        frame: ``Results.frame()``; rows that are not scored are left out and counted in ``not_scored``.
        by: the columns that name a run.
    """
    keys = list(by)
    scored = frame[frame["value"].notna()]
    out = scored.groupby(keys)["value"].agg(micro="mean", items="size")
    means = scored.groupby([*keys, "category"])["value"].mean()
    out["macro"] = means.groupby(keys).mean()
    out["categories"] = means.groupby(keys).size()
    out["not_scored"] = (frame.groupby(keys).size() - out["items"]).reindex(out.index).fillna(0).astype(int)
    return out.reset_index()
