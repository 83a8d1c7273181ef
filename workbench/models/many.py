"""Many questions in batches, each reply as if it had been asked alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..answer import Answer
from ..errors import InputError, OutOfMemoryError, WorkbenchError
from ..types import Mode
from .ask import Job, Request, check_images, make_request
from .capture import check_capture
from .generate import Settings

if TYPE_CHECKING:
    from .handle import VLM

__all__ = ["ask_many", "pair"]


def ask_many(
    vlm: VLM,
    images: Any,
    questions: str | Sequence[str],
    *,
    mode: str | Mode,
    settings: Settings,
    batch_size: int,
    progress: bool,
    capture: bool | str = False,
) -> list[Answer]:
    """See `VLM.ask_many`."""
    from tqdm.auto import tqdm

    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size={batch_size!r}", "a whole number, at least 1")
    check_capture(capture)
    vlm.family.check_mode(Mode.of(mode), vlm.name)
    requests = _requests(pair(images, questions), mode=mode, settings=settings)
    answers: list[Answer] = []
    interrupted = False
    with tqdm(total=len(requests), disable=not progress, unit="question") as bar:
        while len(answers) < len(requests) and not interrupted:
            batch = requests[len(answers) : len(answers) + batch_size]
            try:
                made = Job(vlm, batch, capture=capture).start().result()
            except OutOfMemoryError as error:
                if len(batch) == 1:
                    raise _keeping(error, answers) from None
                batch_size = len(batch) // 2
                continue
            except WorkbenchError as error:
                number = len(answers) + _culprit(vlm, batch)
                raise _keeping(error, answers, f"This is about question {number} (counted from 0).") from None
            except KeyboardInterrupt:  # while the batch was being encoded
                made, interrupted = [], True
            answers += made
            interrupted = interrupted or any(answer.stopped == "interrupted" for answer in made)
            bar.update(len(made))
    return answers + [_unasked(vlm, request) for request in requests[len(answers) :]]


def pair(images: Any, questions: str | Sequence[str]) -> list[tuple[Any, str]]:
    """One (pictures, question) per reply; what is given once counts for all.

    Raises:
        InputError: if the two sequences differ in length.
    """
    several = isinstance(images, (list, tuple))
    if isinstance(questions, str):
        return [(entry, questions) for entry in images] if several else [(images, questions)]
    if not several:
        return [(images, question) for question in questions]
    if len(images) != len(questions):
        raise InputError(
            f"{len(images)} entries of images and {len(questions)} questions",
            "as many entries as questions, or one for all",
            "give each question one entry: a picture, a list of pictures, or None",
        )
    return list(zip(images, questions, strict=True))


def _requests(pairs: list[tuple[Any, str]], *, mode: str | Mode, settings: Settings) -> list[Request]:
    """Check everything before anything is asked; a picture that is given twice is opened once.

    Raises:
        InputError: naming the question by its number.
    """
    opened: dict[int, list[Any]] = {}
    requests = []
    for number, (entry, question) in enumerate(pairs):
        seed = settings.seed if settings.seed is None else settings.seed + number
        try:
            if id(entry) not in opened:
                opened[id(entry)] = check_images(entry)
            own = replace(settings, seed=seed)
            requests.append(make_request(opened[id(entry)], question, mode=mode, settings=own))
        except InputError as error:
            error.add_note(f"This is about question {number} (counted from 0).")
            raise
    return requests


def _culprit(vlm: VLM, batch: list[Request]) -> int:
    """Which request of a batch cannot be encoded."""
    for number, request in enumerate(batch):
        try:
            Job(vlm, [request])
        except WorkbenchError:
            return number
    return 0


def _keeping(error: WorkbenchError, answers: list[Answer], note: str = "") -> WorkbenchError:
    """The error, carrying what was answered before it."""
    error.answers = list(answers)  # type: ignore[attr-defined]
    error.add_note(f"{note} {len(answers)} answers made before it are in the exception's .answers.".strip())
    return error


def _unasked(vlm: VLM, request: Request) -> Answer:
    """The record of a question that an interruption kept from being asked."""
    return Answer(
        text="",
        thought=None,
        mode=request.mode,
        p_think=None,
        prompt_tokens=0,
        image_tokens=0,
        thought_tokens=0,
        answer_tokens=0,
        seconds=0.0,
        seconds_to_first_token=None,
        stopped="interrupted",
        question=request.turns[-1].text,
        images=request.images,
        model=vlm.name,
        source=vlm.source,
        settings=request.settings.to_dict(),
    )
