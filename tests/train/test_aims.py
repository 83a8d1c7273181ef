"""What the built-in model is to reach is told with its figure, whether it is reached or not."""

from __future__ import annotations

import pytest

from workbench.train.aims import aims


def row(family: str, mode: str, accuracy: float, *, several: bool = False, **more: float) -> dict:
    return {
        "family": family,
        "several_steps": several,
        "mode": mode,
        "accuracy": accuracy,
        "thinks": 0.0,
    } | more


def rows(family: str, direct: float, think: float, *, several: bool = False, **more: float) -> list[dict]:
    auto = row(family, "auto", think if several else direct, several=several, thinks=float(several))
    return [
        row(family, "nothink", direct, several=several, **more),
        row(family, "think", think, several=several, true_if_right=0.95),
        auto,
    ]


def card(*found: list[dict], **more: object) -> dict:
    scores = [one for family in found for one in family]
    return {"world": 2, "evaluation": {"scores": scores}} | more


READ = rows("bar_value", 0.97, 0.97)
STEPS = rows("chain", 0.30, 0.99, several=True)


def told(card: dict) -> dict[str, bool]:
    return {aim.text: aim.reached for aim in aims(card)}


def test_each_kind_of_family_has_an_aim_of_its_own() -> None:
    found = told(card(READ, rows("table_value", 0.90, 0.9), rows("shape_count", 0.91, 0.9), STEPS))
    assert found["families that read something off at 95% or more when direct: 1 of 2"] is False
    assert found["other one-step families at 90% or more when direct: 1 of 1"] is True
    several = (
        "several-step families at 95% or more when thinking and 40 points above direct: 1 of 1 (aim: three)"
    )
    assert found[several] is False
    assert found["auto thinks on 100.0% of several-step questions (aim: at least 90%)"] is True
    assert found["families whose thoughts are wholly true in 90% of right answers: 4 of 4"] is True


def test_everyday_tasks_are_asked_as_suits_them_and_captions_by_their_facts() -> None:
    captions = rows("caption", 0.1, 0.1, named=0.95, invented=0.06)
    sums = rows("receipt_sum", 0.2, 0.85, several=True)
    found = told(card(READ, STEPS, captions, rows("receipt", 0.70, 0.99), sums))
    assert found["everyday families at 80% or more: 1 of 2"] is False
    text = (
        "captions name 95.0% of the facts and invent 6.0% of what they say (aim: at least 90% and at most 5%)"
    )
    assert found[text] is False


@pytest.mark.parametrize(("points", "accuracy"), [(-2.9, 0.86), (-3.1, 0.84)])
def test_the_robustness_table_has_aims_by_row(points: float, accuracy: float) -> None:
    table = [
        {"perturbation": "moved 1 to 7 px", "points": points, "accuracy": 0.9},
        {"perturbation": "blur 0.7", "points": -9.0, "accuracy": accuracy},
        {"perturbation": "negative", "points": -9.0, "accuracy": accuracy},
    ]
    found = told(card(READ, STEPS, robustness={"rows": table}))
    assert found[f"moved 1 to 7 px: {points:+.1f} points from as drawn (aim: within 3)"] is (points >= -3)
    assert found[f"blur 0.7: {100 * accuracy:.1f}% right (aim: at least 85%)"] is (accuracy >= 0.85)
    assert not any(text.startswith("negative") for text in found), "it has no aim"


def test_what_was_not_measured_makes_no_aim() -> None:
    made = card(READ, STEPS)
    assert not any("never seen" in text or "direct answer" in text for text in told(made))
    made["evaluation"] |= {"unseen_words": {"n": 100, "accuracy": 0.85}, "direct_seconds": 1.2}
    assert told(made)["words never seen, read exactly: 85.0% (aim: at least 85%)"] is True
    assert told(made)["a direct answer takes 1.20 s (aim: under a second)"] is False
    made["evaluation"] |= {"auto_held_out": {"n": 100, "several": 0.87, "one": 0.02}}
    several = "auto thinks on 87.0% of several-step questions in held-out wordings (aim: at least 90%)"
    assert told(made)[several] is False
    assert told(made)["auto thinks on 2.0% of perception questions in held-out wordings (aim: at most 10%)"]


def test_a_card_of_the_first_world_keeps_its_four_aims() -> None:
    assert [aim.text.split(":")[0] for aim in aims(card(READ, STEPS) | {"world": 1})] == [
        "perception families at 95% or more when direct",
        "several-step families at 95% or more when thinking and 40 points above direct",
        "auto thinks on 100.0% of several-step questions (aim",
        "auto thinks on 0.0% of perception questions (aim",
    ]
