"""HallusionBench: yes or no (Guan et al. 2023, arXiv 2310.14566)

The gold answer is "Yes" or "No", or "1" or "0".  One item's value is its part of aAcc; `workbench.bench.scorers.base`
makes fAcc and qAcc of them.

| protocol | quirk |
|---|---|
| workbench | the stated answer, else the first word, else the one of yes and no that occurs |
| vlmevalkit | yes or no among the words without punctuation; both or neither is "Unknown" and wrong (``utils/yorn.py``) |
| lmms-eval | asks GPT-4 about the gold explanation; the rule beside it, used here, is "yes" anywhere in the reply, "eyes" too, else no (``tasks/hallusion_bench/evaluate_hb.py``) |
"""  # noqa: E501

from __future__ import annotations

import re

from ...errors import InputError
from .base import Asked, Score
from .extract import narrow, stated

__all__ = ["yesno_lmms_eval", "yesno_vlmevalkit", "yesno_workbench"]

_WORD = re.compile(r"\b(yes|no|true|false)\b", re.IGNORECASE)
_MEANING = {"yes": "Yes", "true": "Yes", "1": "Yes", "no": "No", "false": "No", "0": "No"}
# Chinese for yes, right, correct, there is; no, wrong, there is not
_CHINESE = dict.fromkeys(("\u662f", "\u662f\u7684", "\u5bf9", "\u6b63\u786e", "\u6709"), "Yes")
_CHINESE |= dict.fromkeys(
    ("\u5426", "\u4e0d\u662f", "\u4e0d", "\u9519", "\u9519\u8bef", "\u6ca1\u6709"), "No"
)
# The characters that VLMEvalKit takes out, and whether a digit group follows (vlmeval/smp/misc.py)
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


def _gold(asked: Asked) -> str:
    meaning = _MEANING.get(asked.gold.strip().lower().removesuffix(".0"))
    if meaning is None:
        raise InputError(f"gold={asked.gold!r} of {asked.benchmark}", "Yes or No, or 1 or 0")
    return meaning


def yesno_workbench(asked: Asked) -> Score:
    """The yes or no that the reply states, begins with, or holds without the other."""
    wanted, reply = _gold(asked), narrow(asked.reply)
    if (word := reply.strip(" .!*\u3002").split("\uff0c", 1)[0].split(",", 1)[0]) in _CHINESE:
        return Score(float(_CHINESE[word] == wanted), _CHINESE[word], f"the first word: {word}")
    for text, where in ((stated(reply), "stated"), (reply[:40], "the first word")):
        if text and (match := re.match(r"[\W_]*(yes|no|true|false)\b", text, re.IGNORECASE)):
            found = _MEANING[match.group(1).lower()]
            return Score(float(found == wanted), found, f"{where}: {found}")
    words = {_MEANING[word.lower()] for word in _WORD.findall(reply)}
    if len(words) == 1:
        found = words.pop()
        return Score(float(found == wanted), found, f"only {found.lower()} occurs")
    return Score(0.0, None, "both yes and no occur" if words else "neither yes nor no occurs")


def yesno_vlmevalkit(asked: Asked) -> Score:
    """As VLMEvalKit's ``YOrN_Extraction``; its judge model for unclear replies is not asked."""
    wanted = _gold(asked)
    words = set(_without_punctuation(asked.reply.lower()).split())
    if ("yes" in words) == ("no" in words):
        return Score(0.0, None, "yes and no both occur, or neither: Unknown", judged=True)
    found = "Yes" if "yes" in words else "No"
    return Score(float(found == wanted), found, f"only {found.lower()} is among the words")


def _without_punctuation(text: str) -> str:
    grouped = re.search(r"\d,\d", text) is not None
    out = text
    for sign in _PUNCTUATION:
        beside_space = f"{sign} " in text or f" {sign}" in text
        out = out.replace(sign, "" if beside_space or grouped else " ")
    # the harness passes re.UNICODE (32) as the count, so at most 32 full stops go
    return re.sub(r"(?<!\d)\.(?!\d)", "", out, count=32)


def yesno_lmms_eval(asked: Asked) -> Score:
    """lmms-eval's rule without a judge model: "yes" anywhere, else no."""
    wanted = _gold(asked)
    found = "Yes" if "yes" in asked.reply.lower() else "No"
    return Score(float(found == wanted), found, '"yes" anywhere in the reply, else no', judged=True)
