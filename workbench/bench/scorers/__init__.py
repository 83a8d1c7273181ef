"""The scorers: one module a kind of benchmark, with its variants under each protocol

`BENCHMARKS` holds the scorer of each benchmark under each of the `PROTOCOLS`; `canonical` reads a name;
`register_scorer` adds a benchmark.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ...plugins import Table
from . import chart, choice, grounding, maths, ocr, yesno
from .base import PROTOCOLS, Asked, Score, Scorer, by_category, hallusion

__all__ = [
    "BENCHMARKS",
    "EXAMPLES",
    "PROTOCOLS",
    "Asked",
    "Score",
    "Scorer",
    "by_category",
    "canonical",
    "hallusion",
    "recognise",
    "register_scorer",
    "scorer_of",
]


def _protocols(workbench: Scorer, vlmevalkit: Scorer, lmms_eval: Scorer) -> dict[str, Scorer]:
    return dict(zip(PROTOCOLS, (workbench, vlmevalkit, lmms_eval), strict=True))


_OURS, _KIT = choice.choice_workbench, choice.choice_vlmevalkit
_PLACE, _CLICK = grounding.grounding_workbench, grounding.point_vlmevalkit
_POINT, _BOX = grounding.point_lmms_eval, grounding.rectangle_lmms_eval

BENCHMARKS: Table[Mapping[str, Scorer]] = Table(
    "benchmark",
    {
        "AI2D": _protocols(_OURS, _KIT, choice.ai2d_lmms_eval),
        "ChartQA": _protocols(chart.chart_workbench, chart.chart_vlmevalkit, chart.chart_lmms_eval),
        "HallusionBench": _protocols(yesno.yesno_workbench, yesno.yesno_vlmevalkit, yesno.yesno_lmms_eval),
        "MathVerse": _protocols(maths.mathverse_workbench, maths.mathverse_harness, maths.mathverse_harness),
        "MathVision": _protocols(
            maths.mathvision_workbench, maths.mathvision_vlmevalkit, maths.mathvision_lmms_eval
        ),
        "MathVista": _protocols(
            maths.mathvista_workbench, maths.mathvista_vlmevalkit, maths.mathvista_lmms_eval
        ),
        "MMMU": _protocols(maths.mmmu_workbench, maths.mmmu_vlmevalkit, maths.mmmu_lmms_eval),
        "MMStar": _protocols(_OURS, _KIT, choice.mmstar_lmms_eval),
        "OCRBench": _protocols(ocr.ocr_workbench, ocr.ocr_vlmevalkit, ocr.ocr_lmms_eval),
        "ScreenSpot": _protocols(_PLACE, _CLICK, _BOX),
        "ScreenSpot_v2": _protocols(_PLACE, _CLICK, _POINT),
        "ScreenSpot_Pro": _protocols(_PLACE, _CLICK, _POINT),
        "V*Bench": _protocols(_OURS, _KIT, choice.vstar_lmms_eval),
    },
)
"""Name of a benchmark, as in the published tables without its split -> protocol -> scorer."""

EXAMPLES: dict[str, dict[str, Any]] = {}
"""Name of a registered benchmark -> a right reply with its item, for the contract tests."""

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


def register_scorer(
    benchmark: str,
    scorer: Scorer,
    *,
    vlmevalkit: Scorer | None = None,
    lmms_eval: Scorer | None = None,
    example: Mapping[str, Any] | None = None,
) -> None:
    """Add the scorer of a benchmark, so that `score`, `rescore`, runs and imports know it.

    Args:
        benchmark: its name, as in published tables without the split.
        scorer: from an `Asked` (the reply, the gold answers and what else the item carries) to a `Score`.
        vlmevalkit, lmms_eval: the harnesses' own scoring, where they have this benchmark; without it,
            scoring under that protocol is refused.
        example: a right reply and its item (``prediction``, ``gold``, ``options`` and so on, as `score` takes
            them), for the contract tests (``pytest --pyargs workbench.contracts``).

    Raises:
        InputError: for a name that is taken, or a scorer that cannot be called.

    Example:
        >>> def exact(asked):
        ...     return Score(float(asked.reply in asked.golds), asked.reply, "equal to a gold answer")
        >>> register_scorer("MyBench", exact)
    """
    given = {"workbench": scorer, "vlmevalkit": vlmevalkit, "lmms-eval": lmms_eval}
    scorers = {protocol: one for protocol, one in given.items() if one is not None}
    if not all(callable(one) for one in scorers.values()):
        raise InputError(f"the scorer of {benchmark!r} is {scorer!r}", "a function from Asked to Score")
    if not _bare(str(benchmark)):
        raise InputError(f"benchmark={benchmark!r}", "a name with letters or digits")
    taken = _names().get(_bare(benchmark), benchmark)
    if taken != benchmark:
        raise InputError(
            f"benchmark={benchmark!r}, which is read as {taken!r}", "a name that no benchmark has"
        )
    BENCHMARKS.register(benchmark, scorers)
    if example is not None:
        EXAMPLES[benchmark] = dict(example)
    for read in (_names, canonical, recognise):
        read.cache_clear()


def scorer_of(benchmark: str, protocol: str) -> Scorer:
    """The scorer of a benchmark under a protocol.

    Raises:
        InputError: if the benchmark has none under it.
    """
    scorers = BENCHMARKS.find(benchmark)
    if protocol not in scorers:
        raise InputError(
            f"protocol={protocol!r} for {benchmark!r}", f"one of {', '.join(map(repr, scorers))}"
        )
    return scorers[protocol]


@functools.lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Plain spellings of all benchmarks' names."""
    return {**{_bare(name): name for name in BENCHMARKS}, **_ALSO}


@functools.lru_cache(maxsize=1024)
def canonical(name: str) -> str:
    """The benchmark that a name means: ``ScreenSpot-v2``, ``MMMU_VAL`` and ``mmmu`` are accepted too.

    Raises:
        InputError: for an unknown one; the message names the closest.
    """
    bare = _bare(str(name))
    for split in ("", *_PLAIN_SPLITS):
        if bare.endswith(split) and (found := _names().get(bare.removesuffix(split))):
            return found
    near = difflib.get_close_matches(bare, _names(), n=3, cutoff=0.5)
    known = ", ".join(BENCHMARKS)
    closest = " or ".join(dict.fromkeys(_names()[n] for n in near))
    raise InputError(f"benchmark {name!r}", f"one of {known}", f"did you mean {closest}?" if near else "")


@functools.lru_cache(maxsize=1024)
def recognise(name: str) -> tuple[str, str] | None:
    """(benchmark, split) of a data set's name in a harness, or None for a benchmark without a scorer here.

    >>> recognise("ChartQA_TEST"), recognise("mathvista_testmini_cot"), recognise("DocVQA_VAL")
    (('ChartQA', 'TEST'), ('MathVista', 'testmini_cot'), None)
    """
    parts = re.split(r"[_\-. ]+", name)
    for end in range(len(parts), 0, -1):
        found = _names().get(_bare("".join(parts[:end])))
        rest = parts[end:]
        if found and all(_bare(part) in _SPLITS or re.fullmatch(r"v?\d*", _bare(part)) for part in rest):
            return found, "_".join(rest)
    return None
