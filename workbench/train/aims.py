"""What the built-in model is to reach, and whether its card's figures reach it: none is left out because it
failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..synth import EVERYDAY

__all__ = ["Aim", "aims"]

#: Families that ask for a value, a table's cell, a word, an element or a colour: what is read off.
READ_OFF = (
    "bar_value",
    "line_value",
    "table_value",
    "series_value",
    "point_value",
    "read_sign",
    "read_text",
    "digit_read",
    "gui_find",
    "gui_state",
    "gui_chosen",
    "shape_colour",
)

#: Rows of the robustness table that must hold as well as what is drawn, and those that may cost something.
AS_DRAWN = ("moved 1 to 7 px", "JPEG 50", "noise, deviation 10", "border of 8 px")
WORN = (
    "scaled 0.75 to 1",
    "scaled 1 to 1.5",
    "rotated 3 degrees",
    "blur 0.7",
    "grey",
    "light and dark inverted",
)
HELD_OUT = ("held-out typefaces", "held-out wordings", "lower case")


@dataclass(frozen=True)
class Aim:
    """One aim: the measured figure and what it should be, in words, and whether it is reached."""

    text: str
    reached: bool


def aims(card: Mapping[str, Any]) -> list[Aim]:
    """The aims of a card's model, in the order of their weight.

    Args:
        card: as `card.write_card` keeps it; what was not measured makes no aim.
    """
    measured = card["evaluation"]
    scores = pd.DataFrame(measured["scores"])
    wide = scores.pivot(index=["family", "several_steps"], columns="mode", values=["accuracy", "thinks"])
    several = wide[wide.index.get_level_values("several_steps")]
    looks = wide[~wide.index.get_level_values("several_steps")]
    made = _perception(looks["accuracy"]["nothink"].droplevel("several_steps"), card.get("world", 1))
    made += _several(several["accuracy"])
    on_steps, on_looks = (float(kind["thinks"]["auto"].mean()) for kind in (several, looks))
    made += _auto(on_steps, on_looks, "questions")
    if card.get("world", 1) > 1:
        made += _everyday(scores) + _thoughts(scores) + _measured_apart(measured)
        made += _robust({row["perturbation"]: row for row in card.get("robustness", {}).get("rows", ())})
    return made


def _perception(direct: pd.Series, world: int) -> list[Aim]:
    """One-step families, asked directly."""
    if world == 1:
        return [_enough("perception families at 95% or more when direct", direct, 0.95)]
    ordinary = direct.drop(index=[f for f in EVERYDAY if f in direct.index])
    read = ordinary.index.isin(READ_OFF)
    return [
        _enough("families that read something off at 95% or more when direct", ordinary[read], 0.95),
        _enough("other one-step families at 90% or more when direct", ordinary[~read], 0.90),
    ]


def _enough(what: str, accuracy: pd.Series, least: float) -> Aim:
    """How many families reach an accuracy, of all."""
    good = int((accuracy >= least).sum())
    return Aim(f"{what}: {good} of {len(accuracy)}", good == len(accuracy))


def _several(accuracy: pd.DataFrame) -> list[Aim]:
    think, direct = accuracy["think"], accuracy["nothink"]
    helped = int(((think >= 0.95) & (think - direct >= 0.40)).sum())
    what = "several-step families at 95% or more when thinking and 40 points above direct"
    return [Aim(f"{what}: {helped} of {len(think)} (aim: three)", helped >= 3)]


def _auto(on_steps: float, on_looks: float, asked: str) -> list[Aim]:
    return [
        Aim(
            f"auto thinks on {100 * on_steps:.1f}% of several-step {asked} (aim: at least 90%)",
            on_steps >= 0.9,
        ),
        Aim(
            f"auto thinks on {100 * on_looks:.1f}% of perception {asked} (aim: at most 10%)",
            on_looks <= 0.1,
        ),
    ]


def _everyday(scores: pd.DataFrame) -> list[Aim]:
    """Everyday tasks, in the mode that suits each; descriptions by the facts in them."""
    mode = scores["several_steps"].map({True: "think", False: "nothink"})
    suited = scores[scores["mode"] == mode].set_index("family")
    asked = suited.loc[[f for f in EVERYDAY if f in suited.index and f != "caption"], "accuracy"]
    made = [_enough("everyday families at 80% or more", asked, 0.80)] if len(asked) else []
    if "caption" in suited.index:
        named, invented = map(float, suited.loc["caption", ["named", "invented"]])
        made.append(
            Aim(
                f"captions name {100 * named:.1f}% of the facts and invent {100 * invented:.1f}% "
                "of what they say (aim: at least 90% and at most 5%)",
                named >= 0.9 and invented <= 0.05,
            )
        )
    return made


def _thoughts(scores: pd.DataFrame) -> list[Aim]:
    true = scores.loc[scores["mode"] == "think"].set_index("family")["true_if_right"].dropna()
    return [_enough("families whose thoughts are wholly true in 90% of right answers", true, 0.90)]


def _measured_apart(measured: Mapping[str, Any]) -> list[Aim]:
    made = []
    if "unseen_words" in measured:
        share = measured["unseen_words"]["accuracy"]
        made.append(
            Aim(f"words never seen, read exactly: {100 * share:.1f}% (aim: at least 85%)", share >= 0.85)
        )
    if "auto_held_out" in measured:
        thinks = measured["auto_held_out"]
        made += _auto(thinks["several"], thinks["one"], "questions in held-out wordings")
    if "direct_seconds" in measured:
        seconds = measured["direct_seconds"]
        made.append(Aim(f"a direct answer takes {seconds:.2f} s (aim: under a second)", seconds < 1))
    return made


def _robust(rows: Mapping[str, Mapping[str, float]]) -> list[Aim]:
    """How it holds up, by the rows of the robustness table that were measured."""

    def found(names: Iterable[str]) -> dict[str, Mapping[str, float]]:
        return {name: rows[name] for name in names if name in rows}

    made = [
        Aim(f"{name}: {row['points']:+.1f} points from as drawn (aim: within 3)", row["points"] >= -3)
        for name, row in found(AS_DRAWN).items()
    ]
    return made + [
        Aim(f"{name}: {100 * row['accuracy']:.1f}% right (aim: at least 85%)", row["accuracy"] >= 0.85)
        for name, row in found((*WORN, *HELD_OUT)).items()
    ]
