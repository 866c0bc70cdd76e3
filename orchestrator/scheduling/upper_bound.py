"""The upper bound of what runs may still take: what is held against windows of maintenance."""

from __future__ import annotations

import math
from functools import lru_cache

from orchestrator.scheduling.estimates.outlived import quantile
from orchestrator.scheduling.expected import FIRST_STEP
from orchestrator.scheduling.jobs import Estimate, Job, Running

SHARE = 0.95
"""Of all jobs like it that have done as much, so many are over by the upper bound of our estimate.

One in twenty is not, and is asked to save its state and stop when maintenance begins (`eviction`). With a smaller share
more are; with a larger one nodes stand idle for longer before: with an error of 0.5, 95 % are over after 2.3 times the
median and 99 % after 3.2 times.
"""
_KNOWN = 16_384
"""Jobs whose upper bounds are remembered."""


def upper_bound(job: Job, workers: int) -> float:
    """Seconds that a run which starts now may take with so many workers; infinite where nobody has an idea.

    That is its time limit, which is enforced; where it has none, what our estimate bounds, given what it has done, and
    no more than the cluster lets any run take.
    """
    if job.limit is not None:
        return job.limit
    most = math.inf if job.max_time is None else job.max_time
    if job.estimate is None:
        return most
    return min(most, _left(job.estimate.seconds, job.estimate.error, job.worked) / job.speed(workers))


def upper_bound_end(running: Running, workers: int, now: float) -> float:
    """When a run that goes on with so many workers is over at the latest, by the same; never before now."""
    job = running.job
    if job.limit is not None:
        return max(now, running.since + job.limit)
    most = math.inf if job.max_time is None else max(now, running.since + job.max_time)
    if job.estimate is None:
        return most
    left = _work_left(job.estimate, running.worked(now))
    return min(most, max(now, running.counted) + left / job.speed(workers))


@lru_cache(maxsize=_KNOWN)
def _left(seconds: float, error: float, worked: float) -> float:
    """The same for a job that waits, whose work stays what it is."""
    return _work_left(Estimate(seconds, error), worked)


def _work_left(estimate: Estimate, worked: float) -> float:
    """Work that is left, in seconds at `workers_max`; a job that has outlived a sure estimate gets a little more."""
    left = quantile(estimate, worked, SHARE) - worked
    return left if left > 0 else FIRST_STEP
