"""How an agent makes its guard hold the locks of slots that it takes later: the open files travel over a socket pair.

The guard outlives the agent and everything below it. What it holds stays locked until all of that is gone, also where
the agent is killed in between: a file that is still on its way is held by the socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from orchestrator.base.slots import Lease

_WORD = struct.Struct("<?q")  # whether it comes or goes, and its slot


class Keeping:
    """The agent's end.

    Args:
        socket_: of the pair.
    """

    def __init__(self, socket_: socket.socket) -> None:
        self._socket = socket_
        self._socket.setblocking(False)

    def keep(self, lease: Lease) -> bool:
        """Hand the open files over; False where the guard does not take them: the slots must be given back."""
        for slot, handle in zip(lease.slots, lease.handles, strict=True):
            try:
                socket.send_fds(self._socket, [_WORD.pack(True, slot)], [handle])
            except OSError:
                return False
        return True

    def drop(self, lease: Lease) -> None:
        """The slots are given back: the guard need not keep their files open."""
        for slot in lease.slots:
            with contextlib.suppress(OSError):
                self._socket.send(_WORD.pack(False, slot))


class Keeper:
    """The guard's end.

    Args:
        socket_: of the pair.
    """

    def __init__(self, socket_: socket.socket) -> None:
        self._socket = socket_
        self._socket.setblocking(False)
        self._held: dict[int, int] = {}

    def fileno(self) -> int:
        """Readable when there is something to take."""
        return self._socket.fileno()

    @property
    def open(self) -> bool:
        """Whether the agent's end is still there."""
        return self._socket.fileno() >= 0

    def take(self) -> None:
        """Take in what has come; the agent's end closes with the agent."""
        with contextlib.suppress(BlockingIOError):
            while self.open:
                try:
                    word, handles, _, _ = socket.recv_fds(self._socket, _WORD.size, 1)
                except ConnectionError:
                    word, handles = b"", []
                if not word:
                    self._socket.close()
                    return
                self._change(word, handles)

    def _change(self, word: bytes, handles: list[int]) -> None:
        comes, slot = _WORD.unpack(word)
        before = self._held.pop(slot, None)
        if before is not None:
            os.close(before)
        if comes:
            (self._held[slot],) = handles


def pair() -> tuple[socket.socket, socket.socket]:
    """The agent's end and the guard's; what is sent keeps its borders."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
