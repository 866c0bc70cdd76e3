"""Who may be asked to give something up for a waiting job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.scheduling.givers import Giver, goes_before
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.making_room.plans import lost_by_stop
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.spec.policy import Policy

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft


@dataclass(frozen=True)
class Claimant:
    """A waiting job that wants room to be made.

    Attributes:
        job: it.
        workers: that it wants room for.
        rank: its place in the order.
        until: when it is over at the latest, if it starts once those who are asked have given up what they hold.
        owners: teams above it whose quota covers it.
        stops: whether running jobs may be stopped for it at all.
    """

    job: Job
    workers: int
    rank: Key
    until: float
    owners: tuple[str, ...]
    stops: bool

    @classmethod
    def of(cls, draft: Draft, job: Job, workers: int, *, stops: bool) -> Claimant:
        """Look it up; `stops`: whether it is worth stopping anybody."""
        rules = draft.policy.preemption
        owners: tuple[str, ...] = ()
        if rules is not None and draft.book.tree.quotas:
            owners = draft.book.entitled(job.team, workers * job.demand.slots)
        may = rules is not None and (bool(owners) or rules.for_whom != "quota") and not _has_returned(draft, job)
        until = draft.ends_by(job, workers) + _given_within(draft.policy)
        return cls(job, workers, draft.rank(job), until, owners, stops and may)


def _given_within(policy: Policy) -> float:
    """Seconds that a stop or a resize is reckoned to take: a claim must not meet maintenance when they have passed."""
    preemption, elastic = policy.preemption, policy.elastic
    return max(0.0 if preemption is None else preemption.price, 0.0 if elastic is None else elastic.price)


def may_stop(draft: Draft, claimant: Claimant, giver: Giver) -> bool:
    """Whether a job that has run long enough may be stopped for this one."""
    rules, job, run = draft.policy.preemption, claimant.job, giver.running
    if rules is None or not (claimant.stops and giver.stops) or (run.pinned and run.job.priority >= job.priority):
        return False
    if run.slots > draft.book.spare(run.job.team, job.team):
        return False
    if draft.book.lends(claimant.owners, run.job.team):
        return True
    if not goes_before(draft.policy, claimant.rank, giver.rank):
        return False
    if rules.for_whom == "priority":
        return job.priority > run.job.priority
    return rules.for_whom == "earlier" and _is_worth_it(draft, claimant, giver)


def _is_worth_it(draft: Draft, claimant: Claimant, giver: Giver) -> bool:
    """Whether the newcomer needs so much less that it still does once the work that a stop loses is added."""
    (ahead, needs, *_), (behind, left, *_) = claimant.rank, giver.rank
    if draft.policy.order.by != "shortest" or ahead < behind or draft.policy.preemption is None:
        return True
    lost = lost_by_stop(giver.running, draft.now)
    return not lost or needs + lost <= (1 - draft.policy.preemption.margin) * left


def may_spare(draft: Draft, claimant: Claimant, giver: Giver) -> int:
    """Workers that an elastic job may be asked for."""
    rules, run = draft.policy.elastic, giver.running
    if rules is None or not giver.spare or not (rules.shrink == "always" or claimant.rank < giver.rank):
        return 0
    return int(min(giver.spare, draft.book.spare(run.job.team, claimant.job.team) // giver.slots))


def _has_returned(draft: Draft, job: Job) -> bool:
    """Whether it was stopped itself, and must not yet cause others to be stopped."""
    rules = draft.policy.preemption
    if rules is None or job.preemptions == 0:
        return False
    if rules.returned_after is None:
        return True
    draft.wake(job.waits_since + rules.returned_after)
    return draft.now < job.waits_since + rules.returned_after
