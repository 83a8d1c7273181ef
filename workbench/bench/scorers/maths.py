r"""MathVista, MathVision, MathVerse and MMMU by our own protocol: extract, then compare letters, numbers or formulas

Lu et al. 2023 (arXiv 2310.02255), Wang et al. 2024 (2402.14804), Zhang et al. 2024 (2403.14624), Yue et al.
2023 (2311.16502).  No judge model is asked.

MathVista, MathVision, MathVerse and MMMU by the harnesses' protocols, as far as they go without a judge model

Where a harness asks a judge model, our own extraction stands in for it, and ``Score.judged`` says so.

| benchmark | vlmevalkit | lmms-eval |
|---|---|---|
| MathVista | letter by can_infer; ``int()`` or ``float()`` of the whole reply; else a judge (``utils/mathvista.py``) | the whole reply, else a judge; then the nearest option by edit distance, ``int(float(x))`` cut off, ``round(x, precision)`` compared as text (``mathvista_evals.py``) |
| MathVision | letter by can_infer; else a judge, then within 1e-6 (``utils/mathv.py``) | ends or begins with the letter; ``\boxed{}`` or what follows "the answer is"; equal at two decimals (``mathvision/utils.py``) |
| MathVerse | a judge extracts and a judge compares (``utils/mathverse.py``) | a judge (``mathverse_evals.py``) |
| MMMU | open questions become choices; the right one is the gold text | a choice: see `choice_harness`; an open question: see `mmmu_lmms_eval` |
"""  # noqa: E501

from __future__ import annotations

import difflib
import json
import math
import re

from ...errors import InputError
from .base import Asked, Score, shown
from .choice import can_infer, choice_vlmevalkit, choice_workbench, gold_letter, letter_in, mmmu_letter
from .extract import decimals, last_number, number, plain, stated, tidied, value_of

__all__ = [
    "extracted",
    "formula_score",
    "mathverse_harness",
    "mathverse_workbench",
    "mathvision_checked",
    "mathvision_lmms_eval",
    "mathvision_vlmevalkit",
    "mathvision_workbench",
    "mathvista_checked",
    "mathvista_lmms_eval",
    "mathvista_vlmevalkit",
    "mathvista_workbench",
    "mmmu_lmms_eval",
    "mmmu_vlmevalkit",
    "mmmu_workbench",
    "same",
]


_NEAR = 0.6  # MathVista takes the nearest option; ours must be at least this alike
_SHORT = 300  # characters of a reply that can be an answer as a whole


def mathvista_workbench(asked: Asked) -> Score:
    """A choice by letter, text or the nearest option; a number at the item's precision; a list; or text."""
    if asked.options:
        score = choice_workbench(asked)
        return score if score.parsed else _nearest_option(asked)
    kind = asked.answer_type or _kind_of(asked.gold)
    if kind in ("integer", "float"):
        return _number_score(asked, kind)
    if kind == "list":
        return _list_score(asked)
    return formula_score(asked)


def _kind_of(gold: str) -> str:
    if number(gold) is not None:
        return "float" if "." in gold else "integer"
    return "list" if gold.strip().startswith("[") else "text"


def _nearest_option(asked: Asked) -> Score:
    text = extracted(asked.reply)
    if text is None:
        return Score(0.0, None, "no letter, no option's text, and the reply is too long to be one")
    ratio = {
        name: difflib.SequenceMatcher(None, plain(text), plain(option[:_SHORT])).ratio()
        for name, option in asked.options.items()
    }
    best = max(ratio, key=lambda name: ratio[name])
    if ratio[best] < _NEAR:
        return Score(0.0, None, f"{shown(text)} is like no option")
    wanted = gold_letter(asked.gold, asked.options)
    return Score(
        float(best == wanted), best, f"{shown(text)} is nearest to option {best} ({ratio[best]:.2f})"
    )


def _number_score(asked: Asked, kind: str) -> Score:
    wanted = number(asked.gold)
    if wanted is None:
        raise InputError(f"gold={asked.gold!r} with answer_type={kind!r}", "a number")
    given = _number_of(asked.reply)
    if given is None:
        return Score(0.0, None, "no number in the reply")
    digits = 0 if kind == "integer" else decimals(asked.gold) if asked.precision is None else asked.precision
    # half of the last digit, as rounding would; the small part makes up for binary fractions
    right = given == wanted if kind == "integer" else abs(given - wanted) <= 0.5 * 10.0**-digits + 1e-9
    return Score(float(right), f"{given:g}", f"{given:g} against {asked.gold} at {digits} decimals")


def _number_of(reply: str) -> float | None:
    """The number that is stated, else the reply's only expression, else its last number."""
    for text in (stated(reply), reply):
        if text is None:
            continue
        for value in (number(text), value_of(text), last_number(text)):
            if value is not None:
                return value
    return None


def _list_score(asked: Asked) -> Score:
    text = stated(asked.reply) or asked.reply
    start, end = text.rfind("["), text.rfind("]")
    given = _listed(text[start : end + 1]) if 0 <= start < end else None
    if given is None:
        return Score(0.0, None, "no list in the reply")
    right = given == _listed(asked.gold)
    return Score(float(right), json.dumps(given), f"compared with {asked.gold}")


def _listed(text: str) -> list[float | str] | None:
    parts = text.strip().strip("[]").split(",")
    if len(parts) > 100:
        return None
    return [v if (v := number(part)) is not None else plain(part) for part in parts]


def mathvision_workbench(asked: Asked) -> Score:
    """A letter where there are options, else a formula or number that equals the gold one."""
    if asked.options or _is_letter(asked.gold):
        return choice_workbench(asked)
    return formula_score(asked)


def mathverse_workbench(asked: Asked) -> Score:
    """As MathVision; the gold answer of a choice is its letter."""
    return mathvision_workbench(asked)


def _is_letter(gold: str) -> bool:
    return len(gold.strip()) == 1 and gold.strip() in "ABCDE"


def mmmu_workbench(asked: Asked) -> Score:
    """A choice by `letter_in`; an open question by its words, number or formula.  Never a random guess."""
    return choice_workbench(asked) if asked.options or _is_letter(asked.gold) else formula_score(asked)


def extracted(reply: str) -> str | None:
    """The answer that a reply states, or a short reply itself; None for a long one without a statement."""
    text = stated(reply)
    if text is not None:
        return text
    last = reply.strip().rsplit("\n", 1)[-1].strip()
    return last if 0 < len(last) <= _SHORT else None


def formula_score(asked: Asked) -> Score:
    """Whether the extracted answer equals a gold one: as text, as a formula, or in value."""
    text = extracted(asked.reply)
    if text is None:
        return Score(0.0, None, "the reply states no answer")
    for gold in asked.golds:
        if how := same(text, gold):
            return Score(1.0, text[:200], how)
    value = last_number(text)
    wanted = value_of(asked.gold)
    if value is not None and wanted is not None and "=" not in text and _close(value, wanted):
        return Score(1.0, f"{value:g}", f"its last number equals {asked.gold}")
    return Score(0.0, text[:200], f"differs from {shown(asked.gold)}")


def same(given: str, gold: str) -> str:
    """How two answers are the same ("" if they are not)."""
    if plain(given) == plain(gold):
        return "the same text"
    a, b = tidied(given), tidied(gold)
    if a == b:
        return "the same formula"
    right_sides = [part.rsplit("=", 1)[-1] for part in (a, b)]
    if "=" in a and "=" not in b and right_sides[0] == b:
        return "the same right-hand side"
    values = [value_of(part) for part in (right_sides if "=" in a + b else [a, b])]
    if None not in values and _close(values[0], values[1]):
        return "the same value"
    return ""


def _close(a: float | None, b: float | None) -> bool:
    assert a is not None
    assert b is not None
    return abs(a - b) <= 1e-6 * max(1.0, abs(b))


def _judged(score: Score, what: str) -> Score:
    return Score(
        score.value, score.parsed, f"{what} asks a judge model; in its place: {score.why}", judged=True
    )


def mathverse_harness(asked: Asked) -> Score:
    """Both harnesses leave MathVerse to a judge model; our own protocol stands in."""
    return _judged(mathvision_workbench(asked), "the harness")


def mathvista_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit: ``post_check`` of the whole reply, else of our extraction in place of a judge's."""
    if asked.options:
        score = choice_vlmevalkit(asked)
        return _judged(choice_workbench(asked), "VLMEvalKit") if score.parsed is None else score
    if asked.answer_type not in ("integer", "float"):
        return _judged(formula_score(asked), "VLMEvalKit")
    if _cast(asked.reply, asked.answer_type) is not None:
        return mathvista_checked(asked, asked.reply)
    return _judged(mathvista_checked(asked, _stand_in(asked.reply)), "VLMEvalKit")


def mathvista_checked(asked: Asked, extraction: str) -> Score:
    """VLMEvalKit's ``post_check`` of MathVista: a letter by can_infer, ``int()`` or ``float()`` of a text.

    At this commit an answer that is a text or a list is never right: it is compared with the text "None".
    """
    if asked.options:
        found = can_infer(extraction, asked.options)
        return Score(float(found == gold_letter(asked.gold, asked.options)), found, "can_infer")
    kind = asked.answer_type
    if kind not in ("integer", "float"):
        return Score(0.0, extraction or None, "the harness compares its text with None")
    value, wanted = _cast(extraction, kind), _cast(asked.gold, kind)
    parsed = None if value is None else f"{value:g}"
    return Score(float(value is not None and value == wanted), parsed, f"{kind} of {shown(extraction)}")


def mathvision_checked(asked: Asked, extraction: str) -> Score:
    """VLMEvalKit's ``post_check`` of MathVision: a letter by can_infer, or a formula within 1e-6."""
    if asked.options:
        found = can_infer(extraction, asked.options)
        return Score(float(found == gold_letter(asked.gold, asked.options)), found, "can_infer")
    right = bool(same(extraction, asked.gold))
    return Score(float(right), extraction or None, f"compared with {shown(asked.gold)}")


def _cast(text: str, kind: str) -> float | None:
    try:
        return int(text) if kind == "integer" else float(text)
    except (ValueError, OverflowError):
        return None


def _stand_in(reply: str) -> str:
    """What a judge model would extract as a number: what our own protocol reads."""
    value = _number_of(reply)
    return reply if value is None else f"{value:.12g}"


def mathvista_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval's MathVista: extraction, ``normalize_extracted_answer``, equality of texts."""
    reply = asked.reply.strip()
    if asked.options:
        return _mathvista_choice(asked, reply)
    kind = asked.answer_type
    judged = _cast(reply, kind) is None
    text = reply
    if judged:
        text = _stand_in(reply) if kind in ("integer", "float") else stated(reply) or extracted(reply) or ""
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
    found, _ = letter_in(reply, "".join(asked.options), asked.options) if judged else (None, "")
    text = f"({found})" if found else (stated(reply) or extracted(reply) or "") if judged else reply
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
    if "oxed{" not in reply:
        for flag in _FLAGS:
            for form in (flag, flag.replace("the", "The")):
                if form in reply:
                    reply = reply.rsplit(form, 1)[1].strip().split("\n")[0].split(". ")[0]
    text = _harness_form(reply.rsplit("oxed{", 1)[1] if "oxed{" in reply else reply, "oxed{" in reply)
    for letter in "abcde":
        text = text.replace(f"({letter})", letter).replace(f"{{{letter}}}", letter)
    text = text.rstrip(".").lstrip(":").strip()
    golds = [asked.gold, asked.options[asked.gold]] if asked.gold in asked.options else [asked.gold]
    right = any(_equal_at_two_decimals(text, gold.lower()) for gold in golds)
    return Score(float(right), shown(text) if text else None, "equal as text, or in value at two decimals")


_DROPPED = (
    *(" ", "\\,", "\n", "\\text", "\\mbox", "\\left", "\\right", "^{\\circ}", "^\\circ"),
    *("{m}^3", "m^3", "{units}", "units", "{km}", "km", "\\!", "\\$", "$", "\\%"),
)


def _harness_form(text: str, boxed: bool) -> str:
    """An answer as the harness's ``find_math_answer`` leaves it: its string steps, in their order."""
    text = text.lower().replace("{}", "")
    if boxed and "}" in text:
        text = text.rsplit("}", 1)[0]  # up to the last bracket of the reply
    closed, opened = text.find("}"), text.find("{")
    if closed >= 0 and (opened < 0 or closed < opened):
        text = text.split("}")[0]
    text = text.rsplit("=", 1)[-1].rsplit("\\approx", 1)[-1]
    for part in _DROPPED:
        text = text.replace(part, "")
    text = text.replace("\\\\", "\\").replace("tfrac", "frac").replace("dfrac", "frac")
    text = text.replace("{.", "{0.")
    text = f"0{text}" if text.startswith(".") else text
    if "sqrt" in text:
        text = re.sub(r"\\sqrt([^{])", r"\\sqrt{\1}", text)
        text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = "\\frac{1}{2}" if text == "0.5" else text
    return re.sub(r"^(-?\d+)/(-?\d+)$", r"\\frac{\1}{\2}", text)


def _equal_at_two_decimals(given: str, gold: str) -> bool:
    """As the harness's ``is_equal``: the same text, or both can be computed and agree."""
    if not given.strip() or not gold.strip():
        return False
    if given.strip() == gold.strip():
        return True
    if re.search(r"\\frac\d", given):  # the harness's parser of LaTeX does not take \frac12
        return False
    a, b = _computed(given), _computed(gold)
    return a is not None and b is not None and round(a, 2) == round(b, 2)


def _computed(text: str) -> float | None:
    """The value of a formula; None where letters stand in it that are no part of one."""
    if not text.isascii() or re.search(r"[a-z]", re.sub(r"\\?(?:frac|sqrt|cdot|times|div)", "", text)):
        return None
    return value_of(text)


def mmmu_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit: ``can_infer``; an open question offers the gold text as A and "Other Answers" as B."""
    if asked.options:
        return choice_vlmevalkit(asked)
    gold = asked.written or asked.gold
    found = can_infer(asked.reply, {"A": gold, "B": "Other Answers"})
    how = f"an open question, asked as A: {shown(gold)}, B: Other Answers"
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
