"""With how many workers a waiting job starts."""

from __future__ import annotations

from collections.abc import Sequence
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
    if (most := draft.widest(job)) <= fewest:
        return draft.place(job, fewest)
    most = min(most, int(min(draft.book.headroom(job.team), draft.room.free)) // slots)
    elastic = draft.policy.elastic
    if elastic is not None and elastic.start == "narrow":
        most = min(most, (draft.room.free - (draft.wanted - fewest * slots)) // slots)
    most = max(fewest, most)
    if draft.reservations or not draft.room.layout.shape(job.demand).nested or _races(draft, job):
        places = (draft.place(job, width) for width in reversed(steps(draft, job, fewest, most)))
        return next((place for place in places if place is not None), None)  # a larger one may be over sooner
    return _by_halves(draft, job, steps(draft, job, fewest, most))


def steps(draft: Draft, job: Job, fewest: int, most: int) -> Sequence[int]:
    """Widths within these bounds that a gang may be given, ascending.

    A packed gang that no node holds gets whole nodes, unless it has all or the fewest of its workers: what would be
    left of a node is of more use to small jobs, and who takes it is asked to give it back at once.
    """
    shape = draft.room.layout.shape(job.demand)
    node = max(shape.most, default=0)
    if not job.demand.packed or most <= node or node == 0 or not shape.alike:  # 0: no node takes it now
        return range(fewest, most + 1)
    ends = {fewest, draft.widest(job)}
    return [width for width in range(fewest, most + 1) if width <= node or width % node == 0 or width in ends]


def _races(draft: Draft, job: Job) -> bool:
    """Whether a larger gang may be over before a maintenance that a smaller one would meet."""
    return job.limit is None and job.estimate is not None and draft.room.layout.shape(job.demand).windows


def _by_halves(draft: Draft, job: Job, steps: Sequence[int]) -> Placement | None:
    low, high = 0, len(steps) - 1
    if (best := draft.place(job, steps[high])) is not None or low == high:
        return best
    if (best := draft.place(job, steps[low])) is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if (found := draft.place(job, steps[middle])) is None:
            high = middle
        else:
            low, best = middle, found
    return best
