"""Ending whole families of processes: by descent and by the mark in their environment, until none is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

from orchestrator.base.process import ProcessIdentity, processes_with_environment


def descendants(root: int) -> list[ProcessIdentity]:
    """All live processes that descend from `root` (itself left out), parents before children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent := _parent(int(name))) is not None:
            children.setdefault(parent, []).append(int(name))
    found, frontier = [], [root]
    while frontier:
        frontier = [child for parent in frontier for child in children.get(parent, ())]
        found += [identity for child in frontier if (identity := ProcessIdentity.of(child)) is not None]
    return found


def group_is_alive(group: int) -> bool:
    """Whether a process group has a member left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal every member of a process group; harmless where it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def sweep(
    roots: Iterable[int], mark: tuple[str, str], *others: tuple[str, str], seconds: float = 10.0
) -> list[ProcessIdentity]:
    """SIGKILL the descendants of `roots` and every process with `mark` in its environment, again until none is left.

    Looking again is what beats a process that forks while it is being looked for.

    Args:
        roots: process ids; they themselves are spared.
        mark: a variable and its value in the initial environment.
        others: that must be there as well.
        seconds: how long to go on where processes do not die (a device that hangs).

    Returns:
        What is still alive when the time is over.
    """
    roots = list(roots)
    spared = {os.getpid(), *roots}
    deadline = time.monotonic() + seconds
    pause = 0.002
    while True:
        family = [identity for root in roots for identity in descendants(root)]
        targets = {p for p in (*family, *processes_with_environment(*mark, *others)) if p.pid not in spared}
        for target in targets:
            target.send(signal.SIGKILL)
        if not targets or time.monotonic() > deadline:
            return [target for target in targets if target.alive()]
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None
