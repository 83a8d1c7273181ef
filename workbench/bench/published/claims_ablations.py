"""Claims on data mixtures, resolution and the training recipe, tested on Tables 1 and 2"""

from __future__ import annotations

import itertools
import math

import pandas as pd

from .claim import CANNOT_TELL, CONTRADICTED, SUPPORTED, Claim, verdict_of
from .margins import Margin, Z, margin, mean_margin
from .tables import mixture, resolution

__all__ = ["ablation_claims"]

SEEDS = "the items, and several training runs a row (with one, a difference holds the noise of training too)"
WHAT = {"MathVista": "maths", "MMMU": "science", "ScreenSpot_v2": "computer-use"}
HIGH = ("ScreenSpot", "ScreenSpot_Pro", "V*Bench")
OURS = "(a question of ours)"


def ablation_claims() -> list[Claim]:
    """What more maths data, more computer-use data and more visual tokens really change."""
    return [*_maths_data(), *_computer_use_data(), *_dynamic_is_best(), *_more_tokens(), *_without_numbers()]


# -- Table 2 ---------------------------------------------------------------------------------------


def _steps(domain: str) -> dict[str, list[tuple[str, Margin]]]:
    """Rows that differ in one domain alone: by benchmark, what each step up in it changes."""
    other = "computer_use" if domain == "math_science" else "math_science"
    found: dict[str, list[tuple[str, Margin]]] = {}
    for (name, fixed), group in mixture().sort_values(domain).groupby(["benchmark", other], sort=False):
        rows = [row for _, row in group.iterrows()]
        for less, more in itertools.pairwise(rows):
            label = f"{less[domain]:,} to {more[domain]:,} {domain} at {fixed:,} {other}"
            gap = margin(more["score"], less["score"], int(more["items"]))
            found.setdefault(name, []).append((label, gap))
    return found


def _maths_data() -> list[Claim]:
    """Two pairs of rows differ in maths data alone; three benchmarks each."""
    steps, found = _steps("math_science"), []
    every = [gap for name in WHAT for _, gap in steps[name]]
    falls = [name for name in WHAT for _, gap in steps[name] if gap.difference < 0]
    summary = [
        f"{len(every)} differences: {len(every) - len(falls)} rise, {len(falls)} fall ({', '.join(falls)})",
        f"larger than their sampling error, without knowing the items: {sum(gap.sure for gap in every)}",
    ]
    whole = Claim(
        "Tripling maths data while holding computer-use data improves maths, science and computer-use scores",
        "the report's text; Table 2",
        "all three scores must rise in both pairs of rows that differ in maths data alone",
        "\n".join(summary),
        CONTRADICTED if falls else verdict_of(every),
        SEEDS,
    )
    for name, what in WHAT.items():
        gaps = [gap for _, gap in steps[name]]
        mean, fell = mean_margin(gaps, same_items=True), falls.count(name)
        lines = [f"{label}: {gap}" for label, gap in steps[name]]
        lines.append(f"mean of the pairs: {mean}")
        if fell:
            lines.append(f"the table itself says otherwise: it falls in {fell} of {len(gaps)} pairs")
        found.append(
            Claim(
                f"Tripling maths data, with computer-use data held, improves the {what} score ({name})",
                "Table 2",
                "both pairs of rows that differ in maths data alone must rise, their mean beyond its error",
                "\n".join(lines),
                CONTRADICTED if fell else verdict_of([mean]),
                SEEDS,
            )
        )
    return [whole, *found]


def _computer_use_data() -> list[Claim]:
    """What the same table does show."""
    steps = _steps("computer_use")
    screens, maths = ([gap for _, gap in steps[name]] for name in ("ScreenSpot_v2", "MathVista"))
    fell = any(gap.sure and gap.difference < 0 for gap in maths)
    return [
        Claim(
            "More computer-use data improves the computer-use score (ScreenSpot_v2)",
            f"Table 2 {OURS}",
            "every step up in computer-use data, with maths data held, must rise by more than its error",
            "\n".join(f"{label}: {gap}" for label, gap in steps["ScreenSpot_v2"]),
            verdict_of(screens),
        ),
        Claim(
            "More computer-use data costs no maths (MathVista)",
            f"Table 2 {OURS}",
            "a step that falls by more than its error contradicts it; that none is seen does not prove it",
            "\n".join(f"{label}: {gap}" for label, gap in steps["MathVista"]),
            CONTRADICTED if fell else CANNOT_TELL,
            SEEDS,
        ),
    ]


# -- Table 1 ---------------------------------------------------------------------------------------


def _dynamic_is_best() -> list[Claim]:
    found = []
    for name in HIGH:
        ours, other, gap = _against_others(name)
        lines = [f"{ours['entry']} against {other['entry']}: {gap}"]
        if ours["max_tokens"] != other["max_tokens"]:
            lines.append(
                f"not the same budget: {ours['max_tokens']} and {other['max_tokens']} tokens at most"
            )
        verdict = verdict_of([gap])
        if verdict == CANNOT_TELL and gap.difference < 0:
            verdict = CONTRADICTED
            lines.append(f"the table itself has another method on top, by {_items(gap)}: within the error")
        found.append(
            Claim(
                f"Dynamic resolution does best on high-resolution benchmarks: {name}",
                "the report's text; Table 1",
                "the best row of dynamic resolution against the best row of any other method",
                "\n".join(lines),
                verdict,
                "" if verdict == SUPPORTED else SEEDS,
            )
        )
    return [*found, _at_the_same_budget()]


def _at_the_same_budget() -> Claim:
    lines, gaps = [], {}
    for name in HIGH:
        ours, other, gaps[name] = _against_others(name, budget=2048)
        lines.append(f"{name}, {ours['entry']} against {other['entry']}: {gaps[name]}")
    lower = [f"{name} (by {_items(gap)})" for name, gap in gaps.items() if gap.difference < 0]
    if lower:
        lines.append(f"the table itself has another method on top on {' and '.join(lower)}")
    return Claim(
        "With the same budget of 2048 tokens, dynamic resolution does best on high-resolution benchmarks",
        f"Table 1 {OURS}",
        "its row of 2048 tokens against the best other row of 2048 tokens, on each of the three",
        "\n".join(lines),
        CONTRADICTED if lower else verdict_of(list(gaps.values())),
        SEEDS,
    )


def _against_others(name: str, *, budget: int | None = None) -> tuple[pd.Series, pd.Series, Margin]:
    """The best row of dynamic resolution and the best other row on one benchmark."""
    rows = resolution()
    rows = rows[(rows["benchmark"] == name) & (True if budget is None else rows["max_tokens"] == budget)]
    dynamic = rows["method"] == "Dynamic resolution"
    ours, other = (part.loc[part["score"].idxmax()] for part in (rows[dynamic], rows[~dynamic]))
    return ours, other, margin(ours["score"], other["score"], int(ours["items"]))


def _items(gap: Margin) -> str:
    return f"{round(abs(gap.difference) / 100 * gap.items)} of {gap.items} items"


def _more_tokens() -> list[Claim]:
    rows = resolution()
    rows = rows[rows["method"] == "Dynamic resolution"]
    score = rows.pivot(index="benchmark", columns="max_tokens", values="score")
    items = rows.drop_duplicates("benchmark").set_index("benchmark")["items"]
    gaps = {str(n): margin(score.at[n, 3600], score.at[n, 2048], int(items[n])) for n in items.index}
    pro = gaps["ScreenSpot_Pro"]
    others = {name: gap.difference for name, gap in gaps.items() if name != "ScreenSpot_Pro"}
    rival = max(others, key=lambda name: others[name])
    next_best = gaps[rival]
    apart = Margin(
        pro.difference, next_best.difference, math.hypot(pro.error, next_best.error),
        math.hypot(pro.least_error, next_best.least_error), pro.items + next_best.items,
    )  # fmt: skip
    lines = [f"{name}: {gap}" for name, gap in gaps.items()]
    lines.append(f"ScreenSpot_Pro's gain against the next largest, {rival}'s: {apart}")
    lines.append(_as_ratios(score, items, rival))
    return [
        Claim(
            "3600 tokens instead of 2048 help on ScreenSpot-Pro",
            "the report's text; Table 1",
            "the difference of the two rows of dynamic resolution against its sampling error",
            str(pro),
            verdict_of([pro]),
        ),
        Claim(
            "3600 tokens instead of 2048 matter most on ScreenSpot-Pro",
            "the report's text; Table 1",
            "its gain in points against the next largest gain, with the errors of both",
            "\n".join(lines),
            verdict_of([apart]),
            f"more items than {rival}'s {next_best.items}",
        ),
    ]


def _as_ratios(score: pd.DataFrame, items: pd.Series, rival: str) -> str:
    """The same on the log scale, with the delta method's error."""
    gain, variance = [], 0.0
    for name in ("ScreenSpot_Pro", rival):
        low, high = score.at[name, 2048] / 100, score.at[name, 3600] / 100
        gain.append(math.log(high / low))
        variance += sum((1 - p) / (p * items[name]) for p in (low, high))
    apart, error = gain[0] - gain[1], Z * math.sqrt(variance)
    return (
        f"as ratios, {math.exp(gain[0]):.2f} against {math.exp(gain[1]):.2f} times the score: log difference "
        f"{apart:.2f}, 95% error {error:.2f}: {'larger than' if abs(apart) > error else 'within'} its error"
    )


def _without_numbers() -> list[Claim]:
    """Claims about which the tables hold no number."""
    unknown, used = "Table 1 gives the most that a method may use, not what it used", "tokens used a picture"
    told = (
        ("The S2 methods often use only about half of their token budget", unknown, used),
        ("Dynamic resolution uses the most tokens", unknown, used),
        (
            "About a fifth of the training mix is reasoning data, the rest direct answers",
            "no table holds the training mix, and no row varies this share",
            "the mix itself; whether it is a good one, runs that differ in it (workbench.ablate)",
        ),
        (
            "A reasoning language model trained further on a mix is the pipeline to choose of four",
            "the four pipelines are compared in words; no row of any table is another pipeline",
            "scores of the other three",
        ),
    )
    return [
        Claim(text, "the report's text", "is there a number in Tables 1 to 4?", why, CANNOT_TELL, settles)
        for text, why, settles in told
    ]
