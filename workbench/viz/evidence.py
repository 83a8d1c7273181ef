"""Is there evidence behind a sentence of the thought? The place on its picture, and what hiding it costs"""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ..answer import Answer
from ..interpret.evidence import SeenSentence, SentenceEvidence
from .overlay import FRAMES, _picture, frames
from .style import FAINT, INK, SERIES, Figure, panels, plain, record, titled, wrapped

__all__ = ["sentence_evidence"]

LOOKS = {"evidence": SERIES[0].colour, "none": SERIES[1].colour, "cannot tell": FAINT}


def sentence_evidence(found: SentenceEvidence, *, most: int = 8, width: float = 7.6) -> Figure:
    """For each sentence the place that it was written from, and what hiding it costs beside other places.

    Args:
        found: from `workbench.interpret.sentence_evidence`.
        most: sentences to show, the first ones.
        width: of the figure, in inches.

    Raises:
        InputError: for something else.
    """
    found = record(found, SentenceEvidence, "workbench.interpret.sentence_evidence(vlm, answer)")
    shown = found.sentences[:most]
    drawn, axes = panels(
        len(shown), 2, width=width, height=1.35 * len(shown) + 1.3, width_ratios=[1.0, width - 3.2]
    )
    low, high = _range(shown)
    for place, one in enumerate(shown):
        picture, strip = axes[2 * place : 2 * place + 2]
        _place(picture, found.answer, one)
        _costs(strip, one, last=place == len(shown) - 1)
        strip.set_xlim(low, high)
    named = {name: handle for handle, name in _handles(axes)}
    drawn.legend(named.values(), named.keys(), loc="outside lower left", fontsize=8, frameon=False, ncols=4)
    words = {"sentence": "the sentence's words", "answer": "the answer"}[found.target]
    axes[-1].set_xlabel(
        f"log-probability that {words} lose{'s' * (found.target == 'answer')} (nats)", fontsize=9
    )
    more = f" (the first {most} of {len(found.sentences)} shown)" if len(shown) < len(found.sentences) else ""
    titled(drawn, found.finding.text + more)
    return drawn


def _range(shown: tuple[SeenSentence, ...]) -> tuple[float, float]:
    values = [value for one in shown for value in (0.0, one.fall, *one.elsewhere)]
    room = 0.05 * (max(values) - min(values)) or 1.0
    return min(values) - room, max(values) + room


def _place(axes: Axes, answer: Answer, one: SeenSentence) -> None:
    _picture(axes, answer.images[one.image])
    frames(axes, one.truth, FRAMES[0], name="the step's evidence")
    frames(axes, [one.box], FRAMES[2], name="the place")


def _costs(axes: Axes, one: SeenSentence, *, last: bool) -> None:
    spread = np.random.default_rng(0).uniform(-0.25, 0.25, len(one.elsewhere))
    axes.scatter(
        one.elsewhere, spread, s=14, color=FAINT, alpha=0.6, linewidths=0, label="places elsewhere hidden"
    )
    axes.scatter(
        [one.fall], [0], s=70, marker="D", color=SERIES[0].colour, zorder=3, label="the place hidden"
    )
    axes.axvline(0, color=FAINT, linewidth=1, linestyle=":")
    axes.set_ylim(-0.8, 0.8)
    axes.set_yticks([])
    plain(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=8, labelbottom=last)
    axes.set_title(wrapped(one.text, 70), fontsize=9, color=INK, loc="left", parse_math=False)
    axes.set_title(one.says, fontsize=9, color=LOOKS[one.says], loc="right", fontweight="bold")


def _handles(axes: list[Axes]) -> list[tuple[Artist, str]]:
    return [pair for one in axes for pair in zip(*one.get_legend_handles_labels(), strict=True)]
