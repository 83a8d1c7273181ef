"""MathVista, MathVision, MathVerse and MMMU by our rules: extract, then compare letters, numbers or formulas

Lu et al. 2023 (arXiv 2310.02255), Wang et al. 2024 (2402.14804), Zhang et al. 2024 (2403.14624), Yue et al.
2023 (2311.16502).  No judge model is asked.
"""

from __future__ import annotations

import difflib
import json

from ...errors import InputError
from .base import Asked, Score, shown
from .choice import choice_workbench, gold_letter
from .expression import tidied, value_of
from .extract import decimals, last_number, number, plain, stated

__all__ = [
    "extracted",
    "formula_score",
    "mathverse_workbench",
    "mathvision_workbench",
    "mathvista_workbench",
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
