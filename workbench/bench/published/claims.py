"""The report's claims, each with what its own tables say about it and the arithmetic in between.

Data mixtures, resolution and the training recipe are tested on Tables 1 and 2; the article's headlines, the
three modes, the averages and the training tokens on Tables 3 and 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache

import pandas as pd

from ...errors import InputError
from .ranking import four_of_ten, margins_of, matrix, modes, subsets, tokens_against_score
from .tables import FOUR, PHI, Margin, Z, margin, mean_margin, mixture, resolution

__all__ = [
    "CANNOT_TELL",
    "CONTRADICTED",
    "Claim",
    "AS_PRINTED",
    "NOT_AS_PRINTED",
    "SUPPORTED",
    "VERDICTS",
    "ablation_claims",
    "claims",
    "claims_table",
    "headline_claims",
    "mode_claims",
    "verdict_of",
]


SUPPORTED, CONTRADICTED, CANNOT_TELL = "supported", "contradicted", "cannot tell"

#: For claims about every one of some printed numbers: what the numbers say at face value, within their error.
AS_PRINTED, NOT_AS_PRINTED = "true as printed", "untrue as printed"

VERDICTS = (SUPPORTED, CONTRADICTED, CANNOT_TELL, AS_PRINTED, NOT_AS_PRINTED)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, tested.

    Args:
        text: what is claimed, in our words.
        source: where, and which table can say something about it.
        test: what was compared, and what would count for or against it.
        arithmetic: the numbers and the computation, one line per step.
        verdict: one yardstick for all: "supported" (the table agrees, by more than its sampling error),
            "contradicted" (it says otherwise, by more than its error), or "cannot tell" (within the error, or
            no number in the tables). A claim about each of several printed numbers can besides be "true as
            printed" or "untrue as printed": so at face value, but within the error.
        settles: what would settle it, where the tables do not.
    """

    text: str
    source: str
    test: str
    arithmetic: str
    verdict: str
    settles: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InputError(f"verdict={self.verdict!r}", f"one of {', '.join(VERDICTS)}")

    def __str__(self) -> str:
        lines = [f"{self.verdict.upper()}: {self.text} ({self.source})", f"  Test: {self.test}"]
        lines += [f"    {line}" for line in self.arithmetic.split("\n")]
        return "\n".join([*lines, f"  To settle it: {self.settles}"] if self.settles else lines)


def verdict_of(margins: Sequence[Margin]) -> str:
    """The verdict on "the first is better" from its margins, all of which must agree.

    One that is surely the other way contradicts; else all must be surely right to support.
    """
    if any(m.sure and m.difference < 0 for m in margins):
        return CONTRADICTED
    return SUPPORTED if margins and all(m.sure and m.difference > 0 for m in margins) else CANNOT_TELL


def verdict_on_each(margins: Sequence[Margin]) -> str:
    """The verdict on "the first is better in each": as `verdict_of`, and a fall within its error is named."""
    verdict = verdict_of(margins)
    return NOT_AS_PRINTED if verdict == CANNOT_TELL and any(m.difference < 0 for m in margins) else verdict


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
            gap = margin(more["score"], less["score"], items=int(more["items"]))
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
        verdict_on_each(every),
        SEEDS,
    )
    for name, what in WHAT.items():
        gaps = [gap for _, gap in steps[name]]
        mean, fell = mean_margin(gaps, same_items=True), falls.count(name)
        lines = [f"{label}: {gap}" for label, gap in steps[name]]
        lines.append(f"mean of the pairs: {mean}")
        if fell:
            lines.append(f"as printed it falls in {fell} of {len(gaps)} pairs")
        found.append(
            Claim(
                f"Tripling maths data, with computer-use data held, improves the {what} score ({name})",
                "Table 2",
                "the mean of both pairs of rows that differ in maths data alone, against its error",
                "\n".join(lines),
                verdict_of([mean]),
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
            lines.append(f"as printed another method is on top, by {_items(gap)}: within the error")
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
        lines.append(f"as printed another method is on top on {' and '.join(lower)}")
    return Claim(
        "With the same budget of 2048 tokens, dynamic resolution does best on high-resolution benchmarks",
        f"Table 1 {OURS}",
        "its row of 2048 tokens against the best other row of 2048 tokens, on each of the three",
        "\n".join(lines),
        verdict_on_each(list(gaps.values())),
        SEEDS,
    )


def _against_others(name: str, *, budget: int | None = None) -> tuple[pd.Series, pd.Series, Margin]:
    """The best row of dynamic resolution and the best other row on one benchmark."""
    rows = resolution()
    rows = rows[(rows["benchmark"] == name) & (True if budget is None else rows["max_tokens"] == budget)]
    dynamic = rows["method"] == "Dynamic resolution"
    ours, other = (part.loc[part["score"].idxmax()] for part in (rows[dynamic], rows[~dynamic]))
    return ours, other, margin(ours["score"], other["score"], items=int(ours["items"]))


def _items(gap: Margin) -> str:
    return f"{round(abs(gap.difference) / 100 * gap.items)} of {gap.items} items"


def _more_tokens() -> list[Claim]:
    rows = resolution()
    rows = rows[rows["method"] == "Dynamic resolution"]
    score = rows.pivot(index="benchmark", columns="max_tokens", values="score")
    items = rows.drop_duplicates("benchmark").set_index("benchmark")["items"]
    gaps = {str(n): margin(score.at[n, 3600], score.at[n, 2048], items=int(items[n])) for n in items.index}
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


TABLES = "Tables 3 and 4"
AUTO = f"{PHI} auto"
ITEMS = "right and wrong of each item in both modes: the paired test needs no further run"


MATHS = ("MathVerse", "MathVision", "MathVista", "MMMU")
SCREENS = ("ScreenSpot_v2",)
PEER = "Qwen3-VL-8B-Instruct 4K"


def headline_claims() -> list[Claim]:
    """What the article says first: where the model excels, and what it costs."""
    return [
        _excels("maths and science", MATHS),
        _excels("grounding on screens", SCREENS),
        *_costs(),
    ]


def _excels(what: str, names: Sequence[str]) -> Claim:
    """Against every other model of the two tables, the larger ones too; smaller and larger ones are named."""
    others = [entry for entry in matrix().index if not entry.startswith(PHI)]
    gaps = {entry: mean_margin(margins_of(AUTO, entry, list(names))) for entry in others}
    above = [entry for entry, gap in gaps.items() if gap.sure and gap.difference > 0]
    below = [entry for entry, gap in gaps.items() if gap.sure and gap.difference < 0]
    lines = [
        f"auto against {PEER}, mean of {', '.join(names)}: {gaps[PEER]}",
        f"surely above {len(above)} of {len(others)}: {', '.join(above) or 'none'}",
        f"surely below {len(below)} of {len(others)}: {', '.join(below) or 'none'}",
    ]
    if names == SCREENS:
        lines.append(
            "the authors' README prints three parts, 87.1, 88.6 and 88.8: their mean is 88.17, not 88.2"
        )
    return Claim(
        f"The model excels at {what}",
        f"the article's headline; {TABLES}",
        "auto against every other model: supported if surely above most and surely below none of its size or "
        f"less ({PEER}), contradicted if surely below that one",
        "\n".join(lines),
        verdict_of([gaps[PEER]]),
        "" if gaps[PEER].sure else ITEMS,
    )


def _costs() -> list[Claim]:
    """Headlines about time and tokens, of which no table holds a number."""
    told = (
        "The model is more accurate than models that are as fast",
        "The model competes with models that take ten times the time and ten times the tokens",
        "The model moves the Pareto front of accuracy against compute",
    )
    why = "no table holds a time or a count of output tokens; the figures print none"
    settles = "seconds and output tokens a reply, of every model on one machine (workbench.bench.pareto)"
    source, test = "the article's headline", "is there a number in Tables 1 to 4?"
    return [Claim(text, source, test, why, CANNOT_TELL, settles) for text in told]


def mode_claims() -> list[Claim]:
    """Is deciding by itself better than being forced; what the averages hide."""
    return [*_on_average(), _listed_wins(), *_each_listed_win(), _elsewhere(), _four(), _tokens()]


def _on_average() -> list[Claim]:
    names, found = list(matrix()), []
    for forced, words in (("nothink", "a direct answer"), ("think", "a thought")):
        gaps = margins_of(AUTO, f"{PHI} {forced}", names)
        mean = mean_margin(gaps)
        won = sum(g.difference > 0 for g in gaps)
        tied = sum(g.difference == 0 for g in gaps)
        lines = [f"mean of {len(names)} benchmarks, auto against {forced}: {mean}"]
        lines += [f"auto is higher on {won}, equal on {tied}, lower on {len(gaps) - won - tied}"]
        lines += [f"{n}: {g}" for n, g in zip(names, gaps, strict=True) if g.sure]
        found.append(
            Claim(
                f"Letting the model decide is on average better than forcing {words}",
                TABLES,
                "the difference of the two means over ten benchmarks against its sampling error",
                "\n".join(lines),
                verdict_of([mean]),
                "" if mean.sure else ITEMS,
            )
        )
    return found


def _wins() -> list[tuple[str, str]]:
    """Benchmarks on which a forced mode has the higher printed score."""
    table = modes()
    return [
        (row["benchmark"], forced)
        for _, row in table.iterrows()
        for forced in ("think", "nothink")
        if row[forced] > row["auto"]
    ]


LISTED = (("MathVerse", "think"), ("MMMU", "think"), ("ScreenSpot_v2", "nothink"))


def _listed_wins() -> Claim:
    table, wins = modes(), _wins()
    ties = [
        f"{row['benchmark']} ({forced})"
        for _, row in table.iterrows()
        for forced in ("think", "nothink")
        if row[forced] == row["auto"]
    ]
    printed = ", ".join(f"{name} ({forced})" for name, forced in wins)
    lines = [f"forced is printed higher on: {printed}", f"equal on: {', '.join(ties) or 'none'}"]
    return Claim(
        "Forcing a mode wins only on MathVerse and MMMU (think) and on ScreenSpot-v2 (nothink)",
        TABLES,
        "the printed scores alone, without their error: is the list the one that the tables give?",
        "\n".join(lines),
        AS_PRINTED if set(wins) == set(LISTED) else NOT_AS_PRINTED,
    )


def _each_listed_win() -> list[Claim]:
    found = []
    for name, forced in LISTED:
        (gap,) = margins_of(f"{PHI} {forced}", AUTO, [name])
        items = f"{abs(gap.difference) / 100 * gap.items:.1f} of {gap.items} items"
        found.append(
            Claim(
                f"Forcing {forced} is better than auto on {name}",
                TABLES,
                "the difference of the two scores against its sampling error",
                f"{name}: {gap}\nthat is {items}",
                verdict_of([gap]),
                "" if gap.sure else ITEMS,
            )
        )
    return found


def _elsewhere() -> Claim:
    """The other side of the list: does auto win where forcing does not?"""
    table = modes()
    rest = [name for name in table["benchmark"] if name not in dict(LISTED)]
    lines, sure = [], 0
    for name in rest:
        best = table.set_index("benchmark").at[name, "best"]
        (gap,) = margins_of(AUTO, f"{PHI} {best}", [name])
        sure += gap.sure and gap.difference > 0
        lines.append(f"{name}, auto against {best}: {gap}")
    value = matrix()
    picked = [max(value.at[f"{PHI} {m}", name] for m in ("think", "nothink")) for name in value]
    per_benchmark = sum(picked) / len(picked) - value.loc[AUTO].mean()
    lines.append(f"larger than its error on {sure} of {len(rest)}")
    lines.append(f"the better forced mode of each of the ten averages {per_benchmark:+.1f} points over auto")
    return Claim(
        "On the other seven benchmarks auto is better than both forced modes",
        f"{TABLES} (what the list of exceptions suggests)",
        "auto against the better of the two forced modes, on each of the seven",
        "\n".join(lines),
        SUPPORTED if sure == len(rest) else CANNOT_TELL,
        ITEMS,
    )


def _four() -> Claim:
    table = four_of_ten().set_index("entry")
    turned = [name for name in table.index if table.at[name, "reversed"]]
    lines = []
    for name in turned:
        for label, chosen in (("four", list(FOUR)), ("ten", list(matrix()))):
            lines.append(
                f"{name} against auto, mean of {label}: {mean_margin(margins_of(name, AUTO, chosen))}"
            )
    ranks = [f"{name} {row['rank_four']} and {row['rank_ten']}" for name, row in table.iterrows()]
    lines.append(f"ranks by the four and by the ten: {', '.join(ranks)}")
    lines.append("(each entry is tested against auto by itself, without a correction for their number)")
    choice = subsets().reset_index()
    place = choice.loc[choice["chosen"]].iloc[0]
    as_good = int((choice["rank"] <= place["rank"]).sum())
    lines.append(
        f"of the {len(choice)} ways to choose four of ten, this is number {place['index'] + 1} by how far "
        f"auto is above the mean of the other models; {as_good} give it rank {place['rank']} or better"
    )
    return Claim(
        "The average of ChartQA, MathVista, MMMU and ScreenSpot-v2 orders models as all ten benchmarks do",
        f"the article's figure averages these four; {TABLES}",
        "an entry surely below Phi-4-reasoning-vision by the four and surely above it by the ten, or the "
        "other way round, contradicts it",
        "\n".join(lines),
        CONTRADICTED if turned else CANNOT_TELL,
    )


def _tokens() -> Claim:
    table = tokens_against_score()
    rest = table[table["relation"] == ">"]
    gaps = {entry: mean_margin(margins_of(entry, AUTO, list(matrix()))) for entry in rest["entry"]}
    groups = {
        "surely above auto": {e: g for e, g in gaps.items() if g.sure and g.difference > 0},
        "surely below auto": {e: g for e, g in gaps.items() if g.sure and g.difference < 0},
        "not told apart from auto": {e: g for e, g in gaps.items() if not g.sure},
    }
    lines = []
    for words, group in groups.items():
        shown = ", ".join(f"{entry} {gap.difference:+.1f}" for entry, gap in group.items())
        lines.append(f"{words}: {shown or 'none'}")
    above = len(groups["surely above auto"])
    lines.append(
        f"{rest['family'].nunique()} families that differ in size, language model and data too; their tokens "
        "are known only as over 1T"
    )
    return Claim(
        "Training on 200B multimodal tokens, peers on over 1T, costs no accuracy",
        f"the report compares training tokens; the question is ours; mean of ten in {TABLES}",
        "peers of over 1T tokens against auto; supported if none is surely above, contradicted if all are",
        "\n".join(lines),
        SUPPORTED if not above else CONTRADICTED if above == len(gaps) else CANNOT_TELL,
        "models that differ in their training tokens and in nothing else",
    )


def claims() -> list[Claim]:
    """The report's claims, tested one by one on its own tables.

    A difference counts as real where it is larger than its 95% sampling error without knowing which items
    were right (see `Margin`). Each claim is tested by itself, without a correction for how many there are.

    Example:
        >>> for claim in claims():
        ...     print(claim)
    """
    return list(_tested())


@cache
def _tested() -> tuple[Claim, ...]:
    return (*headline_claims(), *mode_claims(), *ablation_claims())


def claims_table() -> pd.DataFrame:
    """`claims` as a data frame: text, source, test, arithmetic, verdict, settles."""
    return pd.DataFrame([asdict(claim) for claim in claims()])
