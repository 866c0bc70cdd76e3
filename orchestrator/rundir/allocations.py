"""One allocation's files in a run directory: who runs it (claimed once, for ever), and how it was told to stop."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.files import create_exclusive, read_json, write_json
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.layout import RunDirectory

MARK = "ORCHESTRATOR_ALLOCATION"
"""The environment variable that every process of an allocation carries, and by which survivors are found."""

END_NOW = signal.SIGUSR2
"""Sent by a backend to an allocation's guard: kill everything below you, without grace."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def is_safe_name(allocation: str) -> bool:
    """Whether an allocation's identifier is also a safe file name."""
    return _SAFE.fullmatch(allocation) is not None


@dataclass(frozen=True)
class Claim:
    """Who runs an allocation: the guard process, at the top of everything that the allocation started.

    Attributes:
        guard: the process; None where the allocation was called off before anybody ran it.
        host: where it runs.
        boot: that host's boot identifier; after a reboot the process cannot be alive.
    """

    guard: ProcessIdentity | None
    host: str
    boot: str

    def alive(self) -> bool:
        """Whether the guard still runs on this host."""
        return self.guard is not None and self.boot == boot_id() and self.guard.alive()


@dataclass(frozen=True)
class AllocationFiles:
    """The files of one allocation, `<run>.<n>`."""

    run: RunDirectory
    allocation: str

    @property
    def index(self) -> int:
        """The `<n>` of `<run>.<n>`; 0 where the identifier has none."""
        suffix = self.allocation.rpartition(".")[2]
        return int(suffix) if suffix.isdigit() else 0

    @property
    def writer(self) -> str:
        """The agent's name among the writers of events and logs."""
        return f"agent-{self.index}"

    @property
    def log(self) -> Path:
        """The agent's own log."""
        return self.run.logs / f"{self.writer}.log"

    def claim(self, guard: ProcessIdentity | None) -> bool:
        """Say which process runs the allocation (None: nobody ever will); False where it is claimed already."""
        self.run.path.mkdir(parents=True, exist_ok=True)
        document = {"guard": guard and guard.to_json(), "host": os.uname().nodename, "boot": boot_id()}
        return create_exclusive(self._claim, json.dumps(document).encode())

    def read_claim(self) -> Claim | None:
        """Who runs it; None where nobody does yet."""
        document = read_json(self._claim)
        if document is None:
            return None
        guard = document["guard"]
        return Claim(guard and ProcessIdentity.from_json(guard), document["host"], document["boot"])

    def request_stop(self, grace_seconds: float) -> None:
        """Leave word for the agent how long it has after the signal to stop that follows."""
        write_json(self._stop, {"grace_seconds": grace_seconds})

    def stop_request(self) -> float | None:
        """The grace time in seconds; None where nobody asked the agent itself to stop."""
        document = read_json(self._stop)
        return None if document is None else float(document["grace_seconds"])

    def has_finished(self) -> bool:
        """Whether its agent left the durable marker: of the run's end, or of its own part in an elastic run."""
        return _last_word(self.run.events / self.writer) in {"finished", "agent_finished"}

    @property
    def _claim(self) -> Path:
        return self.run.path / f"{self.writer}.json"

    @property
    def _stop(self) -> Path:
        return self.run.path / f"stop-{self.index}.json"


def run_has_finished(run: RunDirectory) -> bool:
    """Whether some agent left the durable marker of the run's end: a look at each agent's last event."""
    return any(_last_word(folder) == "finished" for folder in run.events.glob("agent-*"))


def _last_word(folder: Path) -> str | None:
    """The kind of a writer's last event; None where there is none."""
    names = [name for name in os.listdir(folder) if name.endswith(".json")] if folder.is_dir() else []
    last = read_json(folder / max(names)) if names else None
    return None if last is None else str(last.get("kind"))


def boot_id() -> str:
    """This host's boot identifier; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
