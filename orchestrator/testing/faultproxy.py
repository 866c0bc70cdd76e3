"""A small HTTP proxy on loopback that does to a store's answers what networks do: errors, resets, delays, damage."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Kind = Literal["status", "reset", "delay", "truncate", "stall", "trickle", "flip"]

_HOP = {"connection", "transfer-encoding", "content-length", "expect", "keep-alive"}
_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"
_CODES = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}
_STALLED_SECONDS = 60.0
_TRICKLE_SECONDS = 0.05


@dataclass
class Fault:
    """What happens to requests that fit, until it has happened `times` times.

    Attributes:
        kind: `status` answers with an error; `reset` resets the connection; `delay` waits before answering; `truncate`
            ends in the middle of the body; `stall` sends half of the body and then nothing; `trickle` sends it byte by
            byte, 20 a second; `flip` flips a bit of it.
        path: a regular expression that is searched for in the path.
        methods: of the requests.
        times: how often.
        after: so many such requests pass first.
        status: of `status`.
        seconds: of `delay`.
    """

    kind: Kind
    path: str
    methods: tuple[str, ...] = ("GET",)
    times: int = 1
    after: int = 0
    status: int = 500
    seconds: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A request: method, path without the query, and its Range header."""

    method: str
    path: str
    range: str


@dataclass
class FaultProxy:
    """A proxy before the server at `port` on loopback."""

    port: int
    seen: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    endpoint: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def inject(self, kind: Kind, path: str, **options: object) -> None:
        """Add a fault; `options` are those of Fault."""
        with self.lock:
            self.faults.append(Fault(kind, path, **options))  # type: ignore[arg-type]

    def requests(self, path: str, method: str = "GET") -> list[Seen]:
        """The requests so far whose path fits a regular expression."""
        with self.lock:
            return [one for one in self.seen if one.method == method and re.search(path, one.path)]

    def take(self, method: str, path: str, wanted: str) -> Fault | None:
        """Note a request; the fault that happens to it."""
        with self.lock:
            self.seen.append(Seen(method, path, wanted))
            for fault in self.faults:
                if fault.times < 1 or method not in fault.methods or not re.search(fault.path, path):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None


@contextmanager
def fault_proxy(port: int) -> Iterator[FaultProxy]:
    """A running proxy before a server on loopback; its `endpoint` is the URL to use instead."""
    proxy = FaultProxy(port)

    class Handler(_Handler):
        faults = proxy

    server = _Server(("127.0.0.1", 0), Handler)
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    faults: FaultProxy
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Pass a request on, and its answer back, with what is to go wrong."""
        body = self._body()
        fault = self.faults.take(self.command, self.path.partition("?")[0], self.headers.get("Range", ""))
        if fault is not None and fault.kind == "delay":
            self.faults.closing.wait(fault.seconds)
        if fault is not None and fault.kind == "reset":
            self._reset()
        elif fault is not None and fault.kind == "status":
            content = _ERROR.format(code=_CODES.get(fault.status, "Error")).encode()
            self._send(fault.status, [("Content-Type", "application/xml")], content, None)
        else:
            self._send(*self._upstream(body), fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _upstream(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.faults.port, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
        if self.command == "HEAD":
            kept.append(("Content-Length", answer.headers.get("Content-Length", "0")))
        connection.close()
        return answer.status, kept, content

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes, fault: Fault | None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        kind = fault.kind if fault is not None else ""
        if kind == "flip" and content:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        if kind in {"truncate", "stall", "trickle"}:
            self._send_badly(kind, content)
        else:
            self.wfile.write(content)

    def _send_badly(self, kind: str, content: bytes) -> None:
        self.close_connection = True
        if kind == "trickle":
            with contextlib.suppress(OSError):  # the client has had enough
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    if self.faults.closing.wait(_TRICKLE_SECONDS):
                        return
            return
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        if kind == "stall":
            self.faults.closing.wait(_STALLED_SECONDS)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)
