"""Multiple choice by our rules: the letter that a reply gives, or the option whose text it gives; no guess"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from ...errors import InputError
from .base import Asked, Score, shown
from .extract import plain, stated

__all__ = ["choice_workbench", "gold_letter", "letter_in"]

DEFAULT_LETTERS = "ABCDEFGHIJ"
_NEAR = 0.8  # how alike a short reply and an option must be to count as that option
_SHORT = 200  # characters of a reply that may be compared with the options as a whole


def choice_workbench(asked: Asked) -> Score:
    """AI2D, MMStar, V*Bench and multiple choice elsewhere.

    In this order: the letter after "answer is", in ``\\boxed{}`` or ``<answer>``; a reply that is a letter,
    or begins with one and a sign (``B.``, ``(B)``) and has no other; the option whose text the reply is,
    nearly is, or states; a letter that stands alone after the last sentence (``It is not A. B``); the last
    letter in brackets, then the last with a sign; the last option text that occurs; the last lone capital
    letter, where "A" and "I" count only at the end.  Else 0, and ``parsed`` is None.
    """
    wanted = gold_letter(asked.gold, asked.options)
    letters = "".join(asked.options) or DEFAULT_LETTERS
    if wanted not in letters:
        letters += wanted
    found, how = letter_in(asked.reply, letters, asked.options)
    if found is None:
        return Score(
            0.0, None, f"no letter of {letters[0]} to {letters[-1]} and no option's text in the reply"
        )
    return Score(float(found == wanted), found, how)


def gold_letter(gold: str, options: Mapping[str, str]) -> str:
    """The right option's letter; the gold answer may be the letter, in brackets too, or the option's text.

    Raises:
        InputError: if it is neither.
    """
    text = gold.strip()
    letter = text.strip("().[]").upper()
    by_text = [name for name, option in options.items() if plain(option) == plain(text)]
    if len(letter) == 1 and letter.isalpha() and (not options or letter in options):
        return letter
    if len(by_text) == 1:
        return by_text[0]
    names = ", ".join(options) or "A, B, C, ..."
    raise InputError(
        f"gold={gold!r} of a multiple-choice question", f"one of the letters {names}, or an option"
    )


def letter_in(reply: str, letters: str, options: Mapping[str, str]) -> tuple[str | None, str]:
    """The letter that a reply chooses and how it was found; (None, "") where there is none."""
    if not reply.strip():
        return None, ""
    claim = stated(reply)
    if claim and (found := _leading(claim, letters)):
        return found, "stated as the answer"
    if (found := _leading(reply, letters)) and _is_the_only_one(found, reply, letters, options):
        return found, "the reply begins with it"
    for text, how in ((claim, "the stated option's text"), (reply, "the reply is an option's text")):
        if text and (found := _as_option(text, options)):
            return found, how
    return _anywhere(reply, letters, options)


def _leading(text: str, letters: str) -> str | None:
    """A text that is a letter, or a letter with a sign and more: ``b``, ``(B)``, ``B. red``, ``**B**``."""
    text = (
        text.strip().lstrip("*_`$ ").removeprefix("\\text{").removeprefix("option ").removeprefix("Option ")
    )
    any_case = f"[{letters}{letters.lower()}]"
    if match := re.match(rf"[(\[{{]?({any_case})[)\]}}.:*_`$,]*\s*$", text):
        return match.group(1).upper()
    if match := re.match(rf"[(\[{{]({any_case})[)\]}}]|([{letters}])(?:[).:]|\*\*)(?!\w)", text):
        return (match.group(1) or match.group(2)).upper()
    return None


def _is_the_only_one(letter: str, reply: str, letters: str, options: Mapping[str, str]) -> bool:
    """Whether a leading letter is the answer: its line is the option, or no other letter is written so."""
    first = reply.strip().split("\n", 1)[0]
    if len(first) <= _SHORT and _words(re.sub(r"^\W*\w\W*", "", first)) in (
        "",
        _words(options.get(letter, "")),
    ):
        return True
    return {letter} >= set(_bracketed(reply, letters)) | set(_signed(reply, letters))


def _bracketed(reply: str, letters: str) -> list[str]:
    return re.findall(rf"[(\[]([{letters}])[)\]]", reply)


def _signed(reply: str, letters: str) -> list[str]:
    return re.findall(rf"(?<![\w'])([{letters}])[.):](?!\w)", reply)


def _as_option(text: str, options: Mapping[str, str]) -> str | None:
    """The option that a short text is, or nearly is (spelling, an article, a full stop)."""
    if not options or len(text) > _SHORT:
        return None
    given = _words(text)
    same = [name for name, option in options.items() if _words(option) == given]
    if same or not given:
        return same[0] if len(same) == 1 else None
    if any(sign.isdigit() for sign in given):
        return None  # 14 is not nearly 15
    ratios = {n: difflib.SequenceMatcher(None, given, _words(o[:_SHORT])).ratio() for n, o in options.items()}
    best = sorted(ratios.values(), reverse=True)[:2]
    near = [name for name, ratio in ratios.items() if ratio >= _NEAR]
    return near[0] if len(near) == 1 and (len(best) < 2 or best[0] - best[1] > 0.1) else None


def _words(text: str) -> str:
    return re.sub(r"^(the|a|an) ", "", plain(text))


def _anywhere(reply: str, letters: str, options: Mapping[str, str]) -> tuple[str | None, str]:
    if last := re.search(rf"[.;:!?\n]\W{{0,4}}([{letters}])\W{{0,4}}$", reply.rstrip()[-12:]):
        return last.group(1), "it stands alone after the last sentence"
    if bracketed := _bracketed(reply, letters):
        return bracketed[-1], "the last letter in brackets"
    if signed := _signed(reply, letters):
        return signed[-1], "the last letter with a sign"
    if found := _last_option(reply, options):
        return found, f"the last option in the reply is {shown(options[found])}"
    alone = list(re.finditer(rf"(?<![\w'])([{letters}])(?![\w'])", reply))
    end = len(reply.rstrip(" .!*`"))
    for match in reversed(alone):
        if match.group(1) not in "AI" or match.end() >= end:
            return match.group(1), "the last lone letter"
    return None, ""


def _last_option(reply: str, options: Mapping[str, str]) -> str | None:
    """The option whose text occurs last; of two that end together the longer (``dark red`` over ``red``)."""
    text, best = " ".join(reply.lower().split()), ("", (-1, 0))
    for name, option in options.items():
        wanted = plain(option)
        if not wanted:
            continue
        at = _last_word_at(text, wanted)
        if at >= 0 and (at + len(wanted), len(wanted)) > best[1]:
            best = (name, (at + len(wanted), len(wanted)))
    return best[0] or None


def _last_word_at(text: str, wanted: str) -> int:
    """Where ``wanted`` last stands as whole words; -1 if nowhere."""
    at = len(text)
    while (at := text.rfind(wanted, 0, at + len(wanted) - 1 if at < len(text) else len(text))) >= 0:
        before, after = text[at - 1 : at], text[at + len(wanted) : at + len(wanted) + 1]
        if not (before.isalnum() or after.isalnum()):
            return at
        if at == 0:
            return -1
    return -1
