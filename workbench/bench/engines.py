"""How questions reach a model: in batches here, several at once to a server; replies go on as they come"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from ..answer import Answer
from ..errors import ServerError, WorkbenchError
from .tasks.task import Item

__all__ = [
    "GIVE_UP",
    "Asking",
    "Replies",
    "Reply",
    "ask_at_once",
    "ask_in_batches",
    "batches",
    "reply_fields",
]

#: Requests to a server that fail one after another, each after its own retries, before a run gives up.
GIVE_UP = 5

#: Seconds after which waiting for replies looks up, whether any came or not.
AWAKE = 0.5

_KEPT = (
    *("text", "thought", "p_think", "prompt_tokens", "image_tokens", "thought_tokens", "answer_tokens"),
    *("seconds", "seconds_to_first_token", "stopped", "model", "source", "created"),
)


@dataclass(frozen=True)
class Asking:
    """One question on its way: an item of a task in a mode."""

    key: str
    task: str
    item: Item
    question: str
    mode: str
    blind: str = ""
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def pictures(self) -> list[Image.Image]:
        """The pictures as the model is to see them: none, grey, or the item's own."""
        if self.blind == "blind":
            return []
        pictures = self.item.open()
        return (
            [Image.new("RGB", p.size, (128, 128, 128)) for p in pictures]
            if self.blind == "grey"
            else pictures
        )


Reply = tuple[Asking, dict[str, Any]]
Replies = Generator[list[Reply], None, None]


def reply_fields(answer: Answer, at_once: int) -> dict[str, Any]:
    """What a run keeps of an answer; ``at_once``: how many were written at the same time."""
    kept = {name: getattr(answer, name) for name in _KEPT}
    return {**kept, "settings": dict(answer.settings), "at_once": at_once}


def _failure(error: WorkbenchError) -> dict[str, Any]:
    return {"error": f"{type(error).__name__}: {error}"}


def ask_in_batches(vlm: Any, askings: Sequence[Asking], *, batch_size: int) -> Replies:
    """Ask a model here, a batch at a time; neighbours of the same mode and options go together.

    While a batch is written, the pictures of the next are read.  A batch that fails is asked one by one, so
    that only the question that cannot be asked is a failure.

    Yields:
        The replies of each batch, those that were interrupted left out.

    Raises:
        KeyboardInterrupt: after the replies that were finished are handed on.
    """
    made = list(batches(askings, batch_size))
    with ThreadPoolExecutor(1, "workbench-pictures") as reader:
        opened = reader.submit(_opened, made[0]) if made else None
        for number, batch in enumerate(made):
            assert opened is not None
            pictures = opened.result()
            opened = reader.submit(_opened, made[number + 1]) if number + 1 < len(made) else None
            replies: list[Reply] = [
                (a, p) for a, p in zip(batch, pictures, strict=True) if isinstance(p, dict)
            ]
            ready = [(a, p) for a, p in zip(batch, pictures, strict=True) if not isinstance(p, dict)]
            asked, interrupted = _ask_batch(vlm, ready) if ready else ([], False)
            yield replies + asked
            if interrupted:
                raise KeyboardInterrupt


def batches(askings: Sequence[Asking], size: int) -> Iterator[list[Asking]]:
    """Askings in batches: neighbours, as long as they share mode and options."""
    batch: list[Asking] = []
    for asking in askings:
        if batch and (
            len(batch) == size or (batch[0].mode, batch[0].options) != (asking.mode, asking.options)
        ):
            yield batch
            batch = []
        batch.append(asking)
    if batch:
        yield batch


def _opened(batch: Sequence[Asking]) -> list[list[Image.Image] | dict[str, Any]]:
    """Pictures of each asking, or its failure."""
    found: list[list[Image.Image] | dict[str, Any]] = []
    for asking in batch:
        try:
            found.append(asking.pictures())
        except WorkbenchError as error:
            found.append(_failure(error))
    return found


def _ask_batch(vlm: Any, ready: Sequence[tuple[Asking, Any]]) -> tuple[list[Reply], bool]:
    """Replies to a batch, and whether it was interrupted."""
    first = ready[0][0]
    try:
        answers = vlm.ask_many(
            [pictures or None for _, pictures in ready],
            [asking.question for asking, _ in ready],
            mode=first.mode,
            batch_size=len(ready),
            progress=False,
            **first.options,
        )
    except WorkbenchError as error:
        if len(ready) == 1:
            return [(first, _failure(error))], False
        replies: list[Reply] = []
        for one in ready:
            asked, interrupted = _ask_batch(vlm, [one])
            replies += asked
            if interrupted:
                return replies, True
        return replies, False
    whole = [(a, x) for (a, _), x in zip(ready, answers, strict=True) if x.stopped != "interrupted"]
    return [(asking, reply_fields(x, len(ready))) for asking, x in whole], len(whole) < len(ready)


class _Requests:
    """Requests under way, that can all be stopped."""

    def __init__(self, vlm: Any, at_once: int) -> None:
        self._vlm, self._at_once = vlm, at_once
        self._stop = threading.Event()
        self._streams: set[Any] = set()
        self._lock = threading.Lock()

    def ask(self, asking: Asking) -> dict[str, Any] | None:
        """The reply, its failure, or None if it was stopped."""
        if self._stop.is_set():
            return None
        try:
            stream = self._vlm.stream(
                asking.pictures() or None, asking.question, mode=asking.mode, **asking.options
            )
            with self._lock:
                self._streams.add(stream)
            try:
                if self._stop.is_set():  # it came between the look above and the stream's beginning
                    stream.stop()
                answer = stream.answer
            finally:
                with self._lock:
                    self._streams.discard(stream)
        except ServerError as error:
            return {**_failure(error), "server": True}
        except WorkbenchError as error:
            return _failure(error)
        return None if answer.stopped == "interrupted" else reply_fields(answer, self._at_once)

    def stop(self) -> None:
        self._stop.set()
        with self._lock:
            for stream in self._streams:
                stream.stop()


def ask_at_once(vlm: Any, askings: Sequence[Asking], *, workers: int) -> Replies:
    """Ask a server, ``workers`` requests at the same time; its own retries and back-off apply to each.

    Yields:
        Each reply as it comes.

    Raises:
        ServerError: when `GIVE_UP` requests in a row have failed; what was answered has been handed on.
        KeyboardInterrupt: the same.
    """
    requests = _Requests(vlm, workers)
    waiting = iter(askings)
    failed = 0
    with ThreadPoolExecutor(workers, "workbench-ask") as pool:
        running: dict[Future[dict[str, Any] | None], Asking] = {}

        def fill() -> None:
            while len(running) < 2 * workers and (asking := next(waiting, None)) is not None:
                running[pool.submit(requests.ask, asking)] = asking

        try:
            fill()
            while running:
                # A Ctrl-C that comes just before the waiting begins would wait with it: so not for ever.
                done, _ = wait(running, timeout=AWAKE, return_when=FIRST_COMPLETED)
                replies = [(running.pop(future), future.result()) for future in done]
                whole = [(asking, fields) for asking, fields in replies if fields is not None]
                for _, fields in whole:
                    failed = failed + 1 if fields.pop("server", False) else 0
                yield whole
                if failed >= GIVE_UP:
                    raise ServerError(
                        f"{failed} requests in a row failed; the last one: {whole[-1][1]['error']}",
                        f"a server at {vlm.source} that answers",
                        "when it is up again, make the same call: what was answered is kept",
                    )
                fill()
        except KeyboardInterrupt:  # what is finished by now is handed on too
            requests.stop()
            ended = [(asking, future.result()) for future, asking in running.items()]
            yield [(asking, fields) for asking, fields in ended if fields is not None]
            raise
        finally:
            requests.stop()
