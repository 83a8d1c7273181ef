"""The chat-completions protocol: one request to a server, and what a hostile one may send back.

The transport is ``httpx2``, the client that Transformers' own downloads use.  The ``openai`` package,
which is built on it, would cost more than it saves: half a second to import, settings read from the
environment, repetition by count, no bound on the bytes of a reply or on its time, and malformed fields
handed on as they are.  All that is below would still be needed.

What a server sends is not trusted: bytes and time are limited, redirects are not followed (they would
carry the key and the pictures elsewhere), the own key is taken out of every text, and whatever is not
the protocol becomes a `ServerError` that names the field.
"""

from __future__ import annotations

import functools
import json
import random
import re
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import exp
from typing import Any

import httpx2

from ..errors import InputError, ServerError
from ..files import parse_json
from ..types import Piece
from .sources import check_address

__all__ = [
    "Busy",
    "Endpoint",
    "Failed",
    "Fields",
    "Nonsense",
    "Patience",
    "Refused",
    "Rejected",
    "ServedReply",
    "Silent",
    "Stopped",
    "Usage",
]

CONNECT_TIMEOUT = 10.0  # seconds
UNREACHABLE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.InvalidURL, ValueError)
STEP = 0.05  # seconds between two looks at whether to give up
AFTERWARDS = 10.0  # seconds to wait for the counts of a reply that has ended

LARGEST = 64 * 2**20  # bytes of JSON in one piece
SPARE, PER_TOKEN = 2**20, 2**14  # bytes of a reply, and for each token (the likeliest tokens come with it)
MOST_VALUES = 4_000_000  # of JSON in one piece: a value of three bytes takes a hundred in memory
DEEPEST = 64  # levels of JSON
SHORTEST_KEY = 8  # a shorter api_key ("EMPTY") is no secret, and may be a word of the reply

RETRIES = 4  # how often a request is repeated when the server fails
BACKOFF = 0.5  # seconds before the first repetition; doubled each time
LONGEST_BACKOFF = 30.0
_random = random.SystemRandom()  # the user's own random state is neither used nor changed
PATIENCE = 600.0  # seconds that a busy server may let nothing through
WORTH_TELLING = 5.0  # seconds of waiting after which the user is told why


# -- what goes wrong -------------------------------------------------------------------------------


class Rejected(ServerError):
    """The server did not do what it was asked, and said so by its status.

    ``said`` holds its words, for decisions: there is no other sign of, say, a field that it does not know.
    """

    status: int | None = None
    said = ""


class Refused(Rejected):
    """The server refused a request because of what it asks for (status 400 or 422)."""


class Failed(Rejected):
    """The server failed, or its reply did not arrive whole: asking again may help."""


class Busy(Rejected):
    """The server has no time now (status 429 or 503): waiting helps."""

    wait: float | None = None  # seconds that the server asks for


class Silent(ServerError):
    """The reply made no progress for too long."""


class Nonsense(ServerError):
    """What the server sent is not the protocol."""


class Stopped(Exception):
    """The request was given up because its caller asked for that."""


def rejection(given: str, status: int | None, said: str = "") -> Rejected:
    """The error for a status that is not success, whether of a reply or inside it."""
    kind, expected, fix = Rejected, "an OpenAI-compatible server", "check the address"
    if status in (400, 422):
        kind, expected, fix = Refused, "a request that this server takes", ""
    elif status in (401, 403):
        expected, fix = "a valid key", "pass api_key="
    elif status == 404:
        expected = "an address and a model that the server has"
        fix = "check both (the address ends in /v1?)"
    elif status == 429 and "insufficient_quota" in said:  # no time helps here
        expected, fix = "a key with a quota that is left", "look at its account"
    elif status in (429, 503, 529):
        kind, expected, fix = Busy, "a server that has time", "wait, or ask fewer questions at the same time"
    elif status is not None and 300 <= status < 400:
        expected, fix = "an address that answers itself", "pass that address, if you trust it"
    elif status is None or status == 408 or status >= 500:
        kind, expected, fix = Failed, "a server that works", "wait, or look at the server's log"
    error = kind(given, expected, fix)
    error.status, error.said = status, said
    return error


class Patience:
    """When to ask a server again: shared by all requests to it, so that they wait together.

    A busy server is waited for as long as it lets something through now and then; one that fails is
    asked a few times more.
    """

    def __init__(self) -> None:
        self._not_before = 0.0  # on the monotonic clock
        self._busy_since: float | None = None
        self._told = False

    def success(self) -> None:
        """Something got through: a busy server's time begins anew."""
        self._busy_since, self._told = None, False

    def pause(self, stop: threading.Event) -> None:
        """Wait until the server wants to be asked again, or until ``stop`` is set.

        Raises:
            Stopped: if ``stop`` was set.
        """
        while (left := self._not_before - time.monotonic()) > 0 and not stop.is_set():
            stop.wait(left * _random.uniform(1.0, 1.1))  # not all at the same moment
        if stop.is_set():
            raise Stopped

    def after(self, error: Busy | Failed, attempts: int, stop: threading.Event) -> None:
        """Wait as a failure asks for; for a busy server, all requests do.

        Args:
            error: what came of the request.
            attempts: how often it was made so far with an error of this kind.
            stop: ends the waiting.

        Raises:
            ServerError: the same error, if waiting does not help or was done for long enough.
        """
        pause = min(LONGEST_BACKOFF, BACKOFF * 2 ** min(attempts - 1, 20) * _random.uniform(1.0, 1.5))
        if isinstance(error, Failed):
            if attempts > RETRIES:
                raise _told_more(error, f"{attempts} attempts")
            stop.wait(pause)
            return
        now = time.monotonic()
        since = self._busy_since = self._busy_since or now
        if error.wait is not None and error.wait > BACKOFF:  # "0" is no reason to ask without a pause
            pause = error.wait
        if now + pause > since + PATIENCE:
            asks = "" if error.wait is None else f"it asks to wait {error.wait:.0f} s; "
            raise _told_more(error, f"{asks}nothing got through for {now - since:.0f} s, {attempts} attempts")
        self._not_before = max(self._not_before, now + pause)
        if pause > WORTH_TELLING and not self._told:
            self._told = True
            warnings.warn(f"{error.given}: waiting for {pause:.0f} s", stacklevel=2)


def _told_more(error: Rejected, more: str) -> Rejected:
    longer = type(error)(f"{error.given} ({more})", error.expected, error.fix)
    longer.status = error.status
    return longer


# -- one request -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server.  Each request has a connection of its own.

    Args:
        url: address, as a rule ending in ``/v1``.
        api_key: sent as a bearer token; never shown.
        timeout: seconds that a reply may make no progress.

    Raises:
        InputError: for an address, key or timeout that cannot be used.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 300.0

    def __post_init__(self) -> None:
        check_address(self.url)
        key = self.api_key
        if key is not None and (not isinstance(key, str) or not re.fullmatch(r"[\x21-\x7e]+", key)):
            raise InputError("an api_key with spaces, line breaks or other characters", "printable ASCII")
        if (
            isinstance(self.timeout, bool)
            or not isinstance(self.timeout, (int, float))
            or not self.timeout > 0
        ):
            raise InputError(f"timeout={self.timeout!r}", "seconds, more than 0")

    def get(self, path: str) -> object:
        """The JSON of an address below the server's.

        Raises:
            ServerError: if the server is down, slow, refuses, or answers no JSON.
        """
        with self._reply("GET", path, None, threading.Event(), LARGEST) as (reply, _):
            return self._json(b"".join(reply.iter_raw()))

    def events(
        self, path: str, body: Mapping[str, object], stop: threading.Event, *, tokens: int
    ) -> Iterator[object]:
        """Post JSON and give the reply's events as they come; a reply in one piece is one event.

        Setting ``stop`` ends the events, also while the server is silent.

        Args:
            path: address below the server's.
            body: the request.
            stop: see above.
            tokens: most tokens of the reply; it limits the bytes.

        Raises:
            ServerError: as `get`; `Refused` for a request that the server does not take, `Busy` and
                `Failed` where asking again may help.
            Stopped: if ``stop`` was set.
        """
        limit = SPARE + PER_TOKEN * tokens
        with self._reply("POST", path, body, stop, limit) as (reply, watch):
            if "event-stream" not in reply.headers.get("Content-Type", ""):
                yield self._json(b"".join(reply.iter_raw()))
                return
            reply.encoding = "utf-8"
            for event in httpx2.EventSource(reply, max_event_size=min(limit, LARGEST)):
                if event.data == "[DONE]":
                    return
                if event.data:
                    found = self._event(event.data.encode(), watch)
                    _note_progress(found, watch)
                    yield found

    def hide(self, text: str) -> str:
        """A text without the key, which some servers repeat in their errors."""
        secret = self.api_key or ""
        if len(secret) < SHORTEST_KEY:
            return text
        return text.replace(secret, "[api_key]").replace(json.dumps(secret)[1:-1], "[api_key]")

    @contextmanager
    def _reply(
        self, method: str, path: str, body: Mapping[str, object] | None, stop: threading.Event, limit: int
    ) -> Iterator[tuple[httpx2.Response, _Watch]]:
        """A reply with status 200, and the watch over it; its bytes are counted while they are read."""
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
                watch.progress()
                reply.stream = _Bounded(
                    reply.stream, watch, limit, self._nonsense(f"more than {limit} bytes")
                )
                if reply.status_code != 200:
                    raise self._rejected(reply)
                if reply.headers.get("Content-Encoding", "identity") != "identity":
                    raise self._nonsense("a compressed reply, which was not asked for")
                yield reply, watch
        except (ServerError, InputError):
            raise
        except _Expired:
            raise self._silent() from None
        except httpx2.SSEError:
            raise self._nonsense(f"an event of more than {min(limit, LARGEST)} bytes") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise self._transport_error(error, watch, begun) from None  # its text may hold the server's

    def _client(self) -> httpx2.Client:
        """A client that uses the system's proxy, unless the server is on this machine.

        Raises:
            InputError: for a proxy that cannot be used; its address may hold a password.
        """
        url = httpx2.URL(self.url)
        try:
            return httpx2.Client(
                headers=self._headers(),
                verify=_tls() if url.scheme == "https" else _no_tls(),
                timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),  # the rest is the watch's
                trust_env=not _local(url.host),
                follow_redirects=False,
            )
        except (ValueError, ImportError, httpx2.InvalidURL) as error:
            raise InputError(
                f"a proxy in the environment that cannot be used ({type(error).__name__})",
                "HTTP_PROXY and HTTPS_PROXY with addresses that begin with http://",
                "set NO_PROXY to the server's name if it needs none",
            ) from None

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",  # a few bytes cannot unpack to gigabytes
            "Content-Type": "application/json",
            "User-Agent": "vlm-workbench",
        }
        return headers | ({"Authorization": f"Bearer {self.api_key}"} if self.api_key else {})

    def _json(self, data: bytes) -> object:
        try:
            return _without(read_json(data), self.hide)
        except InputError as error:
            raise self._nonsense(f"{self._said(data)} ({error.given})") from None

    def _event(self, data: bytes, watch: _Watch) -> object:
        try:
            return self._json(data)
        except Nonsense as error:
            if watch.ended:  # no blank line came after it: it is a part of one
                raise Failed(f"{self.url} ended within an event", "a whole reply", "ask again") from error
            raise

    # -- what goes wrong ---------------------------------------------------------------------

    def _transport_error(self, error: Exception, watch: _Watch, begun: bool) -> Exception:
        """What a failure of the transport means."""
        try:
            watch.check()
        except Stopped as stopped:
            return stopped
        except _Expired:
            return self._silent()
        said = self.hide(f"{type(error).__name__}: {error}")
        if begun:
            return Failed(
                f"the connection to {self.url} broke off ({said})",
                "a whole reply",
                "ask again, or look at the server's log",
            )
        if isinstance(error, UNREACHABLE):
            return self._unreachable(error)
        return rejection(f"{self.url} hung up without a reply ({said})", None)

    def _unreachable(self, error: Exception) -> ServerError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                return ServerError(
                    f"{self.url} speaks no valid TLS ({cause})",
                    "a server whose certificate this machine trusts, for this very name",
                    "set SSL_CERT_FILE to its authority's certificate, or use http:// if it has none",
                )
            cause = cause.__cause__ or cause.__context__
        return ServerError(
            f"no server answers at {self.url} ({self.hide(str(error))})",
            "a running OpenAI-compatible server",
            "start it, or check address and port",
        )

    def _silent(self) -> Silent:
        return Silent(
            f"{self.url} was silent for {self.timeout:g} s",
            "a server that answers in time",
            "pass a larger timeout=",
        )

    def _rejected(self, reply: httpx2.Response) -> Rejected:
        """The error for a reply whose status is not success."""
        status, data = reply.status_code, b""
        for chunk in reply.iter_raw():
            data += chunk
            if len(data) > 2**16:
                break
        said = self._said(data)
        given = f"{self.url} answered with status {status}: {said}"
        if 300 <= status < 400:
            given = f"{self.url} redirects to {self.hide(reply.headers.get('Location', ''))[:400]!r}"
        error = rejection(given, status, f"{said} {self.hide(data.decode('utf-8', 'replace'))}")
        if isinstance(error, Busy):
            error.wait = _retry_after(reply.headers)
        return error

    def _nonsense(self, what: str) -> Nonsense:
        return Nonsense(
            f"{self.url} does not speak the protocol; it sent {what}",
            "JSON as an OpenAI-compatible server sends it",
            "check the address (ends in /v1?)",
        )

    def _said(self, data: bytes) -> str:
        """What a server said, shortened: its message about an error, or the beginning."""
        try:
            message = error_text(_without(read_json(data), self.hide))
        except InputError:
            message = ""
        return (
            message or " ".join(self.hide(data[:4000].decode("utf-8", "replace")).split())[:200] or "nothing"
        )


class _Expired(Exception):
    """The reply made no progress for too long."""


class _Watch:
    """Cuts a connection when its caller gives up or the reply makes no progress.

    Waiting for a silent server cannot be done in short steps (a transport that timed out once is closed),
    and the transport's own limits are for one read: a byte now and then would get around them.
    """

    def __init__(self, stop: threading.Event, timeout: float) -> None:
        self._stop, self._timeout, self._expired = stop, float(min(timeout, 1e9)), False
        self._last = False  # whether no more progress is expected
        self.ended = False  # whether all bytes have been read
        self._socket: socket.socket | None = None
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workbench-watch", daemon=True)
        self.progress()

    def progress(self, *, ended: bool = False) -> None:
        """The reply has grown: its time begins anew.  Once it has ended, a little time is left."""
        if not self._last:
            self._last = ended
            self._until = time.monotonic() + (min(self._timeout, AFTERWARDS) if ended else self._timeout)

    def check(self) -> None:
        """Refuse to go on if the connection was, or should be, cut.

        Raises:
            Stopped: if the caller gave up.
            _Expired: if the reply made no progress for too long.
        """
        if self._stop.is_set():
            raise Stopped
        if self._expired:
            raise _Expired

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

    def __init__(self, stream: object, watch: _Watch, limit: int, too_many: Nonsense) -> None:
        assert isinstance(stream, httpx2.SyncByteStream), type(stream)
        self._stream, self._watch, self._limit, self._too_many = stream, watch, limit, too_many

    def __iter__(self) -> Iterator[bytes]:
        left = self._limit
        for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise self._too_many
            yield chunk
        self._watch.check()  # a connection that was cut may look like the end of a reply
        self._watch.ended = True
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


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds that a reply asks to wait, given as such or as a date; None if it does not tell."""
    for name, unit in (("Retry-After-Ms", 1e-3), ("Retry-After", 1.0)):
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", asked := headers.get(name, "").strip()):
            return float(asked) * unit
    when = _date(headers.get("Retry-After", ""))
    now = _date(headers.get("Date", "")) or datetime.now(UTC)  # the server's clock may be off
    return None if when is None else max(0.0, (when - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# -- JSON of a stranger ----------------------------------------------------------------------------


def read_json(data: bytes) -> object:
    """The value of a JSON text, whose size and depth are limited.

    Raises:
        InputError: if it is none, or too large or too deep.
    """
    if len(data) > LARGEST or sum(map(data.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise InputError("it is too large", f"{LARGEST} bytes and {MOST_VALUES} values at most")
    return parse_json(data, "it", max_depth=DEEPEST)


def _without(value: object, hide: Callable[[str], str]) -> object:
    """A value of limited depth with all its texts changed by ``hide``."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [_without(part, hide) for part in value]
    if isinstance(value, dict):
        return {hide(name): _without(part, hide) for name, part in value.items()}
    return value


class Fields:
    """One JSON object of a server, read field by field; a null counts as absent.

    Args:
        found: what should be an object.
        url: the server, for messages.
        place: where it stood in the reply ("choices[0].delta").

    Raises:
        Nonsense: here and by all methods, if something is not of the kind that it should be.
    """

    def __init__(self, found: object, url: str, place: str = "") -> None:
        self._url, self._place = url, place
        if not isinstance(found, dict):
            raise self._wrong(place or "a reply", found, "an object")
        self._found = found

    def __contains__(self, name: str) -> bool:
        return self._found.get(name) is not None

    def get(self, name: str) -> object:
        """A field as it is; None if it is absent."""
        return self._found.get(name)

    def text(self, name: str) -> str:
        """A text; empty if absent."""
        value = self._found.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(self._of(name), value, "text")
        return value or ""

    def number(self, name: str) -> float | None:
        """A number; a huge one as 1e300."""
        value = self._found.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise self._wrong(self._of(name), value, "a number")
        return float(max(-1e300, min(1e300, value)))  # a whole number may be too large for a float

    def count(self, name: str) -> int | None:
        """A whole number of at least 0; some servers write it as 7.0."""
        value = self.number(name)
        if value is not None and not (0 <= value < 2**40 and value == int(value)):
            raise self._wrong(self._of(name), self._found[name], "a count")
        return None if value is None else int(value)

    def part(self, name: str) -> Fields:
        """An object; empty if absent."""
        value = self._found.get(name)
        return Fields({} if value is None else value, self._url, self._of(name))

    def parts(self, name: str) -> list[Fields]:
        """A list of objects; empty if absent."""
        value = self._found.get(name)
        if value is not None and not isinstance(value, list):
            raise self._wrong(self._of(name), value, "a list")
        return [Fields(part, self._url, f"{self._of(name)}[{i}]") for i, part in enumerate(value or ())]

    def _of(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def _wrong(self, what: str, value: object, wanted: str) -> Nonsense:
        return Nonsense(
            f"{self._url} does not speak the protocol; it sent {what} = {_short(value)}",
            f"{wanted}, as an OpenAI-compatible server sends it",
            "check the address, or look at the server's log",
        )


def _short(value: object) -> str:
    """A value for a message; a large one only by its kind."""
    if isinstance(value, (dict, list)) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)} entries"
    return f"{shown[:80]}…" if len(shown := repr(value)) > 80 else shown


def error_text(found: object) -> str:
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


def error_codes(found: object) -> list[str]:
    """What a JSON reply that reports an error gives as its ``code`` and ``type``."""
    error = found.get("error") if isinstance(found, dict) else None
    error = error if isinstance(error, dict) else found if isinstance(found, dict) else {}
    codes = (error.get("code"), error.get("type"))
    return [str(code)[:80] for code in codes if isinstance(code, (str, int)) and not isinstance(code, bool)]


# -- the reply -------------------------------------------------------------------------------------

THOUGHTS = (
    ("<think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel>thought", "<channel|>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<unused94>thought", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
)
"""What opens and closes a thought in the text of a model whose server does not take it apart."""

APART = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
"""Fields of a reply that hold a thought by itself; some servers send it under two names."""

SAYS = ("content", *APART, "reasoning_details", "refusal", "tool_calls")
"""Fields of a reply by which it grows."""

ENDS = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "safety", "recitation", "prohibited_content"), "content_filter"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use"), "tool_calls"),
    "refusal": "refusal",
}
"""A reply's end as the server names it, in the words of `Answer.stopped`; any other is "end"."""

STATUSES = {
    **dict.fromkeys(("invalid_request_error", "BadRequestError"), 400),
    **dict.fromkeys(("authentication_error", "invalid_api_key"), 401),
    "model_not_found": 404,
    **dict.fromkeys(("rate_limit_error", "rate_limit_exceeded"), 429),
    "overloaded_error": 503,
}
"""Statuses of the errors that a reply names by a word."""

BROKEN_OFF = ("error", "abort", "aborted", "cancelled")


@dataclass(frozen=True)
class Usage:
    """A server's counts of tokens; None where it does not tell."""

    prompt: int | None = None
    images: int | None = None
    made: int | None = None
    thought: int | None = None

    @classmethod
    def read(cls, usage: Fields) -> Usage:
        """The counts of one exchange.

        A prompt of no tokens, or none at all for what was written, is how some servers say that they
        do not know.  Where a thought has more tokens than the reply it is counted beside it.
        """
        made, thought = usage.count("completion_tokens"), None
        if "completion_tokens_details" in usage:
            thought = usage.part("completion_tokens_details").count("reasoning_tokens")
        if made is not None and thought is not None and thought > made:
            made += thought
        images = usage.part("prompt_tokens_details").count("image_tokens")
        return cls(usage.count("prompt_tokens") or None, images, made or None, thought)


class ServedReply:
    """A reply, put together from a server's events.

    Servers give a thought in a field of its own (``reasoning_content``, ``reasoning``, ...), as parts of
    the content, or inside the text between delimiters; all are understood, also where a delimiter is
    spread over events, and where only its close is seen because the prompt opened it.

    Args:
        thought: the family's delimiters; those in `THOUGHTS` are known beside them.
        opened: the prompt, or what the reply was made to begin with, opened the thought.
        certain: whether that is certain; else a reply that ends without closing it was an answer.
    """

    def __init__(self, thought: tuple[str, str], *, opened: bool = False, certain: bool = False) -> None:
        self.finish = ""
        self.usage = Usage()
        self.first_tokens: dict[str, float] = {}
        self._pairs = (thought, *(pair for pair in THOUGHTS if pair[0] != thought[0]))
        self._open, self._closes = thought[0], tuple(close for _, close in self._pairs if close)
        self._state = "thought" if opened else "start"  # then "answer"
        self._supposed = opened and not certain  # until a close, or a field of its own, shows that it was one
        self._thought: str | None = "" if opened else None
        self._answer = self._held = ""
        self._apart = self._seen_first = self._declined = False

    def begin(self, begun: str) -> list[Piece]:
        """The reply was made to begin with a thought, its delimiters included; its pieces."""
        pieces = list(self._split(begun.removeprefix(self._open)))
        return pieces + self.end()

    def take(self, event: object, url: str) -> list[Piece]:
        """Read one event; the pieces of text that it completes.

        Raises:
            ServerError: if the server reports an error, or the event is not of the protocol.
        """
        found = Fields(event, url)
        if "error" in found or ("choices" not in found and error_text(event)):
            raise self._reported(event, url)
        if "choices" not in found:
            raise Nonsense(f"{url} sent an event without choices", "chat completions", "check the address")
        choices = found.parts("choices")
        choice = next((c for c in choices if not c.count("index")), None)  # others belong to other replies
        for holder in (found, choice):  # some servers put the counts into the choice
            if holder and "usage" in holder:
                self.usage = Usage.read(holder.part("usage"))
        if choice is None:  # the last event may hold nothing but the counts
            return []
        delta = choice.part("delta" if "delta" in choice else "message")
        self._read_first_tokens(choice.part("logprobs"))
        self._read_end(choice, delta, url)
        return list(self._pieces(delta))

    def end(self) -> list[Piece]:
        """The reply is complete: what was held back because it could have become a delimiter."""
        held, self._held = self._held, ""
        pieces = [self._add(held, self._state)] if held else []
        if self._supposed and self.finish == "end":  # it never closed and yet ended: it was the answer
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
        close = "" if self.thinking else self._closes[0]
        return self._open + self._thought + close + self._answer + self._held

    @property
    def text(self) -> str:
        """The answer so far."""
        return whole_characters(self._answer).strip()

    @property
    def thought(self) -> str | None:
        """The thought so far; None where none was opened."""
        return None if self._thought is None else whole_characters(self._thought).strip()

    @property
    def length(self) -> int:
        """Characters so far."""
        return len(self._answer) + len(self._thought or "") + len(self._held)

    @property
    def thinking(self) -> bool:
        """Whether the thought has not been closed yet."""
        return self._state == "thought" or (self._apart and not self._answer.strip())

    @property
    def p_think(self) -> float | None:
        """Probability that the first token opens a thought, from the likeliest first tokens.

        None where the server did not tell them; where the opening is not among them although they
        leave more than 0.1 percent to others; or where one may begin an opening of several tokens.
        """
        if not self.first_tokens or not self._open:
            return None
        if self._open in self.first_tokens:
            return self.first_tokens[self._open]
        begun = sum(p for token, p in self.first_tokens.items() if token and self._open.startswith(token))
        return 0.0 if sum(self.first_tokens.values()) > 0.999 and begun < 0.001 else None

    def _reported(self, event: object, url: str) -> ServerError:
        """The error that an event reports, by its code where that is a status."""
        codes = error_codes(event)
        known = [STATUSES.get(code) or int(code) for code in codes if code in STATUSES or code.isdecimal()]
        status = known[0] if known else None
        message = error_text(event) or _short(event)
        found = rejection(f"{url} reports: {message}", status, " ".join((message, *codes)))
        return Failed(found.given, found.expected, found.fix) if self.length else found

    def _read_end(self, choice: Fields, delta: Fields, url: str) -> None:
        """Why the reply ended, if it did."""
        self._declined = self._declined or bool(delta.text("refusal"))
        if not (said := choice.text("finish_reason")):
            return
        word = re.split(r"[:\s]", said.lower())[0]
        if word in BROKEN_OFF:
            raise Failed(
                f"{url} broke the reply off (finish_reason {said[:80]!r})", "a whole reply", "ask again"
            )
        end = ENDS.get(word, "end")
        self.finish = "refusal" if self._declined and end == "end" else end

    def _pieces(self, delta: Fields) -> Iterator[Piece]:
        content, parts = delta.get("content"), ""
        if isinstance(content, list):  # some servers send parts
            parts, text = _content(delta.parts("content"))
        else:
            text = delta.text("content")
        apart = next(filter(None, map(delta.text, APART)), "") or _details(delta) or parts
        if apart:
            self._apart, self._supposed, self._state = True, False, "answer"
            yield self._add(apart, "thought")
        yield from self._split(text + delta.text("refusal"))

    def _split(self, text: str) -> Iterator[Piece]:
        """Sort text into thought and answer, holding back what may become a delimiter."""
        self._held += text
        while self._held:
            if self._state == "start":
                if self._may_open():
                    return
            elif self._supposed and not self._thought and self._may_open():
                return
            elif self._state == "thought" or self._thought is None:
                at, close = min(
                    ((self._held.find(close), close) for close in self._closes if close in self._held),
                    default=(-1, ""),
                )
                if at < 0:
                    yield from self._let_go()
                    return
                if self._state == "answer":  # the prompt had opened the thought
                    self._thought, self._answer = self._answer, ""
                before, self._held = self._held[:at], self._held[at + len(close) :]
                self._state, self._supposed = "answer", False
                yield self._add(before, "thought")
            else:
                certain, self._held = self._held, ""
                yield self._add(certain, "answer")

    def _may_open(self) -> bool:
        """Read the opening of a thought, if the reply begins with one.

        Returns:
            Whether more text is needed to tell.
        """
        bare = self._held.lstrip()
        pair = next((pair for pair in self._pairs if pair[0] and bare.startswith(pair[0])), None)
        if pair is not None:
            self._open, self._closes = pair[0], (pair[1],)
            self._held, self._supposed, self._state = bare[len(pair[0]) :], False, "thought"
            self._thought = self._thought or ""
        elif not bare or any(start.startswith(bare) for start, _ in self._pairs):
            return True
        elif self._state == "start":
            self._state = "answer"
        return not self._held

    def _let_go(self) -> Iterator[Piece]:
        """All that is held but what may become a close."""
        kept = max(_overlap(self._held, close) for close in self._closes) if self._closes else 0
        certain = self._held[: len(self._held) - kept]
        self._held = self._held[len(certain) :]
        if certain:
            yield self._add(certain, self._state)

    def _add(self, text: str, kind: str) -> Piece:
        if kind == "thought":
            self._thought = (self._thought or "") + text
        else:
            self._answer += text
        return Piece(whole_characters(text), "thought" if kind == "thought" else "answer")

    def _read_first_tokens(self, logprobs: Fields) -> None:
        """Keep the likeliest first tokens with their probabilities."""
        content = [] if self._seen_first else logprobs.parts("content")
        if not content:
            return
        self._seen_first = True
        for entry in content[0].parts("top_logprobs") or content[:1]:
            value = entry.number("logprob")
            if value is not None and value < 0.01:  # rounding may make it more than 0
                self.first_tokens[entry.text("token")] = min(1.0, exp(value))


def _content(parts: Sequence[Fields]) -> tuple[str, str]:
    """(thought, text) of a content in parts; a thought's part may again hold parts."""
    thought = text = ""
    for part in parts:
        if part.text("type") in ("thinking", "reasoning"):
            inner = part.get("thinking")
            both = _content(part.parts("thinking")) if isinstance(inner, list) else (part.text("thinking"),)
            thought += "".join(both) + part.text("text")
        else:
            text += part.text("text")
    return thought, text


def _details(delta: Fields) -> str:
    """The thought in ``reasoning_details``; what is encrypted there cannot be read."""
    return "".join(part.text("text") or part.text("summary") for part in delta.parts("reasoning_details"))


def _note_progress(event: object, watch: _Watch) -> None:
    """Give a reply more time for an event that says something: keep-alives do not."""
    choices = event.get("choices") if isinstance(event, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        if choice.get("finish_reason"):
            watch.progress(ended=True)
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict) and any(delta.get(name) for name in SAYS):
            watch.progress()


def whole_characters(text: str) -> str:
    """A text whose half characters are put together where they meet, and marked where they do not."""
    if not re.search("[\ud800-\udfff]", text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``mark``."""
    return next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if mark.startswith(text[-n:])), 0)
