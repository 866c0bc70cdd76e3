"""The queue, walked once from first to last: claims, starts, who may pass whom, and what is asked of running jobs."""

from __future__ import annotations

from orchestrator.scheduling import growth, making_room, sharing, widths
from orchestrator.scheduling.claims import valid_claim
from orchestrator.scheduling.cluster import Placement, workers_of
from orchestrator.scheduling.decisions import Decisions, Start
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.hurdles import hurdle
from orchestrator.scheduling.jobs import Job


def walk(draft: Draft) -> Decisions:
    """Decide for every waiting job, then for the running ones."""
    for job in draft.queue():
        if hurdle(job, draft.now) is not None:
            draft.wake(job.not_before)
        elif (claim := valid_claim(job, draft.state.nodes, draft.now)) is not None:
            _redeem(draft, job, claim)
        elif not _serve(draft, job) and draft.policy.backfill == "none":
            break
    growth.grow(draft)
    return draft.decisions()


def _serve(draft: Draft, job: Job) -> bool:
    """Start it, or have room made for it; False: it waits for slots, and those after it pass only by the rules."""
    if not sharing.allows(draft, job, job.demand.workers_min * job.demand.slots) or not draft.possible(job):
        return True
    placement = widths.choose(draft, job)
    if placement is not None and sharing.allows(draft, job, workers_of(placement) * job.demand.slots):
        draft.start(job, placement)
        return True
    return making_room.make_room(draft, job)


def _redeem(draft: Draft, job: Job, claim: Placement) -> None:
    """Start on what was freed for it once all of it is free; `room` never held it."""
    if draft.idle.holds(claim, job.demand):
        draft.starts.append(Start(job.id, claim))
