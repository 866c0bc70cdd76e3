"""The local engine's own list: which allocations it was asked for, and where their run directories lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.backends.records import KEPT, RecordFiles
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.layout import RunDirectory


@dataclass(frozen=True)
class Record:
    """One allocation that the engine was asked for.

    Attributes:
        allocation: `<run>.<n>`.
        directory: its run directory.
        spawned: the process that was started for it; None until that is known.
    """

    allocation: str
    directory: Path
    spawned: ProcessIdentity | None = None

    @property
    def files(self) -> AllocationFiles:
        """Its files in the run directory."""
        return AllocationFiles(RunDirectory(self.directory), self.allocation)


class Records:
    """The records as files.

    Args:
        folder: where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._files = RecordFiles(folder)

    def create(self, allocation: str, directory: Path) -> Record:
        """Write an allocation down before anything is started for it; the existing record where there is one."""
        self._files.create(allocation, {"directory": str(directory), "spawned": None})
        existing = self.find(allocation)
        assert existing is not None
        return existing

    def set_spawned(self, record: Record, spawned: ProcessIdentity) -> None:
        """Note the process that was started."""
        document = {"directory": str(record.directory), "spawned": spawned.to_json()}
        self._files.replace(record.allocation, document)

    def find(self, allocation: str) -> Record | None:
        """A record, of an allocation that is over too; None where nothing was ever asked."""
        document = self._files.find(allocation)
        if document is None:
            return None
        spawned = document["spawned"]
        return Record(allocation, Path(document["directory"]), spawned and ProcessIdentity.from_json(spawned))

    def set_ended(self, allocation: str) -> None:
        """Put a record away; it can still be found until many others have ended after it."""
        self._files.set_ended(allocation, kept=KEPT)

    def current(self) -> list[str]:
        """Allocations that were not put away."""
        return self._files.current()
