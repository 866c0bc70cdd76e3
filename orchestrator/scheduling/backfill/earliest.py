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
    if draft.after.layout.shape(job.demand).simple is not None:
        return _of_alike(draft, job)
    room, demand, at = draft.after.copy(), job.demand, draft.now
    workers, limit = demand.workers_min, math.inf if job.limit is None else job.limit
    windows = room.layout.shape(demand).windows
    edges = [edge for edge in room.layout.edges if edge > at] if windows else []
    for freed in _and_never(_with_edges(coming(draft), edges)):
        if freed.at > at:
            if (placement := room.fit(demand, workers, at, at + limit)) is not None:
                room.take(placement, demand)
                return at, placement, room
            at = freed.at
        room.give(freed.placement, freed.demand)
    return None


def _of_alike(draft: Draft, job: Job) -> tuple[float, Placement, Room] | None:
    """The same where nodes are alike and only slots count: it tries only once enough is free on enough nodes."""
    after, demand, at = draft.after, job.demand, draft.now
    part = after.layout.shape(demand).simple
    assert part is not None
    workers = demand.workers_min
    wanted, enough = (1, workers * demand.slots) if workers <= part.capacity else (workers // part.capacity, part.slots)
    found = after.count(part, enough)
    free: dict[str, int] = {}
    passed: list[Freed] = []
    for freed in _and_never(coming(draft)):
        if freed.at > at:
            if found >= wanted:
                room = _after_all(after, free, passed)
                if (placement := room.fit(demand, workers, at, at)) is not None:
                    room.take(placement, demand)
                    return at, placement, room
            at = freed.at
        passed.append(freed)
        slots = freed.demand.slots
        for node, count in freed.placement:
            before = free[node] if node in free else after.free_on(node)
            free[node] = now = before + count * slots
            if before < enough <= now:
                found += 1
    return None


def _after_all(after: Room, free: dict[str, int], passed: list[Freed]) -> Room:
    """What is free once all these have passed; `free` says it already where slots alone are counted."""
    room = after.copy()
    if room.layout.counts:
        for freed in passed:
            room.give(freed.placement, freed.demand)
    else:
        room.become(free)
    return room


def _with_edges(freed: Iterable[Freed], edges: list[float]) -> Iterable[Freed]:
    """Ends of maintenance are times at which something may fit too."""
    return heapq.merge(freed, (Freed(at, -1, (), ONE_WORKER) for at in edges)) if edges else freed


def _and_never(freed: Iterable[Freed]) -> Iterator[Freed]:
    yield from freed
    yield Freed(math.inf, -1, (), ONE_WORKER)
