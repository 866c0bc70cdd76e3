"""What the partitions of a profile have: for the shape of an allocation, and as the protocol's capacity."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.backends.slurm.inventory import NodeRow, PartitionRow
from orchestrator.backends.slurm.shape import gpu_types_of
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.base.text import one_line
from orchestrator.spec.slurm import SlurmSection

_NAMES = re.compile(r"[^\s&|(){}\[\]*,]+")


@dataclass(frozen=True)
class Ground:
    """One partition, as far as Slurm tells.

    Attributes:
        name: of it; empty where it is the default one, whose name is not known.
        nodes: that it has, and where our jobs may lie; None: not known.
        most_nodes: of one job; None: no limit, or not known.
        most_time: seconds that it allows; infinite where it has no limit; None: not known.
        default_time: seconds that it gives a job that asks for none; infinite where it has no limit; None: not known.
        grace_time: seconds that a job has from the word that others need its nodes.
    """

    name: str = ""
    nodes: tuple[NodeRow, ...] | None = None
    most_nodes: int | None = None
    most_time: float | None = None
    default_time: float | None = None
    grace_time: float = 0.0


def ground_of(
    name: str | None,
    nodes: Sequence[NodeRow],
    partitions: Sequence[PartitionRow],
    constraint: str | None = None,
) -> Ground:
    """A partition.

    Args:
        name: of it; None: the default one.
        nodes: of the cluster.
        partitions: of the cluster.
        constraint: features that nodes must have, as sbatch takes it; None: any.

    Raises:
        LaunchRefused: there is no such partition, or none of its nodes is as the constraint asks.
    """
    found = next((row for row in partitions if (row.name == name if name else row.default)), None)
    if found is None:
        known = ", ".join(row.name for row in partitions) or "none"
        what = f"no partition {name}" if name else "no default partition"
        raise LaunchRefused(f"Slurm has {what}; it has {known}", hint="name one in the profile: slurm.partition")
    most_time = math.inf if found.max_time is None else found.max_time
    default_time = most_time if found.default_time is None else min(found.default_time, most_time)
    ours = _within(found, nodes, constraint)
    if not ours and _within(found, nodes, None):
        raise LaunchRefused(
            f"no node of partition {found.name} has the features {constraint!r}",
            hint="see slurm.constraint of the profile, and what the nodes have: sinfo -N -o '%N %f'",
        )
    return Ground(found.name, ours, found.max_nodes, most_time, default_time, found.grace_time)


def capacity_of(
    section: SlurmSection,
    nodes: Sequence[NodeRow],
    partitions: Sequence[PartitionRow],
    counted_at: float | None = None,
) -> Capacity:
    """All nodes where our jobs may lie; the largest gang is that of the partition where runs wait as a rule.

    Nodes that are down or drained count for the gang: Slurm keeps the job until they are back. Where any node has a
    GPU, slots are GPUs; workers without one take cores alone.
    """
    main = _named(section.partition, partitions)
    names = {rule.partition for rule in section.priorities} | {section.growth and section.growth.partition}
    used = [*main, *(row for row in partitions if row.name in names)]
    ours = {node.name: node for row in used for node in _within(row, nodes, section.constraint)}
    kind = "gpu" if any(dict(node.gres).get(section.gres) for node in ours.values()) else "cpu"
    grows = {name for row in used if section.growth and row.name == section.growth.partition for name in row.nodes}
    facts = tuple(replace(_facts(ours[name], section.gres, kind), grows=name in grows) for name in sorted(ours))
    base = {node.name for row in main for node in _within(row, nodes, section.constraint)}
    return Capacity(
        slots=sum(node.slots for node in facts),
        free=sum(node.free for node in facts),
        largest_gang=sum(node.slots for node in facts if node.name in base),
        slot_kind=kind,
        nodes=facts,
        cores_apart=kind == "gpu",
        counted_at=counted_at,
        faults=tuple(_missing(section, partitions)),
    )


def _missing(section: SlurmSection, partitions: Sequence[PartitionRow]) -> Iterator[str]:
    """Partitions that the profile names and Slurm does not have, and where it names them: that of runs first."""
    if not _named(section.partition, partitions):
        yield _no_partition(section.partition, partitions, "slurm.partition")
    named = [("slurm.priorities", rule.partition) for rule in section.priorities]
    if section.growth is not None:
        named.append(("slurm.growth", section.growth.partition))
    for key, name in dict.fromkeys(named):
        if name and not _named(name, partitions):
            yield _no_partition(name, partitions, key)


def _no_partition(name: str | None, partitions: Sequence[PartitionRow], key: str) -> str:
    known = ", ".join(row.name for row in partitions) or "none"
    if name is None:
        return f"Slurm has no default partition, and the profile names none ({key}); it has {known}"
    return f"Slurm has no partition {name}, which the profile names ({key}); it has {known}"


def _named(name: str | None, partitions: Sequence[PartitionRow]) -> list[PartitionRow]:
    return [row for row in partitions if (row.name == name if name else row.default)]


def _within(partition: PartitionRow, nodes: Sequence[NodeRow], constraint: str | None) -> tuple[NodeRow, ...]:
    names = frozenset(partition.nodes)
    return tuple(node for node in nodes if node.name in names and _has_features(node, constraint))


def _has_features(node: NodeRow, constraint: str | None) -> bool:
    """Whether a node is as a constraint asks: features with `&`, or with `|`, between them.

    One that mixes these, or says more (counts, brackets), is left to Slurm: any node may be meant.
    """
    text = constraint or ""
    names = [name.strip() for name in re.split("[&|]", text)]
    if ("&" in text and "|" in text) or not all(map(_NAMES.fullmatch, names)):
        return True
    has = [name in node.features for name in names]
    return any(has) if "|" in text else all(has)


def _facts(node: NodeRow, gres: str, kind: str) -> NodeFacts:
    by_gpu = kind == "gpu"
    has, used = (dict(node.gres), dict(node.gres_used)) if by_gpu else ({gres: node.cpus}, {gres: node.cpus_used})
    slots = has.get(gres, 0)
    types = gpu_types_of(node, gres)
    return NodeFacts(
        node.name,
        slots,
        max(0, slots - used.get(gres, 0)) if node.usable else 0,
        gpu_type=types[0] if len(types) == 1 else "",
        cpus=node.cpus if by_gpu else 0,
        cpus_free=max(0, node.cpus - node.cpus_used) if by_gpu and node.usable else 0,
        memory=node.memory,
        up=node.usable,
        note="" if node.usable else _note(node),
        drained=_is_drained(node),
    )


def _is_drained(node: NodeRow) -> bool:
    return any(state.startswith("DRAIN") for state in node.states)


def _note(node: NodeRow) -> str:
    state = "drained" if _is_drained(node) else "down"
    return f"{state} in Slurm ({node.state})" + (f": {node.reason}" if node.reason else "")


def assumed(error: BackendUnavailable) -> str:
    """What a plan goes by where Slurm does not tell."""
    return f"Slurm does not answer, so this assumes one node with room for all workers: {one_line(error.message, 200)}"
