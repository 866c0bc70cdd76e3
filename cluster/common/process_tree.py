"""Processes as /proc shows them: by environment and by descent, and ended for good."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process as /proc shows it; `environment` is empty where it cannot be read."""

    pid: int
    parent: int
    name: str
    environment: dict[str, str]


def running() -> dict[int, Process]:
    """All live processes, by their number; zombies are dead."""
    found = (_read(int(entry.name)) for entry in os.scandir("/proc") if entry.name.isdigit())
    return {process.pid: process for process in found if process is not None}


def _read(pid: int) -> Process | None:
    folder = Path("/proc") / str(pid)
    try:
        name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
    except (OSError, ValueError):
        return None
    if state in "ZX":
        return None
    return Process(pid, int(parent), name, _environment(folder))


def _environment(folder: Path) -> dict[str, str]:
    try:
        text = (folder / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(entry.partition("=")[::2] for entry in text.split("\0") if "=" in entry)


def with_descendants(belongs: Callable[[Process], bool]) -> set[int]:
    """The processes that belong, and all that they have started."""
    everything = running()
    children: dict[int, list[int]] = {}
    for process in everything.values():
        children.setdefault(process.parent, []).append(process.pid)
    chosen = {pid for pid, process in everything.items() if belongs(process)}
    waiting = list(chosen)
    while waiting:
        fresh = set(children.get(waiting.pop(), ())) - chosen
        chosen |= fresh
        waiting.extend(fresh)
    return chosen


def we_are_under(belongs: Callable[[Process], bool]) -> bool:
    """Whether this process, or one that it descends from, belongs."""
    everything, pid = running(), os.getpid()
    while pid in everything:
        if belongs(everything[pid]):
            return True
        pid = everything[pid].parent
    return False


def end(find: Callable[[], set[int]], patience: float = 10.0) -> int:
    """SIGKILL all that `find` names, frozen first so that none can start another; how many there were.

    Raises:
        TimeoutError: Some were still there after `patience` seconds.
    """
    ended: set[int] = set()
    until = time.monotonic() + patience
    while alive := find():
        if time.monotonic() > until:
            raise TimeoutError(f"processes {sorted(alive)} do not end: they wait for the kernel, or are another user's")
        frozen: set[int] = set()
        while fresh := alive - frozen:
            _signal(fresh, signal.SIGSTOP)
            frozen |= fresh
            alive = find()
        _signal(_children_first(frozen), signal.SIGKILL)
        ended |= frozen
        time.sleep(0.02)
    while _letting_go(ended) and time.monotonic() < until:
        time.sleep(0.01)
    return len(ended)


def _letting_go(pids: set[int]) -> set[int]:
    """Those that are as good as dead, but may still hold files and sockets: only their memory is gone."""
    everything = running()
    return {pid for pid in pids if pid in everything and not everything[pid].environment}


def _children_first(pids: set[int]) -> list[int]:
    """So that none is left without its parent: the kernel thaws those, and srun's second half would cancel its step."""
    everything = running()

    def depth(pid: int) -> int:
        steps = 0
        while pid in everything:
            pid, steps = everything[pid].parent, steps + 1
        return steps

    return sorted(pids, key=depth, reverse=True)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
