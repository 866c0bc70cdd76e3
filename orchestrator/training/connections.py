"""The sockets of a gloo group, so that a broken one can be cut: what is under way in it ends then, here and elsewhere.

Without that a worker waits, when it leaves, for what others no longer send, and they for it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Collection, Mapping

Sockets = Mapping[int, int]
"""File descriptors, and their inodes: a number may be another socket's by the time that it is looked at again."""


def open_sockets() -> dict[int, int]:
    """All sockets of this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            about = os.fstat(int(name))
            if stat.S_ISSOCK(about.st_mode):
                found[int(name)] = about.st_ino
    return found


def listening_port(sockets: Sockets, before: Sockets) -> int:
    """The port of the listening socket that is in the first and not in the second; 0: there is none."""
    for descriptor in _new(sockets, before):
        with contextlib.suppress(OSError), _opened(descriptor) as one:
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return _port(one.getsockname())
    return 0


def connections(sockets: Sockets, before: Sockets, ports: Collection[int]) -> dict[int, int]:
    """Of the sockets that are in the first and not in the second those with one of the ports on either side."""
    found = {}
    for descriptor in _new(sockets, before):
        with contextlib.suppress(OSError), _opened(descriptor) as one:
            if {_port(one.getsockname()), _port(one.getpeername())} & {*ports}:
                found[descriptor] = sockets[descriptor]
    return found


def cut(sockets: Sockets) -> None:
    """End the connections; whoever owns them learns it as if the other side had gone."""
    for descriptor, inode in sockets.items():
        with contextlib.suppress(OSError), _opened(descriptor) as one:
            if os.fstat(one.fileno()).st_ino == inode:
                one.shutdown(socket.SHUT_RDWR)


def _new(sockets: Sockets, before: Sockets) -> list[int]:
    return [descriptor for descriptor, inode in sockets.items() if before.get(descriptor) != inode]


def _opened(descriptor: int) -> socket.socket:
    """A second handle: closing it leaves the first one open."""
    return socket.socket(fileno=os.dup(descriptor))


def _port(address: object) -> int:
    return int(address[1]) if isinstance(address, tuple) else 0
