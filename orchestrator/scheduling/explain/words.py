"""What is said again and again: lists of names, sizes, what a job asks for, how long it may take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.lifecycle.reasons import duration, slots
from orchestrator.scheduling.cluster import Constraints, Demand, Placement
from orchestrator.scheduling.explain.floor import Count
from orchestrator.scheduling.jobs import Job
from orchestrator.scheduling.upper_bound import upper_bound


class Takes(NamedTuple):
    """How long a run of a job may take, where maintenance is ahead.

    Attributes:
        seconds: at most; infinite where nobody knows.
        meets: what is said where maintenance begins before.
    """

    seconds: float
    meets: str

    @classmethod
    def of(cls, job: Job, workers: int) -> Takes:
        """With so many workers, if it starts now."""
        seconds = upper_bound(job, workers)
        if math.isinf(seconds):
            return cls(seconds, "nobody knows how long it takes, and a run without a time limit would meet it")
        if seconds == job.max_time:
            allows = f"a run of up to {duration(seconds)}, which the cluster's limits.max_time allows"
            return cls(seconds, f"{allows} it, would meet it")
        if job.limit is None:
            return cls(seconds, f"it is expected to need up to {duration(seconds)} and would meet it")
        return cls(seconds, f"a run of up to {duration(seconds)}, its time limit, would meet it")


def names(found: Sequence[str], shown: int = 3) -> str:
    """`j-1, j-2 and 4 more`."""
    if len(found) <= shown + 1:
        return " and ".join(filter(None, (", ".join(found[:-1]), found[-1]))) if found else ""
    return f"{', '.join(found[:shown])} and {len(found) - shown} more"


def one_of(choices: Sequence[str]) -> str:
    """`h200`, `h200 or a100`."""
    return " or ".join(choices)


def kind_of_node(wants: Constraints) -> str:
    """What nodes it accepts: ` of type h200`, ` but n-1 and n-2`."""
    types = f" of type {one_of(wants.gpu_types)}" if wants.gpu_types else ""
    return types + (f" other than {names(sorted(wants.not_on))}" if wants.not_on else "")


def needs(demand: Demand, count: Count, kind: str) -> str:
    """What its fewest workers ask for, given the nodes that it accepts."""
    fewest = "at least " if demand.workers_max > demand.workers_min else ""
    return f"needs {fewest}{slots(demand.workers_min * demand.slots, kind)}{_where(demand, count)}"


def _where(demand: Demand, count: Count) -> str:
    accepted = kind_of_node(demand.constraints)
    rack = " in one rack" if demand.constraints.same_rack and demand.workers_min > count.largest else ""
    if demand.packed and demand.workers_min > count.largest > 0:
        return f" on nodes of {count.size}{accepted}{rack}"
    if demand.workers_min * demand.slots > 1 and (demand.packed or demand.workers_min == 1):
        return f" on one node{accepted}"
    if demand.slots > 1:
        return f", {demand.slots} on a node{accepted}{rack}"
    nodes = "nodes" if demand.workers_min > 1 else "a node"
    return f" on {nodes}{accepted}{rack}" if accepted or rack else ""


def places(placement: Placement) -> str:
    """`n-1` or `n-1 (8) and n-2 (4)`, workers in brackets."""
    if len(placement) == 1:
        return placement[0].node
    return names([f"{node} ({workers})" for node, workers in placement])
