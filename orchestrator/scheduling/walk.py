"""The queue, walked once from first to last: claims, starts, who may pass whom, and what is asked of running jobs."""

from __future__ import annotations

import heapq
import math
from enum import Enum

from orchestrator.scheduling import growth, making_room, sharing, widths
from orchestrator.scheduling.cluster import workers_of
from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.lines import Cursor
from orchestrator.scheduling.orders.ranking import Key


class _Then(Enum):
    """What follows from how a job was served."""

    NEXT = "those after it are looked at"
    SHORTER = "of those who need the same only such as take less time may fit"
    NONE_LIKE_IT = "nobody who needs the same can start now"
    NOBODY = "nobody can start now"


def walk(draft: Draft) -> Decisions:
    """Decide for every waiting job, then for the running ones."""
    for name in draft.claimed:
        draft.redeem(draft.state.pending[name])
    cursors = [Cursor(line) for line in draft.waiting.lines.values()]
    heap: list[tuple[Key, str, Cursor]] = [(_rank(draft, cursor), cursor.entry.id, cursor) for cursor in cursors]
    heapq.heapify(heap)
    while heap:
        cursor = heap[0][2]
        then = _serve(draft, cursor.entry.job)
        if then is _Then.NOBODY:
            break
        within = draft.guard.patience() if then is _Then.SHORTER else math.inf
        if then is _Then.NONE_LIKE_IT or not cursor.advance(within):
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (_rank(draft, cursor), cursor.entry.id, cursor))
    growth.grow(draft)
    draft.wake(draft.waiting.next_change())
    return draft.decisions()


def _rank(draft: Draft, cursor: Cursor) -> Key:
    key = cursor.entry.key
    offset = draft.offset(cursor.line.group)
    return (key[0] + offset, *key[1:]) if offset else key


def _serve(draft: Draft, job: Job) -> _Then:
    """Start it, or have room made for it, or let it wait."""
    if job.id in draft.claimed:
        return _Then.NEXT
    demand = job.demand
    if not draft.possible(job) or not sharing.allows(draft, job, demand.workers_min * demand.slots):
        return _Then.NONE_LIKE_IT
    hopeless = draft.room.fit(demand, demand.workers_min, draft.now, draft.now) is None
    placement = None if hopeless else widths.choose(draft, job)
    if placement is not None and sharing.allows(draft, job, workers_of(placement) * demand.slots):
        draft.start(job, placement)
        return _Then.NEXT
    if making_room.make_room(draft, job):
        return _Then.NEXT
    if not draft.guard.block(job):
        return _Then.NOBODY
    if draft.guard.asks_all():
        return _Then.NEXT
    if hopeless:
        return _Then.NONE_LIKE_IT
    return _Then.NEXT if draft.room.layout.shape(demand).windows else _Then.SHORTER
