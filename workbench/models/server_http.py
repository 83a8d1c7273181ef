"""Talking to a server: requests, retries with back-off, server-sent events; standard library only.

What a server sends is not trusted: sizes are limited, redirects are not followed (they would carry
the key and the pictures elsewhere), and whatever is not the protocol becomes a `ServerError`.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..errors import InputError, ServerError

__all__ = ["Endpoint", "Nonsense", "Refused", "Rejected", "Stopped"]

CONNECT_TIMEOUT = 10.0  # seconds
LARGEST = 64 * 2**20  # bytes of one reply, or of one event
RETRIED = (429, 500, 502, 503, 504)
BACKOFF = 0.5  # seconds before the first repetition; doubled each time
LONGEST_WAIT = 30.0


class Rejected(ServerError):
    """The server answered with a status that is not success."""

    status: int | None = None


class Refused(Rejected):
    """The server refused a request because of what it asks for (status 400 or 422)."""


class Nonsense(ServerError):
    """What the server sent is not the protocol."""


class Stopped(Exception):
    """The request was given up because its caller asked for that."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server.

    Args:
        url: address, as a rule ending in ``/v1``.
        api_key: sent as a bearer token; never shown.
        timeout: seconds that the server may stay silent.
        retries: how often a request is repeated when the server is busy or fails.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 300.0
    retries: int = 4

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
        """
        with self._reply("POST", path, body, stop) as reply:
            if "event-stream" in (reply.getheader("Content-Type") or ""):
                yield from self._stream(reply)
            else:
                found = self._json(reply)
                if not isinstance(found, dict):
                    raise self._nonsense(repr(found))
                yield found

    # -- one request -------------------------------------------------------------------------

    @contextmanager
    def _reply(
        self, method: str, path: str, body: Mapping[str, Any] | None, stop: threading.Event
    ) -> Iterator[http.client.HTTPResponse]:
        """A reply with status 200, after repetitions where they help; closed afterwards."""
        for attempt in range(self.retries + 1):
            connection, reply = self._connect(), None
            with _cutting(connection.sock, stop):
                try:
                    reply = self._send(connection, method, path, body)
                    if reply is not None and reply.status == 200:
                        yield reply
                        return
                    wait = self._wait_or_raise(reply, attempt)
                except ServerError:
                    raise
                except (OSError, http.client.HTTPException) as error:
                    if stop.is_set():
                        raise Stopped from None
                    raise self._broken(error) from error
                finally:
                    if reply is not None:
                        reply.close()  # an HTTP/1.0 reply owns the socket: the connection has let go of it
                    connection.close()
            if stop.wait(wait):
                raise Stopped

    def _connect(self) -> http.client.HTTPConnection:
        """An open connection, through the system's proxy unless the server is on this machine."""
        parts = urlsplit(self.url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        proxy = None if _local(host) else urllib.request.getproxies().get(parts.scheme)
        if proxy and urllib.request.proxy_bypass(host):
            proxy = None
        try:
            port = parts.port or (443 if secure else 80)
            if proxy:
                via = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
                connection = kind(via.hostname or "", via.port or 3128, timeout=CONNECT_TIMEOUT)
                connection.set_tunnel(host, port)
            else:
                connection = kind(host, port, timeout=CONNECT_TIMEOUT)
            connection.connect()
        except ssl.SSLError as error:
            raise ServerError(
                f"{self.url} speaks no valid TLS ({error})",
                "a server with a valid certificate",
                "try http://",
            ) from error
        except (OSError, ValueError) as error:
            raise ServerError(
                f"no server answers at {self.url} ({error})",
                "a running OpenAI-compatible server",
                "start it, or check address and port",
            ) from error
        connection.sock.settimeout(self.timeout)
        return connection

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Mapping[str, Any] | None
    ) -> http.client.HTTPResponse | None:
        """The reply, whatever its status; None if the server hung up without one."""
        headers = {"Accept": "application/json, text/event-stream"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, urlsplit(self.url).path.rstrip("/") + path, body=data, headers=headers)
            return connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            return None

    def _wait_or_raise(self, reply: http.client.HTTPResponse | None, attempt: int) -> float:
        """Seconds to wait before a repetition.

        Raises:
            ServerError: if repeating does not help, or was done often enough.
        """
        status = None if reply is None else reply.status
        said = "it hung up without a reply" if reply is None else _said(reply.read(LARGEST))
        if (status is None or status in RETRIED) and attempt < self.retries:
            pause = BACKOFF * 2**attempt * random.SystemRandom().uniform(1.0, 1.5)
            asked = "" if reply is None else reply.getheader("Retry-After") or ""
            return min(LONGEST_WAIT, max(pause, float(asked) if re.fullmatch(r"\d+(\.\d+)?", asked) else 0.0))
        given = f"{self.url} answered with status {status}: {said}" if status else f"{self.url}: {said}"
        raise self._rejected(status, given, reply, attempt)

    def _rejected(
        self, status: int | None, given: str, reply: http.client.HTTPResponse | None, attempt: int
    ) -> Rejected:
        kind = Refused if status in (400, 422) else Rejected
        if status in (400, 422):
            expected, fix = "a request that this server takes", ""
        elif status in (401, 403):
            expected, fix = "a valid key", "pass api_key="
        elif reply is not None and status is not None and 300 <= status < 400:
            given = f"{self.url} redirects to {reply.getheader('Location')!r}"
            expected, fix = "an address that answers itself", "pass that address, if you trust it"
        elif status == 404:
            expected, fix = (
                "an address and a model that the server has",
                "check both (the address ends in /v1?)",
            )
        elif status is None or status in RETRIED:
            given += f" ({attempt + 1} attempts)"
            expected, fix = "a server that has time and works", "wait, or look at the server's log"
        else:
            expected, fix = "an OpenAI-compatible server", "check the address"
        error = kind(given, expected, fix)
        error.status = status
        return error

    # -- what comes back ---------------------------------------------------------------------

    def _json(self, reply: http.client.HTTPResponse) -> Any:
        data = reply.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise self._nonsense(f"more than {LARGEST} bytes")
        try:
            return json.loads(data)
        except ValueError:
            raise self._nonsense(_said(data)) from None

    def _stream(self, reply: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        """Server-sent events; each one's data lines are one JSON object, ``[DONE]`` is the end."""
        lines: list[bytes] = []
        while True:
            line = reply.readline(LARGEST + 1)
            if len(line) > LARGEST:
                raise self._nonsense(f"an event of more than {LARGEST} bytes")
            text = line.rstrip(b"\r\n")
            if text.startswith(b"data:"):
                lines.append(text[5:].strip())
            if (not line or not text) and lines:
                data, lines = b"\n".join(lines), []
                if data == b"[DONE]":
                    return
                yield self._event(data)
            if not line:
                return

    def _event(self, data: bytes) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except ValueError:
            raise self._nonsense(_said(data)) from None
        if not isinstance(found, dict):
            raise self._nonsense(_said(data))
        return found

    def _nonsense(self, what: str) -> Nonsense:
        return Nonsense(
            f"{self.url} does not speak the protocol; it sent {what}",
            "JSON as an OpenAI-compatible server sends it",
            "check the address (ends in /v1?)",
        )

    def _broken(self, error: Exception) -> ServerError:
        if isinstance(error, TimeoutError):
            return ServerError(
                f"{self.url} was silent for {self.timeout:g} s",
                "a server that answers in time",
                "pass a larger timeout=",
            )
        return ServerError(
            f"the connection to {self.url} broke off ({type(error).__name__}: {error})",
            "a whole reply",
            "ask again, or look at the server's log",
        )


@contextmanager
def _cutting(sock: socket.socket, stop: threading.Event) -> Iterator[None]:
    """Cut a connection when ``stop`` is set: waiting for a silent server cannot be done in short steps."""
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(0.05):
            if stop.is_set():
                with suppress(OSError):  # closed already
                    sock.shutdown(socket.SHUT_RDWR)
                return

    watcher = threading.Thread(target=watch, name="workbench-stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


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
