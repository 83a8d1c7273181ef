"""Everyday families: what they ask is so on the picture, and each step of a thought holds."""

from __future__ import annotations

import re

import pytest

from workbench import synth
from workbench.bench.tasks.drawn import drawn_item, score_drawn
from workbench.synth import EVERYDAY, FREE, Sample, World
from workbench.synth.maths import column_steps
from workbench.synth.sample import Fact, Facts, facts_of, sentences
from workbench.synth.scenes import plural
from workbench.synth.wordings import FIELDS, WISHES

WORLDS = (1, World(2), World(2, worn=True, held_out=("fonts", "wordings")))

MAKES = re.compile(r"(.+) makes (\d+)\.")


def drawn(family: str, n: int = 40, seed: int = 8) -> list[Sample]:
    return [s for world in WORLDS for s in synth.sample(family, n, seed=seed, world=world)]


def computed(text: str) -> int:
    """A row of sums, differences and products, from left to right."""
    first, *rest = text.replace("−", "-").split()
    value = int(first)
    for sign, number in zip(rest[::2], rest[1::2], strict=True):
        value = {"+": value + int(number), "-": value - int(number), "×": value * int(number)}[sign]
    return value


@pytest.mark.parametrize("family", EVERYDAY)
def test_pictures_are_small_and_answers_short(family: str) -> None:
    assert family in FREE
    sizes, lengths = [], []
    for s in synth.sample(family, 60, seed=1, world=World(2, worn=True)):
        sizes.append(sum(image.width * image.height / 256 for image in s.images))
        lengths.append(len(s.answer.split()))
    assert max(sizes) <= 256
    assert sorted(sizes)[30] <= 110
    assert max(lengths) <= 24


@pytest.mark.parametrize("family", ["receipt_sum", "homework", "sequence"])
def test_every_computed_step_is_right(family: str) -> None:
    steps = 0
    for s in drawn(family):
        for sentence in sentences(s.trace):
            if made := MAKES.fullmatch(sentence):
                steps += 1
                assert computed(made[1]) == int(made[2]), sentence
    assert steps > 20


def test_a_receipt_says_what_is_answered_and_some_have_no_date() -> None:
    undated = 0
    for s in drawn("receipt", 90):
        written = [e.name for e in s.elements]
        undated += s.trace == "There is no date."
        if s.answer == "none":
            continue
        assert all(word in written for word in s.answer.split())
        if item := re.fullmatch(r"The (\w+) costs (\d+)\.", s.trace):
            row = {e.name for e in s.elements if overlap(e.box, s.boxes[0])}
            assert {item[1], item[2]} <= row, "the name and the price stand in one row"
            assert item[2] == s.answer
    assert 0 < undated < 30


def test_the_total_of_a_receipt_is_right_or_wrong_as_often() -> None:
    answers = []
    for s in drawn("receipt_sum", 60):
        added = [int(made[2]) for x in sentences(s.trace) if (made := MAKES.fullmatch(x))][-1]
        if said := re.search(r"The total says (\d+)\.", s.trace):
            assert s.answer == ("yes" if int(said[1]) == added else "no")
            answers.append(s.answer)
        else:
            assert int(s.answer) == added
    assert 0.3 < answers.count("yes") / len(answers) < 0.7


def test_a_field_is_found_where_it_is_written() -> None:
    absent = 0
    for s in drawn("document"):
        said = re.fullmatch(r"The (\w+) is (.+)\.", s.trace)
        if said is None:
            absent += 1
            assert s.trace == f"There is no {s.trace.split()[-1]}"
            continue
        assert s.answer == said[2]
        assert s.answer in FIELDS.get(said[1], (s.answer,))
        assert s.answer in {e.name for e in s.elements if e.box == s.boxes[0]}
    assert absent


@pytest.mark.parametrize(("above", "sign", "below"), [(58, "+", 67), (52, "−", 27), (802, "−", 316)])
def test_a_column_is_worked_digit_by_digit(above: int, sign: str, below: int) -> None:
    steps, result = column_steps(above, below, sign)
    assert result == computed(f"{above} {sign} {below}")
    digits = [step.removesuffix(".")[-1] for step in steps[:-1]]
    assert "".join(reversed(digits)) == str(result)[-len(digits) :]
    assert steps[-1] == f"The result is {result}."


def test_figures_of_a_worksheet_are_to_scale() -> None:
    found = 0
    for i in range(60):
        drawing, _ = synth.draw("homework", seed=i, world=World(2, plain=1.0))
        marks = [m for m in drawing.canvases[0].marks if m.kind in ("square", "triangle")]
        if not marks:
            continue
        sides = [m for m in drawing.canvases[0].marks if m.kind == "side"]
        units = []
        for mark in marks:
            figure = "rectangle" if mark.kind == "square" else "triangle"
            wide, high = (
                int(
                    next(m.facts["text"] for m in sides if (m.facts["key"], m.facts["second"]) == (k, figure))
                )
                for k in ("width", "height")
            )
            units += [(mark.box[2] - mark.box[0]) / wide, (mark.box[3] - mark.box[1]) / high]
            area = wide * high // (1 if figure == "rectangle" else 2)
            (asked,) = [q for q in drawing.questions if q.asks == "area" and q.names["figure"] == figure]
            assert asked.answer == str(area)
        assert max(units) / min(units) < 1.02
        found += 1
    assert found > 15


def test_a_row_of_pictures_is_told_as_it_is_drawn() -> None:
    for i in range(60):
        drawing, _ = synth.draw("sequence", seed=i, world=World(2))
        groups = [(len(c.marks), c.marks[0].facts["colour"], c.marks[0].kind) for c in drawing.canvases]
        said = re.findall(r"Picture \d has (\d) (\w+) (\w+)\.", drawing.questions[0].trace)
        shown = [(str(n), colour, shape if n == 1 else plural(shape)) for n, colour, shape in groups]
        assert said == shown
        numbers, *_ = aspects = list(zip(*groups, strict=True))
        named = dict(zip(("number", "colour", "shape"), aspects, strict=True))
        for q in drawing.questions:
            if q.asks == "varies":
                assert [q.answer] == [what for what, values in named.items() if len(set(values)) > 1]
            elif q.asks == "next_number":
                assert int(q.answer) - numbers[2] == numbers[2] - numbers[1] == numbers[1] - numbers[0]
            elif q.asks == "sorted":
                assert [numbers[int(k) - 1] for k in q.answer.split()] == sorted(numbers)
            else:
                one, other, again = named[q.names["what"]]
                assert (one, q.answer) == (again, other)


def test_what_a_wish_takes_is_on_the_screen_or_is_told_to_be_missing() -> None:
    kinds = set()
    for s in drawn("gui_task"):
        name = s.trace.split()[1] if s.answer != "none" else s.trace.split()[3]
        point = "point [x, y]" in s.question.lower()
        kinds.add((s.answer == "none", point, "icon" in s.trace))
        assert any(wish in s.question.lower() for wish in map(str.lower, WISHES[name]))
        assert (name in {e.name for e in s.elements}) == (s.answer != "none")
        if s.answer != "none":
            assert s.answer.count(",") == (1 if point else 3)
            assert name in {
                e.name for e in s.elements if e.kind in ("button", "icon") and overlap(e.box, s.boxes[0])
            }
    assert {(False, p, i) for p in (False, True) for i in (False, True)} <= kinds
    assert any(none for none, _, _ in kinds)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


SCENE = Sample(
    [], "?", "A red star is left of a blue cross. A pink sign says EXIT.", "", (), "caption", "general", 1, 1,
    "facts", truths=("A red star is left of a blue cross.", "A red star is above a pink sign."),
)  # fmt: skip


@pytest.mark.parametrize(
    ("told", "facts"),
    [
        (SCENE.answer, Facts(1.0, 0.0)),
        ("The pink sign reads 'exit'. A blue cross is to the right of the red star.", Facts(1, 0)),
        ("A red star. There is no green square.", Facts(1 / 4, 0)),
        ("A red star and a green square.", Facts(1 / 4, 1 / 2)),
        ("A blue cross is left of a red star.", Facts(2 / 4, 1 / 3)),
        ("A pink sign says OPEN.", Facts(1 / 4, 1 / 2)),
        ("", Facts(0, 0)),
    ],
)  # fmt: skip
def test_a_caption_is_judged_by_what_it_names_and_what_it_invents(told: str, facts: Facts) -> None:
    assert SCENE.facts(told) == facts
    assert SCENE.correct(told) == (facts == Facts(1, 0))


def test_places_are_read_both_ways() -> None:
    (one,) = (f for f in facts_of("The blue cross is below the gray star.") if f.beside)
    assert one == Fact("grey star", side="above", beside="blue cross")
    assert one in facts_of("A grey star over a blue cross")


def test_captions_name_all_that_was_drawn_and_a_benchmark_scores_them_alike() -> None:
    for s in drawn("caption"):
        things = {e.kind for e in s.elements if e.kind != "sign"}
        assert things <= set(re.findall(r"\w+", s.answer))
        assert s.facts(s.answer) == Facts(1, 0)
        assert 1 <= len(sentences(s.answer)) <= 3
        other = (
            s.answer.replace("left of", "below") if "left" in s.answer else s.answer + " A red sign says NO."
        )
        item = drawn_item(s, "one")
        for text in (s.answer, s.trace, other, "A purple square."):
            assert score_drawn(text, item.gold, **item.scoring) == s.correct(text)
        assert not s.correct(other)


@pytest.mark.parametrize("family", EVERYDAY)
def test_a_thought_with_one_false_sentence_is_not_true(family: str) -> None:
    for s in synth.sample(family, 10, seed=2, world=World(2)):
        assert s.true(s.trace)
        assert not s.true(f"{s.trace} It is Monday.")
