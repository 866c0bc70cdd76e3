"""Locks between the processes of a node: flock on a file that may be deleted by whoever holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.base.clock import Clock
from orchestrator.base.errors import RemoteUnavailable

_POLL_SECONDS = 0.01


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """A descriptor that holds the lock until it is closed; None where somebody else holds it.

    The folder must exist. A lock file that was deleted meanwhile is no lock: it is made again.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        if _is_at(handle, path):
            return handle
        os.close(handle)


def release(handle: int) -> None:
    """Let go of a lock, also where a fork has inherited the descriptor meanwhile and keeps it open."""
    fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that nobody holds for long; its file stays."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a fork has inherited the descriptor


@contextlib.contextmanager
def holding(path: Path, what: str, *, seconds: float, clock: Clock) -> Iterator[None]:
    """Hold a lock, waiting up to `seconds` for it; its file is deleted at the end.

    Raises:
        RemoteUnavailable: somebody else held it all the time.
    """
    until = clock.monotonic() + seconds
    while (handle := try_lock(path)) is None:
        if clock.monotonic() > until:
            raise RemoteUnavailable(
                f"another process of this node has been fetching {what} for {seconds:.0f} s",
                hint=f"see who holds {path} (fuser, lsof), end it and start again",
            )
        clock.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits finds out and makes a new one
        release(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)
