"""How much memory of a node a worker is reckoned to need, where its workload does not say."""

from __future__ import annotations

import math

from orchestrator.backends.protocol import Capacity
from orchestrator.scheduling.estimates.devices import is_cpu
from orchestrator.scheduling.estimates.forecast import RunEstimate


def memory_of_worker(estimate: RunEstimate, device: str, capacity: Capacity, slots: int) -> int:
    """Bytes by our estimate; 0: not counted.

    Never more than the share of a node that goes with its slots: no estimate keeps a job from starting.

    Args:
        estimate: of the job.
        device: that it is meant for.
        capacity: of the cluster.
        slots: of a worker.
    """
    if estimate.memory is None or not is_cpu(device):
        return 0
    shares = [slots * node.memory // node.slots for node in capacity.nodes if node.memory and node.slots]
    wanted = math.ceil(estimate.memory * math.exp(estimate.memory_error))
    return min(wanted, *shares) if shares else 0
