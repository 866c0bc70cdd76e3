"""On what a workload's workers would compute, by name."""

from __future__ import annotations

from orchestrator.backends.protocol import Capacity
from orchestrator.base.hardware import cpu_name, gpu_name
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload


def device_of(workload: Workload, profile: ClusterProfile, capacity: Capacity | None = None) -> str:
    """The name under which its speed is known: of its GPUs, or of this machine's CPU.

    Where nodes have GPUs of several types, the first one that the workload takes is meant.

    Args:
        workload: the workload.
        profile: of the cluster; its nodes say their GPU types.
        capacity: of its engine, which may know them where the profile does not.
    """
    if not workload.resources.gpus_per_worker:
        return cpu_name()
    wanted = workload.resources.gpu_types
    types = [node.gpu_type for node in profile.nodes if node.gpu_type]
    types = types or [node.gpu_type for node in (capacity.machines if capacity else ()) if node.gpu_type]
    return next((kind for kind in types if not wanted or kind in wanted), None) or (wanted[0] if wanted else gpu_name())
