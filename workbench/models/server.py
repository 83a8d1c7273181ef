"""A model on an OpenAI-compatible server: the same verbs as a model here, but nothing to look into."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from html import escape
from typing import Any

from ..answer import Answer
from ..errors import CapabilityError, InputError, LoadError, OutOfMemoryError, ServerError, WorkbenchError
from ..types import Mode, Piece, Turn
from .ask import Request, check_images, make_request
from .chat import Chat
from .compare import ModeComparison, compare_modes
from .generate import Settings
from .many import pair
from .server_ask import Served, ServedRun, check_request, refuse_capture
from .server_http import Endpoint, Nonsense, Rejected
from .server_reply import served_family
from .stream import Stream
from .worker import Worker

__all__ = ["ServerVLM"]

_INSIDE = ("model", "processor", "tokenizer", "device", "dtype", "config", "attention", "context_length")


class ServerVLM:
    """A vision-language model behind an OpenAI-compatible address (vLLM, ``transformers serve``, ...).

    It can be asked and benchmarked; it cannot be looked into, since only text comes back: whatever
    needs weights, attention or token ids raises `CapabilityError`.

    Args:
        url: the server's address, as a rule ending in ``/v1``.
        model: name of the model; None takes the only one that the server has.
        api_key: sent as a bearer token.
        timeout: seconds that the server may stay silent.
        family: name of the model's family, or "enable_thinking" for a chat template with that
            switch; None goes by the model's name.  It tells how a mode is asked for.

    Raises:
        ServerError: if the server is down, slow, refuses the key, or speaks another protocol.
        LoadError: if it has several models and none was named.

    Example:
        >>> vlm = ServerVLM("http://127.0.0.1:8000/v1")  # doctest: +SKIP
        >>> vlm.ask("chart.png", "What is the highest value?").text  # doctest: +SKIP
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 300.0,
        family: str | None = None,
    ) -> None:
        url = url.rstrip("/").removesuffix("/chat/completions")
        endpoint, names = _find(Endpoint(url, api_key, timeout), needed=model is None)
        self.name = _choose(names, url) if model is None else model
        self.source = endpoint.url
        self.family = served_family(self.name, family)
        self._served = Served(endpoint, self.name, self.family)

    @property
    def loaded(self) -> bool:
        """Always: a server holds the model."""
        return True

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The thinking modes that can be asked for."""
        return tuple(m for m in Mode if not getattr(self.family.modes.get(m), "refused", "no"))

    # -- the verbs -------------------------------------------------------------------------------

    def ask(
        self,
        images: Any,
        question: str,
        *,
        mode: str | Mode = "auto",
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        history: Sequence[Turn] = (),
        capture: bool | str = False,
    ) -> Answer:
        """Ask about one picture, several, or none; as `VLM.ask`.

        The answer has no token ids and no layout.  ``p_think`` is there in mode "auto" where the
        server tells log-probabilities.  Where it counts a reply's tokens but not the thought's,
        ``answer.settings["token_split"]`` says that the two numbers are estimated from characters.

        Raises:
            InputError: for a picture, question or setting that cannot be used; `ModeError` for a
                mode that this model lacks.
            CapabilityError: for ``capture``: no server tells its attention.
            ServerError: if the server fails; `Refused` if it does not take the request.
        """
        return self.stream(
            images,
            question,
            mode=mode,
            max_tokens=max_tokens,
            thinking_budget=thinking_budget,
            temperature=temperature,
            seed=seed,
            history=history,
            capture=capture,
        ).answer

    def stream(
        self,
        images: Any,
        question: str,
        *,
        mode: str | Mode = "auto",
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        history: Sequence[Turn] = (),
        capture: bool | str = False,
    ) -> Stream:
        """Begin a reply and return at once; as `VLM.stream`."""
        refuse_capture(self.name, capture)
        settings = Settings(max_tokens, thinking_budget, temperature, seed)
        request = make_request(check_images(images), question, mode=mode, settings=settings, history=history)
        check_request(self._served, request)

        def begin(stop: threading.Event, take: Callable[[list[Piece]], None]) -> Worker[list[Answer]]:
            run = ServedRun(self._served, request, stop, take)
            return Worker(lambda: [run.answer()], stop=stop, no_room=_no_room).start()

        return Stream(begin)

    def ask_many(
        self,
        images: Any,
        questions: str | Sequence[str],
        *,
        mode: str | Mode = "auto",
        batch_size: int = 8,
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        progress: bool = True,
        capture: bool | str = False,
    ) -> list[Answer]:
        """Ask many questions, ``batch_size`` at the same time; as `VLM.ask_many`.

        Ctrl-C returns what there is, unfinished replies as interrupted.  If requests fail, the others
        are finished first; the error that is then raised holds them in ``.answers``.
        """
        refuse_capture(self.name, capture)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size={batch_size!r}", "a whole number, at least 1")
        requests = []
        for number, (entry, question) in enumerate(pair(images, questions)):
            settings = Settings(
                max_tokens, thinking_budget, temperature, None if seed is None else seed + number
            )
            try:
                requests.append(make_request(check_images(entry), question, mode=mode, settings=settings))
                check_request(self._served, requests[-1])
            except InputError as error:
                error.add_note(f"This is about question {number} (counted from 0).")
                raise
        return self._ask_all(requests, batch_size, progress)

    def compare_modes(self, images: Any, question: str, **options: Any) -> ModeComparison:
        """Ask in every mode that the model has; options as for `ask`, without ``mode``."""
        return compare_modes(self, images, question, **options)

    def chat(self, **options: Any) -> Chat:
        """Begin a conversation; options as for `ask`, for every turn that does not say otherwise."""
        return Chat(self, **options)

    def unload(self) -> None:
        """Nothing to free here; the server keeps its model."""

    # -- inside ----------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name in _INSIDE:
            raise CapabilityError(
                f".{name} of {self.name!r}, which runs on the server {self.source}",
                "a model that is loaded here: a server can be asked and benchmarked, but not looked into",
                "workbench.load('nano'), a folder or a Hub id",
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _ask_all(self, requests: list[Request], at_once: int, progress: bool) -> list[Answer]:
        from tqdm.auto import tqdm

        stop = threading.Event()
        answers: dict[int, Answer] = {}
        failed: dict[int, WorkbenchError] = {}
        with (
            ThreadPoolExecutor(at_once) as pool,
            tqdm(total=len(requests), disable=not progress, unit="question") as bar,
        ):
            running = {pool.submit(self._answer, request, stop): i for i, request in enumerate(requests)}
            try:
                for done in as_completed(running):
                    _sort(running[done], done, answers, failed)
                    bar.update()
            except BaseException as ended:  # requests that still run give what there is, the others nothing
                stop.set()
                if not isinstance(ended, KeyboardInterrupt):
                    raise
                for done, i in running.items():
                    _sort(i, done, answers, failed)
        if failed:
            raise _with_answers(failed, answers, len(requests))
        return [answers[i] for i in range(len(requests))]

    def _answer(self, request: Request, stop: threading.Event) -> Answer:
        return ServedRun(self._served, request, stop).answer()

    def __repr__(self) -> str:
        modes = ", ".join(mode.value for mode in self.modes)
        return f"ServerVLM({self.name!r} at {self.source}, family: {self.family.name}, modes: {modes})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>: can be asked and benchmarked, but not looked into"


def _sort(
    number: int, done: Future[Answer], answers: dict[int, Answer], failed: dict[int, WorkbenchError]
) -> None:
    """Put what came of one request where it belongs; waits for it."""
    try:
        answers[number] = done.result()
    except WorkbenchError as error:
        failed[number] = error


def _with_answers(
    failed: dict[int, WorkbenchError], answers: dict[int, Answer], asked: int
) -> WorkbenchError:
    """The first error, carrying the answers that there are."""
    first = min(failed)
    error = failed[first]
    vars(error)["answers"] = [answers[i] for i in sorted(answers)]
    error.add_note(
        f"This is about question {first} (counted from 0); {len(failed)} of {asked} failed. "
        f"The {len(answers)} answers are in the exception's .answers."
    )
    return error


def _find(endpoint: Endpoint, *, needed: bool) -> tuple[Endpoint, list[str]]:
    """The endpoint, with ``/v1`` where it was forgotten, and the names of its models.

    A server that gives no list of its models is accepted where none is needed.

    Raises:
        ServerError: if nothing answers, the key is refused, or it is no such server.
    """
    urls = [endpoint.url] if endpoint.url.endswith("/v1") else [endpoint.url, endpoint.url + "/v1"]
    failures: dict[str, Rejected | Nonsense] = {}
    for url in urls:
        candidate = replace(endpoint, url=url)
        try:  # asked once: a server may answer questions and yet fail at listing its models
            return candidate, _names(replace(candidate, retries=0).get("/models"), url)
        except (Rejected, Nonsense) as error:
            if isinstance(error, Rejected) and error.status in (401, 403):
                raise
            failures[url] = error
    there = [url for url, error in failures.items() if isinstance(error, Rejected) and error.status != 404]
    first = next(iter(failures.values()))
    if any(isinstance(error, Nonsense) for error in failures.values()):
        raise first
    if needed:
        raise ServerError(first.given, "a list of the server's models, or a name", "pass model=") from first
    return replace(endpoint, url=(there or urls)[0]), []


def _names(found: Any, url: str) -> list[str]:
    try:
        return [str(entry["id"]) for entry in (found["data"] if isinstance(found, dict) else found)]
    except (TypeError, KeyError):
        raise Nonsense(
            f"{url}/models gives no list of models", "an OpenAI-compatible server", "check the address"
        ) from None


def _choose(names: list[str], url: str) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise LoadError(
            f"{url} has no model", "a server with a model", "pass model= if it loads models on demand"
        )
    shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    raise LoadError(
        f"{url} has {len(names)} models", f"model= one of {shown}", f"pass model={names[0]!r}, for example"
    )


def _no_room() -> OutOfMemoryError:
    return OutOfMemoryError("no main memory left for the reply of a server", "", "close what else runs here")
