"""Is there evidence where a sentence was written from? On made-up scores, and on the built-in model."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import workbench
from workbench.answer import Answer
from workbench.errors import InputError
from workbench.interpret import SeenSentence, SentenceEvidence, sentence_evidence
from workbench.interpret.evidence import _falls, _Place, _pointed
from workbench.interpret.scoring import Scorer
from workbench.types import PatchGrid

GRID = PatchGrid(image=0, rows=6, cols=8, start=0, row_stride=8, size=(80, 60), region=(0.0, 0.0, 80.0, 60.0))


def seen(fall: float, random: list[float], everything: float = 5.0, **more: Any) -> SeenSentence:
    return SeenSentence(
        0, "It says 7.", ("7",), 0, (0.0, 0.0, 10.0, 10.0), fall, tuple(random), everything, **more
    )


@pytest.mark.parametrize(
    ("fall", "random", "everything", "says"),
    [
        (3.0, [0.1] * 39, 5.0, "evidence"),
        (3.0, [0.1] * 37 + [9.0] * 2, 5.0, "cannot tell"),  # p is 3 of 40
        (3.0, [4.0] * 30 + [0.1] * 9, 5.0, "none"),  # most places cost more
        (0.05, [0.0] * 39, 5.0, "none"),  # first of all, but nothing
        (3.0, [0.1] * 39, 0.05, "none"),  # no image is needed
        (3.0, [0.1] * 10, 5.0, "cannot tell"),  # too few places
        (3.0, [], 5.0, "cannot tell"),
    ],
)
def test_a_sentence_has_evidence_where_few_other_places_cost_as_much(
    fall: float, random: list[float], everything: float, says: str
) -> None:
    assert seen(fall, random, everything).says == says


def test_how_far_ahead_a_place_is_comes_with_its_error_and_the_share_of_the_truth_it_covers() -> None:
    one = seen(3.0, [0.0, 1.0], truth=((5.0, 0.0, 15.0, 10.0),))
    assert (one.ahead, one.error, one.p, one.covered) == (2.5, 0.5, 1 / 3, 0.5)
    alone = seen(3.0, [])
    assert math.isnan(alone.ahead)
    assert math.isnan(alone.error)
    assert math.isnan(alone.covered)


def test_the_place_is_the_rectangle_with_most_of_the_map() -> None:
    maps = [np.zeros((6, 8)), np.zeros((6, 8))]
    maps[0][2, 3] = 1.0
    maps[1][4, 5] = maps[1][4, 6] = maps[1][5, 5] = 0.4
    maps[1][0, 0] = -9.0
    assert _pointed(maps, 4 / 48) == _Place(1, 4, 5, 2, 2)
    assert _pointed(maps, 1 / 48) == _Place(0, 2, 3, 1, 1)


class Known:
    """A scorer whose words hang on some cells of a picture of 6 x 8, one nat each."""

    def __init__(self, *cells: tuple[int, int]) -> None:
        self.answer = SimpleNamespace(layout=SimpleNamespace(images=(GRID,)))
        self.worth, self.base = np.zeros((6, 8)), 0.0
        for cell in cells:
            self.worth[cell] = 1.0

    def masked(self, masks: np.ndarray, *, baseline: object) -> np.ndarray:
        self.masks = masks.reshape(-1, 6, 8)
        return -(self.masks * self.worth).sum(axis=(1, 2))


def test_places_elsewhere_have_the_same_size_overlap_nothing_and_are_drawn_by_the_seed() -> None:
    place, scorer = _Place(0, 1, 2, 2, 2), Known((1, 2), (2, 3))
    falls = _falls(scorer, place, np.random.default_rng(0), 25, "mean")
    assert falls == [2.0, 2.0, *[0.0] * 25]
    own, everything, others = scorer.masks[0], scorer.masks[1], scorer.masks[2:]
    assert everything.all()
    assert not (others & own).any()
    assert (others.sum(axis=(1, 2)) == 4).all()
    assert len({one.tobytes() for one in others}) == 25
    drawn = scorer.masks
    _falls(scorer, place, np.random.default_rng(0), 25, "mean")
    assert np.array_equal(scorer.masks, drawn)
    _falls(scorer, place, np.random.default_rng(1), 25, "mean")
    assert not np.array_equal(scorer.masks, drawn)
    assert len(_falls(scorer, place, np.random.default_rng(0), 99, "mean")) == 2 + 35 - 9


@pytest.fixture(scope="module")
def nano() -> Any:
    return workbench.load()


@pytest.fixture(scope="module")
def thought(nano: Any) -> Answer:
    """An answer behind a thought that is given, so that no weights decide what it says."""
    sample = workbench.synth.sample("gui_links", 1, seed=7)[0]
    said = "Let me look. Mail links to Shop. Shop links to News."
    return nano.ask(sample.images, sample.question, thought=said, max_tokens=16)


def test_falls_are_the_scorers_on_the_place_that_was_told(nano: Any, thought: Answer, tmp_path: Any) -> None:
    box = thought.layout.images[0].box(3, 4)
    found = sentence_evidence(
        nano, thought, sentences=[2], boxes=[None, None, box], n_random=19, progress=False
    )
    [one] = found.sentences
    assert (one.text, one.box, len(one.elsewhere)) == ("Shop links to News.", box, 19)
    part = next(s for s in _token_spans(nano, thought) if s[1] == one.text)[0]
    scorer = Scorer(nano, thought, part)
    mask = np.zeros((1, scorer.patches), dtype=bool)
    mask[0, 3 * thought.layout.images[0].cols + 4] = True
    assert one.fall == pytest.approx(scorer.base - scorer.masked(mask)[0], abs=1e-4)
    assert one.everything == pytest.approx(scorer.base - scorer.masked(np.ones_like(mask))[0], abs=1e-4)
    answer = sentence_evidence(
        nano, thought, sentences=[2], target="answer", boxes=[None, None, box], n_random=19, progress=False
    )
    assert answer.sentences[0].everything != pytest.approx(one.everything)
    assert "costs the answer" in answer.verdict
    assert SentenceEvidence.load(found.save(tmp_path / "found")) == found


def _token_spans(nano: Any, answer: Answer) -> list[Any]:
    from workbench.interpret.evidence import _parts

    return _parts(nano, answer)


def test_only_sentences_that_name_something_new_are_tested_and_the_record_draws_itself(
    nano: Any, thought: Answer
) -> None:
    found = sentence_evidence(nano, thought, n_random=19, progress=False)
    tested = [one.sentence for one in found.sentences]
    assert 0 not in tested, "it names nothing"
    assert set(tested) <= {1, 2}
    assert found.total == 3
    assert list(found.frame()["sentence"]) == tested
    for one in found.sentences:
        assert one.says in ("evidence", "none", "cannot tell")
        assert one.text in found._repr_html_()
    figure = found.plot()
    assert figure.get_suptitle().replace("\n", " ") == found.finding.text
    assert len(figure.axes) == 2 * len(tested)


def test_an_image_of_one_colour_has_no_evidence(nano: Any) -> None:
    grey = Image.new("RGB", (128, 96), (90, 90, 90))
    answer = nano.ask(grey, "Where does Mail lead?", thought="Mail links to Shop.", max_tokens=8)
    found = sentence_evidence(nano, answer, n_random=19, progress=False)
    assert found.finding.kind == "none"
    assert abs(found.sentences[0].fall) < 1e-4, "hiding it in its own colour changes nothing"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sentences": [3]}, "sentences=\\[3\\]"),
        ({"sentences": []}, "some of 0 to 2"),
        ({"target": "thought"}, "'sentence' or 'answer'"),
        ({"share": 0.6}, "share=0.6"),
        ({"n_random": 5}, "at least 19"),
        ({"boxes": [None]}, "1 boxes"),
        ({"boxes": [(0, 0, 9999, 9999)] * 3}, "inside picture 0"),
    ],
)
def test_what_cannot_be_tested_is_said(
    options: dict[str, Any], words: str, nano: Any, thought: Answer
) -> None:
    with pytest.raises(InputError, match=words):
        sentence_evidence(nano, thought, progress=False, **options)


def test_an_answer_without_a_thought_or_a_name_is_refused(nano: Any, thought: Answer) -> None:
    with pytest.raises(InputError, match="without a thought"):
        sentence_evidence(nano, replace(thought, thought=None), progress=False)
    bare = nano.ask(thought.images[0], thought.question, thought="Let me look at it.", max_tokens=8)
    with pytest.raises(InputError, match=r"say which: sentences=\[0\]"):
        sentence_evidence(nano, bare, progress=False)
