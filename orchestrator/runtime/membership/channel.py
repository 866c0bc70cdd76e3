"""One connection that never waits: messages that came in, messages that wait to go out."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Mapping
from typing import Any

from orchestrator.runtime.membership.wire import LONGEST_GREETING, LONGEST_LINE, LineBuffer, encode

_MOST_WAITING = 8 << 20
_CHUNK = 1 << 16


class Channel:
    """A non-blocking stream socket that carries messages.

    Args:
        sock: connected, or on its way.

    Attributes:
        socket: for whoever waits for it.
        open: false once the connection is of no use any more; it is still to be closed.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.open = True
        self._lines = LineBuffer(LONGEST_GREETING)
        self._waiting = bytearray()

    @property
    def wants_to_write(self) -> bool:
        """Whether messages wait."""
        return bool(self._waiting)

    def was_refused(self) -> bool:
        """Whether nobody listened at the other end; then it is closed for good."""
        refused = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        self.open = self.open and not refused
        return refused

    def trust(self) -> None:
        """The peer knows the secret: it may send long lines."""
        self._lines.limit = LONGEST_LINE

    def send(self, message: Mapping[str, Any]) -> None:
        """Send now what can be sent now; a peer that reads nothing for long is cut off."""
        self._waiting += encode(message)
        self.flush()
        if len(self._waiting) > _MOST_WAITING:
            self.open = False

    def flush(self) -> None:
        """Send what waits, as far as the peer takes it."""
        try:
            while self.open and self._waiting:
                del self._waiting[: self.socket.send(self._waiting)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.open = False

    def receive(self) -> list[dict[str, Any]]:
        """The messages that have come; `open` is false where the peer has closed.

        Raises:
            WireError: it sent something else.
        """
        found: list[dict[str, Any]] = []
        try:
            while self.open:
                data = self.socket.recv(_CHUNK)
                if not data:
                    self.open = False
                found += self._lines.feed(data)
                if len(data) < _CHUNK:
                    break
        except (BlockingIOError, InterruptedError):
            return found
        except OSError:
            self.open = False
        return found

    def close(self) -> None:
        """End it; whoever watches the socket stops watching it before."""
        self.open = False
        self._waiting.clear()
        self.socket.close()
