"""Sentences of a text: what ends one, and what does not."""

from __future__ import annotations

import pytest

from workbench.sentences import sentence_spans


def parts(text: str) -> list[str]:
    return [text[span.start : span.stop] for span in sentence_spans(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["A points up to B.", "B points right to C."],
        ["It is 3.5 m.", "So 0.25 is less."],
        ["See e.g. the van, i.e. Fig. 2 of Dr. Smith.", "It is red!"],
        ["Red, blue, etc. are colours.", "Green etc.", "Now count."],
        ["Wait... what is it?", "Hmm...", "Let me see…"],
        ["It opens at 9 a.m. on Monday.", "It shuts at 5 p.m.", "The U.S. flag is shown."],
        ['"Go." he said.', "Really?!", "(Yes.)", "**Done.**"],
        ["It costs $5.", "Then $3."],
        ["So $x = 1. y = 2$ holds.", "And \\(a. b\\) too."],
        ["Then $$a = 1.\nb = 2.$$ follows.", "Next."],
        ["第一个是红色。", "第二个是蓝色！", "是吗？", "「はい。」", "次。"],
        ["यह लाल है।", "वह नीला है॥", "ما هذا؟", "Это красный.", "यह क्या है?"],
        ["The angle is 30°.", "Open file.txt now.", "x.y is 2."],
        ["no end"],
    ],
)
def test_sentences_that_a_reader_would_tell_apart(sentences: list[str]) -> None:
    assert parts(" ".join(sentences)) == sentences
    assert parts("\n\n".join(sentences)) == sentences, "line breaks end sentences too, but none in a formula"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("1. Look.\n2. Read it. Then b.\n3.", ["1. Look.", "2. Read it.", "Then b.", "3."]),
        ("- one\n- two.\n\n  * three", ["- one", "- two.", "* three"]),
        ("a. first\nb. second", ["a. first", "b. second"]),
        ("So:\n```\nx = 1. \ny = 2.\n```\nDone.", ["So:", "```\nx = 1. \ny = 2.\n```", "Done."]),
        ("```\nnever. closed.", ["```\nnever. closed."]),
        ("It is No.\nYes.", ["It is No.", "Yes."]),
        ("第一。第二。", ["第一。", "第二。"]),
        ("", []),
        (" \n ", []),
        ("...", ["..."]),
        ("?", ["?"]),
    ],
)
def test_lists_code_and_edges(text: str, sentences: list[str]) -> None:
    assert parts(text) == sentences


def test_spans_lie_in_order_and_leave_out_white_space_only() -> None:
    text = "  One. Two?\n\n 3. Three  "
    spans = sentence_spans(text)
    assert [text[s.start : s.stop] for s in spans] == ["One.", "Two?", "3. Three"]
    left = "".join(text[a.stop : b.start] for a, b in zip(spans, spans[1:], strict=False))
    assert not (text[: spans[0].start] + left + text[spans[-1].stop :]).strip()
