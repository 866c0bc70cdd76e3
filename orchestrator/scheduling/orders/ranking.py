"""What an order of the queue has to say, so that a long queue is kept sorted while time passes and usage changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from orchestrator.scheduling.jobs import Job
    from orchestrator.scheduling.state import State

Key = tuple[float, ...]


class Ranking(Protocol):
    """Jobs go in ascending order of `(key[0] + offset of their group, *key[1:])`.

    Keys end with the job's sequence, so that the order is total. A running job is compared as if it waited, with
    what it has worked and attained by now.
    """

    def group(self, job: Job) -> str:
        """Jobs of one group are ordered among themselves by their keys alone, whatever the offsets are."""
        ...

    def key(self, job: Job, now: float) -> Key:
        """Stays the same until `until(job, now)`, as long as the job's record does."""
        ...

    def until(self, job: Job, now: float) -> float:
        """When the key changes by itself; infinite where it never does."""
        ...

    def offsets(self, state: State, now: float) -> Mapping[str, float]:
        """Of groups; those that are not named have 0."""
        ...
