"""OCRBench: a gold text is contained in the reply (Liu et al. 2023, arXiv 2305.07895)

Lower case and line breaks as spaces; for handwritten mathematics all spaces go and case stays.

| protocol | quirk |
|---|---|
| workbench | runs of white space are one space; full-width letters count as ordinary ones |
| vlmevalkit | handwritten mathematics by ``category`` (``image_vqa.py``) |
| lmms-eval | by the data set's name ``HME100k``; full-width letters fold (``tasks/ocrbench/utils.py``) |
"""

from __future__ import annotations

from .base import Asked, Score, shown
from .extract import narrow

__all__ = ["ocr_lmms_eval", "ocr_vlmevalkit", "ocr_workbench"]


def _is_handwritten_maths(asked: Asked) -> bool:
    name = f"{asked.category} {asked.answer_type}".lower()
    return "handwritten math" in name or "hme100k" in name


def _score(asked: Asked, form: str) -> Score:
    reply = _formed(asked.reply, form)
    for gold in asked.golds:
        if _formed(gold, form) in reply:
            return Score(1.0, gold, f"contains {shown(gold)}")
    return Score(0.0, None if not reply else shown(asked.reply), "contains none of the gold texts")


def _formed(text: str, form: str) -> str:
    if form == "maths":
        return text.strip().replace("\n", " ").replace(" ", "")
    if form in ("folded", "spaced"):
        text = narrow(text)
    text = text.lower().strip().replace("\n", " ")
    return " ".join(text.split()) if form == "spaced" else text


def ocr_workbench(asked: Asked) -> Score:
    """Containment; white space and full-width letters do not matter."""
    return _score(asked, "maths" if _is_handwritten_maths(asked) else "spaced")


def ocr_vlmevalkit(asked: Asked) -> Score:
    """Containment as in VLMEvalKit."""
    return _score(asked, "maths" if _is_handwritten_maths(asked) else "plain")


def ocr_lmms_eval(asked: Asked) -> Score:
    """Containment as in lmms-eval."""
    return _score(asked, "maths" if _is_handwritten_maths(asked) else "folded")
