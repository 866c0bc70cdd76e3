"""When a waiting job fits if running jobs end as expected, and what is free then."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from itertools import chain, takewhile
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.scheduling.cluster import ONE_WORKER, Demand, Placement
from orchestrator.scheduling.ends import Freed
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.layout import Part
from orchestrator.scheduling.room import Room
from orchestrator.scheduling.upper_bound import upper_bound

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


_NEVER = Freed(math.inf, -1, (), ONE_WORKER, "")


class Opening(NamedTuple):
    """When and where a waiting job fits first.

    Attributes:
        at: seconds since the epoch.
        placement: of its fewest workers.
        spare: what is free then beside it, right on the nodes where it lies: a room, or slots by node where slots
            alone are counted.
    """

    at: float
    placement: Placement
    spare: Room | dict[str, int]

    def narrow(self, room: Room) -> None:
        """No more is free on those nodes than what is spare then."""
        if isinstance(self.spare, Room):
            room.cap(self.spare, self.placement)
        else:
            room.lower(self.spare)


def coming(draft: Draft) -> Iterable[Freed]:
    """What should come free, earliest first: of those who run and stay, who start now, and who hold claims.

    Those who were asked to stop or to shrink have given up what they were asked for already.
    """
    running = draft.state.ends.known()
    if draft.preempts or draft.resizes:
        running = [_asked(draft, freed) for freed in running if freed.job not in draft.preempts]
    return heapq.merge(running, sorted(draft.begun)) if draft.begun else running


def _asked(draft: Draft, freed: Freed) -> Freed:
    resize = draft.resizes.get(freed.job)
    return freed if resize is None else freed._replace(placement=resize.placement)


def earliest(draft: Draft, job: Job) -> Opening | None:
    """When and where its fewest workers fit first, if running jobs end as expected; None: nobody knows when."""
    part = draft.after.layout.shape(job.demand).simple
    return _anywhere(draft, job) if part is None else _among_alike(draft, job.demand, draft.fewest(job), part)


def _anywhere(draft: Draft, job: Job) -> Opening | None:
    room, demand, at = draft.after.copy(), job.demand, draft.now
    workers, windows = draft.fewest(job), room.layout.shape(demand).windows
    takes = upper_bound(job, workers) if windows else math.inf
    edges = [edge for edge in room.layout.edges if edge > at] if windows else []
    for freed in chain(_with_edges(coming(draft), edges), (_NEVER,)):
        if freed.at > at:
            if (placement := room.fit(demand, workers, at, at + takes)) is not None:
                room.take(placement, demand)
                return Opening(at, placement, room)
            at = freed.at
        room.give(freed.placement, freed.demand)
    return None


def _with_edges(freed: Iterable[Freed], edges: list[float]) -> Iterable[Freed]:
    """Ends of maintenance are times at which something may fit too."""
    return heapq.merge(freed, (Freed(at, -1, (), ONE_WORKER, "") for at in edges)) if edges else freed


def _among_alike(draft: Draft, demand: Demand, workers: int, part: Part) -> Opening | None:
    """Where nodes are alike and only slots count, free slots are added up, and room is sought once enough is free."""
    after, at = draft.after, draft.now
    wanted, enough = (1, workers * demand.slots) if workers <= part.capacity else (workers // part.capacity, part.slots)
    missing = wanted - after.count(part, enough)
    free: dict[str, int] = {}
    risen: list[str] = []
    free_on = after.free_on
    for ends, _, placement, theirs, _ in chain(coming(draft), (_NEVER,)):
        if ends > at:
            if len(risen) >= missing and (place := after.fit_with(demand, workers, free, risen)) is not None:
                return Opening(at, place, _spare(draft, demand, place, free, at))
            at = ends
        slots = theirs.slots
        for node, count in placement:
            before = free[node] if node in free else free_on(node)
            free[node] = now = before + count * slots
            if before < enough <= now:
                risen.append(node)
    return None


def _spare(draft: Draft, demand: Demand, place: Placement, free: dict[str, int], at: float) -> Room | dict[str, int]:
    """What is free then beside a placement, on its nodes."""
    after = draft.after
    if not after.layout.counts:
        slots = demand.slots
        return {node: (free[node] if node in free else after.free_on(node)) - count * slots for node, count in place}
    spare = after.copy()
    for _, _, theirs, each, _ in takewhile(lambda freed: freed.at <= at, coming(draft)):
        spare.give(theirs, each)
    spare.take(place, demand)
    return spare
