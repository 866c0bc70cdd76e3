"""With how many workers a waiting job starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.scheduling.cluster import Placement

if TYPE_CHECKING:
    from orchestrator.scheduling.draft import Draft
    from orchestrator.scheduling.jobs import Job


def choose(draft: Draft, job: Job) -> Placement | None:
    """The most workers within the job's range that fit; None where even the fewest do not.

    Under a policy that starts narrow it takes no more than leaves the fewest workers of all others that wait.
    """
    fewest, slots = draft.fewest(job), job.demand.slots
    most = draft.widest(job)
    if most > fewest:
        most = min(most, int(min(draft.book.headroom(job.team), draft.room.free)) // slots)
        elastic = draft.policy.elastic
        if elastic is not None and elastic.start == "narrow":
            most = min(most, (draft.room.free - (draft.wanted - fewest * slots)) // slots)
    return _widest(draft, job, fewest, max(fewest, most))


def _widest(draft: Draft, job: Job, fewest: int, most: int) -> Placement | None:
    """By bisection: where a gang fits, a smaller one does."""
    if (best := draft.place(job, most)) is not None or most == fewest:
        return best
    if (best := draft.place(job, fewest)) is None:
        return None
    while most - fewest > 1:
        middle = (most + fewest) // 2
        if (found := draft.place(job, middle)) is None:
            most = middle
        else:
            fewest, best = middle, found
    return best
