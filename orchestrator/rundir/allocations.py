"""One agent's files in a run directory: who runs it (claimed once, for ever), and how it was told to stop."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.base.files import create_exclusive, read_json, write_json
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.control import StopCause
from orchestrator.rundir.layout import RunDirectory

MARK = "ORCHESTRATOR_ALLOCATION"
"""The environment variable that every process of an allocation carries, and by which survivors are found."""

END_NOW = signal.SIGUSR2
"""Sent by a backend to an allocation's guard: kill everything below you, without grace."""

TAKEN = "taken"
"""The cause of a stop by a signal of an engine that signals for itself: whether it needs the nodes for others, or
somebody has cancelled its job, it alone knows, so that it has the last word on such a run, and no agent writes it."""

PARTED = "parted"
"""The cause of an agent's end that was in the smaller part of a partition, and left the run to the others."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def agent_writer(index: int) -> str:
    """An agent's name among the writers of events and logs."""
    return f"agent-{index}"


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
class StopNote:
    """The word of a backend, or of the batch step of a Slurm job, that an agent is to stop.

    Attributes:
        grace_seconds: until its processes are killed.
        cause: why; None: the signal that follows says it.
    """

    grace_seconds: float
    cause: StopCause | None = None


@dataclass(frozen=True)
class AllocationFiles:
    """The files of one agent, `<run>.<n>`: of an allocation, or where that lies on several nodes of one of them."""

    run: RunDirectory
    allocation: str

    @property
    def index(self) -> int:
        """The `<n>` of `<run>.<n>`; 0 where the identifier has none."""
        suffix = self.allocation.rpartition(".")[2]
        return int(suffix) if suffix.isdigit() else 0

    @property
    def writer(self) -> str:
        """Its name among the writers of events and logs."""
        return agent_writer(self.index)

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

    def agent(self, place: int) -> AllocationFiles:
        """The files of the agent so many places after this one, in an allocation on several nodes."""
        prefix = self.allocation.rpartition(".")[0]
        return replace(self, allocation=f"{prefix}.{self.index + place}") if place else self

    def request_stop(self, grace_seconds: float, cause: StopCause | None = None) -> None:
        """Ask the agents of the allocation to stop; they look for it, a signal only wakes them.

        Two may ask at the same time, a backend and a batch step, which alone gives a cause: each writes a note of its
        own, so that none takes the other's word back.

        Args:
            grace_seconds: until their processes are killed.
            cause: why; None: the signal that follows says it.
        """
        by_backend, by_batch_step = self.stops
        path = by_backend if cause is None else by_batch_step
        write_json(path, {"grace_seconds": grace_seconds, "cause": cause})

    def stop_request(self) -> StopNote | None:
        """What was asked, the less time counts; None where nobody asked the agents themselves to stop."""
        documents = [document for path in self.stops if (document := read_json(path)) is not None]
        notes = [StopNote(float(document["grace_seconds"]), document["cause"]) for document in documents]
        return min(notes, key=lambda note: note.grace_seconds, default=None)

    def has_finished(self) -> bool:
        """Whether its agent left the durable marker: of the run's end, or of its own part in it."""
        return self.end() is not None

    def end(self) -> Mapping[str, Any] | None:
        """What that marker says (see `rundir.events`); None where there is none."""
        last = _last_event(self.run.events / self.writer)
        return last["data"] if last is not None and last.get("kind") in {"finished", "agent_finished"} else None

    def give_back(self, why: str) -> bool:
        """Say that its last agent has the engine end the allocation; False where another has said so."""
        self.run.path.mkdir(parents=True, exist_ok=True)
        return create_exclusive(self._given_back, json.dumps({"why": why}).encode())

    def given_back(self) -> str:
        """Why an agent had the engine end it; empty where none did."""
        document = read_json(self._given_back)
        return "" if document is None else str(document["why"])

    @property
    def stops(self) -> tuple[Path, Path]:
        """The wishes of a backend and of a batch step that its agents stop.

        An allocation on several nodes has them by the number of its first agent.
        """
        return self.run.path / f"stop-{self.index}.json", self.run.path / f"stop-{self.index}-limit.json"

    @property
    def batch(self) -> Path:
        """What the batch step of a Slurm job has to know."""
        return self.run.path / f"slurm-{self.index}.json"

    @property
    def ray_job(self) -> Path:
        """What the driver of a Ray job has to know."""
        return self.run.path / f"ray-{self.index}.json"

    @property
    def ray_claim(self) -> Path:
        """Which driver runs it, on a Ray cluster."""
        return self.run.path / f"ray-{self.index}-driver.json"

    @property
    def ray_log(self) -> Path:
        """The driver's log, on a Ray cluster."""
        return self.run.logs / f"ray-{self.index}.log"

    @property
    def ray_draining(self) -> Path:
        """Which nodes of its cluster Ray drains, by its driver's word."""
        return self.run.path / f"ray-{self.index}-draining.json"

    @property
    def _given_back(self) -> Path:
        return self.run.path / f"given-back-{self.index}.json"

    @property
    def _claim(self) -> Path:
        return self.run.path / f"{self.writer}.json"


def run_has_finished(run: RunDirectory) -> bool:
    """Whether some agent left the durable marker of the run's end: a look at each agent's last event."""
    last = (_last_event(folder) for folder in run.events.glob("agent-*"))
    return any(event is not None and event.get("kind") == "finished" for event in last)


def _last_event(folder: Path) -> dict[str, Any] | None:
    """A writer's last event; None where there is none."""
    names = [name for name in os.listdir(folder) if name.endswith(".json")] if folder.is_dir() else []
    return read_json(folder / max(names)) if names else None


def boot_id() -> str:
    """This host's boot identifier; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
