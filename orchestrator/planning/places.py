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
    names = {node.name for node in capacity.nodes}
    if not names:
        return
    if unknown := [name for name in asked.not_on if name not in names]:
        near = nearest(unknown[0], sorted(names))
        meant = f"; did you mean {near!r}?" if near else ""
        yield f"resources.not_on: cluster {cluster} has no node {unknown[0]}{meant}"
    types = sorted({node.gpu_type for node in capacity.nodes if node.gpu_type})
    if strange := [kind for kind in asked.gpu_types if kind not in types]:
        has = f"it has {', '.join(types)}" if types else "nobody says which types its GPUs are"
        yield f"resources.gpu_types: cluster {cluster} has no {strange[0]}; {has}"
        return
    fits = [node for node in capacity.nodes if _suits(workload, node)]
    room = _most(workload, fits, slots, capacity.slot_kind)
    if asked.workers.min > room and asked.workers.min * slots <= capacity.largest_gang:
        yield f"{_wants(workload, slots, capacity.slot_kind)}; cluster {cluster} has room for {counted(room, 'worker')}"


def _suits(workload: Workload, node: NodeFacts) -> bool:
    asked = workload.resources
    return node.name not in asked.not_on and (not asked.gpu_types or node.gpu_type in asked.gpu_types)


def _most(workload: Workload, nodes: Sequence[NodeFacts], slots: int, slot_kind: str) -> int:
    """Workers that these nodes hold together, or one rack of them where it must be one."""
    racks: dict[str, int] = {}
    for node in nodes:
        rack = node.rack if workload.resources.same_rack else ""
        racks[rack] = racks.get(rack, 0) + _workers_on(workload, node, slots, slot_kind)
    return max(racks.values(), default=0)


def _workers_on(workload: Workload, node: NodeFacts, slots: int, slot_kind: str) -> int:
    asked, most = workload.resources, node.slots // slots
    if asked.memory_per_worker and node.memory:
        most = min(most, node.memory // asked.memory_per_worker)
    if slot_kind == "gpu" and node.cpus:
        most = min(most, node.cpus // asked.cpus_per_worker)
    return most


def _wants(workload: Workload, slots: int, slot_kind: str) -> str:
    asked = workload.resources
    each = [f"{counted(slots, f'{slot_kind} slot')}"]
    if asked.memory_per_worker:
        each.append(f"{binary(asked.memory_per_worker)} of memory")
    if slot_kind == "gpu":
        each.append(counted(asked.cpus_per_worker, "core"))
    where = [f"of type {' or '.join(asked.gpu_types)}"] if asked.gpu_types else []
    where += [f"not on {', '.join(asked.not_on)}"] if asked.not_on else []
    where += ["in one rack"] if asked.same_rack else []
    place = f" ({', '.join(where)})" if where else ""
    return f"resources: at least {counted(asked.workers.min, 'worker')} with {', '.join(each)} each{place}"
