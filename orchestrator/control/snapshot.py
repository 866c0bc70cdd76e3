"""The scheduler's snapshot, taken from the store and the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from orchestrator.backends.protocol import Capacity
from orchestrator.control.timers import Elapsed
from orchestrator.lifecycle.states import JobState
from orchestrator.scheduling.interim.snapshot import Cluster, PendingJob, RunningJob, Snapshot
from orchestrator.store.jobs import QueuedJob
from orchestrator.store.records import RunRecord


def take_snapshot(
    queue: Sequence[QueuedJob],
    active: Sequence[RunRecord],
    capacity: Capacity,
    dependencies: Mapping[str, JobState],
    elapsed: Elapsed,
    now: float,
) -> Snapshot:
    """What `decide` sees.

    Args:
        queue: queued jobs.
        active: runs that hold slots.
        capacity: the engine's.
        dependencies: the state of every job that a queued one depends on.
        elapsed: measures back-off, so that a clock jump neither shortens nor lengthens it.
        now: wall-clock seconds since the epoch.
    """
    held = sum(run.slots for run in active)
    # The smaller of two views: the engine does not yet count a run that begins, the store knows no one else's.
    free = max(0, min(capacity.free, capacity.slots - held))
    holding = {run.job for run in active}
    waiting = {job.id for job in queue if job.not_before is not None}
    elapsed.forget(waiting)
    return Snapshot(
        now=now,
        cluster=Cluster(capacity.slots, free, capacity.largest_gang, capacity.slot_kind),
        pending=tuple(_pending(job, dependencies, holding, elapsed, now) for job in queue),
        running=tuple(RunningJob(run.job, run.slots, run.created_at) for run in active),
    )


def dependencies_of(job: QueuedJob) -> tuple[str, ...]:
    """The jobs that it depends on."""
    return () if job.depends_on == "[]" else tuple(json.loads(job.depends_on))


def _pending(
    job: QueuedJob, states: Mapping[str, JobState], holding: set[str], elapsed: Elapsed, now: float
) -> PendingJob:
    unmet = (other for other in dependencies_of(job) if states.get(other) is not JobState.SUCCEEDED)
    return PendingJob(
        job=job.id,
        sequence=job.sequence,
        priority=job.priority,
        workers_min=job.workers_min,
        workers_max=job.workers_max,
        slots_per_worker=job.slots_per_worker,
        not_before=_not_before(job, elapsed, now),
        failures=sum(json.loads(job.failures).values()) if job.not_before is not None else 0,
        waits_for=tuple(unmet),
        releasing=job.id in holding,
    )


def _not_before(job: QueuedJob, elapsed: Elapsed, now: float) -> float | None:
    if job.not_before is None:
        return None
    remaining = -elapsed.since(job.id, job.not_before)
    if remaining <= 0:
        return None
    jumped = abs(job.not_before - (now + remaining)) > 1
    return now + remaining if jumped else max(job.not_before, now + 1e-3)
