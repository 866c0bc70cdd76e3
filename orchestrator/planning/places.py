"""Whether a cluster has a place for a workload at all, were it empty: node types, racks, memory, cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.backends.protocol import Capacity, NodeFacts
from orchestrator.base.text import binary, counted
from orchestrator.spec.diagnostics import nearest
from orchestrator.spec.workload import Workload


def no_place(workload: Workload, cluster: str, capacity: Capacity, slots: int) -> Iterator[str]:
    """What is wrong with where its workers may lie; nothing where they fit.

    Args:
        workload: what should run.
        cluster: the cluster's name.
        capacity: what it has; without nodes nothing is known.
        slots: of one worker.
    """
    asked = workload.resources
    if not capacity.machines:
        return
    names = {node.name for node in capacity.nodes}
    if unknown := [name for name in asked.not_on if name not in names]:
        near = nearest(unknown[0], sorted(names))
        meant = f"; did you mean {near!r}?" if near else ""
        yield f"resources.not_on: cluster {cluster} has no node {unknown[0]}{meant}"
    types = sorted({node.gpu_type for node in capacity.machines if node.gpu_type})
    if strange := [kind for kind in asked.gpu_types if kind not in types]:
        has = f"it has {', '.join(types)}" if types else "nobody says which types its GPUs are"
        yield f"resources.gpu_types: cluster {cluster} has no {strange[0]}; {has}"
        return
    room = _most(workload, _suitable(workload, capacity), slots, capacity.slot_kind)
    if asked.workers.min > room and asked.workers.min * slots <= capacity.largest_gang:
        yield f"{_wants(workload, slots, capacity.slot_kind)}; cluster {cluster} has room for {counted(room, 'worker')}"


def too_large_worker(workload: Workload, cluster: str, capacity: Capacity, slots: int) -> str:
    """That one worker alone fits no node, with what the largest one has; empty where one does, or nobody knows.

    Args: as of `no_place`.
    """
    nodes = _suitable(workload, capacity)
    if not nodes or any(_workers_on(workload, node, slots, capacity.slot_kind) for node in nodes):
        return ""
    largest = max(nodes, key=lambda node: (bool(slots) * node.slots, node.cpus, node.memory))
    asked = workload.resources
    needs = parts_text(slots, asked.cpus_per_worker, asked.memory_per_worker)
    has = parts_text(largest.slots, largest.cpus, largest.memory)
    return f"resources: a worker needs {needs}; the largest node that it may use on cluster {cluster} has {has}"


def parts_text(gpus: int, cores: int, memory: int) -> str:
    """`2 GPUs, 4 cores, 62.5 GiB`; what is 0 is left out."""
    parts = [counted(gpus, "GPU")] if gpus else []
    parts += [counted(cores, "core")] if cores else []
    return ", ".join([*parts, binary(memory)] if memory else parts) or "nothing"


def most_workers(workload: Workload, capacity: Capacity, slots: int) -> int:
    """Workers that a cluster has room for: by its slots, or, where they take none, by its cores and memory."""
    if slots:
        return capacity.largest_gang // slots
    return _most(workload, _suitable(workload, capacity), slots, capacity.slot_kind)


def _suitable(workload: Workload, capacity: Capacity) -> list[NodeFacts]:
    """Nodes where its workers may lie, those that may come included."""
    asked = workload.resources
    return [
        node
        for node in capacity.machines
        if node.name not in asked.not_on and (not asked.gpu_types or node.gpu_type in asked.gpu_types)
    ]


def _most(workload: Workload, nodes: Sequence[NodeFacts], slots: int, slot_kind: str) -> int:
    """Workers that these nodes hold together, or one rack of them where it must be one."""
    racks: dict[str, int] = {}
    for node in nodes:
        rack = node.rack if workload.resources.same_rack else ""
        racks[rack] = racks.get(rack, 0) + _workers_on(workload, node, slots, slot_kind)
    return max(racks.values(), default=0)


def _workers_on(workload: Workload, node: NodeFacts, slots: int, slot_kind: str) -> int:
    asked = workload.resources
    rooms = [node.slots // slots] if slots else [node.cpus // asked.cpus_per_worker]
    if asked.memory_per_worker and node.memory:
        rooms.append(node.memory // asked.memory_per_worker)
    if slot_kind == "gpu" and node.cpus:
        rooms.append(node.cpus // asked.cpus_per_worker)
    return min(rooms)


def _wants(workload: Workload, slots: int, slot_kind: str) -> str:
    asked = workload.resources
    each = [counted(slots, f"{slot_kind} slot")] if slots else []
    if asked.memory_per_worker:
        each.append(f"{binary(asked.memory_per_worker)} of memory")
    if slot_kind == "gpu":
        each.append(counted(asked.cpus_per_worker, "core"))
    where = [f"of type {' or '.join(asked.gpu_types)}"] if asked.gpu_types else []
    where += [f"not on {', '.join(asked.not_on)}"] if asked.not_on else []
    where += ["in one rack"] if asked.same_rack else []
    place = f" ({', '.join(where)})" if where else ""
    return f"resources: at least {counted(asked.workers.min, 'worker')} with {', '.join(each)} each{place}"
