"""What keeps a job from starting whatever is free: a person, a back-off, other jobs, its own last run, its size."""

from __future__ import annotations

from enum import Enum

from orchestrator.scheduling.jobs import Job


class Hurdle(Enum):
    """Of one job alone; such a job holds nobody back and keeps its place."""

    HELD = "held"
    RELEASING = "releasing"
    DEPENDENCY = "dependency"
    BACKOFF = "backoff"


def hurdle(job: Job, now: float) -> Hurdle | None:
    """The first one in its way, or None."""
    if job.held:
        return Hurdle.HELD
    if job.releasing:
        return Hurdle.RELEASING
    if job.waits_for:
        return Hurdle.DEPENDENCY
    if job.not_before is not None and job.not_before > now:
        return Hurdle.BACKOFF
    return None
