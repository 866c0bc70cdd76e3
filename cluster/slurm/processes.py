"""The processes of one cluster: found by a mark in their environment and by descent, and ended for good."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from layout import Cluster

# A daemon carries both; Slurm hands them on to slurmstepd, but not to what a job starts.
MARK = "ORCHESTRATOR_DEV_SLURM"
ROLE = "ORCHESTRATOR_DEV_SLURM_ROLE"


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


def of_cluster(cluster: Cluster) -> set[int]:
    """Every process of the cluster: daemons, steps, and all that jobs have started."""
    return _with_descendants(running(), lambda process: _belongs(process, cluster))


def of_node(cluster: Cluster, node: str) -> set[int]:
    """What dies with a machine: its slurmd, its steps and everything under them."""
    return _with_descendants(running(), lambda process: _belongs(process, cluster) and _node(process) == node)


def daemons(cluster: Cluster) -> dict[str, int]:
    """The daemons that run: pid by role (munged, mariadbd, slurmdbd, slurmctld, slurmd-n1, ...)."""
    return {
        process.environment[ROLE]: process.pid
        for process in running().values()
        if process.environment.get(MARK) == str(cluster.folder)
        and process.environment.get(ROLE, "").partition("-")[0] == process.name
    }


def contains_us(cluster: Cluster) -> bool:
    """Whether we run under a job of the cluster."""
    everything, pid = running(), os.getpid()
    while pid in everything:
        if _belongs(everything[pid], cluster):
            return True
        pid = everything[pid].parent
    return False


def _belongs(process: Process, cluster: Cluster) -> bool:
    variables = process.environment
    of_a_job = "SLURMD_NODENAME" in variables and variables.get("SLURM_CONF") == str(cluster.slurm_conf)
    return of_a_job or variables.get(MARK) == str(cluster.folder)


def _node(process: Process) -> str | None:
    role = process.environment.get(ROLE, "")
    return role.removeprefix("slurmd-") if role.startswith("slurmd-") else process.environment.get("SLURMD_NODENAME")


def _with_descendants(everything: dict[int, Process], belongs: Callable[[Process], bool]) -> set[int]:
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
    return len(ended)


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
