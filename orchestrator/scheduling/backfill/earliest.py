"""When a waiting job fits if running jobs end as expected, and what is free then."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.scheduling.cluster import ONE_WORKER, Demand, Placement
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.room import Room

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


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


def coming(draft: Draft) -> Iterable[Freed]:
    """What should come free, earliest first: of those who run and stay, who start now, and who hold claims.

    Those who were asked to stop or to shrink have given up what they were asked for already.
    """
    running = _of_running(draft)
    return heapq.merge(running, sorted(draft.begun)) if draft.begun else running


def _of_running(draft: Draft) -> Iterator[Freed]:
    running, resizes, preempts = draft.state.running, draft.resizes, draft.preempts
    for at, sequence, name in draft.state.ends.known():
        run = running[name]
        placement = run.placement if run.keeps is None else run.keeps
        if name in preempts:
            continue
        if name in resizes:
            placement = resizes[name].placement
        yield Freed(at, sequence, placement, run.job.demand)


def earliest(draft: Draft, job: Job) -> tuple[float, Placement, Room] | None:
    """When and where its fewest workers fit first, and what is free then beside it; None: nobody knows when."""
    room, demand, at = draft.after.copy(), job.demand, draft.now
    workers, limit = demand.workers_min, math.inf if job.limit is None else job.limit
    windows = room.layout.shape(demand).windows
    edges = [edge for edge in room.layout.edges if edge > at] if windows else []
    promising = True
    for freed in _and_never(_with_edges(coming(draft), edges)):
        if freed.at > at:
            if promising and (placement := room.fit(demand, workers, at, at + limit)) is not None:
                room.take(placement, demand)
                return at, placement, room
            at, promising = freed.at, windows
        room.give(freed.placement, freed.demand)
        promising = promising or room.promises(freed.placement, demand)
    return None


def _with_edges(freed: Iterable[Freed], edges: list[float]) -> Iterable[Freed]:
    """Ends of maintenance are times at which something may fit too."""
    return heapq.merge(freed, (Freed(at, -1, (), ONE_WORKER) for at in edges)) if edges else freed


def _and_never(freed: Iterable[Freed]) -> Iterator[Freed]:
    yield from freed
    yield Freed(math.inf, -1, (), ONE_WORKER)
