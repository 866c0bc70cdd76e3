"""Where the server listens, and when it refuses to."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import UsageError

IDLE_SECONDS = 300.0


@dataclass(frozen=True)
class ServeOptions:
    """How to serve.

    Attributes:
        profile: the cluster, by name or path.
        host: where to listen.
        port: 0: any free one.
        tokens: the team's tokens; None: only the user's own, made anew, and `token`.
        token: one more admin token, from the environment.
        embedded: started by a command; ends when idle.
        idle_seconds: how long an embedded server waits for another request.
    """

    profile: str = "local"
    host: str = "127.0.0.1"
    port: int = 0
    tokens: Path | None = None
    token: str | None = None
    embedded: bool = False
    idle_seconds: float = IDLE_SECONDS


def check_binding(options: ServeOptions) -> bool:
    """Whether the address is on loopback.

    Raises:
        UsageError: it is not, and there is no token that others could be asked for.
    """
    try:
        loopback = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and options.tokens is None and not options.token:
        raise UsageError(
            f"listening on {options.host}, beyond loopback, needs tokens: everybody on the network could run programs",
            hint="give --tokens FILE, or set ORCHESTRATOR_TOKEN to a long random text",
        )
    return loopback


def listen(options: ServeOptions) -> socket.socket:
    """A socket that listens already, so that no request is lost between the word of it and the first answer.

    Raises:
        UsageError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror or error}", hint="choose another --port"
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address that a client on this host uses."""
    host, port = listener.getsockname()[:2]
    reachable = "127.0.0.1" if host in {"0.0.0.0", "::"} else host
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
