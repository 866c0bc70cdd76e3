"""What jobs and runs are to the scheduler: records of the store as `Job` and `Running`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from orchestrator.control.foreign import FOREIGN_ERRORS, number_of
from orchestrator.lifecycle.states import JobState, RunState
from orchestrator.planning.launch import is_array
from orchestrator.scheduling.cluster import Constraints, Demand, Placement, Share
from orchestrator.scheduling.jobs import Estimate, Job, Running, planned_limit
from orchestrator.spec.workload import Workload
from orchestrator.store.jobs import OpenJob
from orchestrator.store.records import Placed, RunRecord, placed

_KINDS = 4096
"""So many different demands and estimates are read once: of a long queue most are the same."""
_HELD = str(JobState.HELD)
_GONE = frozenset(map(str, (JobState.RECOVERING, JobState.CANCELLING, JobState.FAILED, JobState.CANCELLED)))


def needs_of(workload: Workload, slot_kind: str) -> dict[str, Any]:
    """What a worker needs beside its slots, where it may lie, and whether it is by itself, as the store keeps it.

    Only what is stated stands there.
    """
    asked = workload.resources
    stated = {
        "cpus": asked.cpus_per_worker if slot_kind == "gpu" else 0,
        "memory": asked.memory_per_worker,
        "anywhere": asked.placement == "anywhere",
        "gpu_types": list(asked.gpu_types),
        "not_on": list(asked.not_on),
        "same_rack": asked.same_rack,
        "array": is_array(workload),
    }
    return {name: value for name, value in stated.items() if value}


def demand_of(job: OpenJob) -> Demand:
    """What a job needs."""
    return _demand(job.workers_min, job.workers_max, job.slots_per_worker, job.needs)


@lru_cache(maxsize=_KINDS)
def _demand(workers_min: int, workers_max: int, slots: int, text: str) -> Demand:
    needs: Mapping[str, Any] = {} if text == "{}" else json.loads(text)
    return Demand(
        workers_min=workers_min,
        workers_max=workers_max,
        slots=slots,
        cpus=needs.get("cpus", 0),
        memory=needs.get("memory", 0),
        packed=not needs.get("anywhere", False),
        constraints=Constraints(
            tuple(needs.get("gpu_types", ())), frozenset(needs.get("not_on", ())), needs.get("same_rack", False)
        ),
    )


def job_of(
    job: OpenJob,
    *,
    limit: float | None = None,
    not_before: float | None = None,
    unmet: tuple[str, ...] = (),
    releasing: bool = False,
) -> Job:
    """A job as it stands in the store.

    Args:
        job: its columns.
        limit: seconds that a run may have on this cluster, whatever the workload says.
        not_before: when it may start again.
        unmet: jobs that must succeed first.
        releasing: whether its last run still holds slots.
    """
    estimate = estimate_of(job)
    return Job(
        id=job.id,
        sequence=job.sequence,
        submitted=job.created_at,
        demand=demand_of(job),
        team=job.team,
        owner=job.owner,
        priority=job.priority,
        estimate=estimate,
        limit=planned_limit(job.time_limit, limit, estimate),
        exponent=job.exponent,
        worked=job.worked,
        attained=job.attained,
        preemptions=job.preemptions,
        waits_since=job.waits_since,
        held=job.state == _HELD,
        not_before=not_before,
        waits_for=unmet,
        releasing=releasing,
        failures=0 if job.failures == "{}" else sum(json.loads(job.failures).values()),
        claim=placement_of(placed(job.claim)),
        max_time=limit,
    )


def running_job(job: OpenJob, run: RunRecord, *, now: float) -> Running:
    """A run that holds slots, and its job.

    A job whose width cannot change now (it starts, it is being resized, or no run of it can be resized) has no
    choice of widths here: its estimate and its work are those at the width that it has.
    """
    placement = placement_of(run.placement) or ()
    worked, counted = progress_of(job, run, now)
    known = job_of(job)
    seconds = max(0.0, counted - counted_of(run))
    limit, most = planned_limit(job.time_limit, run.time_limit, known.estimate), run.time_limit
    attained = known.attained + seconds * run.slots
    record = replace(known, limit=limit, max_time=most, worked=worked, attained=attained)
    saved = job.worked if run.saved is None else run.saved
    running = Running(
        job=record,
        placement=placement,
        since=run.created_at,
        counted=counted,
        resized=run.created_at if run.resized_at is None else run.resized_at,
        saved=saved,
        keeps=_keeps(job, run),
        pinned=run.pinned,
        saves=job.elastic,
    )
    can_resize = job.elastic and run.state is RunState.RUNNING and run.resizing_from is None
    return running if can_resize else _as_it_is(running)


def counted_of(run: RunRecord) -> float:
    """Up to when its slot-seconds are counted."""
    return run.created_at if run.counted is None else run.counted


def progress_of(job: OpenJob, run: RunRecord, now: float) -> tuple[float, float]:
    """Seconds of the job's work at `workers_max` that are done, and the time at which that was so.

    By the run's own word where it knows how much there is to do and somebody has an idea of how long that takes;
    otherwise what was counted last.
    """
    counted = min(counted_of(run), now)
    told = _told(job.progress)
    estimate = None if told is None else estimate_of(job)
    if told is None or estimate is None or not counted <= told[1] <= now:
        return run.worked, counted
    return told[0] * estimate.seconds, told[1]


def worked_at(job: OpenJob, run: RunRecord, now: float) -> float:
    """The job's work at a time, from its last word on."""
    worked, counted = progress_of(job, run, now)
    if run.state is not RunState.RUNNING:
        return worked
    workers = min(run.world_size, job.workers_max)
    return worked + max(0.0, now - counted) * job_of(job).speed(workers)


def placement_of(shares: Placed | None) -> Placement | None:
    """A placement as the scheduler has it."""
    return None if shares is None else tuple(Share(node, workers) for node, workers in shares)


def estimate_of(job: OpenJob) -> Estimate | None:
    """What is expected of a job; None where nobody has an idea, or one that is no time."""
    return None if job.estimate is None else _estimate(job.estimate)


@lru_cache(maxsize=_KINDS)
def _estimate(text: str) -> Estimate | None:
    found = json.loads(text)
    seconds, error = number_of(found.get("seconds")), number_of(found.get("error"))
    return None if seconds is None or seconds <= 0 or error is None or error < 0 else Estimate(seconds, error)


def _told(progress: str | None) -> tuple[float, float] | None:
    """The fraction that is done and when that was said; foreign, so that nonsense is no word at all."""
    if progress is None:
        return None
    found = json.loads(progress)
    done, total, time = (number_of(found.get(name)) for name in ("done", "total", "time"))
    if done is None or total is None or time is None or total <= 0:
        return None
    try:
        return min(1.0, max(0.0, done / total)), time
    except FOREIGN_ERRORS:  # a total next to nothing
        return None


def _keeps(job: OpenJob, run: RunRecord) -> Placement | None:
    if run.state.terminal or run.stop_cause is not None or job.state in _GONE:
        return ()
    frees = run.becomes is not None and dict(run.becomes) != dict(run.placement)
    return placement_of(run.becomes) if frees else None


def _as_it_is(running: Running) -> Running:
    job, workers = running.job, sum(count for _, count in running.placement)
    if not workers or running.keeps is not None:
        return running
    speed = job.speed(min(workers, job.demand.workers_max))
    saved = None if running.saved is None else running.saved / speed
    return replace(running, job=at_width(job, workers), saved=saved)


def at_width(job: Job, workers: int) -> Job:
    """The same job without a choice of widths: its estimate and its work are those at this one."""
    speed = job.speed(min(workers, job.demand.workers_max))
    estimate = job.estimate and replace(job.estimate, seconds=job.estimate.seconds / speed)
    demand = replace(job.demand, workers_min=workers, workers_max=workers)
    return replace(job, demand=demand, estimate=estimate, worked=job.worked / speed)
