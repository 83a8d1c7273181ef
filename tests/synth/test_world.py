"""The second drawn world: boxes follow every look, wordings are split, and nothing asked is ambiguous."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from workbench import synth
from workbench.errors import InputError
from workbench.synth import World
from workbench.synth.canvas import Canvas
from workbench.synth.look import FACES, HELD_OUT_FACES, LARGEST, PHOTOS, Look, choose, font, moved
from workbench.synth.sample import sentences
from workbench.synth.wordings import ASPECTS, CHARACTERS, WORDINGS, asked, wordings

FREE = World(2)
WORN = World(2, worn=True)

#: What the recorded suite, league and runs were drawn from.
FIRST_WORLD = "243163296eaaed345d4e41a21d24a916a77c03d0dc50f28c0e44cc6fc99137f9"


def digest(world: World | int, families: list[str], n: int, seed: int = 7) -> str:
    h = hashlib.sha256()
    for family in families:
        for s in synth.sample(family, n, seed=seed, world=world):
            for image in s.images:
                h.update(image.tobytes())
            h.update(repr((s.question, s.answer, s.trace, s.boxes, s.elements)).encode())
    return h.hexdigest()


def test_the_first_world_is_what_it_was_to_the_byte() -> None:
    assert digest(1, [*synth.FAMILIES, *synth.LARGE], 25) == FIRST_WORLD


def test_the_second_world_is_the_same_in_every_process() -> None:
    code = (
        "from tests.synth.test_world import WORN, digest; print(digest(WORN, ['bar_value', 'gui_find'], 4))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {digest(WORN, ["bar_value", "gui_find"], 4)}


@pytest.mark.parametrize("family", [*synth.FAMILIES, *synth.LARGE, *synth.FREE])
def test_contract_of_every_family_in_the_second_world(family: str) -> None:
    several = synth.family(family).several_steps
    for s in synth.sample(family, 25, seed=2, world=WORN):
        assert s.correct(s.answer)
        assert not s.correct("no idea 12345")
        assert (s.steps > 1) == several
        assert len(sentences(s.trace)) == s.steps
        assert s.true(s.trace)
        width, height = s.images[s.image].size
        assert width % 16 == height % 16 == 0
        assert 16 <= width * height / 256 <= LARGEST
        for x1, y1, x2, y2 in (*s.boxes, *(e.box for e in s.elements)):
            assert 0 <= x1 < x2 <= width, s.question
            assert 0 <= y1 < y2 <= height, s.question


@pytest.mark.parametrize("angle", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("face", [*FACES, *HELD_OUT_FACES])
def test_a_texts_box_holds_all_its_letters_after_every_look(face: str, angle: float) -> None:
    rng = random.Random(f"{face}{angle}")
    for text in ("Quarry, 17", "Jg", "−4", "MUSIC"):
        canvas = Canvas(96, 48)
        told = canvas.text((rng.uniform(40, 56), rng.uniform(16, 32)), text, size=rng.randint(8, 15))
        look = choose(rng, 96, 48, faces=(face,))
        canvas.dress(replace(look, angle=angle, margin=None, photo="", inverted=False))
        ink = np.argwhere(np.asarray(canvas.image().convert("L")) < 200)
        (y1, x1), (y2, x2) = ink.min(0), ink.max(0) + 1
        for box in (canvas.marks[0].box, canvas.placed(told), canvas.placed((told[0] - 2, *told[1:]))):
            assert box[0] <= x1, (text, box, x1)
            assert box[1] <= y1, (text, box, y1)
            assert x2 <= box[2], (text, box, x2)
            assert y2 <= box[3], (text, box, y2)
        x1, y1, x2, y2 = canvas.marks[0].box
        assert (x2 - x1) * (y2 - y1) < 0.6 * canvas.width * canvas.height, "and is no larger than it need be"


def test_letters_are_told_on_the_patches_that_show_them() -> None:
    canvas = Canvas(96, 48)
    canvas.text((50, 24), "Tax 7", size=12)
    canvas.dress(Look((96, 48)))
    spelt = canvas.spelling()
    told = [CHARACTERS[i] for row in spelt for patch in row for i in patch if i > 0]
    assert told == ["T", "a", "x", "7"]
    for letter, x, y in canvas.marks[0].letters:
        numbers = [CHARACTERS[i] for i in spelt[int(y // 16), int(x // 16)] if i >= 0]
        assert letter in numbers
    assert canvas.labels().shape[-1] == len(ASPECTS)


@pytest.mark.parametrize("kind", WORDINGS)
def test_wordings_are_many_and_those_held_out_are_no_others(kind: str) -> None:
    train, held_out = set(wordings(kind)), set(wordings(kind, held_out=True))
    assert len(train) >= 20
    assert len(WORDINGS[kind].held_out) == 5
    assert not {t.lower() for t in train} & {t.lower() for t in held_out}
    gaps = {frozenset(re.findall(r"\{(\w+)\}", text)) for text in (*train, *held_out)}
    assert len(gaps) == 1, "every wording names the same things"
    names: dict[str, str] = dict.fromkeys(next(iter(gaps)), "Tea") | (
        {"side": "left"} if kind == "relation" else {}
    )
    rng = random.Random(kind)
    asks = [{asked(kind, names, rng, held_out=held).lower() for _ in range(300)} for held in (False, True)]
    assert not asks[0] & asks[1]


def test_some_questions_have_no_answer_and_say_so() -> None:
    found = 0
    for family in ("bar_value", "gui_find", "read_sign", "shape_colour", "table_value"):
        for s in synth.sample(family, 60, seed=3, world=FREE):
            if s.answer != "none":
                continue
            found += 1
            assert s.trace.startswith("There is no ")
            absent = s.trace.removeprefix("There is no ").split()[0].rstrip(".")
            assert absent.lower() in s.question.lower()
            assert absent not in {e.name for e in s.elements} | {e.kind for e in s.elements}
            assert s.correct("None.")
            assert not s.correct("7")
    assert 5 <= found <= 40


def test_values_of_several_lines_leave_room_for_their_numbers() -> None:
    from workbench.synth.families import draw

    for i in range(20):
        drawing, _ = draw("series_value", seed=i, world=World(2, plain=1.0))
        numbers = [m.box for m in drawing.canvases[0].marks if m.kind == "number"]
        for one, (x1, y1, x2, y2) in enumerate(numbers):
            for a1, b1, a2, b2 in numbers[:one]:
                wide, high = min(x2, a2) - max(x1, a1), min(y2, b2) - max(y1, b1)
                assert wide <= 4 or high <= 4, "no number is written on another"


def test_words_to_be_read_are_split_and_never_from_a_list() -> None:
    from workbench.synth.families import draw
    from workbench.synth.reading import is_unseen

    words = {
        held: {
            mark.name
            for i in range(150)
            for canvas in draw("read_text", seed=i, world=World(2, held_out=held))[0].canvases
            for mark in canvas.marks
        }
        for held in ((), ("words",))
    }
    assert not any(is_unseen(word) for word in words[()])
    assert all(is_unseen(word) for word in words["words",])
    assert all(len(found) > 200 for found in words.values()), "hardly a word comes twice"
    assert any(word.isdigit() for word in words[()])


def test_a_page_asks_for_the_next_word_of_a_line() -> None:
    from workbench.synth.families import draw

    for i in range(40):
        drawing = draw("word_after", seed=i, world=World(2, plain=1.0))[0]
        words = {mark.name: mark.box for mark in drawing.canvases[0].marks}
        assert len(words) == len(drawing.canvases[0].marks) >= 3, "each word stands once"
        for question in drawing.questions:
            before, after = words[question.names["word"]], question.boxes[0]
            assert after == words[question.answer]
            nearer = [
                word
                for word, box in words.items()
                if before[2] - 4 < box[0] < after[0] and abs(box[1] + box[3] - before[1] - before[3]) < 8
            ]
            assert not nearer, "nothing stands between the two"


def test_a_drawing_that_is_only_moved_stands_as_far_off_the_grid_as_it_may() -> None:
    def off(shift: float) -> float:
        rng = random.Random(3)
        corners = [value for _ in range(60) for value in moved(rng, 90, 61, shift=shift).corner]
        return max(abs(value - 4 * round(value / 4)) for value in corners if value not in (6.0, 3.0))

    assert off(0.0) == 0.0
    assert 0.4 < off(0.5) <= 0.5
    assert 1.8 < off(2.0) <= 2.0


def test_a_made_up_word_that_names_a_kind_is_no_text_label() -> None:
    canvas = Canvas(64, 32)
    canvas.text((32, 16), "bar")
    assert (canvas.labels()[..., ASPECTS.index("text")] == -100).all()


def test_handwritten_digits_are_scikit_learns() -> None:
    answers = {s.answer for s in synth.sample("digit_read", 40, seed=1, difficulty=1, world=FREE)}
    assert answers - {"none"} <= set("0123456789")
    assert len(answers) > 7


def test_left_of_a_thing_is_one_thing() -> None:
    sides = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
    for s in synth.sample("shape_relation", 40, seed=4, world=FREE):
        (side,) = (side for side in sides if f"directly {side}" in s.trace)
        there, place = (((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in s.boxes)
        across, down = sides[side]
        ahead = []
        for e in s.elements:
            x, y = (e.box[0] + e.box[2]) / 2 - place[0], (e.box[1] + e.box[3]) / 2 - place[1]
            along, aside = x * across + y * down, abs(x * down) + abs(y * across)
            if along > 8 and aside < 12:
                ahead.append((along, x, y))
        _, x, y = min(ahead)
        assert (x, y) == pytest.approx((there[0] - place[0], there[1] - place[1]))


def test_a_count_of_one_is_grammatical_and_a_minus_is_no_hyphen() -> None:
    counts = synth.sample("shape_count", 80, seed=5, world=FREE)
    ones = [s for s in counts if s.answer == "1"]
    assert ones
    assert all(s.trace.startswith("There is 1 ") for s in ones)
    assert not any(s.trace.endswith(("shapes.", "squares.", "circles.", "crosses.")) for s in ones)
    chains = [s.trace for s in synth.sample("chain", 40, seed=5, world=FREE)]
    assert any("−" in trace for trace in chains)
    assert not any("-" in trace for trace in chains)


def test_figures_are_drawn_to_one_scale() -> None:
    from workbench.synth.families import draw

    diameters = 0
    for i in range(30):
        drawing, _ = draw("geometry", seed=i, world=World(2, plain=1.0))
        units = []
        for q in drawing.questions:
            figure = {"rectangle": "square"}.get(q.names["figure"], q.names["figure"])
            (mark,) = (m for m in drawing.canvases[0].marks if m.kind == figure)
            width, height = mark.box[2] - mark.box[0], mark.box[3] - mark.box[1]
            part = {"width": width, "height": height, "radius": width / 2, "diameter": width}
            units.append(part[q.names["length"]] / int(q.answer))
            diameters += q.names["length"] == "diameter"
        assert max(units) / min(units) < 1.02, "as many pixels a unit everywhere"
    assert diameters


def test_places_sizes_and_typefaces_vary() -> None:
    rng = random.Random(0)
    looks = [choose(rng, 112, 96, worn=True) for _ in range(400)]
    assert {look.face for look in looks} == set(FACES)
    assert len({(round(x) % 16, round(y) % 16) for x, y in (look.corner for look in looks)}) > 120
    assert all(abs(look.angle) <= 3 for look in looks)
    assert any(look.inverted for look in looks)
    assert not any(look.grey for look in looks), "where colours are asked for, they stay"
    assert any(choose(rng, 112, 96, worn=True, colours=False).grey for _ in range(100))
    assert min(look.scale[0] for look in looks) < 0.9 < 1.5 < max(look.scale[0] for look in looks)


def test_a_photograph_stands_around_a_drawing_and_not_on_it() -> None:
    def drawn(photo: str) -> np.ndarray:
        canvas = Canvas(64, 48)
        canvas.text((32, 24), "Tea", size=12)
        canvas.dress(Look((128, 96), corner=(20, 30), photo=photo, seed=5))
        return np.asarray(canvas.image())

    plain = drawn("")
    for name in PHOTOS:
        around = drawn(name)
        assert np.array_equal(around[30:78, 20:84], plain[30:78, 20:84])
        assert np.unique(around[:25].reshape(-1, 3), axis=0).shape[0] > 50
    assert any(look.photo for look in (choose(random.Random(i), 64, 48) for i in range(60)))


def test_held_out_typefaces_are_only_drawn_when_asked_for() -> None:
    assert not set(FACES) & set(HELD_OUT_FACES)
    held = World(2, held_out=("fonts",))
    assert digest(held, ["read_sign"], 3) != digest(FREE, ["read_sign"], 3)
    first = World(1, held_out=("fonts",))
    for s, other in zip(
        synth.sample("read_sign", 5, seed=1, world=first), synth.sample("read_sign", 5, seed=1), strict=True
    ):
        assert (s.question, s.answer) == (other.question, other.answer)
        assert s.images[0].size == other.images[0].size
        assert s.images[0].tobytes() != other.images[0].tobytes()


@pytest.mark.parametrize("face", [*FACES, *HELD_OUT_FACES])
def test_every_typeface_ships_and_has_all_characters(face: str) -> None:
    for bold in (False, True):
        blank = font(face, 20, bold=bold).getmask("\uffff").getbbox()
        for character in (*CHARACTERS[1:], "×", "−"):
            written = font(face, 20, character, bold=bold)
            assert written.getmask(character).getbbox(), (face, character)
            tofu = bytes(written.getmask("\uffff")) == bytes(written.getmask(character))
            assert not tofu or not blank, (face, character)


def test_bad_worlds_and_typefaces_name_what_there_is() -> None:
    with pytest.raises(InputError, match="world=3"):
        synth.sample("chain", 1, seed=0, world=3)
    with pytest.raises(InputError, match="fonts, wordings and words"):
        World(2, held_out=("colours",))
    with pytest.raises(InputError, match="dejavu-sans"):
        font("comic-sans", 12)


def test_a_missing_typeface_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("workbench.synth.look.data_path", lambda *parts: tmp_path)
    with pytest.raises(InputError, match="lato is missing"):
        font("lato", 31.5)
