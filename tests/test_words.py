"""One word, one meaning: public signatures keep to the table of words (tools/words.py reads them)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import words


def judged(each: object) -> set[str]:
    """The rules that something public breaks."""
    return {finding.rule for finding in words.judge("name", each)}


def fine(vlm: object, answer: object, *, baseline: str = "mean", sinks: bool = True) -> None:
    """Says what it does."""


def wrong_word(vlm: object, *, fill: str = "mean") -> None:
    """Says what it does."""


def wrong_default(vlm: object, *, sinks: bool = False) -> None:
    """Says what it does."""


def wrong_order(vlm: object, answer: object, target: object) -> None:
    """Says what it does."""


def wrong_text(vlm: object) -> None: ...


@dataclass(frozen=True)
class Record:
    """What was found."""

    one: int
    two: int
    three: int


@pytest.mark.parametrize(
    ("each", "rules"),
    [
        (fine, set()),
        (wrong_word, {"word"}),
        (wrong_default, {"default"}),
        (wrong_order, {"positional"}),
        (wrong_text, {"docstring"}),
        (Record, set()),
    ],
)
def test_what_breaks_a_rule_is_found(each: object, rules: set[str]) -> None:
    assert judged(each) == rules


def test_all_faces_are_read() -> None:
    names = {name.rpartition(".")[2] for name in words.public()}
    assert {
        "load",
        "attribute",
        "Results",
        "rescore",
        "sweep",
        "maps",
        "AttentionExplorer",
        "sample",
    } <= names


def test_public_signatures_keep_to_the_table_of_words() -> None:
    assert [str(each) for each in words.findings()] == []
