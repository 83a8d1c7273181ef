"""Multiple choice by our own protocol: the letter that a reply gives, or the option whose text it gives; no guess

Multiple choice by the harnesses' protocols, quirks included

| benchmark | vlmevalkit | lmms-eval |
|---|---|---|
| all | one letter among the words, within the last five of them where several words follow; else the one option text contained in a reply of at most twice the options' length; else wrong (``utils/matching_util.py``, its policy without a judge) | |
| AI2D | | the letter before a full stop at the start, else the whole reply without punctuation must be the letter (``tasks/ai2d``) |
| MMStar | | formats by priority: at the start, at the end, after a phrase, in brackets ...; "A cat" is A (``_task_utils/mcq_extract.py``) |
| MMMU | open questions become "A: the gold answer, B: Other Answers" | brackets, then letter and space, then letter and full stop, then option text; the last counts; nothing found: a random guess, here its expected value (``_task_utils/mmmu_mcq_utils.py``) |
| V*Bench | | five patterns in order, any letter A to D (``tasks/vstar_bench/utils.py``) |
"""  # noqa: E501

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Mapping

from ...errors import InputError
from .base import Asked, Score, shown
from .extract import narrow, plain, stated

__all__ = [
    "ai2d_lmms_eval",
    "can_infer",
    "choice_vlmevalkit",
    "choice_workbench",
    "gold_letter",
    "letter_in",
    "mmmu_letter",
    "mmstar_lmms_eval",
    "options_in",
    "vstar_lmms_eval",
]


DEFAULT_LETTERS = "ABCDEFGHIJ"
_NEAR = 0.8  # how alike a short reply and an option must be to count as that option
_SHORT = 200  # characters of a reply that may be compared with the options as a whole


_MARK = re.compile(r"(\()?([A-Z])(\)|[.:])[ \t]{0,8}(?=\S)")
_HEADING = re.compile(r"\b(?:Options|Choices)\s{0,3}:")


def options_in(question: str) -> dict[str, str]:
    """The options that a question lists, from A on; importers and runs read them here.

    One a line (``A. red``, ``(A) red``, ``A: red``), or one after another behind "Options:" or "Choices:"
    (``A: red, B: blue``).  The last list counts; all its marks are written alike.

    >>> options_in("Which?\\nOptions: A: red, B: blue, C: (B) or none")
    {'A': 'red', 'B': 'blue', 'C': '(B) or none'}
    """
    headings = list(_HEADING.finditer(question))
    listed = question[headings[-1].end() :] if headings else ""
    return _listed(listed, inline=True) or _listed(question, inline=False)


def _listed(text: str, *, inline: bool) -> dict[str, str]:
    """The last list of two or more options in a text; ``inline``: they may share a line."""
    lists: list[list[re.Match[str]]] = []
    latest: dict[tuple[str | None, str], list[re.Match[str]]] = {}  # by how its marks are written
    for mark in _MARK.finditer(text):
        before = text[: mark.start()].rstrip(" \t")[-1:]
        if before not in ("", "\n") and not (inline and text[mark.start() - 1].isspace()):
            continue
        if not inline and not mark.group(0)[-1:].isspace():
            continue  # "A:30" behind a heading is an option; on a line of its own it may be anything
        style = (mark.group(1), mark.group(3))
        if mark.group(2) == "A":
            lists.append([])
            latest[style] = lists[-1]
        marks = latest.get(style)
        if marks is not None and mark.group(2) == chr(ord("A") + len(marks)):
            marks.append(mark)
    whole = [some for some in lists if len(some) >= 2]
    if not whole:
        return {}
    ends = [mark.start() for mark in whole[-1][1:]] + [len(text)]
    found = {}
    for mark, end in zip(whole[-1], ends):
        option = text[mark.end() : end].strip()
        if end == len(text):  # what follows the last option is the prompt again
            option = option.split("\n", 1)[0]
        found[mark.group(2)] = option.strip().rstrip(",;").strip()
    return found


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
    reply = narrow(reply)
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
    if not reply.isascii() and (chosen := _chosen(reply, letters)):
        return chosen, "named as the choice"
    return _anywhere(reply, letters, options)


# "the answer is", "one should choose", in Chinese, Japanese and Korean
_CHOSEN = (
    "\u7b54\u6848(?:\u662f|\u4e3a|\u61c9\u70ba)?|\u9009(?:\u62e9)?|\u9078(?:\u64c7)?|\u6b63\u89e3\u306f|\u7b54\u3048\u306f"
    "|\uc815\ub2f5\uc740|\ub2f5\uc740"
)


def _chosen(reply: str, letters: str) -> str | None:
    """The letter behind the last word of choosing in a reply that is written in no Latin script."""
    found = re.findall(rf"(?:{_CHOSEN})[\s:\uff1a*(]{{0,4}}([{letters}])(?![A-Za-z])", reply)
    if not found and (alone := re.fullmatch(rf"\W*([{letters}])\W*", reply)):
        found = [alone.group(1)]
    return found[-1] if found else None


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
    # Korean, Chinese and Japanese for "option", "the answer is", "choose"
    *("\uc635\uc158", "\uc815\ub2f5\uc740", "\ub2f5\uc740", "\ub2f5:"),
    *("\u7b54\u6848\u662f", "\u7b54\u6848\u4e3a", "\u9009", "\u7b54\u3048\u306f"),
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
