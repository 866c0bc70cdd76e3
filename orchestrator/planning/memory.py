"""How much memory of a node a worker is reckoned to need, where its workload does not say."""

from __future__ import annotations

import math

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.scheduling.estimates.devices import is_cpu
from orchestrator.scheduling.estimates.forecast import RunEstimate


def memory_of_worker(estimate: RunEstimate, device: str, capacity: Capacity, slots: int, cores: int = 0) -> int:
    """Bytes by our estimate; 0: not counted.

    Never more than the share of a node that goes with its slots, or with its cores where it takes none: no estimate
    keeps a job from starting.

    Args:
        estimate: of the job.
        device: that it is meant for.
        capacity: of the cluster.
        slots: of a worker; 0: it takes none.
        cores: of a worker that takes no slot.
    """
    if estimate.memory is None or not is_cpu(device):
        return 0
    shares = [_share(node, slots, cores) for node in capacity.machines if node.memory and (node.slots or not slots)]
    wanted = math.ceil(estimate.memory * math.exp(estimate.memory_error))
    return min(wanted, *shares) if shares else 0


def _share(node: NodeFacts, slots: int, cores: int) -> int:
    """Of a node's memory."""
    if slots:
        return slots * node.memory // node.slots
    return cores * node.memory // max(cores, node.cpus)
