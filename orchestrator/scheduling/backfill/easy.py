"""EASY: the first job that waits for room has a reservation, and others pass where they do not delay it.

Lifka, "The ANL/IBM SP scheduling system" (1995), on nodes instead of one pool: there are two views of each node, what
is free now and what is spare once the reservation holds. On one node the two are the shadow time and the extra slots.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orchestrator.scheduling.backfill.earliest import Opening, earliest
from orchestrator.scheduling.backfill.guard import Reservation
from orchestrator.scheduling.cluster import Demand, Placement
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.room import Room

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


class Easy:
    """One reservation: that of the first job for which anybody can tell when there will be room."""

    def __init__(self) -> None:
        self._opening: Opening | None = None
        self._beside: Room | None = None
        self._stays = True

    def free_until(self, draft: Draft, end: float) -> Room:
        """Who should be over before the reserved time may use all that is free; others only what is spare then too.

        Nothing is taken by who lasts longer before it was asked for here, so that what is spare is looked up only then.
        """
        if self._opening is None or end <= self._opening.at:
            return draft.room
        if self._beside is None:
            self._beside = draft.room.copy()
            self._opening.narrow(self._beside)
        return self._beside

    def taken(self, draft: Draft, placement: Placement, demand: Demand, end: float) -> None:
        """Who lasts longer takes of what is spare."""
        if self._beside is None or self._opening is None:
            return
        if end > self._opening.at:
            self._beside.take(placement, demand)
            self._stays = False
        else:
            self._beside.cap(draft.room, placement)

    def claimed(self, draft: Draft, placement: Placement, demand: Demand, end: float) -> None:
        """Claims do not touch what is reserved."""
        if self._beside is not None:
            self._beside.cap(draft.room, placement)

    def block(self, draft: Draft, job: Job) -> bool:
        """Reserve for the first one."""
        if self._opening is None and (found := earliest(draft, job)) is not None:
            self._opening = found
            draft.reserve(Reservation(job.id, found.at, found.placement))
        return True

    def patience(self, draft: Draft) -> float:
        """What is left until the reserved time."""
        return math.inf if self._opening is None else self._opening.at - draft.now

    def settled(self) -> bool:
        """Once there is a reservation."""
        return self._opening is not None

    def stays(self) -> bool:
        """What those who are over before had is free again by then; others may have had the place that fits best."""
        return self._stays

    def asks_all(self, draft: Draft) -> bool:
        """Only one has a reservation."""
        return False


class Overdue(Easy):
    """The same for a job that has waited too long; before that everybody passes."""

    def block(self, draft: Draft, job: Job) -> bool:
        """Reserve for the first one if it is overdue."""
        if draft.overdue(job):
            super().block(draft, job)
        return True
