"""When a waiting job fits if running jobs end as expected, and what is free then."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.scheduling.cluster import Demand, Placement
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.room import Room

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft

_when = itemgetter(0)


class Freed(NamedTuple):
    """Slots that come free by themselves.

    Attributes:
        at: seconds since the epoch.
        sequence: of the job that holds them, so that ties are broken.
        placement: what it holds.
        demand: of its workers.
    """

    at: float
    sequence: int
    placement: Placement
    demand: Demand


def coming(draft: Draft) -> Iterator[Freed]:
    """What should come free, earliest first: of those who run and stay, who start now, and who hold claims.

    Those who were asked to stop or to shrink have given up what they were asked for already.
    """
    return heapq.merge(_of_running(draft), sorted(draft.begun))


def _of_running(draft: Draft) -> Iterator[Freed]:
    running, resizes, preempts = draft.state.running, draft.resizes, draft.preempts
    for at, sequence, name in draft.state.ends.known():
        run = running[name]
        if name in preempts or run.stopping:
            continue
        if (resize := resizes.get(name)) is not None:
            placement = resize.placement
        else:
            placement = run.placement if run.keeps is None else run.keeps
        yield Freed(at, sequence, placement, run.job.demand)


def earliest(draft: Draft, job: Job) -> tuple[float, Placement, Room] | None:
    """When and where its fewest workers fit first, and what is free then beside it; None: nobody knows when."""
    room, demand, now = draft.after.copy(), job.demand, draft.now
    workers, limit = demand.workers_min, math.inf if job.limit is None else job.limit
    windows = room.layout.shape(demand).windows
    if (placement := room.fit(demand, workers, now, now + limit)) is not None:
        room.take(placement, demand)
        return now, placement, room
    edges = [edge for edge in room.layout.edges if edge > now] if windows else []
    for at, batch in groupby(_with_edges(coming(draft), edges), key=_when):
        promising = windows
        for item in batch:
            room.give(item.placement, item.demand)
            promising = promising or room.promises(item.placement, demand)
        if promising and (placement := room.fit(demand, workers, at, at + limit)) is not None:
            room.take(placement, demand)
            return at, placement, room
    return None


def _with_edges(freed: Iterator[Freed], edges: list[float]) -> Iterator[Freed]:
    """Ends of maintenance are times at which something may fit too."""
    return heapq.merge(freed, (Freed(at, -1, (), Demand()) for at in edges)) if edges else freed
