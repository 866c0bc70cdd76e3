"""Processes told apart by pid and start time, so that a recycled pid is never taken for the process that had it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ProcessIdentity:
    """One process: pid, and its start time in kernel clock ticks since boot."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The identity of a live process; None where there is none (or it is a zombie)."""
        fields = _stat_fields(pid)
        if fields is None or fields[0] in {"Z", "X"}:
            return None
        return cls(pid, int(fields[19]))

    @classmethod
    def current(cls) -> ProcessIdentity:
        """This process."""
        identity = cls.of(os.getpid())
        assert identity is not None
        return identity

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ProcessIdentity:
        """The inverse of `to_json`."""
        return cls(int(document["pid"]), int(document["start_ticks"]))

    def to_json(self) -> dict[str, int]:
        """A JSON object."""
        return {"pid": self.pid, "start_ticks": self.start_ticks}

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Signal this very process; False where it is gone."""
        if not self.alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def processes_with_environment(variable: str, value: str, *others: tuple[str, str]) -> list[ProcessIdentity]:
    """All live processes of this user whose initial environment holds `variable=value`, and all others named."""
    needles = {f"{name}={wanted}".encode() for name, wanted in ((variable, value), *others)}
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                entries = file.read().split(b"\0")
        except OSError:
            continue
        if needles <= {*entries} and (identity := ProcessIdentity.of(int(name))) is not None:
            found.append(identity)
    return found


def processes_with_open(paths: Collection[str]) -> dict[int, int]:
    """Live processes of this user, this one aside, that have some of these files open, and how many of them."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        if count := len(set(_open_files(name)) & set(paths)):
            found[int(name)] = count
    return found


def _open_files(pid: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for handle in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{handle}")


def arguments_of(pid: int) -> list[str]:
    """The command line of a process; empty where it is gone or another user's."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [os.fsdecode(part) for part in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def program_of(pid: int) -> str:
    """The name of the program of a process, without its arguments; empty where it is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return os.fsdecode(file.read()).strip()
    except OSError:
        return ""


def computed_ticks(pid: int) -> int | None:
    """Clock ticks of CPU time that a process has used; None where it is gone, dead or stopped."""
    fields = _stat_fields(pid)
    if fields is None or fields[0] in {"Z", "X", "T", "t"}:
        return None
    return int(fields[11]) + int(fields[12])


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the command name: [state, ppid, ...]."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None
