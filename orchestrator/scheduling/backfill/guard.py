"""What a rule of backfill has to say, and the rule of those policies that reserve nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from orchestrator.scheduling.cluster import Demand, Placement
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.room import Room

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


class Reservation(NamedTuple):
    """Where and when a waiting job is to start, as far as anybody can tell.

    Attributes:
        job: identifier.
        at: seconds since the epoch.
        placement: of its fewest workers.
    """

    job: str
    at: float
    placement: Placement


class Guard(Protocol):
    """Keeps what is reserved free of others, in one decision, which it is told by whoever asks it.

    It does not hold that decision, which holds it: what neither needs any more is freed at once.
    """

    def free_until(self, draft: Draft, end: float) -> Room:
        """Where a job may start that should be over by then; it hurts no reservation."""
        ...

    def taken(self, draft: Draft, placement: Placement, demand: Demand, end: float) -> None:
        """This was taken of `draft.room`, by a job that should be over then."""
        ...

    def claimed(self, draft: Draft, placement: Placement, demand: Demand, end: float) -> None:
        """This is claimed by a job that should be over then; `draft.room` no longer holds it."""
        ...

    def block(self, draft: Draft, job: Job) -> bool:
        """It waits for room; whether those after it may pass."""
        ...

    def patience(self, draft: Draft) -> float:
        """Of those who need the same as a job that waits for room, only jobs that take no longer than this may fit."""
        ...

    def settled(self) -> bool:
        """Whether a further job that waits for room changes nothing."""
        ...

    def stays(self) -> bool:
        """Whether what is reserved is still the same once those who passed run: nobody did who lasts longer."""
        ...

    def asks_all(self, draft: Draft) -> bool:
        """Whether each job that waits for room gets a reservation, so that none may be left out of the walk."""
        ...


class Open:
    """Nothing is reserved: others pass, or nobody does."""

    def __init__(self, *, others_pass: bool) -> None:
        self._others_pass = others_pass

    def free_until(self, draft: Draft, end: float) -> Room:
        """Wherever there is room."""
        return draft.room

    def taken(self, draft: Draft, placement: Placement, demand: Demand, end: float) -> None:
        """Nothing follows."""

    def claimed(self, draft: Draft, placement: Placement, demand: Demand, end: float) -> None:
        """Nothing follows."""

    def block(self, draft: Draft, job: Job) -> bool:
        """As the policy has it."""
        return self._others_pass

    def patience(self, draft: Draft) -> float:
        """Any."""
        return math.inf

    def settled(self) -> bool:
        """Nothing is reserved for it."""
        return True

    def stays(self) -> bool:
        """Nothing is reserved."""
        return True

    def asks_all(self, draft: Draft) -> bool:
        """There are no reservations."""
        return False
