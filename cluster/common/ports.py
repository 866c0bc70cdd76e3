"""Ports that nobody uses."""

from __future__ import annotations

import random
import socket

PORTS = range(20_000, 32_000)  # below the range that the kernel hands out by itself


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody uses on loopback."""
    for _ in range(1_000):
        first = random.randrange(PORTS.start, PORTS.stop - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise OSError(f"no {count} free ports in a row between {PORTS.start} and {PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
