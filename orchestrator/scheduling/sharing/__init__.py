"""What teams may use: their limits, over the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.jobs import Job


def allows(draft: Draft, job: Job, slots: int) -> bool:
    """Whether the job's team, and those above it, may hold so many slots more."""
    return not draft.state.teams or draft.book.allows(job.team, slots)
