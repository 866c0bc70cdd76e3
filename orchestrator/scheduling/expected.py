"""When jobs should be over, as far as anybody can tell: what reservations rest on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from orchestrator.scheduling.jobs import Estimate, Job, Running, total_expected

FIRST_STEP = 60.0
"""Seconds that a job which has outlived what was expected of it gets more; doubled each time that it outlives them."""


def expected_end(running: Running, now: float) -> float:
    """The first of its expected ends that has not passed; infinite where nobody has an idea.

    That is the end of its time limit where it has one; otherwise when it has done the work that our estimate expects.
    The end stays as it is until it has passed.
    """
    if running.job.limit is not None and (first := running.since + running.job.limit) > now:
        return first
    return next(end for end in _ends(running) if end > now)


def expected_end_with(running: Running, workers: int, now: float) -> float:
    """The same if it gets so many workers now."""
    job = running.job
    if job.limit is not None or job.estimate is None:
        return expected_end(running, now)
    worked, speed = running.worked(now), job.speed(min(workers, job.demand.workers_max))
    return next(end for total in _totals(job.estimate) if (end := now + (total - worked) / speed) > now)


def expected_seconds(job: Job, workers: int) -> float:
    """How long a run of a waiting job should take; infinite where nobody has an idea."""
    if job.limit is not None:
        return job.limit
    if job.estimate is None:
        return math.inf
    total = next(total for total in _totals(job.estimate) if total > job.worked)
    return (total - job.worked) / job.speed(workers)


def _ends(running: Running) -> Iterator[float]:
    job = running.job
    if job.limit is not None:
        yield from (running.since + job.limit + late for late in _delays())
    elif job.estimate is not None:
        speed = job.speed(running.working)
        yield from (running.counted + (total - job.worked) / speed for total in _totals(job.estimate))
    yield math.inf


def _delays() -> Iterator[float]:
    late, step = 0.0, FIRST_STEP
    while late < math.inf:
        yield late
        late, step = late + step, 2 * step


def _totals(estimate: Estimate) -> Iterator[float]:
    """All work that is expected of a job at first; once it has done that and is not over; and so on."""
    total, step = total_expected(estimate, 0.0), FIRST_STEP
    while total < math.inf:
        yield total
        total, step = max(total_expected(estimate, total), total + step), 2 * step
    yield math.inf
