"""What goes into a scorer and what comes out: `Score`, an item's facts, the reply without its thought.

Scores of groups stand here too: HallusionBench's three accuracies, and the mean over categories or over
items.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ...errors import InputError

__all__ = [
    "Asked",
    "PROTOCOLS",
    "Score",
    "Scorer",
    "by_category",
    "golds_of",
    "hallusion",
    "options_of",
    "reply_for",
    "shown",
    "without_thought",
]


PROTOCOLS = ("workbench", "vlmevalkit", "lmms-eval")
"""The protocols that a reply can be scored under.  The harnesses' are those of VLMEvalKit at commit e8e78f05
and of lmms-eval at 75571cfe (both August 2026), read from their sources and written anew."""

_LONGEST_LIST = 10_000  # characters of a list written as text


@dataclass(frozen=True)
class Score:
    """What a reply is worth.

    Args:
        value: 0.0 to 1.0.  A fraction where a harness would guess at random: the guess's expected value.
        parsed: what was read from the reply; None where nothing was found.
        why: how the value came about, in words.
        judged: the harness would ask a judge model here; our own extraction stood in for it.
    """

    value: float
    parsed: str | None
    why: str
    judged: bool = False

    def __float__(self) -> float:
        return self.value

    def __bool__(self) -> bool:
        return self.value > 0.5


@dataclass(frozen=True)
class Asked:
    """A reply with all that a scorer may look at.

    ``reply`` is the text as the chosen protocol sees it (see `reply_for`); ``golds`` is never empty, and
    ``written`` is the gold answer as it was given: a list that was written as text is still that text.
    """

    benchmark: str
    reply: str
    golds: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    precision: int | None = None
    answer_type: str = ""
    question_type: str = ""
    category: str = ""
    image_size: tuple[float, float] | None = None
    gold_format: str = ""
    coordinates: str = ""
    written: str = ""

    @property
    def gold(self) -> str:
        """The only gold answer, or the first."""
        return self.golds[0]


Scorer = Callable[[Asked], Score]

_OPEN, _CLOSE = "<think>", "</think>"


def without_thought(text: str) -> str:
    """The reply after its thought: what follows the last ``</think>``; nothing if the thought never ended."""
    if _CLOSE in text:
        return text.rsplit(_CLOSE, 1)[1].strip()
    if _OPEN in text:
        return text.split(_OPEN, 1)[0].strip()  # cut off while thinking: there is no answer
    return text.replace("<nothink>", "").strip()


_LMMS_TAGS = (("<think>", "</think>"), ("<analysis>", "</analysis>"))


def reply_for(protocol: str, prediction: object) -> str:
    """The text that is scored, as each harness cuts it out of a prediction by default.

    VLMEvalKit scores the prediction with its thought unless SPLIT_THINK is set (``vlmeval/inference.py``);
    lmms-eval removes closed ``<think>`` and ``<analysis>`` blocks and leaves an unclosed one in place
    (``lmms_eval/api/reasoning.py``).
    """
    if prediction is None or (isinstance(prediction, float) and math.isnan(prediction)):
        return ""
    text = prediction if isinstance(prediction, str) else str(prediction)
    if protocol == "vlmevalkit":
        return text
    if protocol == "lmms-eval":
        for start, end in _LMMS_TAGS:
            text = _without_blocks(text, start, end)
        return text.strip()
    return without_thought(text)


def _without_blocks(text: str, start: str, end: str) -> str:
    kept, at = [], 0
    while (begin := text.find(start, at)) >= 0 and (stop := text.find(end, begin)) >= 0:
        kept.append(text[at:begin])
        at = stop + len(end)
    kept.append(text[at:])
    text = "".join(kept)
    return text.rsplit(end, 1)[1] if end in text and start not in text else text


def golds_of(gold: Any) -> tuple[str, ...]:
    """All accepted answers as text; a list may come as a list or written as one.

    Raises:
        InputError: if there is none (None, NaN, empty text, empty list).
    """
    if gold is None or (isinstance(gold, float) and math.isnan(gold)):
        raise _no_gold(gold)
    if isinstance(gold, str):
        listed = _list_in(gold)
        values: Sequence[Any] = listed if listed else [gold]
    elif isinstance(gold, Sequence):
        values = gold
    else:
        listed = gold.tolist() if hasattr(gold, "tolist") else gold  # an array
        values = listed if isinstance(listed, list) else [listed]
    texts = tuple(value if isinstance(value, str) else str(value) for value in values)
    if not texts or all(not text.strip() for text in texts):
        raise _no_gold(gold)
    return tuple(text for text in texts if text.strip())


def _list_in(text: str) -> list[Any] | None:
    """A list of texts written as JSON or as Python; None for anything else ("[2, 3]" is one answer)."""
    text = text.strip()
    if not (text.startswith(("['", '["')) and text.endswith("]")) or len(text) > _LONGEST_LIST:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return value
    return None


def _no_gold(gold: object) -> InputError:
    return InputError(
        f"gold={gold!r}",
        "the item's right answer",
        "leave out items of a split whose answers are not public (a test set that is scored by its authors)",
    )


def options_of(options: object) -> dict[str, str]:
    """Letter -> text, from a mapping or a list (the first is A).

    Raises:
        InputError: for another form, or a name that is not one capital letter.
    """
    if options is None:
        return {}
    if isinstance(options, Mapping):
        named = {str(k): "" if v is None else str(v) for k, v in options.items()}
    elif isinstance(options, Sequence) and not isinstance(options, str):
        named = {chr(ord("A") + i): str(v) for i, v in enumerate(options)}
    else:
        raise InputError(f"options={shown(str(options))}", "{'A': 'first option', 'B': ...}")
    for name in named:
        if not re.fullmatch("[A-Z]", name):
            raise InputError(f"option {name!r}", "one capital letter for each option")
    return named


def shown(text: str, limit: int = 60) -> str:
    """A text in quotes, cut to a length that a table can hold."""
    text = " ".join(text[: 4 * limit].split())
    return repr(text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}")


def hallusion(frame: pd.DataFrame) -> pd.DataFrame:
    """aAcc, fAcc and qAcc of HallusionBench rows (Guan et al. 2023), one row per run and mode.

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
