"""Whose turn it is to fetch a file: one process of the node at a time; several only where the first one has stopped.

A lock of a process that hangs, is stopped or waits for a debugger cannot be taken from it. Whoever sees no progress for
`Patience.idle_seconds` fetches into a partial file of its own instead. The content is the same, and is renamed into its
place whole, so that nothing is lost when the other one wakes up.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.base.clock import Clock
from orchestrator.data.remote.locks import HolderIdle, holding
from orchestrator.data.remote.retry import Patience

_log = logging.getLogger(__name__)
_WAITS = 4  # times the patience for one object: that long another process may be busy with it


def part_of(path: Path) -> Path:
    """What a file is called while it is fetched."""
    return path.with_name(f"{path.name}.part")


def lock_of(path: Path) -> Path:
    """The lock of a shard or table, given its final path."""
    return path.with_name(f"{path.name}.lock")


@contextlib.contextmanager
def turn(target: Path, what: str, patience: Patience, clock: Clock) -> Iterator[Path]:
    """Wait until it is this thread's turn to fetch `target`, and keep it.

    Yields:
        The partial file to fetch into.

    Raises:
        RemoteUnavailable: another process was busy with it for too long.
    """
    seconds = _WAITS * patience.stalled_seconds
    with contextlib.ExitStack() as stack:
        mine = target
        try:
            files = (target, part_of(target))
            lock = holding(
                lock_of(target), what, seconds=seconds, clock=clock, files=files, idle_seconds=patience.idle_seconds
            )
            stack.enter_context(lock)
        except HolderIdle as error:
            _log.warning("%s; it is fetched beside that one", error.message)
            mine = target.with_name(f"{target.name}.{os.getpid()}")
            stack.enter_context(holding(lock_of(mine), what, seconds=seconds, clock=clock))
        yield part_of(mine)
