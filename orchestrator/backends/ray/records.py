"""Ray's own list: which allocations it was asked for, where they lie, and how those that are over have ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.backends.ray.nodes import Used
from orchestrator.backends.records import KEPT, RecordFiles
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.layout import RunDirectory


@dataclass(frozen=True)
class Ending:
    """How an allocation ended, by Ray's word.

    Attributes:
        failure_class: as of an observation.
        detail: in words.
        by_itself: only the run can say how.
    """

    failure_class: str | None = None
    detail: str = ""
    by_itself: bool = False


@dataclass(frozen=True)
class Record:
    """One allocation that Ray was asked for, or is about to be.

    Attributes:
        allocation: `<run>.<n>`, which is also what Ray calls its job.
        directory: its run directory.
        placement: (node, workers).
        each: what a worker takes.
        taken: Ray has said that it has it.
        killed: we have asked Ray to end it, or are about to.
        ending: None while it is not over.
    """

    allocation: str
    directory: Path
    placement: tuple[tuple[str, int], ...]
    each: Used
    taken: bool = False
    killed: bool = False
    ending: Ending | None = None

    @property
    def files(self) -> AllocationFiles:
        """Its files in the run directory, which are those of its first agent."""
        return AllocationFiles(RunDirectory(self.directory), self.allocation)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Where it lies."""
        return tuple(dict.fromkeys(node for node, _ in self.placement))

    def agents(self) -> list[AllocationFiles]:
        """Files of its first agent, and of those that have ever begun: each worker may have one of its own."""
        claims = [*self.directory.glob("agent-*.json")] if self.directory.is_dir() else []
        numbers = {int(number) for claim in claims if (number := claim.stem.partition("-")[2]).isdecimal()}
        first = self.files
        return [first.agent(number - first.index) for number in sorted(numbers | {first.index})]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "directory": str(self.directory),
            "placement": [list(part) for part in self.placement],
            "each": vars(self.each),
            "taken": self.taken,
            "killed": self.killed,
            "ending": None if self.ending is None else vars(self.ending),
        }

    @classmethod
    def from_json(cls, allocation: str, document: Mapping[str, Any]) -> Record:
        """The inverse."""
        return cls(
            allocation,
            Path(document["directory"]),
            tuple((str(node), int(workers)) for node, workers in document["placement"]),
            Used(**document["each"]),
            taken=bool(document["taken"]),
            killed=bool(document["killed"]),
            ending=None if document["ending"] is None else Ending(**document["ending"]),
        )


class Records:
    """The records as files.

    Args:
        folder: where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._files = RecordFiles(folder)

    def create(self, record: Record) -> None:
        """Write an allocation down, on the disk, before Ray is asked for it."""
        self._files.create(record.allocation, record.to_json())

    def set_taken(self, record: Record) -> None:
        """Note that Ray has it."""
        self._files.replace(record.allocation, replace(record, taken=True).to_json())

    def set_killed(self, record: Record) -> None:
        """Note that it is we who end it."""
        self._files.replace(record.allocation, replace(record, killed=True).to_json())

    def set_ended(self, record: Record, ending: Ending) -> None:
        """Note how it ended and put it away; it can still be found until many others have ended after it."""
        self._files.replace(record.allocation, replace(record, ending=ending).to_json())
        self._files.set_ended(record.allocation, kept=KEPT)

    def find(self, allocation: str) -> Record | None:
        """A record, of an allocation that is over too; None where nothing was ever asked."""
        document = self._files.find(allocation)
        return None if document is None else Record.from_json(allocation, document)

    def discard(self, allocation: str) -> None:
        """Forget an allocation that Ray refused."""
        self._files.discard(allocation)

    def current(self) -> list[str]:
        """Allocations that were not put away."""
        return self._files.current()
