"""Claims: what is being freed for a waiting job belongs to it until it starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from orchestrator.scheduling.cluster import Node, Placement, workers_of
from orchestrator.scheduling.hurdles import hurdle
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.room import Room, usable
from orchestrator.scheduling.upper_bound import upper_bound


def valid_claims(
    claimants: Iterable[Job], nodes: Mapping[str, Node], staying: Room, now: float
) -> dict[str, Placement]:
    """What these jobs claim, by job, in the order of submission.

    A claim counts for nothing where a node is gone, where the job could not start there now, and where it is not freed
    any more: those who stay, and claims before it, leave it no room.

    Args:
        claimants: waiting jobs that claim something.
        nodes: by name.
        staying: what those who stay will not hold.
        now: seconds since the epoch.
    """
    found: dict[str, Placement] = {}
    room = None
    for job in sorted(claimants, key=lambda job: (job.sequence, job.id)):
        claim = job.claim
        if claim is None or not _may_start(job, claim, nodes, now):
            continue
        room = staying.copy() if room is None else room
        if room.holds(claim, job.demand):
            room.take(claim, job.demand)
            found[job.id] = claim
    return found


def _may_start(job: Job, claim: Placement, nodes: Mapping[str, Node], now: float) -> bool:
    if hurdle(job, now) is not None:
        return False
    takes = upper_bound(job, workers_of(claim))
    until = now + takes if takes < math.inf else now
    return all(node in nodes and usable(nodes[node], job.demand, now, until) for node, _ in claim)
