"""The chat-completions protocol: one request to a server, and what a hostile one may send back.

The transport is ``httpx2``, the client that Transformers' own downloads use.  The ``openai`` package
was tried above it and left out: it takes half a second to import, reads its settings from the
environment, repeats by count, bounds neither the bytes of a reply nor its time, and hands malformed
fields on as they are, so that all that is below would still be needed.

What a server sends is not trusted: sizes are limited, redirects are not followed (they would carry
the key and the pictures elsewhere), and whatever is not the protocol becomes a `ServerError`.
"""

from __future__ import annotations

import functools
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import exp
from typing import Any

import httpx2

from ..errors import InputError, ServerError
from ..types import Piece

__all__ = ["Endpoint", "Nonsense", "Refused", "Rejected", "ServedReply", "Stopped", "error_text"]

CONNECT_TIMEOUT = 10.0  # seconds
LARGEST = 64 * 2**20  # bytes of one reply, or of one event
UNREACHABLE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.InvalidURL, ValueError)
STEP = 0.05  # seconds between two looks at whether to give up


class Rejected(ServerError):
    """The server answered with a status that is not success."""

    status: int | None = None
    wait = 0.0  # seconds that the server asks to wait


class Refused(Rejected):
    """The server refused a request because of what it asks for (status 400 or 422)."""


class Nonsense(ServerError):
    """What the server sent is not the protocol."""


class Stopped(Exception):
    """The request was given up because its caller asked for that."""


# -- one request -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server.  Each request has a connection of its own.

    Args:
        url: address, as a rule ending in ``/v1``.
        api_key: sent as a bearer token; never shown.
        timeout: seconds that the server may stay silent.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 300.0

    def __post_init__(self) -> None:
        key = self.api_key
        if key is not None and (not isinstance(key, str) or not re.fullmatch(r"[\x21-\x7e]+", key)):
            raise InputError("an api_key with spaces, line breaks or other characters", "printable ASCII")
        if (
            isinstance(self.timeout, bool)
            or not isinstance(self.timeout, (int, float))
            or not self.timeout > 0
        ):
            raise InputError(f"timeout={self.timeout!r}", "seconds, more than 0")

    def get(self, path: str) -> Any:
        """The JSON of an address below the server's.

        Raises:
            ServerError: if the server is down, slow, refuses, or answers no JSON.
        """
        with self._reply("GET", path, None, threading.Event()) as reply:
            return self._json(reply)

    def events(self, path: str, body: Mapping[str, Any], stop: threading.Event) -> Iterator[dict[str, Any]]:
        """Post JSON and give the reply's events as they come; a reply in one piece is one event.

        Setting ``stop`` ends the events, also while the server is silent.

        Raises:
            ServerError: as `get`; `Refused` for a request that the server does not take.
            Stopped: if ``stop`` was set.
        """
        with self._reply("POST", path, body, stop) as reply:
            if "event-stream" in reply.headers.get("Content-Type", ""):
                yield from self._stream(reply)
            else:
                found = self._json(reply)
                if not isinstance(found, dict):
                    raise self._nonsense(repr(found))
                yield found

    @contextmanager
    def _reply(
        self, method: str, path: str, body: Mapping[str, Any] | None, stop: threading.Event
    ) -> Iterator[httpx2.Response]:
        """A reply with status 200; its bytes are counted while they are read."""
        watch, begun = _Watch(stop, self.timeout), False
        data = None if body is None else json.dumps(body).encode()
        try:
            with (
                watch,
                self._client() as client,
                client.stream(
                    method, self.url + path, content=data, extensions={"trace": watch.trace}
                ) as reply,
            ):
                begun = True
                reply.stream = _Bounded(reply.stream, watch, self._nonsense(f"more than {LARGEST} bytes"))
                if reply.status_code != 200:
                    raise self._rejected(reply)
                yield reply
                watch.check()  # a connection that was cut may look like the end of a reply
        except _Expired:
            raise self._silent() from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            if isinstance(error, ServerError):
                raise
            raise self._failed(error, watch, begun) from error

    def _client(self) -> httpx2.Client:
        """The system's proxy is used, unless the server is on this machine."""
        url = httpx2.URL(self.url)
        return httpx2.Client(
            headers=self._headers(),
            verify=_tls() if url.scheme == "https" else _no_tls(),
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),  # the rest is the watch's
            trust_env=not _local(url.host),
            follow_redirects=False,
        )

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",  # a few bytes cannot unpack to gigabytes
            "Content-Type": "application/json",
            "User-Agent": "vlm-workbench",
        }
        return headers | ({"Authorization": f"Bearer {self.api_key}"} if self.api_key else {})

    # -- what goes wrong ---------------------------------------------------------------------

    def _failed(self, error: Exception, watch: _Watch, begun: bool) -> Exception:
        """What a failure of the transport means."""
        with suppress(_Expired):
            watch.check()
            if not begun and isinstance(error, UNREACHABLE):
                return self._unreachable(error)
            if begun:
                return ServerError(
                    f"the connection to {self.url} broke off ({type(error).__name__}: {error})",
                    "a whole reply",
                    "ask again, or look at the server's log",
                )
            return Rejected(
                f"{self.url} hung up without a reply ({error})",
                "a server that has time and works",
                "wait, or look at the server's log",
            )
        return self._silent()

    def _unreachable(self, error: Exception) -> ServerError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                return ServerError(
                    f"{self.url} speaks no valid TLS ({cause})",
                    "a server with a valid certificate",
                    "try http://",
                )
            cause = cause.__cause__
        return ServerError(
            f"no server answers at {self.url} ({error})",
            "a running OpenAI-compatible server",
            "start it, or check address and port",
        )

    def _silent(self) -> ServerError:
        return ServerError(
            f"{self.url} was silent for {self.timeout:g} s",
            "a server that answers in time",
            "pass a larger timeout=",
        )

    def _rejected(self, reply: httpx2.Response) -> Rejected:
        """The error for a status that is not success."""
        status, said = reply.status_code, _said(b"".join(reply.iter_raw()))
        given, kind = f"{self.url} answered with status {status}: {said}", Rejected
        if status in (400, 422):
            kind, expected, fix = Refused, "a request that this server takes", ""
        elif status in (401, 403):
            expected, fix = "a valid key", "pass api_key="
        elif 300 <= status < 400:
            given = f"{self.url} redirects to {reply.headers.get('Location')!r}"
            expected, fix = "an address that answers itself", "pass that address, if you trust it"
        elif status == 404:
            expected = "an address and a model that the server has"
            fix = "check both (the address ends in /v1?)"
        elif status == 429 or status >= 500:
            expected, fix = "a server that has time and works", "wait, or look at the server's log"
        else:
            expected, fix = "an OpenAI-compatible server", "check the address"
        error = kind(given, expected, fix)
        asked = reply.headers.get("Retry-After", "")
        error.status, error.wait = status, float(asked) if re.fullmatch(r"\d+(\.\d+)?", asked) else 0.0
        return error

    def _nonsense(self, what: str) -> Nonsense:
        return Nonsense(
            f"{self.url} does not speak the protocol; it sent {what}",
            "JSON as an OpenAI-compatible server sends it",
            "check the address (ends in /v1?)",
        )

    # -- what comes back ---------------------------------------------------------------------

    def _json(self, reply: httpx2.Response) -> Any:
        self._refuse_packed(reply)
        data = b"".join(reply.iter_raw())
        try:
            return json.loads(data)
        except ValueError:
            raise self._nonsense(_said(data)) from None

    def _refuse_packed(self, reply: httpx2.Response) -> None:
        if reply.headers.get("Content-Encoding", "identity") != "identity":
            raise self._nonsense("a compressed reply, which was not asked for")

    def _stream(self, reply: httpx2.Response) -> Iterator[dict[str, Any]]:
        """Server-sent events; each one's data is one JSON object, ``[DONE]`` is the end."""
        self._refuse_packed(reply)
        reply.encoding = "utf-8"
        for event in httpx2.EventSource(reply, max_event_size=LARGEST):
            if event.data == "[DONE]":
                return
            if not event.data:
                continue
            try:
                found = json.loads(event.data)
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise self._nonsense(_said(event.data.encode()))
            yield found


class _Expired(Exception):
    """The server was silent for too long."""


class _Watch:
    """Cuts a connection when its caller gives up or the server is silent.

    Waiting for a silent server cannot be done in short steps: a transport that timed out once is closed.
    """

    def __init__(self, stop: threading.Event, timeout: float) -> None:
        self._stop, self._timeout, self._expired = stop, timeout, False
        self._socket: socket.socket | None = None
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workbench-watch", daemon=True)
        self.progress()

    def progress(self) -> None:
        """The server has done something: its time begins anew."""
        self._until = time.monotonic() + self._timeout

    def check(self) -> None:
        """Refuse to go on if the connection was, or should be, cut.

        Raises:
            Stopped: if the caller gave up.
            _Expired: if the server was silent for too long.
        """
        if self._stop.is_set():
            raise Stopped from None
        if self._expired:
            raise _Expired from None

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Called by the transport at each of its steps: keep the connection's socket."""
        if name.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def _run(self) -> None:
        while not self._finished.wait(STEP):
            self._expired = self._expired or time.monotonic() > self._until
            if self._socket is not None and (self._expired or self._stop.is_set()):
                with suppress(OSError):  # closed already; a TLS socket's own method would pull the rug
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._thread.join()


class _Bounded(httpx2.SyncByteStream):
    """A reply's bytes, as long as they are not too many; a blank line ends the last event."""

    def __init__(self, stream: Any, watch: _Watch, too_many: Nonsense) -> None:
        self._stream, self._watch, self._too_many = stream, watch, too_many

    def __iter__(self) -> Iterator[bytes]:
        left = LARGEST
        for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise self._too_many
            self._watch.progress()
            yield chunk
        yield b"\n\n"

    def close(self) -> None:
        self._stream.close()


@functools.cache
def _tls() -> ssl.SSLContext:
    """Certificates are checked against the system's; reading those takes a while, so it is done once."""
    return ssl.create_default_context()


@functools.cache
def _no_tls() -> ssl.SSLContext:
    """For plain addresses: trusts nobody."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _local(host: str) -> bool:
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _said(data: bytes) -> str:
    """What a server said about an error, shortened: its message, or the beginning of what it sent."""
    text = data[:4000].decode("utf-8", "replace").strip()
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    return error_text(found) or (" ".join(text.split())[:200] or "nothing")


def error_text(found: Any) -> str:
    """The message in a JSON reply that reports an error; empty if there is none."""
    if not isinstance(found, dict):
        return ""
    for key in ("error", "detail", "message"):
        value = found.get(key)
        if isinstance(value, dict):
            value = value.get("message") or json.dumps(value)
        if value and not isinstance(value, bool):
            return " ".join(str(value).split())[:400]
    return ""


# -- the reply -------------------------------------------------------------------------------------


class ServedReply:
    """A reply, put together from a server's events.

    Servers give a thought in a field of its own (``reasoning_content`` or ``reasoning``) or inside the
    text between delimiters; both are understood, also where a delimiter is spread over events, and
    where only its close is seen because the prompt opened it.

    Args:
        thought: the family's delimiters.
        opened: the prompt, or what the reply was made to begin with, opened the thought.
        certain: whether that is certain; else a reply that ends without closing it was an answer.
    """

    def __init__(self, thought: tuple[str, str], *, opened: bool = False, certain: bool = False) -> None:
        self.finish: str | None = None
        self.usage: dict[str, Any] = {}
        self.first_tokens: dict[str, float] = {}
        self._open, self._close = thought
        self._state = "thought" if opened else "start"  # then "answer"
        self._supposed = opened and not certain  # until a close, or a field of its own, shows that it was one
        self._thought: str | None = "" if opened else None
        self._answer = self._held = ""
        self._apart = self._seen_first = False

    def take(self, event: Mapping[str, Any], url: str) -> list[Piece]:
        """Read one event; the pieces of text that it completes.

        Raises:
            ServerError: if the server reports an error, or the event is not of the protocol.
        """
        if "choices" not in event and (message := error_text(event)):
            raise ServerError(f"{url} reports: {message}", "a reply", "look at the server's log")
        choices = event.get("choices")
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise ServerError(f"{url} sent an event without choices", "chat completions", "check the address")
        if isinstance(event.get("usage"), dict):
            self.usage = dict(event["usage"])
        if not choices:  # the last event may hold nothing but the counts
            return []
        delta = choices[0].get("delta") or choices[0].get("message") or {}
        if not isinstance(delta, dict):
            raise ServerError(f"{url} sent a choice without text", "chat completions", "check the address")
        self._read_first_tokens(choices[0].get("logprobs"))
        self.finish = choices[0].get("finish_reason") or self.finish
        return list(self._pieces(delta))

    def end(self) -> list[Piece]:
        """The reply is complete: what was held back because it could have become a delimiter."""
        held, self._held = self._held, ""
        pieces = [self._add(held, self._state)] if held else []
        if self._supposed and self.finish == "stop":  # it never closed and yet ended: it was the answer
            self._answer, self._thought = self._thought or "", None
        return pieces

    def close_thought(self) -> list[Piece]:
        """From here on comes the answer, whatever came before; pieces as of `end`."""
        pieces, self._supposed = self.end(), False
        self._state, self._apart = "answer", False
        return pieces

    def written(self) -> str:
        """The reply so far as the model would have written it, to be gone on from."""
        if self._thought is None:
            return self._answer + self._held
        return self._open + self._thought + ("" if self.thinking else self._close) + self._answer + self._held

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._answer.strip()

    @property
    def thought(self) -> str | None:
        """The thought so far; None where none was opened."""
        return None if self._thought is None else self._thought.strip()

    @property
    def thinking(self) -> bool:
        """Whether the thought has not been closed yet."""
        return self._state == "thought" or (self._apart and not self._answer.strip())

    @property
    def p_think(self) -> float | None:
        """Probability that the first token opens a thought, from the likeliest first tokens.

        None where the server did not tell them, or where the opening is not among them although
        they leave more than 0.1 percent to others.
        """
        if not self.first_tokens or not self._open:
            return None
        if self._open in self.first_tokens:
            return self.first_tokens[self._open]
        return 0.0 if sum(self.first_tokens.values()) > 0.999 else None

    def _pieces(self, delta: Mapping[str, Any]) -> Iterator[Piece]:
        apart = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(apart, str) and apart:
            self._apart, self._supposed, self._state = True, False, "answer"
            yield self._add(apart, "thought")
        content = delta.get("content")
        if isinstance(content, list):  # some servers send parts
            content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
        if isinstance(content, str):
            yield from self._split(content)

    def _split(self, text: str) -> Iterator[Piece]:
        """Sort text into thought and answer, holding back what may become a delimiter."""
        self._held += text
        while self._held:
            if self._state == "start":
                bare = self._held.lstrip()
                if not bare or (len(bare) < len(self._open) and self._open.startswith(bare)):
                    return
                opens = bool(self._open) and bare.startswith(self._open)
                self._state = "thought" if opens else "answer"
                if opens:
                    self._thought, self._held = "", bare[len(self._open) :]
            elif self._supposed and not self._thought and self._may_open_again():
                return
            elif self._close and (self._state == "thought" or self._thought is None):
                at = self._held.find(self._close)
                if at < 0:
                    kept = _overlap(self._held, self._close)
                    certain, self._held = (
                        self._held[: len(self._held) - kept],
                        self._held[len(self._held) - kept :],
                    )
                    if certain:
                        yield self._add(certain, self._state)
                    return
                if self._state == "answer":  # the prompt had opened the thought
                    self._thought, self._answer = self._answer, ""
                before, self._held = self._held[:at], self._held[at + len(self._close) :]
                self._state, self._supposed = "answer", False
                yield self._add(before, "thought")
            else:
                certain, self._held = self._held, ""
                yield self._add(certain, "answer")

    def _may_open_again(self) -> bool:
        """A thought that was taken for opened begins with its delimiter after all: leave that out.

        Returns:
            Whether more text is needed to tell.
        """
        bare = self._held.lstrip()
        if self._open and bare.startswith(self._open):
            self._held, self._supposed = bare[len(self._open) :], False
        return not self._held or not bare or (len(bare) < len(self._open) and self._open.startswith(bare))

    def _add(self, text: str, kind: str) -> Piece:
        if kind == "thought":
            self._thought = (self._thought or "") + text
        else:
            self._answer += text
        return Piece(text, "thought" if kind == "thought" else "answer")

    def _read_first_tokens(self, logprobs: Any) -> None:
        """Keep the likeliest first tokens with their probabilities."""
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        if (
            self._seen_first
            or not isinstance(content, list)
            or not content
            or not isinstance(content[0], dict)
        ):
            return
        self._seen_first = True
        for entry in content[0].get("top_logprobs") or [content[0]]:
            token, value = entry.get("token"), entry.get("logprob")
            if isinstance(token, str) and isinstance(value, (int, float)) and value <= 0:
                self.first_tokens[token] = exp(value)


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``mark``."""
    return next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if mark.startswith(text[-n:])), 0)
