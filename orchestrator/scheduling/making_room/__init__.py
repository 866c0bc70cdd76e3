"""Room for a waiting job: which running jobs are asked to shrink or to stop."""

from __future__ import annotations

from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.jobs import Job


def make_room(draft: Draft, job: Job) -> bool:
    """Whether running jobs were asked to give up what `job` claims; it is then no longer blocked."""
    return False
