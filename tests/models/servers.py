"""Servers on this machine that speak the chat-completions protocol, or do not, as a test tells them."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Answers requests from a script: a function from the request's body to what is sent.

    The function returns (status, headers, bytes), or a list of events for a stream.
    """

    def __init__(self, reply, models=("tiny",)):
        self.reply, self.models = reply, models
        self.requests, self.keys, self.paths = [], [], []
        self.at_once, self.most_at_once = 0, 0
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.paths.append(self.path)
                outer.keys.append(self.headers.get("Authorization"))
                if callable(outer.models):
                    return self.send(outer.models(self.path))
                if self.path != "/v1/models":
                    return self.send((404, {}, b'{"detail": "Not Found"}'))
                return self.send((200, {}, json.dumps({"data": [{"id": m} for m in outer.models]}).encode()))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.requests.append(body)
                    outer.keys.append(self.headers.get("Authorization"))
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                try:
                    self.send(outer.reply(body))
                finally:
                    with lock:
                        outer.at_once -= 1

            def send(self, what):
                if isinstance(what, tuple):
                    status, headers, data = what
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.end_headers()
                for event in what:
                    line = (
                        event
                        if isinstance(event, bytes)
                        else b"data: " + json.dumps(event).encode() + b"\n\n"
                    )
                    try:
                        self.wfile.write(line)
                        self.wfile.flush()
                    except OSError:
                        outer.hung_up = True
                        return

        self.hung_up = False
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


class RawServer:
    """Sends bytes after it has read a request (or at once): what ``reply()`` yields, then it hangs up."""

    def __init__(self, reply, *, at_once=False):
        self.reply, self.requests, self.at_once = reply, 0, at_once
        self.closing = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            if not self.at_once:
                self._read_request(connection)
            self.requests += 1
            try:
                for data in self.reply():
                    if self.closing.is_set():
                        return
                    connection.sendall(data)
            except OSError:  # the client hung up, as it should
                return

    @staticmethod
    def _read_request(connection):
        read = b""
        while b"\r\n\r\n" not in read:
            if not (more := connection.recv(65536)):
                return
            read += more
        head, body = read.split(b"\r\n\r\n", 1)
        length = next(
            (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b":0"
        )
        left = int(length.split(b":")[1]) - len(body)
        while left > 0 and (more := connection.recv(65536)):
            left -= len(more)

    def close(self):
        self.closing.set()
        self.listener.close()


def chunk(text=None, *, finish=None, usage=None, **delta):
    if text is not None:
        delta["content"] = text
    event = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return event | ({"usage": usage} if usage else {})


def said(*texts, finish="stop", made=7, prompt=11, **usage):
    """The events of a reply."""
    counts = {"prompt_tokens": prompt, "completion_tokens": made, **usage}
    last = {"choices": [], "usage": counts}
    return [chunk(role="assistant"), *map(chunk, texts), chunk(finish=finish), last, b"data: [DONE]\n\n"]
