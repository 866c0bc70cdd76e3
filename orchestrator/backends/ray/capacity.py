"""What a Ray cluster has, what of it is free, and what its autoscaler may bring."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.backends.ray.nodes import RayNode, Used
from orchestrator.lifecycle.reasons import utc
from orchestrator.spec.ray import NodeType

REMEMBERED = 600.0
"""Seconds for which a lost node is shown."""


def slot_kind(nodes: Sequence[RayNode], types: Sequence[NodeType]) -> str:
    """`gpu` where a node that is there, was there just now, or may come has one; else `cpu`."""
    return "gpu" if any(node.gpus for node in nodes) or any(kind.gpus for kind in types) else "cpu"


def capacity_of(
    nodes: Sequence[RayNode],
    used: Mapping[str, Used],
    types: Sequence[NodeType],
    *,
    kind: str,
    now: float,
    draining: Mapping[str, float] = MappingProxyType({}),
) -> Capacity:
    """All nodes with slots; those that were lost not long ago are down.

    Args:
        nodes: of the cluster.
        used: of each, by its identifier.
        types: of nodes that the autoscaler may bring.
        kind: what a slot is.
        now: seconds since the epoch.
        draining: when each node that Ray drains shall be empty, in seconds since the epoch, by its identifier.
    """
    shown = [node for node in nodes if node.ended is None or now - node.ended < REMEMBERED]
    found = (_facts(node, used.get(node.id, Used()), kind, draining.get(node.id)) for node in shown)
    facts = tuple(fact for fact in found if fact.slots)
    potential = tuple(_potential(nodes, types, kind))
    total, up = sum(fact.slots for fact in facts), sum(fact.slots for fact in facts if fact.up)
    return Capacity(
        slots=total,
        free=sum(fact.free for fact in facts),
        largest_gang=max(total, up + sum(fact.slots for fact in potential)),  # what was lost just now may come back
        slot_kind=kind,
        nodes=facts,
        potential=potential,
        grows=bool(types),
    )


def _facts(node: RayNode, used: Used, kind: str, until: float | None) -> NodeFacts:
    by_gpu, up = kind == "gpu", node.ended is None
    slots, held = (node.gpus, used.gpus) if by_gpu else (node.cpus, used.cpus)
    return NodeFacts(
        node.name,
        slots,
        max(0, math.floor(slots - held + 1e-6)) if up else slots,  # nobody holds slots of a node that is gone
        gpu_type=node.gpu_type,
        cpus=node.cpus if by_gpu else 0,
        memory=node.memory,
        rack=node.rack,
        up=up,
        note=_note(node, until),
        drained=up and until is not None,
    )


def _note(node: RayNode, until: float | None) -> str:
    if node.ended is not None:
        return f"Ray lost it at {_time(node.ended)}: {node.why}"
    return "" if until is None else "drained by Ray" + (f", which wants it empty at {utc(until)}" if until else "")


def _potential(nodes: Sequence[RayNode], types: Sequence[NodeType], kind: str) -> Iterator[NodeFacts]:
    """Nodes that are not there and may come."""
    for wanted in types:
        there = sum(node.ended is None and _is_of(node, wanted) for node in nodes)
        slots = wanted.gpus if kind == "gpu" else wanted.cpus
        for number in range(there + 1, wanted.count + 1):
            if slots:
                yield NodeFacts(
                    f"{wanted.name}-{number}",
                    slots,
                    slots,
                    gpu_type=(wanted.gpu_type or "").lower(),
                    cpus=wanted.cpus if kind == "gpu" else 0,
                    memory=wanted.memory or 0,
                )


def _is_of(node: RayNode, wanted: NodeType) -> bool:
    """By its label, and where it has none by what it has."""
    if node.group:
        return node.group == wanted.name
    same_type = not wanted.gpu_type or not node.gpu_type or node.gpu_type == wanted.gpu_type.lower()
    return (node.cpus, node.gpus) == (wanted.cpus, wanted.gpus) and same_type


def _time(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
