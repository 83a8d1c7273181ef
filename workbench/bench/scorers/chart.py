"""ChartQA: relaxed accuracy (Masry et al. 2022, arXiv 2203.10244, section 5.1; the 5% are from Methani et al. 2020)

A numeric answer is right within 5% of the gold one, any other if it is equal apart from case.

| protocol | quirk |
|---|---|
| workbench | reads ``977,633``, ``$5`` and ``14%``; gold 0 asks for exactly 0; a sentence counts by its one number |
| vlmevalkit | ``float()`` of the whole reply: ``977,633`` or a sentence is text; gold 0 is compared as text, so ``0.0`` is wrong (``utils/vqa_eval.py``) |
| lmms-eval | the same function, without removing white space around the reply (``tasks/chartqa/utils.py``) |
"""  # noqa: E501

from __future__ import annotations

from .base import Asked, Score, shown
from .extract import narrow, number, numbers_in, opening, plain, said, stated

__all__ = ["chart_lmms_eval", "chart_vlmevalkit", "chart_workbench"]

TOLERANCE = 0.05


def chart_workbench(asked: Asked) -> Score:
    """Relaxed accuracy of the number or word that the reply gives."""
    if not asked.reply:
        return Score(0.0, None, "the reply is empty")
    reply = narrow(asked.reply)
    scores = [_one(reply, gold) for gold in asked.golds]
    return max(scores, key=lambda score: score.value)


def _one(reply: str, gold: str) -> Score:
    wanted = number(gold)
    if wanted is None:
        claim = stated(reply)
        # a statement counts alone; without one, what the reply begins with or says of its subject
        for given in (reply, claim) if claim else (reply, opening(reply), said(reply) or ""):
            if plain(given) == plain(gold):
                return Score(1.0, given.strip(), "equal apart from case")
        return Score(0.0, shown(reply), f"the gold answer {shown(gold)} is not a number and the texts differ")
    given_number = _number_of(reply)
    if given_number is None:
        return Score(0.0, None, f"no single number in the reply; the gold answer is {gold}")
    return _compared(given_number, wanted, gold)


def _number_of(reply: str) -> float | None:
    """The number that a reply is, states, says of its subject, or is the only one in."""
    for text in (reply, stated(reply) or "", said(reply) or ""):
        if (value := number(text)) is not None:
            return value
        if len(found := set(numbers_in(text))) == 1:
            return found.pop()
    return None


def _compared(given: float, wanted: float, gold: str) -> Score:
    if wanted == 0:
        return Score(float(given == 0), f"{given:g}", "the gold answer is 0: only 0 is right")
    change = abs(given - wanted) / abs(wanted)
    return Score(
        float(change <= TOLERANCE), f"{given:g}", f"{100 * change:.3g}% from {gold}; at most 5% is right"
    )


def chart_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit: ``relaxed_correctness`` on the reply without white space around it."""
    scores = [_harness(asked.reply.strip(), gold) for gold in asked.golds]
    return max(scores, key=lambda score: score.value)


def chart_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval: ``relaxed_correctness`` on the reply."""
    scores = [_harness(asked.reply, gold) for gold in ([asked.written] if asked.written else asked.golds)]
    return max(scores, key=lambda score: score.value)


def _harness(reply: str, gold: str) -> Score:
    given, wanted = _float(reply), _float(gold)
    if given is not None and wanted:  # a gold 0 falls through to the comparison of texts
        change = abs(given - wanted) / abs(wanted)
        right = change <= TOLERANCE  # False for NaN, and for infinity
        return Score(float(right), f"{given:g}", f"{100 * change:.3g}% from {gold}; at most 5% is right")
    right = reply.lower() == gold.lower()
    return Score(float(right), shown(reply), "compared as text, apart from case")


def _float(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
