"""Does the answer follow the thought? The curve of early answering, and what answers follow in each test."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..interpret.thought_record import FOLLOWED, ThoughtFaithfulness
from .style import FAINT, INK, Figure, panels, plain, record, titled

__all__ = ["thought_tests"]

LOOKS = {
    "thought": ("the thought", "#004488", "white"),
    "both": ("both agree", "#88CCEE", INK),
    "picture": ("the image", "#DDAA33", INK),
    "neither": ("neither", "#dddddd", INK),
    "cue": ("a cue", "#BB5566", "white"),
}
LEAST_TOLD = 0.07  # of a bar; a narrower part has no room for its number


def thought_tests(found: ThoughtFaithfulness) -> Figure:
    """The curve of early answering, and beside it what answers follow in each test.

    Args:
        found: from `workbench.interpret.thought_faithfulness`.

    Raises:
        InputError: for something else.
    """
    found = record(found, ThoughtFaithfulness, "workbench.interpret.thought_faithfulness(vlm, answers)")
    table = found.summary()
    curved = "early_answering" in set(table["test"])
    height = 1.6 + 0.42 * len(table)
    ratios = {"width_ratios": [1.0, 1.5]} if curved else {}
    drawn, axes = panels(1, 1 + curved, width=9.0 if curved else 6.0, height=max(3.2, height), **ratios)
    if curved:
        _curve(axes[0], found)
    _bars(axes[-1], found)
    titled(drawn, found.finding.text)
    return drawn


def _curve(axes: Axes, found: ThoughtFaithfulness) -> None:
    table = found.curve(points=11)
    share = 100 * table["share"]
    axes.fill_between(
        share, 100 * table["low"], 100 * table["high"], color="#004488", alpha=0.15, linewidth=0
    )
    axes.plot(share, 100 * table["agreement"], color="#004488", marker="o", label="the same answer")
    axes.plot(
        share,
        100 * table["probability"],
        color="#BB5566",
        marker="s",
        linestyle="--",
        label="its probability",
    )
    axes.set_xlabel("of the thought's sentences given (%)", fontsize=9)
    axes.set_ylabel("answers (%), probability (%)", fontsize=9)
    axes.set_ylim(-3, 103)
    axes.legend(fontsize=8, frameon=False, loc="best")
    axes.set_title(f"answering early, {len(found.answers)} questions", fontsize=9, color=INK, loc="left")
    plain(axes, grid="y")


def _bars(axes: Axes, found: ThoughtFaithfulness) -> None:
    table = found.summary()
    left = [0.0] * len(table)
    for what in FOLLOWED:
        label, colour, ink = LOOKS[what]
        shares = table[what].tolist()
        if not any(shares):
            continue
        axes.barh(
            range(len(table)), shares, left=left, color=colour, edgecolor="white", label=label, height=0.7
        )
        for row, (start, share) in enumerate(zip(left, shares, strict=True)):
            if share >= LEAST_TOLD:
                axes.text(
                    start + share / 2,
                    row,
                    f"{100 * share:.0f}",
                    color=ink,
                    ha="center",
                    va="center",
                    fontsize=8,
                )
        left = [start + share for start, share in zip(left, shares, strict=True)]
    labels = [f"{row.test}\n{row.trials} trials" for row in table.itertuples()]
    axes.set_yticks(range(len(table)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("what answers follow (% of trials)", fontsize=9)
    axes.legend(
        fontsize=8,
        frameon=False,
        ncol=5,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        handlelength=1,
        columnspacing=1,
    )
    plain(axes)
    axes.tick_params(axis="y", labelsize=8, colors=FAINT)
