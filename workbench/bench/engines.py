"""How questions reach a model: in batches here, several at once to a server, or spread over a Ray cluster.

Replies go on as they come.  On a cluster each worker loads the model; the driver keeps the replies.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from ..answer import Answer
from ..errors import CapabilityError, ServerError, WorkbenchError
from .store import is_remote, model_fingerprint
from .tasks.task import Item

__all__ = [
    "Asking",
    "GIVE_UP",
    "Replies",
    "Reply",
    "ask_at_once",
    "ask_in_batches",
    "ask_on_cluster",
    "batches",
    "connected",
    "reply_fields",
]


#: Items that fail one after another before a run gives up.
GIVE_UP = 25

#: The same for requests to a server, and two more for each request at a time: each has failed after its own
#: retries, and after the patience that a busy server gets.
GIVE_UP_ON_SERVER = 5

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


def _failure(error: Exception) -> dict[str, Any]:
    """A failed row: whatever one item raises ends no run."""
    return {"error": f"{type(error).__name__}: {error}"}


class _InARow:
    """Counts failures one after another, and ends a run in which nothing succeeds any more."""

    def __init__(self, limit: int, error: type[WorkbenchError], expected: str, fix: str) -> None:
        self._limit, self._error, self._expected, self._fix = limit, error, expected, fix
        self._failed = 0

    def note(self, replies: Sequence[Reply]) -> None:
        """Count the replies of one step, which have been handed on.

        Raises:
            WorkbenchError: of the kind that was told, when too many failed in a row.
        """
        for _, fields in replies:
            self._failed = self._failed + 1 if "error" in fields else 0
        if self._failed >= self._limit:
            last = replies[-1][1]["error"]
            given = f"{self._failed} items in a row failed; the last one: {last}"
            raise self._error(given, self._expected, self._fix)


def _here_in_a_row() -> _InARow:
    fix = "what was answered is kept: mend the cause and make the same call again"
    return _InARow(GIVE_UP, WorkbenchError, "items that can be asked", fix)


def ask_in_batches(vlm: object, askings: Sequence[Asking], *, batch_size: int) -> Replies:
    """Ask a model here, a batch at a time; neighbours of the same mode and options go together.

    While a batch is written, the pictures of the next are read.  A batch that fails is asked one by one, so
    that only the question that cannot be asked is a failure.

    Yields:
        The replies of each batch, those that were interrupted left out.

    Raises:
        WorkbenchError: when `GIVE_UP` items in a row have failed; what was answered has been handed on.
        KeyboardInterrupt: after the replies that were finished are handed on.
    """
    made = list(batches(askings, batch_size))
    hopeless = _here_in_a_row()
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
            hopeless.note(replies + asked)


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
        except Exception as error:  # a picture may raise anything, and concerns its item alone
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
    except Exception as error:  # whatever it is, the other items of the batch are asked without it
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
        except Exception as error:  # a malformed reply is one failed row
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
        ServerError: when too many requests in a row have failed (see `GIVE_UP_ON_SERVER`); what was answered
            has been handed on.
        KeyboardInterrupt: the same.
    """
    requests = _Requests(vlm, workers)
    waiting = iter(askings)
    fix = "when it is up again, make the same call: what was answered is kept"
    down = _InARow(
        GIVE_UP_ON_SERVER + 2 * workers, ServerError, f"a server at {vlm.source} that answers", fix
    )
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
                yield whole
                down.note(whole)
                fill()
        except KeyboardInterrupt:  # what is finished by now is handed on too
            requests.stop()
            ended = [(asking, future.result()) for future, asking in running.items()]
            yield [(asking, fields) for asking, fields in ended if fields is not None]
            raise
        finally:
            requests.stop()


#: How often a batch is tried whose worker died; then something about it kills workers.
TRIES = 3


#: Settings of a cluster on this machine alone. Ray takes 127.0.0.1 for itself only where it takes clusters of
#: several machines for unsupported, and its agents need more than its 30 seconds on a busy machine.
LOCAL = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_agent_register_timeout_ms": "180000",
}


class _Worker:
    """One copy of the model, in a process of the cluster."""

    def __init__(self, source: str, options: dict[str, Any], fingerprint: str) -> None:
        from ..models.load import load  # torch, which only the workers need

        self._vlm: Any = load(source, progress=False, **options)
        found = model_fingerprint(self._vlm)
        if found != fingerprint:
            raise WorkbenchError(
                f"the worker loaded another model from {source!r} ({found}, the driver has {fingerprint})",
                "the same weights on every node",
                "give the nodes the same files",
            )

    def ask(self, askings: Sequence[Asking]) -> list[tuple[str, dict[str, Any]]]:
        """Replies to one batch, by their keys."""
        asked = ask_in_batches(self._vlm, askings, batch_size=len(askings))
        return [(asking.key, fields) for some in asked for asking, fields in some]


def ask_on_cluster(vlm: Any, askings: Sequence[Asking], *, batch_size: int, workers: int) -> Replies:
    """Ask on a Ray cluster, ``workers`` copies of the model at the same time.

    Uses the cluster that this process is connected to, or that ``RAY_ADDRESS`` names, else starts one on this
    machine (see `connected`).  A worker takes one GPU where the model is on one, else one CPU.  A batch whose
    worker dies is given to another one.

    Args:
        vlm: a model loaded here; workers load the same source with the same options and check that it is.
        askings: what to ask.
        batch_size: questions at a time on a worker.
        workers: copies of the model.

    Yields:
        The replies of each batch as it is finished.

    Raises:
        CapabilityError: if Ray is not installed, or the model was not loaded here by `workbench.load`.
        WorkbenchError: if a worker cannot load the model, or a batch kills its worker again and again.
    """
    if is_remote(vlm) or not hasattr(vlm, "load_options"):
        raise CapabilityError(
            f"{vlm.name} on a Ray cluster",
            "a model that each worker can load",
            "a server is asked many questions at once with engine='local' and workers=N",
        )
    with connected() as ray:
        gpu = str(vlm.device).startswith("cuda")
        actor = ray.remote(num_cpus=1, num_gpus=int(gpu), max_restarts=2)(_Worker)
        told = (vlm.source, dict(vlm.load_options), model_fingerprint(vlm))
        waiting = deque((0, batch) for batch in batches(askings, batch_size))
        copies = [actor.remote(*told) for _ in range(min(workers, len(waiting)))]
        yield from _share_out(ray, copies, waiting)


def _share_out(ray: Any, copies: list[Any], waiting: deque[tuple[int, list[Asking]]]) -> Replies:
    """Give each worker the next batch when it has finished one."""
    idle: deque[Any] = deque(copies)
    running: dict[Any, tuple[Any, int, list[Asking]]] = {}
    hopeless = _here_in_a_row()
    while waiting or running:
        while waiting and idle:
            tries, batch = waiting.popleft()
            worker = idle.popleft()
            running[worker.ask.remote(_portable(batch))] = (worker, tries, batch)
        done, _ = ray.wait(list(running), num_returns=1)
        for future in done:
            worker, tries, batch = running.pop(future)
            idle.append(worker)
            try:
                replies = ray.get(future)
            except ray.exceptions.RayActorError as error:
                if tries + 1 >= TRIES:
                    raise WorkbenchError(
                        f"a batch ended its worker {TRIES} times: {_first_line(error)}",
                        "workers that live",
                        "look at memory; try a smaller batch_size, or fewer workers",
                    ) from None
                waiting.appendleft((tries + 1, batch))
                continue
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, WorkbenchError) else error from None
            own = {asking.key: asking for asking in batch}
            whole = [(own[key], fields) for key, fields in replies]
            yield whole
            hopeless.note(whole)


def _portable(batch: Sequence[Asking]) -> list[Asking]:
    """The batch with its pictures in it: the files may not be there on another node."""
    moved = []
    for asking in batch:
        pictures = () if asking.blind == "blind" else tuple(asking.item.open())
        moved.append(replace(asking, item=replace(asking.item, images=pictures)))
    return moved


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """Ray, connected to a cluster; one that is started here ends here.

    A cluster that is started here listens on 127.0.0.1 only, asks for a token, and has no dashboard.

    Args:
        address: of a cluster ("host:port"); None for the one of ``RAY_ADDRESS``, or a new one here.

    Raises:
        CapabilityError: if Ray is not installed.
        WorkbenchError: if there is no cluster at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:  # before Ray is imported: it reads these then
        for name, value in {**LOCAL, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
            os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        fix = "pip install 'vlm-workbench[ray]'"
        raise CapabilityError("a Ray cluster without Ray", "Ray", fix) from None
    if ray.is_initialized():
        yield ray
        return
    if address is None:
        _read_settings_anew()
    if address is not None:
        _knock(address)
    local: dict[str, Any] = {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
    try:
        # "local": without it Ray would join whatever cluster runs on this machine already
        ray.init(address=address or "local", log_to_driver=False, **(local if address is None else {}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address is None:
            raise
        raise WorkbenchError(
            f"no Ray cluster at {address!r}: {_first_line(error)}",
            "the address of a running cluster, and its token in RAY_AUTH_TOKEN",
            "ray status --address=... shows whether it is there; without an address one is started here",
        ) from None
    except Exception as error:  # Ray raises this very class where its processes take too long
        if type(error) is not Exception:
            raise
        ray.shutdown()
        raise WorkbenchError(
            f"Ray's processes did not start on this machine: {_first_line(error)}",
            "a machine that is less busy: Ray gives its agents 15 seconds",
            "try again, or start a cluster with ray start and name it in RAY_ADDRESS",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Refuse an address at which nothing answers: Ray itself would try for minutes.

    Raises:
        WorkbenchError: if no connection can be made within ten seconds.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return  # "auto", "local" and the like are Ray's to understand
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise WorkbenchError(
            f"no Ray cluster at {address!r}: {error}",
            "the address of a running cluster, and its token in RAY_AUTH_TOKEN",
            "ray status --address=... shows whether it is there; without an address one is started here",
        ) from None


def _read_settings_anew() -> None:
    """Make Ray notice these settings where it was imported before; ``ray start`` does the same to itself."""
    with contextlib.suppress(ImportError, KeyError, AttributeError):
        from ray import _raylet
        from ray._private import ray_constants

        vars(_raylet)["Config"].initialize("")
        ray_constants.ENABLE_RAY_CLUSTER = False
