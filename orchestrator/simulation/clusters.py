"""From a cluster profile, or two numbers, to a simulated cluster: nodes, their maintenance, teams, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import UsageError
from orchestrator.scheduling.cluster import Node, Window
from orchestrator.scheduling.profiles import teams_of, windows_of
from orchestrator.scheduling.teams import Team
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.profile import Node as NodeSpec


@dataclass(frozen=True)
class Cluster:
    """What is simulated.

    Attributes:
        nodes: without windows of maintenance.
        teams: that share them.
        windows: of maintenance, by node; seconds since the epoch.
        max_workers: no run gets more; None: no limit.
        max_time: seconds; no run takes longer; None: no limit.
    """

    nodes: tuple[Node, ...]
    teams: tuple[Team, ...] = ()
    windows: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    max_workers: int | None = None
    max_time: float | None = None

    def maintained(self, later: float) -> tuple[Node, ...]:
        """The nodes with their windows of maintenance.

        Args:
            later: seconds that the simulated clock is ahead of the epoch's.
        """
        return tuple(replace(node, windows=_later(self.windows.get(node.name, ()), later)) for node in self.nodes)


def cluster_of(profile: ClusterProfile, nodes: tuple[Node, ...] | None = None) -> Cluster:
    """The cluster that a profile describes.

    Args:
        profile: of the cluster.
        nodes: in the place of its own, whose maintenance is then nothing to them.

    Raises:
        UsageError: it says `auto` where a number is needed, or its engine has a scheduler of its own.
    """
    if nodes is None and profile.backend == "slurm":
        raise _not_ours(profile)
    if nodes is None and not profile.names_nodes:
        raise UsageError(f"the profile {profile.name!r} names no nodes: its engine does")
    windows, limits = windows_of(profile) if nodes is None else {}, profile.limits
    return Cluster(nodes or _nodes(profile), teams_of(profile), windows, limits.max_workers, limits.max_time)


def cluster_with(profile: ClusterProfile, capacity: Capacity) -> Cluster:
    """The cluster of a profile whose engine knows the nodes: all that are up, and those that may come.

    Raises:
        UsageError: there is none.
    """
    nodes = tuple(
        Node(one.name, one.slots, gpu_type=one.gpu_type, cpus=one.cpus, memory=one.memory, rack=one.rack)
        for one in capacity.machines
        if one.up
    )
    if not nodes:
        raise UsageError(
            f"cluster {profile.name} has no node now, and its profile names none that may come",
            hint="start it, write ray.autoscaler into the profile, or describe the cluster by --nodes N --slots M",
        )
    return replace(cluster_of(profile, nodes), windows=windows_of(profile))


def plain_nodes(count: int, slots: int) -> tuple[Node, ...]:
    """So many equal nodes of so many GPUs."""
    width = len(str(count - 1))
    return tuple(Node(f"node-{i:0{width}}", slots) for i in range(count))


def _later(windows: tuple[Window, ...], seconds: float) -> tuple[Window, ...]:
    return tuple(replace(window, start=window.start + seconds, end=window.end + seconds) for window in windows)


def _nodes(profile: ClusterProfile) -> tuple[Node, ...]:
    """Where some have GPUs, slots are GPUs, and the others have none."""
    gpus = any(spec.gpus for spec in profile.nodes)
    return tuple(node for spec in profile.nodes if spec.gpus or not gpus for node in _equal(profile, spec))


def _equal(profile: ClusterProfile, spec: NodeSpec) -> list[Node]:
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
    return [replace(made, name=name) for name in spec.names]


def _not_ours(profile: ClusterProfile) -> UsageError:
    return UsageError(
        f"on cluster {profile.name} Slurm's own scheduler decides: it is not simulated, and the profile names no nodes",
        hint="to see what our policies would do there, describe the cluster by --nodes N --slots M, or write its nodes "
        "into a profile with `backend: local` (sinfo -N -o '%N %c %m %G' lists them)",
    )


def _unknown(profile: ClusterProfile, spec: NodeSpec, key: str) -> UsageError:
    return UsageError(
        f"the profile {profile.name!r} has `{key}: auto` for the node {spec.name!r}; only a sole node is measured",
        hint="write a number there, or describe the cluster by --nodes N --slots M",
    )
