"""Conservative backfill: every job that waits for room has a reservation, and others pass where they delay nobody.

Mu'alem and Feitelson (IEEE TPDS 12(6), 2001), on nodes instead of one pool. Each reservation looks at the room after
each expected end, so that both are bounded: on a large cluster ends are taken together in batches, each of which ends
with its last one; and when a decision has looked at so many rooms nothing more is reserved, as if `depth` were reached.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from orchestrator.scheduling.backfill.earliest import coming
from orchestrator.scheduling.backfill.guard import Reservation
from orchestrator.scheduling.cluster import Demand, Placement
from orchestrator.scheduling.ends import Freed
from orchestrator.scheduling.expected import expected_seconds
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.upper_bound import upper_bound

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft

_TIMES = 64, 65_536
"""Expected ends are told apart up to so many of them, and up to so many times nodes, whichever is more."""
_LOOKS = 1_000_000
"""Nodes in rooms that are looked at in one decision before nothing more is reserved."""


class Conservative:
    """A profile: what is free from each time on, as far as anybody can tell, after all that is reserved."""

    def __init__(self, depth: int, nodes: int) -> None:
        self._depth = depth
        self._most_times = max(_TIMES[0], _TIMES[1] // max(1, nodes))
        self._times: list[float] = []
        self._rooms: list[Room] = []
        self._least: list[Room] = []
        self._looks = _LOOKS // max(1, nodes)

    def free_until(self, draft: Draft, end: float) -> Room:
        """What is free now and stays free until then."""
        until, least = bisect_left(self._times, end), self._least
        if until == 0:
            return draft.room
        while len(least) < until:
            before = least[-1] if least else draft.room
            self._looks -= 1
            least.append(before.least(self._rooms[len(least)]))
        return least[until - 1]

    def taken(self, draft: Draft, placement: Placement, demand: Demand, end: float) -> None:
        """It is not free until then."""
        if self._times:
            self._hold(placement, demand, draft.now, end)

    def claimed(self, draft: Draft, placement: Placement, demand: Demand, end: float) -> None:
        """The same."""
        self.taken(draft, placement, demand, end)

    def block(self, draft: Draft, job: Job) -> bool:
        """Reserve for it, if not for too many already."""
        if not self.asks_all(draft):
            return True
        if not self._times:
            self._begin(draft)
        workers = draft.fewest(job)
        seconds = expected_seconds(job, workers)
        if (found := self._earliest(draft, job, workers, seconds)) is not None:
            at, placement = found
            self._hold(placement, job.demand, at, at + seconds)
            draft.reserve(Reservation(job.id, at, placement))
        return True

    def patience(self, draft: Draft) -> float:
        """Any."""
        return math.inf

    def settled(self) -> bool:
        """It would have a reservation too."""
        return False

    def stays(self) -> bool:
        """Time that passes may move it."""
        return False

    def asks_all(self, draft: Draft) -> bool:
        """As long as there are not too many."""
        return len(draft.reservations) < self._depth and self._looks > 0

    def _begin(self, draft: Draft) -> None:
        room, now = draft.after.copy(), draft.now
        self._times, self._rooms = [now], [room]
        for at, batch in self._batches(draft):
            room = room.copy()
            for freed in batch:
                room.give(freed.placement, freed.demand)
            if at > now:
                self._times.append(at)
                self._rooms.append(room)
            else:
                self._rooms[0] = room
        for edge in room.layout.edges:
            if edge > now:
                self._split(edge)

    def _batches(self, draft: Draft) -> Iterable[tuple[float, list[Freed]]]:
        """What comes free, by when all of it has."""
        freed = list(coming(draft))
        size = -(-len(freed) // self._most_times)
        batch: list[Freed] = []
        for at, together in groupby(freed, key=attrgetter("at")):
            batch += together
            if len(batch) >= size or batch[-1] is freed[-1]:
                yield at, batch
                batch = []

    def _earliest(self, draft: Draft, job: Job, workers: int, seconds: float) -> tuple[float, Placement] | None:
        demand, takes = job.demand, upper_bound(job, workers) if draft.room.layout.begins else math.inf
        for first, at in enumerate(self._times):
            room = self._rooms[first]
            self._looks -= 1
            if room.fit(demand, workers, at, at + takes) is None:
                continue
            for later in range(first + 1, bisect_left(self._times, at + seconds)):
                room = room.least(self._rooms[later])
                self._looks -= 1
            placement = room.fit(demand, workers, at, at + takes)
            if placement is not None:
                return at, placement
        return None

    def _hold(self, placement: Placement, demand: Demand, start: float, end: float) -> None:
        self._least.clear()
        first, last = self._split(start), len(self._times) if end == math.inf else self._split(end)
        for number in range(first, last):
            self._rooms[number].take(placement, demand)

    def _split(self, at: float) -> int:
        """The number of the room from then on."""
        number = bisect_left(self._times, at)
        if number == len(self._times) or self._times[number] != at:
            self._times.insert(number, at)
            self._rooms.insert(number, self._rooms[number - 1].copy())
        return number
