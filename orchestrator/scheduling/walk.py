"""The queue, walked once from first to last: claims, starts, who may pass whom, and what is asked of running jobs."""

from __future__ import annotations

import heapq
import math
from enum import Enum
from operator import itemgetter

from orchestrator.scheduling import eviction, growth, making_room, sharing, widths
from orchestrator.scheduling.cluster import Demand, workers_of
from orchestrator.scheduling.decisions import Decisions
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.lines import Cursor
from orchestrator.scheduling.orders.ranking import Key

ROOMS = 16
"""In one decision room is made for so many jobs at most; nobody after them is served then but in the next one."""
_SOON = 1.0
"""Seconds until that, if nothing happens before."""


class _Then(Enum):
    """What follows from how a job was served."""

    NEXT = "those after it are looked at"
    SHORTER = "of those who need the same only such as take less time may fit"
    LONGER = "of those who need the same only such as have waited for longer may have room made"
    NONE_LIKE_IT = "nobody who needs the same can start now"
    NOBODY = "nobody can start now"


def walk(draft: Draft) -> Decisions:
    """Decide for every waiting job, then for the running ones."""
    eviction.evict(draft)
    for name in draft.claimed:
        draft.redeem(draft.state.pending[name])
    heap = [_item(draft, Cursor(line)) for line in draft.waiting.lines.values()]
    heapq.heapify(heap)
    prunes = _only_room_counts(draft)
    while heap and len(draft.claims) < ROOMS:
        cursor = heap[0][2]
        then = _serve(draft, cursor.entry.job)
        if then is _Then.NOBODY:
            break
        if prunes and draft.first_blocked is not None and draft.guard.settled():
            prunes = False
            heap = [item for item in heap if item[2] is cursor or not _hopeless(draft, item[2].line.demand)]
            heapq.heapify(heap)
        if _advance(draft, cursor, then):
            heapq.heapreplace(heap, _item(draft, cursor))
        else:
            heapq.heappop(heap)
    if len(draft.claims) < ROOMS:
        growth.grow(draft)
    else:
        draft.wake(draft.now + _SOON)
    return draft.decisions()


def _advance(draft: Draft, cursor: Cursor, then: _Then) -> bool:
    """To the next one of the line that is worth a look; False: there is none."""
    if then is _Then.NONE_LIKE_IT:
        return False
    if then is _Then.LONGER:
        patience = draft.policy.asks_after
        found, passed = cursor.advance_to(draft.now - patience)
        draft.wake(passed + patience)
        return found
    return cursor.advance(draft.guard.patience(draft) if then is _Then.SHORTER else math.inf)


def settles(draft: Draft) -> bool:
    """Whether this walk can be resumed for jobs that come later, once it is carried out and if nothing else happens.

    Nobody who waits now can start for as long as nothing is freed and nothing that was expected has passed: there is
    only less time left before what is reserved. And what is reserved stays where it is, if whoever passed it is over
    before. Where teams have limits, who starts may use one up, and then holds back others of its team.
    """
    policy, guard = draft.policy, draft.guard
    if draft.stops_anybody or policy.elastic is not None:
        return False
    if draft.claimed or draft.state.leaving or draft.room.layout.begins:
        return False
    if draft.state.tree.bounded and (draft.book.kept or draft.starts):
        return False
    if draft.first_blocked is None:
        return True
    return guard.settled() and guard.stays()


def resume(draft: Draft, news: list[Job], now: float) -> Decisions | None:
    """What the walk would decide once more after these jobs have come; None: it has to be walked."""
    if not draft.begin_again(now):
        return None
    ranked = sorted(((draft.rank(job), job) for job in news if job.id in draft.waiting), key=itemgetter(0))
    for rank, job in ranked:
        if draft.first_blocked is not None and not draft.first_blocked < rank:
            return None
        if draft.first_blocked is None or draft.policy.backfill != "none":
            _serve(draft, job)
    return draft.decisions()


def _only_room_counts(draft: Draft) -> bool:
    """Whether a job without room changes nothing, once others are settled: nobody makes room, nothing more is kept."""
    return not draft.stops_anybody and draft.policy.elastic is None and not draft.state.tree.bounded


def _hopeless(draft: Draft, demand: Demand) -> bool:
    """Whether the fewest workers do not fit, so that no more do, were nothing reserved and no maintenance ahead."""
    room, shape = draft.room, draft.room.layout.shape(demand)
    slots_count = shape.simple is None and demand.packed and not shape.windows
    if slots_count and not room.might_start_at_all(demand, demand.workers_min):
        return True
    return shape.nested and not room.could(demand)


def _item(draft: Draft, cursor: Cursor) -> tuple[Key, str, Cursor]:
    key, name, _, _ = cursor.entry
    offset = draft.offset(cursor.line.group)
    return (key[0] + offset, *key[1:]) if offset else key, name, cursor


def _serve(draft: Draft, job: Job) -> _Then:
    """Start it, or have room made for it, or let it wait."""
    if job.id in draft.claimed:
        return _Then.NEXT
    demand = job.demand
    if not draft.possible(job):
        return _Then.NONE_LIKE_IT
    fewest = draft.fewest(job)
    if not sharing.allows(draft, job, fewest * demand.slots):
        if draft.policy.backfill != "skip" or draft.overdue(job):
            draft.book.keep(job.team, fewest * demand.slots)
        return _Then.NONE_LIKE_IT
    hopeless = _hopeless(draft, demand)
    placement = None if hopeless else widths.choose(draft, job)
    if placement is not None and making_room.make_wide_room(draft, job, workers_of(placement)):
        return _Then.NEXT
    if placement is not None and sharing.allows(draft, job, workers_of(placement) * demand.slots):
        draft.start(job, placement)
        return _Then.NEXT
    if making_room.make_room(draft, job, fewest):
        return _Then.NEXT
    others_pass = draft.guard.block(draft, job)
    draft.blocked(job)
    if not others_pass:
        return _Then.NOBODY
    if draft.guard.asks_all(draft) or (draft.room.layout.shape(demand).windows and not hopeless):
        return _Then.NEXT
    alike = hopeless or _time_is_nothing(draft, job)
    if making_room.has_just_come(draft, job):
        return _Then.LONGER if alike else _Then.NEXT
    if making_room.has_returned(draft, job):
        return _Then.NEXT
    return _Then.NONE_LIKE_IT if alike else _Then.SHORTER


def _time_is_nothing(draft: Draft, job: Job) -> bool:
    """Whether those who need the same as a job without room cannot start either, however short they are.

    Nothing is reserved yet. Who is overdue may be narrower than others; and where those who came back are heard again
    after a while, each of them has a time of its own.
    """
    rules = draft.policy.preemption
    hears_later = rules is not None and rules.returned_after is not None
    return not (draft.reservations or hears_later or draft.overdue(job))
