"""A model for tests of runs: quick, counts what it is asked, and fails or stops where a test says so."""

from __future__ import annotations

import re

from PIL import Image

from workbench import bench
from workbench.answer import Answer
from workbench.bench import Item, Task
from workbench.types import Mode


class FakeVLM:
    """Answers "yes" (or what ``reply`` says) with a thought where the mode lets it."""

    name, source = "fake", "fake-source"

    def __init__(self, reply=None, modes=tuple(Mode), before=None):
        self.reply, self.modes, self.before = reply or (lambda images, question, mode: "yes"), modes, before
        self.asked: list[tuple[str, str]] = []
        self.batches: list[int] = []
        self.pictures: list[int] = []
        self.options: list[dict] = []

    def ask_many(self, images, questions, *, mode, batch_size, progress, **options):
        if isinstance(questions, str):  # one question with several given thoughts
            count = len(options["thoughts"])
            images, questions = images * count, [questions] * count
        if self.before is not None:
            self.before(self, questions)
        self.batches.append(len(questions))
        self.options.append(options)
        answers = []
        for shown, question in zip(images, questions, strict=True):
            self.asked.append((question, str(mode)))
            self.pictures.append(len(shown or ()))
            text = self.reply(shown, question, str(mode))
            stopped = "interrupted" if text is None else "end"
            answers.append(answer(text or "", question, mode, stopped))
        return answers


def answer(text: str, question: str, mode: str | Mode, stopped: str = "end") -> Answer:
    """The record of a made-up reply."""
    thinks = Mode.of(mode) is not Mode.NOTHINK
    return Answer(
        text=text,
        thought="so it is" if thinks else None,
        mode=Mode.of(mode),
        p_think=0.75,
        prompt_tokens=10,
        image_tokens=4,
        thought_tokens=3 * thinks,
        answer_tokens=1,
        seconds=0.5,
        seconds_to_first_token=0.1,
        stopped=stopped,
        question=question,
        model="fake",
        source="fake-source",
        settings={"temperature": 0.0},
        created="2026-11-25T00:00:00+00:00",
    )


def yes_no(n: int = 5, name: str = "questions") -> Task:
    """Questions whose right answer is "yes" for even numbers and "no" for odd ones; no pictures."""
    items = [
        Item(str(i), f"Is {i} even?", "no" if i % 2 else "yes", scoring={"rule": "words", "boxes": []})
        for i in range(n)
    ]
    return Task(name, items)


HOSTILE = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'


def hostile_results(folder):
    """Thinking is right on all ten items, direct on the even ones; item 3 has hostile text everywhere, and
    item 9 the smallest box."""
    picture = Image.new("RGB", (64, 48), "white")
    boxes = [(4.0, 4.0, 20.0 if number < 9 else 10.0, 20.0) for number in range(10)]
    items = [
        bench.Item(str(i), f"What is {i}? {HOSTILE if i == 3 else ''}", f"gold{i}", (picture,), category="c",
                   scoring={"rule": "words"}, boxes=(boxes[i],))
        for i in range(10)
    ]  # fmt: skip

    def reply(images, question, mode):
        number = re.search(r"\d", question)[0]
        right = mode == "think" or int(number) % 2 == 0
        return f"gold{number}" if right else HOSTILE

    task = bench.Task("made <b>up</b>", items)
    return bench.run(FakeVLM(reply), task, folder=folder, progress=False)
