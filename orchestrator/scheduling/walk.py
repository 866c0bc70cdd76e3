"""The queue, walked once from first to last: claims, starts, who may pass whom, and what is asked of running jobs."""

from __future__ import annotations

from orchestrator.scheduling.claims import valid_claim
from orchestrator.scheduling.cluster import Placement
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
        elif (placement := _widest(draft, job)) is not None:
            draft.start(job, placement)
        elif draft.policy.backfill == "none" and draft.possible(job):
            break
    return draft.decisions()


def _redeem(draft: Draft, job: Job, claim: Placement) -> None:
    """Start on what was freed for it once all of it is free; `room` never held it."""
    if draft.idle.holds(claim, job.demand):
        draft.starts.append(Start(job.id, claim))


def _widest(draft: Draft, job: Job) -> Placement | None:
    """The most workers within the job's range that fit; None where even the fewest do not."""
    most = job.demand.workers_max
    if draft.state.max_workers is not None:
        most = min(most, draft.state.max_workers)
    for workers in range(most, job.demand.workers_min - 1, -1):
        placement = draft.room.fit(job.demand, workers, draft.now, draft.ends_by(job))
        if placement is not None:
            return placement
    return None
