"""Claims on the three modes, the averages and the training tokens, tested on Tables 3 and 4"""

from __future__ import annotations

from .claim import CANNOT_TELL, CONTRADICTED, SUPPORTED, Claim, verdict_of
from .margins import mean_margin
from .ranking import four_of_ten, margins_of, matrix, modes, subsets, tokens_against_score
from .tables import FOUR, PHI

__all__ = ["mode_claims"]

TABLES = "Tables 3 and 4"
AUTO = f"{PHI} auto"
ITEMS = "right and wrong of each item in both modes: the paired test needs no further run"


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
        SUPPORTED if set(wins) == set(LISTED) else CONTRADICTED,
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
