"""Which scorer belongs to which benchmark, and how benchmarks are called elsewhere"""

from __future__ import annotations

import difflib
import functools
import re

from ...errors import InputError
from . import (
    chart,
    choice,
    grounding,
    maths,
    ocr,
    yesno,
)
from . import (
    choice as choice_harness,
)
from . import (
    grounding as grounding_harness,
)
from . import (
    maths as maths_harness,
)
from .base import PROTOCOLS, Scorer

__all__ = ["BENCHMARKS", "canonical", "recognise"]


def _rules(workbench: Scorer, vlmevalkit: Scorer, lmms_eval: Scorer) -> dict[str, Scorer]:
    return dict(zip(PROTOCOLS, (workbench, vlmevalkit, lmms_eval), strict=True))


_OURS, _KIT = choice.choice_workbench, choice_harness.choice_vlmevalkit
_PLACE, _CLICK = grounding.grounding_workbench, grounding_harness.point_vlmevalkit
_POINT, _BOX = grounding_harness.point_lmms_eval, grounding_harness.rectangle_lmms_eval

BENCHMARKS: dict[str, dict[str, Scorer]] = {
    "AI2D": _rules(_OURS, _KIT, choice_harness.ai2d_lmms_eval),
    "ChartQA": _rules(chart.chart_workbench, chart.chart_vlmevalkit, chart.chart_lmms_eval),
    "HallusionBench": _rules(yesno.yesno_workbench, yesno.yesno_vlmevalkit, yesno.yesno_lmms_eval),
    "MathVerse": _rules(
        maths.mathverse_workbench, maths_harness.mathverse_harness, maths_harness.mathverse_harness
    ),
    "MathVision": _rules(
        maths.mathvision_workbench, maths_harness.mathvision_vlmevalkit, maths_harness.mathvision_lmms_eval
    ),
    "MathVista": _rules(
        maths.mathvista_workbench, maths_harness.mathvista_vlmevalkit, maths_harness.mathvista_lmms_eval
    ),
    "MMMU": _rules(maths.mmmu_workbench, maths_harness.mmmu_vlmevalkit, maths_harness.mmmu_lmms_eval),
    "MMStar": _rules(_OURS, _KIT, choice_harness.mmstar_lmms_eval),
    "OCRBench": _rules(ocr.ocr_workbench, ocr.ocr_vlmevalkit, ocr.ocr_lmms_eval),
    "ScreenSpot": _rules(_PLACE, _CLICK, _BOX),
    "ScreenSpot_v2": _rules(_PLACE, _CLICK, _POINT),
    "ScreenSpot_Pro": _rules(_PLACE, _CLICK, _POINT),
    "V*Bench": _rules(_OURS, _KIT, choice_harness.vstar_lmms_eval),
}
"""Name of a benchmark, as in the published tables without its split -> protocol -> scorer."""

_ALSO = {
    "vstarbench": "V*Bench",
    "vstar": "V*Bench",
    "mathv": "MathVision",
    "screenspotv1": "ScreenSpot",
}
_SPLITS = (
    *("test", "val", "validation", "mini", "dev", "testmini", "lite", "nomask", "cot", "format", "solution"),
    *("image", "rec", "reg", "mobile", "desktop", "web", "full", "reasoning", "reason", "qwen", "oc"),
    *("development", "creative", "cad", "scientific", "office", "os", "vision", "text", "only", "dominant"),
    *(
        "intensive",
        "direct",
        "attributes",
        "relative",
        "position",
        "group",
        "img",
        "en",
        "multiple",
        "choice",
        "open",
    ),
)
_PLAIN_SPLITS = ("test", "val", "validation", "mini", "testmini", "dev")


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("v*", "vstar"))


_NAMES = {**{_bare(name): name for name in BENCHMARKS}, **_ALSO}


@functools.lru_cache(maxsize=1024)
def canonical(name: str) -> str:
    """The benchmark that a name means: ``ScreenSpot-v2``, ``MMMU_VAL`` and ``mmmu`` are accepted too.

    Raises:
        InputError: for an unknown one; the message names the closest.
    """
    bare = _bare(str(name))
    for split in ("", *_PLAIN_SPLITS):
        if bare.endswith(split) and (found := _NAMES.get(bare.removesuffix(split))):
            return found
    near = difflib.get_close_matches(bare, _NAMES, n=3, cutoff=0.5)
    known = ", ".join(BENCHMARKS)
    closest = " or ".join(dict.fromkeys(_NAMES[n] for n in near))
    raise InputError(f"benchmark {name!r}", f"one of {known}", f"did you mean {closest}?" if near else "")


@functools.lru_cache(maxsize=1024)
def recognise(name: str) -> tuple[str, str] | None:
    """(benchmark, split) of a data set's name in a harness, or None for a benchmark without a scorer here.

    >>> recognise("ChartQA_TEST"), recognise("mathvista_testmini_cot"), recognise("DocVQA_VAL")
    (('ChartQA', 'TEST'), ('MathVista', 'testmini_cot'), None)
    """
    parts = re.split(r"[_\-. ]+", name)
    for end in range(len(parts), 0, -1):
        found = _NAMES.get(_bare("".join(parts[:end])))
        rest = parts[end:]
        if found and all(_bare(part) in _SPLITS or re.fullmatch(r"v?\d*", _bare(part)) for part in rest):
            return found, "_".join(rest)
    return None
