"""Shortest expected remaining time first, by our own estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.scheduling.jobs import total_expected
from orchestrator.scheduling.orders.ranking import Key
from orchestrator.scheduling.orders.simple import Submission

if TYPE_CHECKING:
    from orchestrator.scheduling.jobs import Job, Running

_FAR = 6.0
"""Errors of an estimate; beyond so many of them what is expected is only reckoned roughly."""


@dataclass(frozen=True)
class Shortest(Submission):
    """By priority, then by E[total | total > worked] - worked at the job's full width; no estimate goes last.

    With exact estimates this is shortest remaining time. With uncertain ones a job that has outlasted its estimate
    is expected to go on for long, and sinks; that is what keeps an underestimated job from blocking all others.
    """

    def key(self, job: Job, now: float) -> Key:
        """What it still needs."""
        return (-job.priority, _left(job, job.worked), job.sequence)

    def running_key(self, running: Running, now: float) -> Key:
        """What it still needs by now."""
        job = running.job
        return (-job.priority, _left(job, running.worked(now)), job.sequence)

    def latest_key(self, running: Running, now: float, until: float) -> Key:
        """The total that is expected only grows: what is expected then, less what it has worked by now."""
        job, estimate, worked = running.job, running.job.estimate, running.worked(until)
        if estimate is None or worked > estimate.seconds * math.exp(_FAR * min(_FAR, estimate.error)):
            return (-job.priority, math.inf, job.sequence)
        return (-job.priority, max(0.0, total_expected(estimate, worked) - running.worked(now)), job.sequence)

    def sinks(self, running: Running, now: float) -> float:
        """Little by little, where the estimate is uncertain."""
        estimate = running.job.estimate
        return now if estimate is not None and estimate.error > 0 else math.inf


def _left(job: Job, worked: float) -> float:
    return math.inf if job.estimate is None else max(0.0, total_expected(job.estimate, worked) - worked)
