"""One question to a server: the request, its repetition where a field is refused, the thought's budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..answer import Answer
from ..errors import CapabilityError, ContextLengthError, InputError, ServerError, WorkbenchError
from ..types import Mode, Piece
from .ask import Request
from .families import FamilySpec
from .families.prompt import check_turns
from .generate import DEFAULT_MAX_TOKENS
from .server_http import Endpoint, Refused, Stopped
from .server_reply import ServedReply, messages, mode_fields, refuse_control

__all__ = ["Served", "ServedRun", "check_request", "refuse_capture"]

TOP = 20  # likeliest first tokens to ask for; the protocol's largest number
OPTIONAL = ("logprobs", "top_logprobs", "stream_options")  # a server may refuse these without harm
REASONS = {"length": "length", "max_tokens": "length"}


@dataclass
class Served:
    """A model on a server, and what was learnt about what the server takes.

    Args:
        endpoint: the server.
        name: the model's name there.
        family: how it is asked for a mode.
        refused: names of fields that the server refused.
        limit: its name for the most tokens of a reply.
    """

    endpoint: Endpoint
    name: str
    family: FamilySpec
    refused: set[str] = field(default_factory=set)
    limit: str = "max_tokens"


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
        self._reply = ServedReply(
            served.family.thought, opened=self._opens_thought(), certain=bool(self._begun)
        )
        self._usage: dict[str, int] = {}
        self._first_at: float | None = None

    def answer(self) -> Answer:
        """Send, read, and put the record together.

        Raises:
            ServerError: if the server fails or refuses; ContextLengthError if it says that the
                conversation is too long for it.
        """
        self._started = time.perf_counter()
        settings, reply = self._request.settings, self._reply
        most = settings.max_tokens or DEFAULT_MAX_TOKENS
        budget = settings.thinking_budget
        stopped = self._exchange(most if budget is None else min(most, budget), self._begun)
        if stopped == "length" and budget is not None and budget < most:
            stopped = self._after_budget(most - budget)
        self._show(reply.end())
        return self._record(stopped, most)

    def _opens_thought(self) -> bool:
        """Whether the reply begins inside a thought: forced, or opened by the chat template."""
        if self._begun:
            return self._begun == self._served.family.thought[0]
        modes = self._served.family.modes
        always = Mode.NOTHINK in modes and bool(modes[Mode.NOTHINK].refused) and not modes[Mode.THINK].refused
        return self._request.mode is Mode.THINK or (always and self._request.mode is Mode.AUTO)

    def _exchange(self, most: int, begun: str) -> str:
        """One request; why its reply ended, as `Answer.stopped`."""
        self._reply.finish = None
        while not self._stop.is_set():
            body = self._body(most, begun)
            try:
                for event in self._served.endpoint.events("/chat/completions", body, self._stop):
                    self._show(self._reply.take(event, self._served.endpoint.url))
                break
            except Stopped:
                break
            except Refused as error:
                if not self._can_do_without(error.given, body):
                    raise self._explained(error, begun) from error
        self._count(self._reply.usage)
        if self._reply.finish is not None:
            return REASONS.get(self._reply.finish, "end")
        if self._stop.is_set():
            return "interrupted"
        raise ServerError(
            f"{self._served.endpoint.url} ended its reply without saying why, after "
            f"{len(self._reply.text)} characters of answer",
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
        if "context length" in error.given or "context_length" in error.given:
            return ContextLengthError(
                error.given,
                "a conversation that fits",
                "use smaller pictures, less history or a smaller max_tokens",
            )
        names = ("continue_final_message", "add_generation_prompt", "chat_template_kwargs")
        if (begun or self._fields) and any(name in error.given for name in names):
            return ServerError(
                f"{error.given} (this is how {self._served.family.name} is asked for a mode or a budget)",
                "a server that takes it (vLLM does)",
                "ask with mode='auto' and no thinking_budget, or load the model here",
            )
        return error

    def _show(self, pieces: list[Piece]) -> None:
        if pieces and self._first_at is None:
            self._first_at = time.perf_counter()
        self._take(pieces)

    def _count(self, usage: dict[str, Any]) -> None:
        """Add up the counts of one exchange; the prompt's is the first one's."""
        made = usage.get("completion_tokens_details") or {}
        prompt = usage.get("prompt_tokens_details") or {}
        self._usage.setdefault("prompt", _whole(usage.get("prompt_tokens")))
        self._usage.setdefault("images", _whole(prompt.get("image_tokens")))
        for name, value in (
            ("made", usage.get("completion_tokens")),
            ("thought", made.get("reasoning_tokens")),
        ):
            self._usage[name] = self._usage.get(name, 0) + _whole(value)
        self._reply.usage = {}

    def _record(self, stopped: str, most: int) -> Answer:
        """Put the record together; counts are the server's."""
        request, reply = self._request, self._reply
        settings = {**request.settings.to_dict(), "max_tokens": most}
        made, thought_tokens = self._usage.get("made", 0), self._usage.get("thought", 0)
        if reply.thought and not thought_tokens and made:
            share = len(reply.thought) / (len(reply.thought) + len(reply.text))
            thought_tokens, settings["token_split"] = round(made * share), "estimated from characters"
        return Answer(
            text=reply.text,
            thought=reply.thought,
            mode=request.mode,
            p_think=reply.p_think,
            prompt_tokens=self._usage.get("prompt", 0),
            image_tokens=self._usage.get("images", 0),
            thought_tokens=thought_tokens,
            answer_tokens=max(0, made - thought_tokens),
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


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
