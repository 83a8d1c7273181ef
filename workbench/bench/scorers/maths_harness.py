"""MathVista, MathVision, MathVerse and MMMU by the harnesses' rules, as far as they go without a judge model

Where a harness asks a judge model, our own extraction stands in for it, and ``Score.judged`` says so.

| benchmark | vlmevalkit | lmms-eval |
|---|---|---|
| MathVista | letter by can_infer; ``int()`` or ``float()`` of the whole reply; else a judge (``utils/mathvista.py``) | the whole reply, else a judge; then the nearest option by edit distance, ``int(float(x))`` cut off, ``round(x, precision)`` compared as text (``mathvista_evals.py``) |
| MathVision | letter by can_infer; else a judge, then within 1e-6 (``utils/mathv.py``) | ends or begins with the letter; ``\\boxed{}`` or what follows "the answer is"; equal at two decimals (``mathvision/utils.py``) |
| MathVerse | a judge extracts and a judge compares (``utils/mathverse.py``) | a judge (``mathverse_evals.py``) |
| MMMU | open questions become choices; the right one is the gold text | a choice: see `choice_harness`; an open question: see `mmmu_lmms_eval` |
"""  # noqa: E501

from __future__ import annotations

import math

from .base import Asked, Score, shown
from .choice import gold_letter
from .choice_harness import can_infer, choice_vlmevalkit, mmmu_letter
from .expression import value_of
from .extract import number, stated
from .maths import extracted, formula_score, mathvision_workbench, same

__all__ = [
    "mathverse_harness",
    "mathvision_lmms_eval",
    "mathvision_vlmevalkit",
    "mathvista_lmms_eval",
    "mathvista_vlmevalkit",
    "mmmu_lmms_eval",
    "mmmu_vlmevalkit",
]


def _judged(score: Score, what: str) -> Score:
    return Score(
        score.value, score.parsed, f"{what} asks a judge model; in its place: {score.why}", judged=True
    )


def mathverse_harness(asked: Asked) -> Score:
    """Both harnesses leave MathVerse to a judge model; our rules stand in."""
    return _judged(mathvision_workbench(asked), "the harness")


def mathvista_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit's ``post_check``."""
    if asked.options:
        return choice_vlmevalkit(asked)
    whole = _cast(asked.reply, asked.answer_type)
    if whole is None and asked.answer_type in ("integer", "float"):
        whole = _cast(_stand_in(asked.reply), asked.answer_type)
        judged = True
    elif asked.answer_type in ("integer", "float"):
        judged = False
    else:
        return _judged(formula_score(asked), "VLMEvalKit")
    wanted = _cast(asked.gold, asked.answer_type)
    score = Score(
        float(whole is not None and whole == wanted), None if whole is None else f"{whole:g}", "whole reply"
    )
    return _judged(score, "VLMEvalKit") if judged else score


def _cast(text: str, kind: str) -> float | None:
    try:
        return int(text) if kind == "integer" else float(text)
    except (ValueError, OverflowError):
        return None


def _stand_in(reply: str) -> str:
    """What a judge model would extract as a number: the stated answer, or the only number."""
    text = stated(reply) or extracted(reply) or ""
    value = number(text)
    if value is None:
        value = value_of(text)
    return text if value is None else f"{value:.12g}"


def mathvista_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval's MathVista: extraction, ``normalize_extracted_answer``, equality of texts."""
    reply = asked.reply.strip()
    if asked.options:
        return _mathvista_choice(asked, reply)
    kind = asked.answer_type
    judged = _cast(reply, kind) is None
    text = _stand_in(reply) if judged else reply
    value = _cast(text, "float")
    if kind == "integer" and value is not None and math.isfinite(value):
        parsed = str(int(value))
    elif kind == "float" and value is not None:
        parsed = str(round(value, asked.precision or 0))
    else:
        parsed = text if kind not in ("integer", "float") else ""
    score = Score(float(parsed.strip() == asked.gold.strip()), parsed or None, "compared as text")
    return _judged(score, "lmms-eval") if judged else score


def _mathvista_choice(asked: Asked, reply: str) -> Score:
    wanted = asked.options[gold_letter(asked.gold, asked.options)]
    judged = reply not in asked.options.values()
    text = (stated(reply) or extracted(reply) or "") if judged else reply
    bracketed = next((text[i + 1] for i in range(len(text) - 2) if text[i] == "(" and text[i + 2] == ")"), "")
    letter = bracketed.upper() if bracketed.isascii() and bracketed.isalpha() else text.strip()
    if letter in asked.options:
        chosen = asked.options[letter]
    else:
        chosen = min(asked.options.values(), key=lambda option: _edit_distance(text[:300], option[:300]))
    score = Score(
        float(chosen == wanted), chosen, "the option of that letter, or the nearest by edit distance"
    )
    return _judged(score, "lmms-eval") if judged else score


def _edit_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def mathvision_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit's MathVision: a letter by ``can_infer``, else what a judge model extracts."""
    if asked.options:
        found = can_infer(asked.reply, asked.options)
        if found is not None:
            wanted = gold_letter(asked.gold, asked.options)
            return Score(float(found == wanted), found, "can_infer")
    return _judged(mathvision_workbench(asked), "VLMEvalKit")


_FLAGS = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")


def mathvision_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval's ``mathvision_process_results``; formulas are compared by our own small parser."""
    reply = asked.reply.strip()
    for letter in "ABCDE":
        ends = reply.endswith((f" {letter}.", f" ({letter})."))
        if ends or reply.startswith((f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")):
            reply = letter
    tail = reply.rsplit("is ", 1)[-1].rstrip(".")
    if _cast(tail, "float") is not None:
        reply = tail
    if "oxed{" in reply:
        text = stated("\\boxed{" + reply.rsplit("oxed{", 1)[1]) or ""
    else:
        text = reply
        for flag in _FLAGS:
            for form in (flag, flag.replace("the", "The")):
                if form in text:
                    text = text.rsplit(form, 1)[1].strip().split("\n")[0].split(". ")[0]
    text = text.rsplit("=", 1)[-1].strip()
    if len(bare := text.strip("(){}. :")) == 1 and bare.upper() in "ABCDE":
        text = bare.upper()
    golds = [asked.gold, asked.options[asked.gold]] if asked.gold in asked.options else [asked.gold]
    right = any(_equal_at_two_decimals(text, gold) for gold in golds)
    return Score(float(right), shown(text) if text else None, "equal as text, or in value at two decimals")


def _equal_at_two_decimals(given: str, gold: str) -> bool:
    if not given.strip():
        return False
    if same(given, gold):
        return True
    a, b = value_of(given), value_of(gold)
    return a is not None and b is not None and round(a, 2) == round(b, 2)


def mmmu_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit: ``can_infer``; an open question offers the gold text as A and "Other Answers" as B."""
    if asked.options:
        return choice_vlmevalkit(asked)
    found = can_infer(asked.reply, {"A": asked.gold, "B": "Other Answers"})
    how = f"an open question, asked as A: {shown(asked.gold)}, B: Other Answers"
    return Score(float(found == "A"), found, how, judged=found is None)


def mmmu_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval: the MMMU authors' parser for choices.

    For an open question the parser's list of candidates is cut to one text before it is compared letter by
    letter (``mmmu_process_results``, then ``eval_open``): at this commit no open question can be right.
    """
    if not asked.options:
        return Score(
            0.0, None, "an open question: at this commit its candidates are compared letter by letter"
        )
    wanted = gold_letter(asked.gold, asked.options)
    found = mmmu_letter(asked.reply, asked.options)
    if found is None:
        n = len(asked.options)
        return Score(
            1 / n, None, f"nothing parsed: the harness guesses one of {n}; this is the guess's expectation"
        )
    return Score(float(found == wanted), found, "the parser of the MMMU authors")
