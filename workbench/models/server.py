"""A model on an OpenAI-compatible server: the same verbs as a model here, but nothing to look into.

What goes over the wire, and how it is read, is in `server_protocol`.
"""

from __future__ import annotations

import base64
import io
import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import escape
from itertools import count
from typing import Any, cast

from PIL import Image

from ..answer import WITHHELD, Answer
from ..errors import (
    CapabilityError,
    ContextLengthError,
    InputError,
    LoadError,
    OutOfMemoryError,
    ServerError,
    WorkbenchError,
)
from ..html import framed
from ..types import Mode, Piece, Turn
from .asking import Request, Worker
from .families import FAMILIES, FamilySpec
from .families.prompt import check_turns
from .generate import DEFAULT_MAX_TOKENS
from .modes import AS_IS, ModeRule
from .server_protocol import (
    Busy,
    Endpoint,
    Failed,
    Fields,
    Nonsense,
    Patience,
    Refused,
    Rejected,
    ServedReply,
    Silent,
    Stopped,
    Usage,
)
from .sources import check_address
from .vlm import Model

__all__ = ["ServerVLM", "served_family"]

_INSIDE = ("model", "processor", "tokenizer", "device", "dtype", "config", "attention", "context_length")
TOP = 20  # likeliest first tokens to ask for; the protocol's largest number
OPTIONAL = ("logprobs", "top_logprobs", "stream_options")  # a server may refuse these without harm
SPARE, PER_TOKEN = 4096, 256  # characters of a reply, and for each token: a server may not keep to max_tokens
WHY_WITHHELD = {
    "content_filter": "the server's content filter withheld the reply, or the rest of it",
    "refusal": "the model refused to answer, in the field that the server has for this",
    "tool_calls": "the model called a tool instead of answering",
}
DEFAULT_THOUGHT = ("<think>", "</think>")
# Texts that servers' tokenizers take for control tokens: they would end a turn or open a thought.
_CONTROL = re.compile(
    r"<\|[^<>|\s]{1,64}\|>|<\|\w{1,64}>|<\w{1,64}\|>|</?(?:seed:)?think>|</?s>|<(?:bos|eos|pad)>"
    r"|<(?:start|end)_of_(?:turn|image)>|<image(?:_soft_token)?>|\[/?(?:INST|THINK)\]|◁/?think▷|<end_of_utterance>"
)
_BY_NAME = (
    (r"phi-?4-?(reasoning-?)?vision|phi-?4-?rv", "phi4-rv"),
    (r"qwen-?3(\.\d)?-?vl", "qwen3-vl"),
    (r"qwen-?2(\.5)?-?vl", "qwen2.5-vl"),
    (r"gemma-?3", "gemma3"),
    (r"smolvlm", "smolvlm"),
    (r"llava-?onevision", "llava-onevision"),
    (r"internvl", "internvl"),
    (r"kimi-?vl", "kimi-vl"),
)
_SILENT = ModeRule(
    refused="nothing tells how this server's model switches its thinking",
    instead="it with family=: workbench.load(url, model=..., family='enable_thinking') for a model whose "
    "chat template has that switch, or with the name of one of the workbench's families",
)
UNKNOWN = FamilySpec(
    name="unknown",
    model_types=(),
    modes={Mode.AUTO: AS_IS, Mode.THINK: _SILENT, Mode.NOTHINK: _SILENT},
    thought=DEFAULT_THOUGHT,
)
SWITCH = FamilySpec(
    name="enable_thinking",
    model_types=(),
    modes={
        Mode.AUTO: AS_IS,
        Mode.THINK: ModeRule(template={"enable_thinking": True}),
        Mode.NOTHINK: ModeRule(template={"enable_thinking": False}),
    },
    thought=DEFAULT_THOUGHT,
)


class ServerVLM(Model):
    """A vision-language model behind an OpenAI-compatible address (vLLM, ``transformers serve``, ...).

    It can be asked and benchmarked; it cannot be looked into, since only text comes back: whatever
    needs weights, attention or token ids raises `CapabilityError`.  Its answers have no token ids and no
    layout.  ``p_think`` is there in mode "auto" where the server tells log-probabilities.  Where it counts
    a reply's tokens but not the thought's, ``answer.settings["token_split"]`` says that the two numbers
    are estimated from characters.

    Args:
        url: the server's address, as a rule ending in ``/v1``.
        model: name of the model; None takes the only one that the server has.
        api_key: sent as a bearer token.
        timeout: seconds that a reply may make no progress.
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
        check_address(url)
        if model is not None and not (isinstance(model, str) and model.strip()):
            raise InputError(
                f"model={model!r}", "the name of a model on the server, or None for its only one"
            )
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

    def unload(self) -> None:
        """Nothing to free here; the server keeps its model."""

    # -- asking ----------------------------------------------------------------------------------

    def _check(self, request: Request, *, capture: bool | str) -> None:
        refuse_capture(self.name, capture)
        check_request(self._served, request)

    def _begin(
        self,
        request: Request,
        stop: threading.Event,
        take: Callable[[list[Piece]], None],
        *,
        capture: bool | str,
    ) -> Worker[list[Answer]]:
        run = ServedRun(self._served, request, stop, take)
        return Worker(lambda: [run.answer()], stop=stop, no_room=_no_room).start()

    def _ask_all(
        self, requests: Sequence[Request], batch_size: int, *, capture: bool | str, progress: bool
    ) -> list[Answer]:
        from tqdm.auto import tqdm

        stop = threading.Event()
        answers: dict[int, Answer] = {}
        failed: dict[int, WorkbenchError] = {}
        with (
            ThreadPoolExecutor(batch_size) as pool,
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

    # -- inside ----------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name in _INSIDE:
            raise CapabilityError(
                f".{name} of {self.name!r}, which runs on the server {self.source}",
                "a model that is loaded here: a server can be asked and benchmarked, but not looked into",
                "workbench.load('nano'), a folder or a Hub id",
            )
        return super().__getattr__(name)  # type: ignore[misc]

    def __repr__(self) -> str:
        modes = ", ".join(mode.value for mode in self.modes)
        return f"ServerVLM({self.name!r} at {self.source}, family: {self.family.name}, modes: {modes})"

    @framed
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
        try:  # a server may answer questions and yet fail at listing its models: it is asked once
            return candidate, _names(_listing(candidate, wait=needed), url)
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


def _listing(endpoint: Endpoint, *, wait: bool) -> object:
    """What the server says about its models; a busy one may be waited for."""
    patience, never = Patience(), threading.Event()
    for attempt in count(1):
        patience.pause(never)
        try:
            return endpoint.get("/models")
        except Busy as error:
            if not wait:
                raise
            patience.after(error, attempt, never)
    raise AssertionError("unreachable")


def _names(found: object, url: str) -> list[str]:
    """The names in a list of models, which some servers give without a wrapping.

    Raises:
        Nonsense: if it is no such list.
    """
    listing = Fields({"data": found} if isinstance(found, list) else found, url, "models")
    if "data" not in listing:
        raise Nonsense(
            f"{url}/models gives no list of models", "an OpenAI-compatible server", "check the address"
        )
    names = dict.fromkeys(entry.text("id")[:500] for entry in listing.parts("data"))
    return [name for name in names if name]


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


# -- one question ----------------------------------------------------------------------------------


@dataclass
class Served:
    """A model on a server, and what was learnt about what the server takes.

    Args:
        endpoint: the server.
        name: the model's name there.
        family: how it is asked for a mode.
        refused: names of fields that the server refused.
        limit: its name for the most tokens of a reply.
        patience: when it may be asked again.
    """

    endpoint: Endpoint
    name: str
    family: FamilySpec
    refused: set[str] = field(default_factory=set)
    limit: str = "max_tokens"
    patience: Patience = field(default_factory=Patience)


def refuse_capture(name: str, capture: bool | str) -> None:
    """Refuse to look inside.

    Raises:
        CapabilityError: if attention is asked for: only text comes back from a server.
    """
    if capture:
        raise CapabilityError(
            f"capture={capture!r} of {name!r}, which runs on a server",
            "a model that is loaded here: a server can be asked and benchmarked, but not looked into",
            "workbench.load('nano'), a folder or a Hub id",
        )


def check_request(served: Served, request: Request) -> None:
    """Refuse what cannot be asked, before anything is sent.

    Raises:
        InputError: for a conversation, control token or budget; ModeError for a mode that is missing.
    """
    spec = served.family
    check_turns(request.turns, spec.max_images, spec.name)
    mode_fields(spec, request.mode, served.name)
    refuse_control(request.settings.thought or "", spec)
    for turn in request.turns:
        refuse_control(turn.text, spec)
        refuse_control(turn.thought or "", spec)
    budget = request.settings.thinking_budget
    if budget is not None:
        rule = spec.modes.get(Mode.THINK)
        if rule is None or rule.refused:
            why = rule.refused if rule else "it writes no thoughts"
            raise InputError(
                f"thinking_budget={budget} with {served.name}: {why}", "thinking_budget=None for this model"
            )
        if budget < 1:
            raise InputError(
                f"thinking_budget={budget} with a server", "at least 1", "ask with mode='nothink' instead"
            )


class ServedRun:
    """One reply of a server, from sending to the record.

    Args:
        served: the model.
        request: what to ask; checked.
        stop: set it to end the reply soon with what there is.
        take: called with the pieces as they come.
    """

    def __init__(
        self,
        served: Served,
        request: Request,
        stop: threading.Event,
        take: Callable[[list[Piece]], None] = lambda pieces: None,
    ) -> None:
        self._served, self._request, self._stop, self._take = served, request, stop, take
        self._fields, self._begun = mode_fields(served.family, request.mode, served.name)
        self._given = self._seen = 0  # characters handed on, and those of the reply so far
        settings = request.settings
        if settings.thought is not None:
            self._begun = served.family.begun(settings.thought, done=settings.thought_done)
        self._reply = ServedReply(
            served.family.thought, opened=self._opens_thought(), certain=bool(self._begun)
        )
        self._usage: Usage | None = None
        self._first_at: float | None = None

    def answer(self) -> Answer:
        """Send, read, and put the record together.

        Raises:
            ServerError: if the server fails or refuses; ContextLengthError if it says that the
                conversation is too long for it.
        """
        self._started = time.perf_counter()
        settings = self._request.settings
        if settings.thought is not None:
            self._take(self._reply.begin(self._begun))
        most = settings.max_tokens or DEFAULT_MAX_TOKENS
        budget = settings.thinking_budget
        stopped = self._exchange(most if budget is None else min(most, budget), self._begun)
        if stopped == "length" and budget is not None and budget < most:
            stopped = self._after_budget(most - budget)
        self._show(self._reply.end())
        return self._record(stopped, most)

    def _opens_thought(self) -> bool:
        """Whether the reply begins inside a thought: forced, or opened by the chat template."""
        if self._begun:
            return self._begun.startswith(self._served.family.thought[0])
        modes = self._served.family.modes
        always = Mode.NOTHINK in modes and bool(modes[Mode.NOTHINK].refused) and not modes[Mode.THINK].refused
        return self._request.mode is Mode.THINK or (always and self._request.mode is Mode.AUTO)

    def _exchange(self, most: int, begun: str) -> str:
        """One request, made again where that helps; why its reply ended, as `Answer.stopped`."""
        self._reply.finish = ""
        before, seen = deepcopy(self._reply), self._seen
        failures: Counter[type[Rejected]] = Counter()
        while True:
            body = self._body(most, begun)
            try:
                self._served.patience.pause(self._stop)
                self._read(body, most)
                break
            except Stopped:
                break
            except Refused as error:
                if not self._can_do_without(error.said, body):
                    raise self._explained(error, begun) from error
            except (Busy, Failed) as error:
                if self._reply.finish:  # all of it is there, perhaps but for the counts
                    break
                failures[type(error)] += 1
                self._served.patience.after(error, failures[type(error)], self._stop)
            except Silent:
                if self._reply.finish:
                    break
                raise
            self._reply, self._seen = deepcopy(before), seen
        self._count(self._reply.usage)
        return self._reply.finish or "interrupted"

    def _read(self, body: dict[str, Any], most: int) -> None:
        """Read one reply.

        Raises:
            ServerError: if it fails, or ends without saying why, or goes on beyond what was asked for.
        """
        served, reply, begun = self._served, self._reply, self._reply.length
        for event in served.endpoint.events("/chat/completions", body, self._stop, tokens=most):
            pieces = reply.take(event, served.endpoint.url)
            if pieces or reply.finish:
                served.patience.success()
            self._show(pieces)
            if reply.length - begun > SPARE + PER_TOKEN * most:
                raise Nonsense(
                    f"{served.endpoint.url} goes on after {reply.length - begun} characters",
                    f"at most {most} tokens, as max_tokens asks for",
                    "look at the server's settings",
                )
        if not reply.finish:
            raise Failed(
                f"{served.endpoint.url} ended its reply without saying why, after "
                f"{len(reply.text)} characters of answer",
                "choices with a finish_reason",
                "ask again, or look at the server's log",
            )

    def _after_budget(self, most: int) -> str:
        """Go on after the tokens of the budget, with the thought closed where it is still open."""
        reply, closed = self._reply, self._reply.thinking
        if closed:
            self._show(reply.close_thought())
        ended = self._exchange(most, reply.written() or self._begun)
        return "budget" if closed and ended == "end" else ended

    def _body(self, most: int, begun: str) -> dict[str, Any]:
        request, served = self._request, self._served
        body: dict[str, Any] = {
            "model": served.name,
            "messages": messages(request.turns, served.family, begun=begun),
            "temperature": request.settings.temperature,
            served.limit: most,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._fields,
        }
        if request.settings.seed is not None:
            body["seed"] = request.settings.seed
        if begun:  # the names by which vLLM continues an unfinished message
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        elif request.mode is Mode.AUTO:
            body |= {"logprobs": True, "top_logprobs": TOP}
        return {name: value for name, value in body.items() if name not in served.refused}

    def _can_do_without(self, message: str, sent: dict[str, Any]) -> bool:
        """Whether a refused request can be repeated with a field fewer, or with one renamed."""
        served = self._served
        if "max_completion_tokens" in message and "max_tokens" in sent:
            served.limit = "max_completion_tokens"
            return True
        named = {name for name in OPTIONAL if name in sent and name in message}
        if "logprobs" in message:
            named |= {"logprobs", "top_logprobs"} & sent.keys()
        served.refused |= named
        return bool(named)

    def _explained(self, error: Refused, begun: str) -> WorkbenchError:
        """What a refusal means, where that can be told."""
        if "context length" in error.said or "context_length" in error.said:
            return ContextLengthError(
                error.given,
                "a conversation that fits",
                "use smaller pictures, less history or a smaller max_tokens",
            )
        names = ("continue_final_message", "add_generation_prompt", "chat_template_kwargs")
        if (begun or self._fields) and any(name in error.said for name in names):
            return ServerError(
                f"{error.given} (this is how {self._served.family.name} is asked for a mode, a budget, or to "
                "go on from a thought)",
                "a server that takes it (vLLM does)",
                "ask with mode='auto' and neither thinking_budget nor thought, or load the model here",
            )
        return error

    def _show(self, pieces: list[Piece]) -> None:
        """Hand on what was not handed on before: of a reply that was asked for again, what is beyond."""
        if pieces and self._first_at is None:
            self._first_at = time.perf_counter()
        new = []
        for piece in pieces:
            if text := piece.text[max(0, self._given - self._seen) :]:
                new.append(Piece(text, piece.kind))
            self._seen += len(piece.text)
            self._given = max(self._given, self._seen)
        self._take(new)

    def _count(self, usage: Usage) -> None:
        """Add up the counts of one exchange; the prompt's is the first one's."""
        first, self._reply.usage = self._usage or usage, Usage()
        again = (usage.made, usage.thought) if self._usage else (0, 0)
        self._usage = Usage(
            first.prompt, first.images, _sum(first.made, again[0]), _sum(first.thought, again[1])
        )

    def _record(self, stopped: str, most: int) -> Answer:
        """Put the record together; counts are the server's, None where it does not tell."""
        request, reply, usage = self._request, self._reply, self._usage or Usage()
        settings: dict[str, Any] = {**request.settings.to_dict(), "max_tokens": most}
        text, thought = (self._served.endpoint.hide(part or "") for part in (reply.text, reply.thought))
        written = max(0, len(thought) - len(request.settings.thought or ""))
        thought_tokens, answer_tokens, estimated = _split_tokens(usage, written, len(text))
        if estimated:
            settings["token_split"] = "estimated from characters"
        if stopped in WITHHELD:
            warnings.warn(f"{self._served.name}: {WHY_WITHHELD[stopped]}", stacklevel=2)
        return Answer(
            text=text,
            thought=thought or None,
            mode=request.mode,
            p_think=reply.p_think,
            prompt_tokens=cast(int, usage.prompt),
            image_tokens=usage.images if request.images else 0,
            thought_tokens=thought_tokens,
            answer_tokens=answer_tokens,
            seconds=time.perf_counter() - self._started,
            seconds_to_first_token=None if self._first_at is None else self._first_at - self._started,
            stopped=stopped,
            question=request.turns[-1].text,
            images=request.images,
            history=request.turns[:-1],
            model=self._served.name,
            source=self._served.endpoint.url,
            settings=settings,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _split_tokens(usage: Usage, thought: int, text: int) -> tuple[int | None, int | None, bool]:
    """Tokens of thought and answer, from the counts and the two lengths; and whether they are estimated."""
    if usage.made is None:
        return usage.thought, None, False
    if usage.thought or not thought:
        return usage.thought or 0, usage.made - (usage.thought or 0), False
    tokens = round(usage.made * thought / (thought + text))
    return tokens, usage.made - tokens, True


# -- what is sent ----------------------------------------------------------------------------------


def served_family(model: str, family: str | None = None) -> FamilySpec:
    """The family of a server's model: as given, or by the model's name.

    Raises:
        InputError: if no family has the given name.
    """
    known = {**FAMILIES, SWITCH.name: SWITCH}
    if family is None:
        low = model.lower().replace("_", "-")
        family = next((name for pattern, name in _BY_NAME if re.search(pattern, low)), None)
        if family is None:
            return UNKNOWN
    if family not in known:
        raise InputError(f"family={family!r}", "one of " + ", ".join(map(repr, known)))
    spec = known[family]
    if family in ("qwen3-vl", "kimi-vl"):  # two checkpoints each, told apart by their names
        always = "thinking" in model.lower()
        spec = replace(spec, modes=_two_checkpoints(spec, model, always))
    return spec if spec.thought[0] else replace(spec, thought=DEFAULT_THOUGHT)


def _two_checkpoints(spec: FamilySpec, model: str, always: bool) -> dict[Mode, ModeRule]:
    lacking = Mode.NOTHINK if always else Mode.THINK
    words = ("thinking", "instruct") if always else ("instruct", "thinking")
    other = re.sub(words[0], words[1].capitalize(), model, flags=re.IGNORECASE)
    why = "a Thinking checkpoint always thinks first" if always else "an Instruct checkpoint answers directly"
    instead = other if other != model else f"the {words[1].capitalize()} checkpoint of {spec.name}"
    return {mode: ModeRule(refused=why, instead=instead) if mode is lacking else AS_IS for mode in Mode}


def mode_fields(spec: FamilySpec, mode: Mode, name: str) -> tuple[dict[str, Any], str]:
    """Fields of the request that ask for a mode, and the text that the reply is made to begin with.

    Raises:
        ModeError: if the model lacks the mode.
    """
    rule = spec.check_mode(mode, name)
    return ({"chat_template_kwargs": dict(rule.template)} if rule.template else {}), rule.forced


def messages(turns: Sequence[Turn], spec: FamilySpec, *, begun: str = "") -> list[dict[str, Any]]:
    """A conversation as the protocol takes it; pictures as PNG data addresses (nothing is lost).

    Args:
        turns: the conversation; the last turn is the question.
        spec: the model's family.
        begun: how the reply begins; it is sent as an unfinished assistant's message.

    Raises:
        InputError: if a text holds what the server would take for control tokens.
    """
    sent: list[dict[str, Any]] = []
    for turn in turns:
        for text in (turn.text, turn.thought or ""):
            refuse_control(text, spec)
        if turn.images:
            parts: list[dict[str, Any]] = [
                {"type": "image_url", "image_url": {"url": data_url(image)}} for image in turn.images
            ]
            sent.append({"role": turn.role, "content": [*parts, {"type": "text", "text": turn.text}]})
        else:
            sent.append({"role": turn.role, "content": _with_mode(turn, spec)})
    if begun:
        sent.append({"role": "assistant", "content": begun})
    return sent


def _with_mode(turn: Turn, spec: FamilySpec) -> str:
    """An earlier reply as its family keeps it in a conversation (Phi-4-RV keeps thought and mode)."""
    content = spec.messages([turn])[0]["content"] if turn.role == "assistant" else turn.text
    return content if isinstance(content, str) else turn.text


def refuse_control(text: str, spec: FamilySpec) -> None:
    """A server renders the conversation itself, so that control tokens cannot be made plain here.

    Raises:
        InputError: naming the first one.
    """
    found = _CONTROL.search(text)
    given = found.group() if found else next((mark for mark in spec.delimiters() if mark in text), None)
    if given is not None:
        raise InputError(
            f"the control token {given!r} in a text for a server, which would change the conversation",
            "plain text",
            "write it another way, or load the model here, where it stays text",
        )


def data_url(image: Image.Image) -> str:
    """A picture as a PNG data address."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
