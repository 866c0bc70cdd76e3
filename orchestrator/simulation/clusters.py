"""From a cluster profile, or two numbers, to the nodes and teams of a simulated cluster."""

from __future__ import annotations

from orchestrator.base.errors import UsageError
from orchestrator.scheduling.cluster import Node
from orchestrator.scheduling.teams import Team
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.profile import Node as NodeSpec


def plain_nodes(count: int, slots: int) -> tuple[Node, ...]:
    """So many equal nodes of so many GPUs."""
    width = len(str(count - 1))
    return tuple(Node(f"node-{i:0{width}}", slots) for i in range(count))


def nodes_of(profile: ClusterProfile) -> tuple[Node, ...]:
    """The nodes that a profile describes. Windows of maintenance are left out: a trace has a calendar of its own.

    Raises:
        UsageError: it says `auto` where a simulation needs a number.
    """
    return tuple(node for spec in profile.nodes for node in _nodes(profile, spec))


def teams_of(profile: ClusterProfile) -> tuple[Team, ...]:
    """The teams that a profile names."""
    return tuple(Team(t.name, t.parent or "", t.weight, t.quota, t.limit) for t in profile.teams)


def _nodes(profile: ClusterProfile, spec: NodeSpec) -> list[Node]:
    if spec.gpus == "auto":
        raise _unknown(profile, spec, "gpus")
    cores = 0 if spec.cpus == "auto" else spec.cpus
    if spec.gpus == 0 and not cores:
        raise _unknown(profile, spec, "cpus")
    made = Node(
        name=spec.name,
        slots=spec.gpus or cores,
        gpu_type=spec.gpu_type or "",
        cpus=cores if spec.gpus else 0,
        memory=0 if spec.memory == "auto" else spec.memory,
        rack=spec.rack or "",
    )
    return [Node(name, made.slots, made.gpu_type, made.cpus, made.memory, made.rack) for name in spec.names]


def _unknown(profile: ClusterProfile, spec: NodeSpec, key: str) -> UsageError:
    return UsageError(
        f"the profile {profile.name!r} has `{key}: auto` for the node {spec.name!r}: a simulation cannot measure it",
        hint="write a number there, or describe the cluster by --nodes N --slots M",
    )
