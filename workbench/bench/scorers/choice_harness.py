"""Multiple choice by the harnesses' rules, quirks included

| benchmark | vlmevalkit | lmms-eval |
|---|---|---|
| all | one letter among the words, within the last five of them where several words follow; else the one option text contained in a reply of at most twice the options' length; else wrong (``utils/matching_util.py``, its policy without a judge) | |
| AI2D | | the letter before a full stop at the start, else the whole reply without punctuation must be the letter (``tasks/ai2d``) |
| MMStar | | formats by priority: at the start, at the end, after a phrase, in brackets ...; "A cat" is A (``_task_utils/mcq_extract.py``) |
| MMMU | open questions become "A: the gold answer, B: Other Answers" | brackets, then letter and space, then letter and full stop, then option text; the last counts; nothing found: a random guess, here its expected value (``_task_utils/mmmu_mcq_utils.py``) |
| V*Bench | | five patterns in order, any letter A to D (``tasks/vstar_bench/utils.py``) |
"""  # noqa: E501

from __future__ import annotations

import re
import string
from collections.abc import Mapping

from .base import Asked, Score
from .choice import gold_letter

__all__ = [
    "ai2d_lmms_eval",
    "can_infer",
    "choice_vlmevalkit",
    "mmmu_letter",
    "mmstar_lmms_eval",
    "vstar_lmms_eval",
]

_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_SIGNS = str.maketrans(".()[],:;!*#{}", " " * 13)
_VERBOSE = re.compile(r"(?:correct\s{1,9})?answer\s{1,9}is\s{1,9}\*{0,9}([ABCD])\*{0,9}", re.IGNORECASE)


def choice_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit's ``can_infer`` under its policy without a judge model ("exact_matching")."""
    options = asked.options or dict.fromkeys("ABCD", "")
    wanted = gold_letter(asked.gold, asked.options)
    found = can_infer(asked.reply, options)
    if found is None:
        return Score(0.0, None, "no letter and no option's text by can_infer", judged=True)
    return Score(float(found == wanted), found, "can_infer" if found != "Z" else "taken for a refusal")


def can_infer(reply: str, options: Mapping[str, str]) -> str | None:
    """The letter, "Z" for a refusal, or None: then the harness would ask its judge model."""
    found = _infer_letter(reply, options)
    return found or _infer_text(reply, options)


def _infer_letter(reply: str, options: Mapping[str, str]) -> str | None:
    if "Failed to obtain answer via API" in reply:
        return None
    if any(text in reply for text in _REFUSALS):
        return "Z"
    words = reply.translate(_SIGNS).split()
    present = [letter for letter in options if letter in set(words)]
    if len(present) == 1 and words.index(present[0]) > len(words) - 5:
        return present[0]
    if not present and "Z" in words:
        return "Z"
    match = _VERBOSE.search(reply)
    return match.group(1).upper() if match and match.group(1).upper() in options else None


def _infer_text(reply: str, options: Mapping[str, str]) -> str | None:
    if not any(options.values()):
        return None
    text = reply.lower()
    if len(text) > 2 * sum(map(len, options.values())):
        return None
    found = [letter for letter, option in options.items() if option.lower() in text]
    return found[0] if len(found) == 1 else None


def ai2d_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval's AI2D: exact match of the letter, apart from case and punctuation."""
    wanted = gold_letter(asked.gold, asked.options)
    match = re.match(r"\s*([A-Z])\.", asked.reply)
    text = match.group(1) if match else asked.reply
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    if bare == wanted.lower():
        return Score(1.0, wanted, "the reply is the letter, apart from case and punctuation")
    parsed = bare.upper() if len(bare) == 1 else None
    return Score(0.0, parsed, "the whole reply is compared with the letter")


_PRIORITY = {"(": 6, ".": 5, ":": 4, ")": 3, " ": 2}
_PHRASES = (
    *("the answer is", "answer is", "the correct answer is", "correct answer is", "the best answer is"),
    *("best answer is", "the correct option is", "correct option is", "the best option is", "best option is"),
    *("the choice is", "choice is", "the correct choice is", "correct choice is", "i choose", "i select"),
    *("i pick", "my answer is", "my choice is"),
)


def mmstar_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval's MMStar: the best candidate by format, then the later one."""
    wanted = gold_letter(asked.gold, asked.options)
    found = _by_priority(asked.reply, "ABCD")
    if not found:
        return Score(0.0, None, "no capital letter A to D in the reply")
    letter, priority = found
    return Score(float(letter == wanted), letter, f"the candidate of highest priority ({priority})")


def _by_priority(reply: str, letters: str) -> tuple[str, int] | None:
    text = reply.strip()
    for sign in ",.!?;:'\"":
        text = text.strip(sign)
    text = f" {text} "
    bare, found = text.strip(), []
    for letter in letters:
        for form, priority in (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2)):
            if (at := text.rfind(form.format(letter))) >= 0:
                found.append((priority, at, letter))
        if bare.startswith(letter) and not bare[1:2].isalpha():
            found.append((10, 0, letter))
        if bare.endswith(letter) and not bare[-2:-1].isalpha():
            found.append((9, len(text) - 1, letter))
    lower = text.lower()
    for phrase in _PHRASES:
        if (at := lower.find(phrase)) >= 0:
            places = [(text.find(letter, at + len(phrase)), letter) for letter in letters]
            found += [(7, place, letter) for place, letter in places if place >= 0]
    if not found:
        found = [(0, text.rfind(letter), letter) for letter in letters if letter in text]
    if not found:
        return None
    # the first of equals: a stable sort by priority and place, both descending
    priority, _, letter = max(found, key=lambda c: (c[0], c[1]))
    return letter, priority


def vstar_lmms_eval(asked: Asked) -> Score:
    """As lmms-eval's V*Bench: five patterns in order on the reply in capitals."""
    wanted = gold_letter(asked.gold, asked.options)
    text = asked.reply.strip().upper()
    for pattern in _VSTAR:
        if match := pattern.search(text):
            letter = match.group(1)
            return Score(float(letter == wanted), letter, f"pattern {pattern.pattern}")
    letters = re.findall("[A-D]", text)
    if len(letters) == 1:
        return Score(float(letters[0] == wanted), letters[0], "the only letter A to D")
    return Score(0.0, None, "no pattern fits")


_VSTAR = tuple(
    re.compile(pattern)
    for pattern in (
        r"^([A-D])",
        r"(?:ANSWER|CHOICE|OPTION)(?:\s{1,99}IS)?[\s:]{1,99}([A-D])",
        r"\(([A-D])\)",
        r"([A-D])\s{0,99}[.)\]]",
        r"(?:^|\s)([A-D])(?:\s|$)",
    )
)


def mmmu_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """As ``parse_mmmu_multi_choice_response``; None where it would guess."""
    for sign in ",.!?;:'":
        reply = reply.strip(sign)
    text, lower = f" {reply} ", f" {reply} ".lower()
    for present, last in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        found = [letter for letter in options if present.format(letter) in text]
        if found:
            return max(found, key=lambda letter: text.rfind(last.format(letter)))
    if len(text.split()) > 5:
        found = [letter for letter, option in options.items() if option.lower() in lower]
        if found:
            return max(found, key=lambda letter: lower.rfind(options[letter].lower()))
    return None
