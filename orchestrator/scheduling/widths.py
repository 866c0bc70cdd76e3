"""With how many workers a waiting job starts."""

from __future__ import annotations

from orchestrator.scheduling.cluster import Placement
from orchestrator.scheduling.draft import Draft
from orchestrator.scheduling.jobs import Job


def choose(draft: Draft, job: Job) -> Placement | None:
    """The most workers within the job's range that fit; None where even the fewest do not."""
    for workers in range(draft.widest(job), job.demand.workers_min - 1, -1):
        placement = draft.place(job, workers)
        if placement is not None:
            return placement
    return None
