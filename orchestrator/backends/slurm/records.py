"""What is known here of each allocation that Slurm was asked for: written down before it is asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.backends.records import KEPT, RecordFiles
from orchestrator.backends.slurm.request import Lane, Place
from orchestrator.backends.slurm.watch import Asked
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.layout import RunDirectory

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One allocation.

    Attributes:
        allocation: `<run>.<n>`, the name of its Slurm job.
        directory: its run directory.
        asked_at: when it was written down, seconds since the epoch.
        final: who reaches its time limit has used up its time; otherwise that is a guess of ours.
        lane: where in Slurm's queue it was put.
        own: where Slurm would have put it of itself, as far as that was seen before it was moved.
        job: Slurm's number; empty until sbatch has answered, and where the answer was lost.
        cancelled: we have asked Slurm to cancel it, or are about to.
        growth: it joins a run that is under way.
        tasks: of an array, which start each by itself, with an agent of the task's number; 0: it is none.
    """

    allocation: str
    directory: Path
    asked_at: float
    final: bool
    lane: Lane
    own: Place = field(default_factory=Place)
    job: str = ""
    cancelled: bool = False
    growth: bool = False
    tasks: int = 0

    @property
    def files(self) -> AllocationFiles:
        """Its files in the run directory, which are those of its first agent."""
        return AllocationFiles(RunDirectory(self.directory), self.allocation)

    @property
    def parts(self) -> tuple[AllocationFiles, ...]:
        """What is told to stop by itself: the allocation, or each task of an array."""
        return tuple(self.files.agent(task) for task in range(max(1, self.tasks)))

    @property
    def asked(self) -> Asked:
        """What the watch has to know of it."""
        return Asked(
            self.allocation,
            job=self.job,
            submitted=self.asked_at,
            limit_is_users=self.final,
            cancelled=self.cancelled,
            log=str(self.files.log),
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "directory": str(self.directory),
            "asked_at": self.asked_at,
            "final": self.final,
            "lane": self.lane.to_json(),
            "own": asdict(self.own),
            "job": self.job,
            "cancelled": self.cancelled,
            "growth": self.growth,
            "tasks": self.tasks,
        }

    @classmethod
    def from_json(cls, allocation: str, document: Mapping[str, Any]) -> Record:
        """The inverse."""
        values = {
            **document,
            "directory": Path(document["directory"]),
            "lane": Lane.from_json(document["lane"]),
            "own": Place(**document["own"]),
        }
        return cls(allocation, **values)


class Records:
    """The records as files, those that are not over in memory as well. Threads may share them; one process writes.

    A file outlives this process, and is not forced to the disk: what is lost with the machine is found again in Slurm's
    queue, by its name.

    Args:
        folder: where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._files = RecordFiles(folder)
        self._lock = threading.Lock()
        self._known: dict[str, Record] | None = None
        self._unreadable: set[str] = set()

    def create(self, record: Record) -> None:
        """Write an allocation that is not there yet down, before Slurm is asked."""
        self._files.put(record.allocation, record.to_json())
        self._keep(record)

    def set_job(self, record: Record, job: str) -> Record:
        """Note Slurm's number."""
        return self._change(replace(record, job=job))

    def set_cancelled(self, record: Record, cancelled: bool) -> Record:
        """Note whether it is we who end it."""
        return record if record.cancelled == cancelled else self._change(replace(record, cancelled=cancelled))

    def set_lane(self, record: Record, lane: Lane, own: Place) -> Record:
        """Note where in the queue it stands now, and where it would stand of itself."""
        return self._change(replace(record, lane=lane, own=own))

    def find(self, allocation: str) -> Record | None:
        """A record, of an allocation that is over too; None where nothing was ever asked."""
        with self._lock:
            found = self._current().get(allocation)
        if found is not None:
            return found
        return self._read(allocation)

    def discard(self, allocation: str) -> None:
        """Forget an allocation that Slurm did not take."""
        self._files.discard(allocation)
        self._drop(allocation)

    def set_ended(self, allocation: str) -> None:
        """Put a record away; it can still be found until many others have ended after it."""
        self._files.set_ended(allocation, kept=KEPT)
        self._drop(allocation)

    def current(self) -> list[str]:
        """Allocations that were not put away."""
        with self._lock:
            return sorted(self._current())

    def _change(self, record: Record) -> Record:
        self._files.put(record.allocation, record.to_json())
        self._keep(record)
        return record

    def _keep(self, record: Record) -> None:
        with self._lock:
            self._current()[record.allocation] = record

    def _drop(self, allocation: str) -> None:
        with self._lock:
            self._current().pop(allocation, None)

    def _current(self) -> dict[str, Record]:
        """Those that are not over; read once."""
        if self._known is None:
            found = (self._read(name) for name in self._files.current())
            self._known = {record.allocation: record for record in found if record is not None}
        return self._known

    def _read(self, allocation: str) -> Record | None:
        """One that cannot be read is as good as none: its job is still found in Slurm's queue, by its name."""
        document = self._files.find(allocation)
        try:
            return None if document is None else Record.from_json(allocation, document)
        except (KeyError, TypeError, ValueError) as error:
            if allocation not in self._unreadable:
                self._unreadable.add(allocation)
                _LOG.warning("what is written down of %s cannot be read, and is passed over: %r", allocation, error)
            return None
