"""Claims: what is being freed for a waiting job belongs to it until it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestrator.scheduling.cluster import Node, Placement, workers_of
from orchestrator.scheduling.hurdles import hurdle
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.room import capacity, usable
from orchestrator.scheduling.upper_bound import upper_bound


def valid_claim(job: Job, nodes: Mapping[str, Node], now: float) -> Placement | None:
    """What a job still claims; nothing where a node is gone or too small, or the job could not start there."""
    if job.claim is None or hurdle(job, now) is not None:
        return None
    takes = upper_bound(job, workers_of(job.claim))
    until = now + takes if takes < math.inf else now
    demand = job.demand
    fine = all(
        node in nodes and usable(nodes[node], demand, now, until) and workers <= capacity(nodes[node], demand)
        for node, workers in job.claim
    )
    return job.claim if fine else None
