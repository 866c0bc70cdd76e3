"""What an order of the queue has to say, so that a long queue is kept sorted while time passes and usage changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from orchestrator.scheduling.jobs import Job, Running
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
        """Of a waiting job. Stays the same until `until(job, now)`, as long as the job's record does."""
        ...

    def until(self, job: Job, now: float) -> float:
        """When the key of a waiting job changes by itself; infinite where it never does."""
        ...

    def running_key(self, running: Running, now: float) -> Key:
        """Of a running job, with what it has worked and attained by now."""
        ...

    def latest_key(self, running: Running, now: float, until: float) -> Key:
        """No `running_key` from now until then sorts later: who is not behind by this is not at all."""
        ...

    def sinks(self, running: Running, now: float) -> float:
        """When a running job falls behind by having run: only then may others pass it; infinite where it never does.

        Where it sinks little by little, nobody has to be told of it: `now` is the answer.
        """
        ...

    def offsets(self, state: State, now: float) -> Mapping[str, float]:
        """Of groups; those that are not named have 0."""
        ...
