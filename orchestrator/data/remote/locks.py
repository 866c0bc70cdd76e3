"""Locks between the processes of a node: flock on a file that may be deleted by whoever holds it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.base.clock import Clock
from orchestrator.base.errors import RemoteUnavailable

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.01
_WARNED_AFTER_SECONDS = 30.0


class HolderIdle(RemoteUnavailable):
    """Whoever holds a lock makes no progress."""


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
def holding(
    path: Path,
    what: str,
    *,
    seconds: float,
    clock: Clock,
    files: Sequence[Path] = (),
    idle_seconds: float = math.inf,
) -> Iterator[None]:
    """Hold a lock, waiting for it; its file is deleted at the end. A long wait is logged.

    Args:
        path: the lock.
        what: is fetched by whoever holds it, for messages.
        seconds: the longest wait.
        clock: to wait with.
        files: what the holder writes to.
        idle_seconds: how long these may stay as they are.

    Raises:
        HolderIdle: somebody else holds it and writes nothing.
        RemoteUnavailable: somebody else held it all the time.
    """
    wait = _Wait(path, what, seconds, clock, files, idle_seconds)
    while (handle := try_lock(path)) is None:
        wait.check()
        clock.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits finds out and makes a new one
        release(handle)


class _Wait:
    """One wait for a lock; says when it is long, and ends it."""

    def __init__(
        self, path: Path, what: str, seconds: float, clock: Clock, files: Sequence[Path], idle_seconds: float
    ) -> None:
        self._path = path
        self._what = what
        self._seconds = seconds
        self._clock = clock
        self._files = files
        self._idle_seconds = idle_seconds
        self._since = self._changed = clock.monotonic()
        self._seen = [_state(file) for file in files]
        self._warned = False

    def check(self) -> None:
        """Raises where it is to end."""
        now = self._clock.monotonic()
        seen = [_state(file) for file in self._files]
        if seen != self._seen:
            self._seen, self._changed = seen, now
        holder = f"another process of this node, which holds {self._path},"
        if now - self._changed > self._idle_seconds:
            raise HolderIdle(f"{holder} has fetched nothing of {self._what} for {self._idle_seconds:.0f} s")
        if now - self._since > self._seconds:
            raise RemoteUnavailable(
                f"another process of this node has been fetching {self._what} for {self._seconds:.0f} s",
                hint=f"see who holds {self._path} (fuser, lsof), end it and start again",
            )
        if not self._warned and now - self._since > _WARNED_AFTER_SECONDS:
            self._warned = True
            _log.warning("%s has been fetching %s for %.0f s; waiting for it", holder, self._what, now - self._since)


def _state(file: Path) -> tuple[int, int]:
    """What changes when somebody writes to a file."""
    try:
        status = os.stat(file)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)
