"""`decide`: strict order of priority, then of submission; gangs start whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.lifecycle.reasons import (
    Holder,
    Reason,
    backing_off,
    not_its_turn,
    releasing,
    too_few_slots,
    too_large,
    unmet_dependencies,
)
from orchestrator.scheduling.interim.decisions import Decisions, Start, Wait
from orchestrator.scheduling.interim.snapshot import Cluster, PendingJob, RunningJob, Snapshot


@dataclass(frozen=True)
class Policy:
    """How the queue is served.

    Attributes:
        name: `fifo`: strict; the first job that could run and does not fit holds back all after it.
        max_workers: no run gets more; None where the profile sets no limit.
    """

    name: Literal["fifo"] = "fifo"
    max_workers: int | None = None


def decide(snapshot: Snapshot, policy: Policy) -> Decisions:
    """A start or a reason for every pending job; equal input gives equal output.

    Jobs that cannot run now whatever is free (back-off, dependency, too large) hold nobody back and keep their place.
    """
    queue = _Queue(snapshot, policy)
    for job in sorted(snapshot.pending, key=lambda j: j.order):
        queue.take(job)
    return Decisions(tuple(queue.starts), tuple(queue.waits))


class _Queue:
    """Walks the queue once, first to last."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self.starts: list[Start] = []
        self.waits: list[Wait] = []
        self._snapshot = snapshot
        self._policy = policy
        self._free = max(0, snapshot.cluster.free)
        self._blocked = False

    def take(self, job: PendingJob) -> None:
        reason = _own_reason(job, self._snapshot, self._policy)
        if reason is None and self._blocked:
            reason = not_its_turn()
        if reason is None:
            reason = self._start_or_block(job)
        if reason is not None:
            self.waits.append(Wait(job.job, reason))

    def _start_or_block(self, job: PendingJob) -> Reason | None:
        workers = widest(job, self._free, self._snapshot.cluster, self._policy)
        if workers == 0:
            self._blocked = True
            needed, cluster = job.workers_min * job.slots_per_worker, self._snapshot.cluster
            return too_few_slots(needed, self._free, cluster.slots, cluster.slot_kind, self._holders())
        taken = workers * job.slots_per_worker
        self._free -= taken
        self.starts.append(Start(job.job, workers, taken))
        return None

    def _holders(self) -> list[Holder]:
        """Who holds slots once this decision is carried out."""
        now = self._snapshot.now
        return [*map(_holder, self._snapshot.running), *(Holder(s.job, s.slots, now) for s in self.starts)]


def widest(job: PendingJob, free: int, cluster: Cluster, policy: Policy) -> int:
    """The most workers within the job's range that fit; 0 where even the fewest do not."""
    most = min(free, _most_slots(job, cluster, policy)) // job.slots_per_worker
    return min(job.workers_max, most) if most >= job.workers_min else 0


def _most_slots(job: PendingJob, cluster: Cluster, policy: Policy) -> int:
    """What one run of this job can ever have."""
    if policy.max_workers is None:
        return cluster.largest_gang
    return min(cluster.largest_gang, policy.max_workers * job.slots_per_worker)


def _own_reason(job: PendingJob, snapshot: Snapshot, policy: Policy) -> Reason | None:
    """What keeps this job from running whatever the others do."""
    if job.releasing:
        return releasing()
    if job.waits_for:
        return unmet_dependencies(job.waits_for)
    if job.not_before is not None and job.not_before > snapshot.now:
        return backing_off(job.not_before, job.failures)
    needed, most = job.workers_min * job.slots_per_worker, _most_slots(job, snapshot.cluster, policy)
    if needed > most:
        return too_large(needed, most, snapshot.cluster.slot_kind)
    return None


def _holder(running: RunningJob) -> Holder:
    return Holder(running.job, running.slots, running.since)


def next_time(decisions: Decisions) -> float | None:
    """The earliest time at which a wait ends by itself, in seconds since the epoch."""
    return min((w.reason.until for w in decisions.waits if w.reason.until is not None), default=None)
