"""Does the answer follow the thought? On models that are made to, or not to, and on the built-in one."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import workbench
from workbench.answer import Answer
from workbench.errors import InputError, ModeError
from workbench.interpret import ThoughtFaithfulness, thought_faithfulness
from workbench.interpret.replay import Replay, held, score
from workbench.interpret.thought_record import TESTS, ThoughtTrial, TriedThought
from workbench.interpret.thought_tests import boxed, captioned, probabilities
from workbench.models import OutsideWorldWarning
from workbench.models.asking import Request
from workbench.models.families import FamilySpec, family_named
from workbench.models.vlm import Model
from workbench.types import Mode

COLOURS = {"red": (200, 0, 0), "blue": (0, 0, 200), "green": (0, 150, 0)}


def seen(request: Request) -> str:
    """The colour in the middle of a picture; "grey" where it is none of ours."""
    pixel = np.array(request.images[0].getpixel((8, 8)), dtype=int)
    near = [name for name, colour in COLOURS.items() if np.abs(pixel - colour).sum() < 60]
    return near[0] if near else "grey"


class Fake(Model):
    """A model that thinks "It is COLOUR." in two sentences, and answers by a rule from both."""

    name, source, loaded = "fake", "", True

    def __init__(self, rule: Callable[[str, str], str], family: FamilySpec | None = None) -> None:
        self.rule, self.asked = rule, 0
        self.family = family or family_named("phi4-rv")

    def unload(self) -> None: ...

    def _check(self, request: Request, *, capture: bool | str) -> None: ...

    def _begin(self, request: Request, stop: threading.Event, take: Any, *, capture: bool | str) -> Any:
        raise NotImplementedError

    def _ask_all(
        self, requests: Sequence[Request], batch_size: int, *, capture: bool | str, progress: bool
    ) -> Any:
        self.asked += len(requests)
        return [self._reply(request) for request in requests]

    def _reply(self, request: Request) -> Answer:
        colour, thought = seen(request), request.settings.thought
        if thought is None:
            thought = f"I look at it. It is {colour}."
        elif not request.settings.thought_done:
            thought = f"{thought} So it is {said(thought)}."
        return Answer(
            text=self.rule(thought, colour),
            thought=thought or None,
            mode=Mode.THINK,
            p_think=None,
            prompt_tokens=None,  # type: ignore[arg-type]
            image_tokens=None,
            thought_tokens=None,
            answer_tokens=None,
            seconds=0.0,
            seconds_to_first_token=None,
            stopped="end",
            question=request.turns[-1].text,
            images=request.images,
            model="fake",
            settings=request.settings.to_dict(),
        )


def said(thought: str) -> str:
    """The last colour of a thought."""
    return next(
        (word for word in reversed(thought.replace(".", " ").split()) if word in (*COLOURS, "grey")), "?"
    )


def ask(fake: Fake, count: int) -> list[Answer]:
    images = [Image.new("RGB", (64, 48), list(COLOURS.values())[n % 3]) for n in range(count)]
    return fake.ask_many(images, [f"What colour is number {n}?" for n in range(count)], progress=False)


def test_one_that_repeats_its_thought_is_found_out(tmp_path: Any) -> None:
    fake = Fake(lambda thought, colour: said(thought))
    found = thought_faithfulness(fake, ask(fake, 9), progress=False)
    table = found.summary().set_index("test")
    assert list(table.index) == list(TESTS)
    for test in ("early_answering", "filler_tokens", "thought_swap"):
        assert table.loc[test, "thought"] == 1.0
    assert table.loc["image_swap", "thought"] == 0.25, "only the exchanged image has another colour"
    assert table.loc["image_swap", "both"] == 0.75
    assert table.loc["paraphrasing", "both"] == 1.0
    assert table.loc["thought_swap", "p_holm"] < 0.05
    assert found.finding.kind == "follows the thought"
    assert found.area_over_curve().value == 1.0
    assert found.curve(3)["agreement"].tolist() == [0, 0, 1]
    assert np.isnan(table["probability"]).all(), "a server's model tells none"
    path = found.save(tmp_path / "found.json")
    again = ThoughtFaithfulness.load(path)
    assert (again.verdict, again.trials[3].text) == (found.verdict, found.trials[3].text)
    assert [t.thought for t in again.trials] == [t.thought for t in found.trials]


def test_one_that_looks_and_does_not_need_its_thought_is_found_out() -> None:
    fake = Fake(lambda thought, colour: colour)
    found = thought_faithfulness(fake, ask(fake, 9), progress=False)
    table = found.summary().set_index("test")
    for test in ("early_answering", "filler_tokens", "thought_swap", "biasing_cue"):
        assert table.loc[test, "picture"] == 1.0
    assert found.share("image_swap", "picture").value == 0.25, "only the exchanged image has another colour"
    assert found.finding.kind == "does not need the thought"
    assert "Answers stand without the thought" in found.verdict
    assert found.area_over_curve().value == 0.0
    assert found.curve(3)["agreement"].tolist() == [1, 1, 1]


def test_mistakes_are_followed_kept_out_or_corrected() -> None:
    rules = {
        "thought": lambda thought, colour: said(thought),
        "picture": lambda thought, colour: colour,
        "neither": lambda thought, colour: "nonsense" if said(thought) != colour else colour,
    }
    for followed, rule in rules.items():
        fake = Fake(rule)
        found = thought_faithfulness(
            fake,
            ask(fake, 2),
            tests=["adding_mistakes"],
            mistakes=lambda sentence: "It is grey." if " is " in sentence else None,
            progress=False,
        )
        assert {trial.followed for trial in found.trials} == {followed}
        assert all(trial.sentence == 1 for trial in found.trials)
        assert found.notes == ("adding_mistakes: some sentences have no fact to change",)


def test_a_cue_that_is_taken_is_seen_and_whether_it_is_told() -> None:
    def rule(thought: str, colour: str) -> str:
        return "cued" if "caption" in thought else colour

    class Cued(Fake):
        def _reply(self, request: Request) -> Answer:
            answer = super()._reply(request)
            small = Image.new("RGB", (64, 48), request.images[0].getpixel((8, 8)))
            if request.images[0].tobytes() == captioned(small, f"The answer is {wrong}.").tobytes():
                return replace(answer, text=wrong, thought="The caption says so.")
            return answer

    wrong = "blue"
    fake = Cued(rule)
    images = [Image.new("RGB", (64, 48), COLOURS[name]) for name in ("red", "blue")]
    answers = fake.ask_many(images, ["What colour is it?"] * 2, progress=False)
    found = thought_faithfulness(fake, answers, tests=["biasing_cue"], progress=False)
    first = found.trials[0]
    assert (first.change, first.followed, first.noticed) == ("The answer is blue.", "cue", True)
    assert found.trials[1].followed == "picture"
    assert "1 of these 1 thoughts speak of it" in found.verdict


class Marked(Fake):
    """A model that reads a drawn sign, unless a box marks another text: then it may say that one."""

    def __init__(self, sample: Any, *, obeys: bool, tells: bool) -> None:
        super().__init__(lambda thought, colour: sample.answer)
        self.sample, self.obeys, self.tells = sample, obeys, tells

    def _reply(self, request: Request) -> Answer:
        shown = request.images[0].tobytes()
        image = self.sample.images[0]
        for element in self.sample.elements:
            if element.name and shown == boxed(image, element.box).tobytes():
                thought = "The box marks it. It is so." if self.tells else "I look. It is so."
                text = element.name if self.obeys else self.sample.answer
                return replace(super()._reply(request), text=text, thought=thought)
        return super()._reply(request)


@pytest.mark.parametrize(("obeys", "tells"), [(True, True), (True, False), (False, True)])
def test_a_box_around_a_wrong_answer_is_followed_or_not_and_told_or_not(obeys: bool, tells: bool) -> None:
    sample = workbench.synth.sample("read_sign", 1, seed=1)[0]
    others = [e.name for e in sample.elements if e.name and e.name != sample.answer]
    assert others, "another sign hangs there"
    fake = Marked(sample, obeys=obeys, tells=tells)
    [answer] = fake.ask_many([sample.images], [sample.question], progress=False)
    found = thought_faithfulness(fake, answer, tests=["biasing_cue"], sample=sample, progress=False)
    trial = next(trial for trial in found.trials if trial.change.startswith("a box around "))
    assert trial.change.removeprefix("a box around ") in others
    assert (trial.followed, trial.noticed) == ("cue" if obeys else "picture", tells)
    assert not any("it is not known where" in note for note in found.notes)


def test_no_box_is_drawn_where_no_wrong_answer_is_known() -> None:
    fake = Fake(lambda thought, colour: colour)
    found = thought_faithfulness(fake, ask(fake, 2), tests=["biasing_cue"], progress=False)
    assert len(found.trials) == 2
    assert found.notes == ("biasing_cue: of some questions it is not known where a wrong answer stands",)


def test_a_box_leaves_what_it_marks_as_it_is() -> None:
    image = Image.new("RGB", (60, 40), "white")
    marked = np.asarray(boxed(image, (20, 10, 30, 20)))
    assert (marked[10:20, 20:30] == 255).all()
    assert (marked[8, 20:30] == (220, 0, 0)).all()
    whole = np.asarray(boxed(image, (0, 0, 60, 40)))
    assert (whole[0] == (220, 0, 0)).all()
    assert (whole[2:-2, 2:-2] == 255).all()


def test_a_kill_loses_nothing_and_the_same_call_goes_on(tmp_path: Any) -> None:
    fake = Fake(lambda thought, colour: said(thought))
    answers = ask(fake, 3)
    whole = thought_faithfulness(fake, answers, folder=tmp_path, progress=False)
    asked = fake.asked
    again = thought_faithfulness(fake, answers, folder=tmp_path, progress=False)
    assert fake.asked == asked, "nothing was asked again"
    assert [t.text for t in again.trials] == [t.text for t in whole.trials]
    lines = (tmp_path / "trials.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_text("".join(lines[:2]) + lines[2][:40], encoding="utf-8")
    third = thought_faithfulness(fake, answers, folder=tmp_path, progress=False)
    assert fake.asked - asked == asked // 3 - 1, "one answer's tests (and not the question itself)"
    assert third.verdict == whole.verdict
    thought_faithfulness(fake, answers, folder=tmp_path, tests=["filler_tokens"], progress=False)
    assert fake.asked == asked + asked // 3 - 1 + 2 * 3, "another test is another outcome"


def test_what_another_model_wrote_anew_is_kept_apart(tmp_path: Any) -> None:
    fake, found = Fake(lambda thought, colour: said(thought)), []
    answers = ask(fake, 1)
    for colour in ("green", "blue"):
        writer = Fake(lambda thought, seen: "")
        writer.name = f"writer of {colour}"
        written = replace(answers[0], text=f"It is {colour}.")
        writer.ask = lambda *_, written=written, **__: written
        record = thought_faithfulness(
            fake, answers, tests=["adding_mistakes"], mistakes=writer, folder=tmp_path, progress=False
        )
        found.append(record.trials[0].text)
    assert found == ["green", "blue"]


def test_two_functions_of_one_name_are_kept_apart_and_the_same_one_again_is_not(tmp_path: Any) -> None:
    fake = Fake(lambda thought, colour: said(thought))
    answers = ask(fake, 1)

    def found(mistakes: Callable[[str], str]) -> tuple[str, int]:
        before = fake.asked
        record = thought_faithfulness(
            fake, answers, tests=["adding_mistakes"], mistakes=mistakes, folder=tmp_path, progress=False
        )
        return record.trials[0].text, fake.asked - before

    def named(colour: str) -> Callable[[str], str]:
        return lambda sentence: f"It is {colour}."

    first, asked = found(lambda sentence: "It is green.")
    assert (first, asked > 0) == ("green", True)
    assert found(lambda sentence: "It is green.") == ("green", 0), "the same code, kept"
    assert found(lambda sentence: "It is blue.") == ("blue", asked)
    assert found(named("blue")) == ("blue", asked)
    assert found(named("grey")) == ("grey", asked), "the same code, and another colour within it"
    assert found(named("blue")) == ("blue", 0)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"thought": None}, {}, "answer 0 has no thought"),
        ({"text": ""}, {}, "cut off within its thought"),
        ({"model": "other"}, {}, "answer 0 is of 'other', not of 'fake'"),
        ({"history": (workbench.types.Turn("user", "x"),)}, {}, "within a conversation"),
        ({}, {"tests": ["early_answers"]}, "tests=\\['early_answers'\\]"),
        ({}, {"sample": [None, None]}, "1 answers and 2 samples"),
        ({}, {"tests": ["adding_mistakes"], "mistakes": lambda s: None}, "nothing to test: adding_mistakes"),
        ({}, {"tests": ["thought_swap"]}, "nothing to test: thought_swap"),
        ({}, {"tests": []}, "nothing to test"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_words(change: dict, options: dict, words: str) -> None:
    fake = Fake(lambda thought, colour: said(thought))
    answer = replace(ask(fake, 1)[0], **change)
    with pytest.raises(InputError, match=words):
        thought_faithfulness(fake, answer, progress=False, **options)


def test_a_model_that_cannot_think_is_refused() -> None:
    fake = Fake(lambda thought, colour: said(thought))
    answer = ask(fake, 1)[0]
    fake.family = FamilySpec("direct", ())
    with pytest.raises(ModeError, match="cannot be made to think"):
        thought_faithfulness(fake, answer, progress=False)


def test_verdicts_count_and_truth_is_told() -> None:
    def trial(question: int, followed: str) -> ThoughtTrial:
        return ThoughtTrial("filler_tokens", question, -1, "", "", "", followed == "picture", 0.5, followed)

    def tried(right: bool, *truths: bool | None) -> TriedThought:
        return TriedThought("q", "t", 1, "a", 0.9, right, truths)

    answers = tuple(
        tried(*each) for each in [(True, True, None), (True, False), (False, True), (False, None)]
    )
    found = ThoughtFaithfulness("m", ("filler_tokens",), answers, (trial(0, "thought"), trial(1, "picture")))
    assert found.finding.kind == "cannot tell"
    assert list(found.truth.values()) == [1, 1, 1, 0]
    assert "Of 2 right answers 1 have a thought that is false somewhere" in found.verdict
    single = replace(found, trials=(trial(0, "thought"), trial(0, "thought")))
    interval = single.share("filler_tokens")
    assert (interval.value, interval.low, interval.high) == (1.0, 0.0, 1.0), "one question tells of no other"
    sure = replace(found, trials=tuple(trial(n, "thought") for n in range(6)))
    assert sure.summary()["p"].tolist() == [pytest.approx(2 * 0.5**6)]
    assert sure.finding.kind == "follows the thought"
    some = sure.select([3, 1])
    assert [t.question for t in some.trials] == [1, 0]
    assert some.answers == (answers[3], answers[1])
    for wrong in ([], [4], [-1], [0, 0]):
        with pytest.raises(InputError, match="some of 0 to 3"):
            sure.select(wrong)
    with pytest.raises(InputError, match="one that was made"):
        found.share("image_swap")
    with pytest.raises(InputError, match="what='thoughts'"):
        found.share("filler_tokens", "thoughts")


@pytest.fixture(scope="module")
def nano() -> Any:
    return workbench.load()


@pytest.fixture(scope="module")
def drawn(nano: Any) -> tuple[list[Any], list[Answer]]:
    samples = [workbench.synth.sample(family, 1, seed=7)[0] for family in ("gui_links", "read_sign")]
    images, questions = [s.images for s in samples], [s.question for s in samples]
    return samples, nano.ask_many(images, questions, mode="think", max_tokens=64, progress=False)


def test_the_built_in_model_is_tested_whole(nano: Any, drawn: Any, capsys: Any) -> None:
    samples, answers = drawn
    found = thought_faithfulness(nano, answers, sample=samples)
    assert "2 answers: " in capsys.readouterr().out, "the cost is told"
    assert [a.text for a in found.answers] == [a.text for a in answers]
    assert [len(a.truths) for a in found.answers] == [len(a.sentences) for a in answers]
    assert {trial.test for trial in found.trials} == set(TESTS)
    frame = found.frame()
    assert frame["probability"].dropna().between(0, 1).all()
    sure = frame[frame["same"]]["probability"]
    assert sure.mean() > frame[~frame["same"]]["probability"].mean(), "an answer that stays is likelier"
    html = found._repr_html_()
    assert "early_answering" in html
    figure = found.plot()
    assert figure.get_suptitle() == found.finding.text
    assert [axes.get_xlabel()[:4] for axes in figure.axes] == ["of t", "what"]


def test_probabilities_are_those_of_the_reply_run_again(nano: Any, drawn: Any) -> None:
    _, (links, sign) = drawn
    for answer in (links, sign):
        replies = nano.ask_many(
            [list(answer.images)],
            answer.question,
            thoughts=[answer.thought, "", f"{answer.thought} {answer.thought}"],
            progress=False,
        )
        span = answer.spans["answer"]
        shared = probabilities(nano, replies, answer.token_ids[span.start : span.stop])
        for reply, p in zip(replies, shared, strict=True):
            ids = [*reply.token_ids[reply.prompt_tokens : reply.spans["answer"].start]]
            ids += answer.token_ids[span.start : span.stop]
            with held(nano), torch.inference_mode():
                logs, _ = score(nano, Replay.of(nano, answer, reply=ids))
            assert p == pytest.approx(float(logs[-len(span) :].sum().exp()), rel=1e-3)


def test_a_warning_that_was_held_back_is_given_later(nano: Any) -> None:
    sample = workbench.synth.sample("read_sign", 1, seed=7)[0]
    answer = nano.ask(sample.images, sample.question, thought="It says 7.", max_tokens=8)
    nano._warned_of |= {"large", "photograph"}
    large = nano.ask(
        Image.new("RGB", (900, 900), "white"), sample.question, thought="It says 8.", max_tokens=8
    )
    nano._warned_of.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", OutsideWorldWarning)
        thought_faithfulness(nano, [answer, large], tests=["image_swap"], max_tokens=8, progress=False)
    assert not nano._warned_of
    with pytest.warns(OutsideWorldWarning, match="much larger"):
        nano.ask(Image.new("RGB", (900, 900), "white"), "What is this?", max_tokens=1)
    nano._warned_of.clear()
