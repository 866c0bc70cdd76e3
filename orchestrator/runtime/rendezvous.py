"""Where the ranks of a run meet."""

from __future__ import annotations

import secrets
import socket

_LOWEST, _HIGHEST = 20_000, 32_767  # below the kernel's ephemeral ports: no outgoing connection takes one of these


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nobody listens now, and that hardly anybody takes before rank 0 does.

    Raises:
        OSError: none was found.
    """
    for _ in range(200):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST + 1)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port on {host} between {_LOWEST} and {_HIGHEST}")
